"""Batches: every token once an epoch, pure in the step, padding that scores nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.batches import Example, MaskedWindows, PackedWindows, Pairs
from pipelines.fused_loss import IGNORED
from tests.pipelines.tiny import CLS, SEP, tiny_vocabulary


def test_an_epoch_of_windows_holds_every_position_once_and_targets_are_the_next_token() -> None:
    data = PackedWindows(np.arange(1 + 12 * 8, dtype=np.uint16), context=8, batch_size=3, seed=5)
    batches = [data.batch(step) for step in range(4)]
    seen = torch.cat([batch["input_ids"] for batch in batches]).flatten().tolist()
    assert sorted(seen) == list(range(12 * 8))
    for batch in batches:
        assert torch.equal(batch["targets"], batch["input_ids"] + 1)


def test_windows_come_in_another_order_in_the_next_epoch_and_for_another_seed() -> None:
    stream = np.arange(1 + 40 * 4, dtype=np.uint16)
    data = PackedWindows(stream, context=4, batch_size=40, seed=0)
    other = PackedWindows(stream, context=4, batch_size=40, seed=1)
    assert not torch.equal(data.batch(0)["input_ids"], data.batch(1)["input_ids"])
    assert not torch.equal(data.batch(0)["input_ids"], other.batch(0)["input_ids"])
    assert torch.equal(data.batch(1)["input_ids"], PackedWindows(stream, 4, 40, 0).batch(1)["input_ids"])


def _masked(batch_size: int = 5, seed: int = 3, whole_words: bool = False) -> MaskedWindows:
    """Twenty windows of 14 tokens between [CLS] and [SEP]; the id after 49 is 5."""
    stream = (5 + np.arange(20 * 14) % 45).astype(np.uint16)
    return MaskedWindows(stream, 16, batch_size, seed, tiny_vocabulary(), whole_words)


def _unmasked(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.where(batch["targets"] == IGNORED, batch["input_ids"], batch["targets"])


def test_an_epoch_of_masked_windows_holds_every_token_once_between_cls_and_sep() -> None:
    data = _masked()
    windows = torch.cat([_unmasked(data.batch(step)) for step in range(4)])
    assert data.windows == 20
    assert data.unique_tokens == 20 * 16
    assert (windows[:, 0] == CLS).all()
    assert (windows[:, -1] == SEP).all()
    starts = {int((row[1] - 5) % 45) for row in windows}
    assert starts == {14 * place % 45 for place in range(20)}
    assert ((windows[:, 2:-1] - windows[:, 1:-2]) % 45 == 1).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_windows_masks_follow_from_seed_epoch_and_window_alone(whole_words: bool) -> None:
    one, other = _masked(5, whole_words=whole_words), _masked(4, whole_words=whole_words)
    first = [torch.cat([one.batch(step)[key] for step in range(4)]) for key in ("input_ids", "targets")]
    again = [torch.cat([other.batch(step)[key] for step in range(5)]) for key in ("input_ids", "targets")]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    def masks(data: MaskedWindows, steps: range) -> list[list[bool]]:
        return torch.cat([data.batch(step)["targets"] != IGNORED for step in steps]).tolist()

    epoch, seed = masks(one, range(4, 8)), masks(_masked(5, seed=4, whole_words=whole_words), range(4))
    for another in (epoch, seed):
        assert sum(a == b for a, b in zip(masks(one, range(4)), another, strict=True)) < 10


def _pairs(count: int = 23, batch_size: int = 4) -> Pairs:
    examples = [
        Example(tuple(range(10, 10 + 3 + i % 7)), (IGNORED, IGNORED, *range(12, 10 + 3 + i % 7)))
        for i in range(count)
    ]
    return Pairs(examples, batch_size, context=12, pad_id=0, seed=3)


def test_an_epoch_of_pairs_holds_every_example_once() -> None:
    data = _pairs()
    lengths = [length for step in range(data.steps_an_epoch) for length in data.lengths(step)]
    assert sorted(lengths) == sorted(len(example.input_ids) for example in data.examples)


def test_a_batch_comes_while_another_thread_goes_on_to_the_next_epoch() -> None:
    class Shared(dict[int, list[np.ndarray]]):
        """An epoch's batches, gone once they were looked for, or laid down: the other thread's next step."""

        loses = False

        def __contains__(self, epoch: object) -> bool:
            found = super().__contains__(epoch)
            self.clear()
            return found

        def get(self, epoch: int, default: Any = None) -> Any:
            found = super().get(epoch, default)
            self.clear()
            return found

        def __setitem__(self, epoch: int, batches: list[np.ndarray]) -> None:
            super().__setitem__(epoch, batches)
            if self.loses:
                self.clear()

    data, expected = _pairs(), _pairs()
    vars(data)["_epochs"] = shared = Shared()
    for shared.loses in (True, False):
        for step in (5, 6, 5, 5):  # six steps an epoch
            assert data.lengths(step) == expected.lengths(step)


def test_pairs_score_the_answer_at_the_position_that_predicts_it() -> None:
    batch = _pairs(count=1).batch(0)
    assert batch["input_ids"].tolist() == [[10, 11, 12] + [0] * 9]
    assert batch["targets"].tolist() == [[IGNORED, 12, IGNORED] + [IGNORED] * 9]


def test_padding_is_never_scored() -> None:
    data = _pairs()
    for step in range(data.steps_an_epoch):
        batch = data.batch(step)
        padding = torch.arange(batch["input_ids"].shape[1]) >= batch["lengths"][:, None]
        assert (batch["targets"][padding] == IGNORED).all()
        assert (batch["input_ids"][padding] == 0).all()


def test_each_kind_of_target_has_its_form() -> None:
    ids = ((9, 8, 7), (9, 8, 7, 6))

    def targets(objective: str, *rows: object) -> torch.Tensor:
        examples = [Example(row, target) for row, target in zip(ids, rows, strict=True)]
        return Pairs(examples, 2, context=5, pad_id=0, seed=0, objective=objective).batch(0)["targets"]

    def same(found: torch.Tensor, rows: list, dtype: torch.dtype = torch.int64) -> bool:
        return found.dtype == dtype and sorted(found.tolist()) == sorted(rows)

    assert same(targets("classification", 2, 0), [2, 0])
    assert same(targets("regression", 0.5, -2.0), [0.5, -2.0], torch.float32)
    assert same(targets("multi-label", (1.0, 0.0), (0.0, 0.0)), [[1.0, 0.0], [0.0, 0.0]], torch.float32)
    assert same(targets("span", (0, 0), (1, 3)), [[0, 0], [1, 3]])
    tags = [[IGNORED, 4, 1, IGNORED, IGNORED], [IGNORED, 2, IGNORED, 3, IGNORED]]
    assert same(targets("tagging", (IGNORED, 4, 1), (IGNORED, 2, IGNORED, 3)), tags)
    asked = [[8, 7, IGNORED, IGNORED, IGNORED], [IGNORED, 7, 6, IGNORED, IGNORED]]
    assert same(targets("conditional-generation", ids[0], (IGNORED, IGNORED, 7, 6)), asked)


def test_types_are_given_where_a_second_text_is() -> None:
    pair = Example((9, 8, 7), 0, (0, 0, 1))
    batch = Pairs([pair], 1, context=5, pad_id=0, seed=0, objective="classification").batch(0)
    assert batch["types"].tolist() == [[0, 0, 1, 0, 0]]
    alone = Pairs([Example((9, 8), 0, (0, 0))], 1, context=5, pad_id=0, seed=0, objective="classification")
    assert "types" not in alone.batch(0)
