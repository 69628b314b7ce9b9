"""Which examples stand in which batch, as pure functions of the step, so that resuming changes nothing.

`PackedWindows` cuts a token stream into windows; `Pairs` pads examples of their own length. Both answer
`batch(step)` with int64 tensors and say how long its rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from eval.files import InputError
from pipelines.fused_loss import IGNORED

Batch = dict[str, torch.Tensor]

# Examples are sorted by length inside groups of this many batches: little padding, and still a random order.
SORTED_BATCHES = 8
# Rows are padded to a multiple of this: kernels are compiled for each new shape, which costs time and memory.
PADDED_TO = 32


class Batches(Protocol):
    """What the training loop asks of its data."""

    def batch(self, step: int) -> Batch:
        """The batch of optimiser step `step` (from 0)."""
        ...

    def lengths(self, step: int) -> list[int]:
        """Unpadded tokens of each of that batch's rows."""
        ...


def open_tokens(path: Path) -> np.ndarray:
    """The memory-mapped token stream of a prepared split. Raises InputError if it is no such file."""
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a token file ({error}); delete its stage folder and run again"
        ) from error
    assert tokens.ndim == 1, f"{path}: a token stream has one dimension"
    return np.asarray(tokens) if tokens.nbytes < 2**24 else tokens


@dataclass(frozen=True)
class PackedWindows:
    """Windows of `context` tokens from one stream, each epoch shifted and shuffled anew from `seed`.

    `batch` gives `input_ids` and `targets`, both (batch_size, context); the target of a position is the token
    after it.
    """

    stream: np.ndarray
    context: int
    batch_size: int
    seed: int

    @property
    def windows(self) -> int:
        """Windows an epoch; the last start leaves room for the shift and for the last target."""
        return (len(self.stream) - 1) // self.context

    @property
    def unique_tokens(self) -> int:
        return self.windows * self.context

    def batch(self, step: int) -> Batch:
        first = step * self.batch_size
        rows = np.stack(
            [self._window(index) for index in range(first, first + self.batch_size)]
        )  # (B, T + 1)
        ids = torch.from_numpy(rows.astype(np.int64))
        return {"input_ids": ids[:, :-1], "targets": ids[:, 1:]}

    def lengths(self, step: int) -> list[int]:
        return [self.context] * self.batch_size

    def _window(self, index: int) -> np.ndarray:
        epoch, place = divmod(index, self.windows)
        shift, order = _epoch_order(self.seed, epoch, self.windows, self._room())
        start = shift + int(order[place]) * self.context
        return self.stream[start : start + self.context + 1]

    def _room(self) -> int:
        return len(self.stream) - 1 - self.unique_tokens


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int, room: int) -> tuple[int, np.ndarray]:
    random = np.random.default_rng([seed, epoch])
    return int(random.integers(room + 1)), random.permutation(count)


@dataclass(frozen=True)
class Example:
    """One fine-tuning example. `targets` has a token id or IGNORED a position, or is one class index."""

    input_ids: tuple[int, ...]
    targets: tuple[int, ...] | int


@dataclass(frozen=True)
class Pairs:
    """Right-padded batches of examples, like lengths together, in an order drawn each epoch from `seed`.

    `batch` gives `input_ids` (B, T), `lengths` (B,) and `targets`: (B, T) shifted to the position that
    predicts them, or (B,).
    """

    examples: Sequence[Example]
    batch_size: int
    context: int
    pad_id: int
    seed: int

    @property
    def steps_an_epoch(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    @property
    def unique_tokens(self) -> int:
        return sum(len(example.input_ids) for example in self.examples)

    def batch(self, step: int) -> Batch:
        chosen = self._chosen(step)
        lengths = torch.tensor([len(example.input_ids) for example in chosen])
        longest = min(-(-int(lengths.max()) // PADDED_TO) * PADDED_TO, self.context)
        ids = torch.full((len(chosen), longest), self.pad_id)
        per_token = not isinstance(chosen[0].targets, int)
        targets = torch.full((len(chosen), longest) if per_token else (len(chosen),), IGNORED)
        for row, example in enumerate(chosen):
            ids[row, : len(example.input_ids)] = torch.tensor(example.input_ids)
            if isinstance(example.targets, int):
                targets[row] = example.targets
            else:
                targets[row, : len(example.input_ids) - 1] = torch.tensor(example.targets[1:])
        return {"input_ids": ids, "lengths": lengths, "targets": targets}

    def lengths(self, step: int) -> list[int]:
        return [len(example.input_ids) for example in self._chosen(step)]

    def _chosen(self, step: int) -> list[Example]:
        epoch, place = divmod(step, self.steps_an_epoch)
        batches = _epoch_batches(
            self.seed, epoch, self.batch_size, tuple(len(e.input_ids) for e in self.examples)
        )
        return [self.examples[index] for index in batches[place]]


@lru_cache(maxsize=4)
def _epoch_batches(seed: int, epoch: int, batch_size: int, lengths: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    size = np.asarray(lengths)
    group = batch_size * SORTED_BATCHES
    sorted_order = [part[np.argsort(size[part], kind="stable")] for part in _cut(order, group)]
    batches = [batch for part in sorted_order for batch in _cut(part, batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]


def _cut(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]
