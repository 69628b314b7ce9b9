"""How much of a batch goes through at once: found by trying where memory is short, without a trace."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines import micro_batch
from pipelines.micro_batch import CPU_TOKENS, find_micro_tokens, fits
from pipelines.objectives import objective
from tests.pipelines.tiny import CONTEXT, tiny_data, tiny_model


def _accelerator(kind: str, ranks: int = 1, least: int | None = None) -> Any:
    """Of a machine of this kind; of several ranks another one found `least` rows."""

    def gather(value: torch.Tensor) -> torch.Tensor:
        return value if least is None else torch.tensor([float(value), float(least)])

    return SimpleNamespace(
        device=SimpleNamespace(type=kind, __str__=lambda self: kind), num_processes=ranks, gather=gather
    )


@pytest.mark.parametrize(
    ("room", "ranks", "least", "rows"), [(16, 1, None, 16), (5, 1, None, 4), (0, 1, None, 1), (9, 2, 3, 3)]
)
def test_a_gpu_gets_the_largest_part_that_fits(
    room: int, ranks: int, least: int | None, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are halved until they fit, one is tried in earnest; the rank with the least decides."""
    monkeypatch.setattr(micro_batch, "fits", lambda module, batch, _: len(batch["input_ids"]) <= room)
    tensor = torch.tensor
    monkeypatch.setattr(micro_batch.torch, "tensor", lambda value, device=None: tensor(value))
    found = find_micro_tokens(torch.nn.Linear(1, 1), tiny_data(16), _accelerator("cuda", ranks, least))
    assert found == rows * CONTEXT


def test_a_processor_gets_what_stays_in_its_caches() -> None:
    accelerator = _accelerator("cpu")
    assert find_micro_tokens(torch.nn.Linear(1, 1), tiny_data(16), accelerator) == CPU_TOKENS


def test_trying_leaves_weights_gradients_and_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective("causal-lm", tiny_model(), torch.float32)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    accelerator: Any = SimpleNamespace(device=torch.device("cpu"), autocast=contextlib.nullcontext)
    state = torch.get_rng_state()
    assert fits(module, tiny_data().batch(0), accelerator)
    forward = type(module).forward

    def too_much(self: Any, batch: Any) -> torch.Tensor:
        forward(self, batch)
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(type(module), "forward", too_much)
    assert not fits(module, tiny_data().batch(0), accelerator)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in module.named_parameters():
        assert value.grad is None
        assert torch.equal(value, before[name])
