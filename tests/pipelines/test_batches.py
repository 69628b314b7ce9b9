"""Batches: every token once an epoch, pure in the step, padding that scores nothing."""

import numpy as np
import pytest
import torch

from eval.files import InputError
from pipelines.batches import Example, PackedWindows, Pairs, open_tokens
from pipelines.fused_loss import IGNORED


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


def test_a_broken_token_file_is_the_readers_mistake(tmp_path) -> None:
    (tmp_path / "train.npy").write_bytes(b"not numpy")
    with pytest.raises(InputError, match="not a token file"):
        open_tokens(tmp_path / "train.npy")
