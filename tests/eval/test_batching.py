"""Every index is answered once, in batches within their limits; where memory runs out they are halved."""

from __future__ import annotations

import pytest
import torch

from eval.batching import BatchLimits, run_batches

CPU = torch.device("cpu")
LENGTHS = [3, 50, 7, 7, 1, 20, 120, 6]
CPU_ERROR = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"


def batches(limits: BatchLimits) -> list[list[int]]:
    found: list[list[int]] = []
    run_batches(LENGTHS, limits, found.append, CPU)
    return found


def padded(batch: list[int]) -> int:
    return len(batch) * max(LENGTHS[index] for index in batch)


@pytest.mark.parametrize(
    "limits", [BatchLimits(), BatchLimits(60), BatchLimits(1), BatchLimits(None, 3), BatchLimits(60, 2)]
)
def test_batches_hold_every_index_once_within_the_limits(limits: BatchLimits) -> None:
    found = batches(limits)
    assert sorted(index for batch in found for index in batch) == list(range(len(LENGTHS)))
    for batch in found:
        assert len(batch) == 1 or padded(batch) <= (limits.tokens or 4096)
        assert limits.rows is None or len(batch) <= limits.rows
    assert found[0][0] == 6, "the longest comes first"


def test_what_fits_is_one_batch_on_a_processor() -> None:
    assert batches(BatchLimits()) == [[6, 1, 5, 2, 3, 7, 0, 4]]
    assert batches(BatchLimits(60))[0] == [6], "alone when it must"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_ERROR)])
def test_a_batch_that_memory_does_not_hold_is_halved_and_stays_so(error: RuntimeError) -> None:
    tried: list[list[int]] = []
    answered: list[int] = []

    def answer(batch: list[int]) -> None:
        tried.append(batch)
        if padded(batch) > 130:
            raise error
        answered.extend(batch)

    run_batches(LENGTHS, BatchLimits(1000), answer, CPU)
    assert sorted(answered) == list(range(len(LENGTHS)))
    sizes = [padded(batch) for batch in tried]
    assert sizes[:4] == [960, 480, 240, 120], "half of what did not fit, until it does"
    assert all(size <= 120 for size in sizes[4:]), "and later ones are no larger"


def test_one_row_that_does_not_fit_raises() -> None:
    def answer(batch: list[int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        run_batches(LENGTHS, BatchLimits(), answer, CPU)


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    calls = []

    def answer(batch: list[int]) -> None:
        calls.append(batch)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run_batches(LENGTHS, BatchLimits(), answer, CPU)
    assert len(calls) == 1
