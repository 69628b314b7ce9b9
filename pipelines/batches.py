"""Which examples stand in which batch, as pure functions of the step, so that resuming changes nothing.

`PackedWindows` and `MaskedWindows` cut a token stream into windows; `Pairs` pads examples of their own
length. All answer `batch(step)` with tensors and say how long its rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from eval.masking import MaskVocabulary, mask
from pipelines.fused_loss import IGNORED
from pipelines.order import epoch_order, window_at
from pipelines.token_shards import Tokens

Batch = dict[str, torch.Tensor]

# Examples are sorted by length inside groups of this many batches: little padding, and still a random order.
SORTED_BATCHES = 8
# Rows are padded to a multiple of this: kernels are compiled for each new shape, which costs time and memory.
PADDED_TO = 32
_MASKS = 0x6D61736B  # tells a window's masks from an epoch's order, which are both drawn from the seed


class Batches(Protocol):
    """What the training loop asks of its data."""

    def batch(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        """The batch of optimiser step `step` (from 0); with `rows` these alone, and no others are read."""
        ...

    def lengths(self, step: int) -> list[int]:
        """Unpadded tokens of each of that batch's rows."""
        ...


@dataclass(frozen=True)
class PackedWindows:
    """Windows of `context` tokens from one stream, each epoch shifted and shuffled anew from `seed`.

    `batch` gives `input_ids` and `targets`, both (batch_size, context); the target of a position is the token
    after it.
    """

    stream: Tokens
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

    def batch(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        first = step * self.batch_size
        wanted = range(self.batch_size) if rows is None else rows
        windows = np.stack([self._window(first + row) for row in wanted])  # (B, T + 1)
        ids = torch.from_numpy(windows.astype(np.int64))
        return {"input_ids": ids[:, :-1], "targets": ids[:, 1:]}

    def lengths(self, step: int) -> list[int]:
        return [self.context] * self.batch_size

    def _window(self, index: int) -> np.ndarray:
        start = _start(index, self.windows, self.context, len(self.stream) - 1, self.seed)
        return self.stream[start : start + self.context + 1]


def _start(index: int, windows: int, inside: int, room: int, seed: int) -> int:
    """Where in a stream the `index`-th window of a training begins; `inside` tokens each, of `room`."""
    epoch, place = divmod(index, windows)
    shift = epoch_order(windows, seed, epoch).shift(room - windows * inside)
    return shift + window_at(place, windows, seed, epoch) * inside


@dataclass(frozen=True)
class MaskedWindows:
    """Windows of `context` tokens, [CLS] … [SEP], with 15 % hidden anew in every epoch (`eval.masking`).

    `batch` gives `input_ids` and `targets`, both (batch_size, context); a target is the hidden token, or
    IGNORED. What is hidden in a window is a pure function of (seed, epoch, window).
    """

    stream: Tokens
    context: int
    batch_size: int
    seed: int
    vocabulary: MaskVocabulary
    whole_words: bool = False

    def __post_init__(self) -> None:
        if self.whole_words:
            self.vocabulary.require_words()

    @property
    def windows(self) -> int:
        """Windows an epoch."""
        return len(self.stream) // (self.context - 2)

    @property
    def unique_tokens(self) -> int:
        """With each window's [CLS] and [SEP], which the model reads too."""
        return self.windows * self.context

    def batch(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        wanted = range(self.batch_size) if rows is None else rows
        indices, inside = [step * self.batch_size + row for row in wanted], self.context - 2
        windows = np.full((len(indices), self.context), self.vocabulary.sep, dtype=np.int64)
        windows[:, 0] = self.vocabulary.cls
        for window, index in zip(windows, indices, strict=True):
            start = _start(index, self.windows, inside, len(self.stream), self.seed)
            window[1:-1] = self.stream[start : start + inside]
        places = [divmod(index, self.windows) for index in indices]
        generators = [np.random.default_rng([self.seed, epoch, place, _MASKS]) for epoch, place in places]
        inputs, targets = mask(windows, self.vocabulary, generators, self.whole_words)
        return {"input_ids": torch.from_numpy(inputs), "targets": torch.from_numpy(targets)}

    def lengths(self, step: int) -> list[int]:
        return [self.context] * self.batch_size


@dataclass(frozen=True)
class Example:
    """One fine-tuning example.

    `targets`: to generate, a token id or IGNORED a position; to tag, a label's index or IGNORED a position;
    (start, end) of a span; a class's index; a number; or 0.0 and 1.0 for each of many labels. `types`: token
    types, where a tokenizer tells a first text from a second.
    """

    input_ids: tuple[int, ...]
    targets: tuple[int, ...] | tuple[float, ...] | int | float
    types: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """Right-padded batches of examples, like lengths together, in an order drawn each epoch from `seed`.

    `batch` gives `input_ids` (B, T), `lengths` (B,), `types` (B, T) where any is not 0, and `targets`: to
    generate (B, T), shifted to the position that predicts them; to tag (B, T) in place; else one row of
    targets an example, (B,) or (B, ·). `objective` tells these apart.
    """

    examples: Sequence[Example]
    batch_size: int
    context: int
    pad_id: int
    seed: int
    objective: str = "conditional-generation"

    @property
    def steps_an_epoch(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    @property
    def unique_tokens(self) -> int:
        return int(self._sizes.sum())

    def batch(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        chosen = self._chosen(step)
        longest = max(len(example.input_ids) for example in chosen)
        longest = min(-(-longest // PADDED_TO) * PADDED_TO, self.context)
        chosen = chosen if rows is None else [chosen[row] for row in rows]
        sizes = [len(example.input_ids) for example in chosen]
        batch = {
            "input_ids": _padded([example.input_ids for example in chosen], longest, self.pad_id),
            "lengths": torch.tensor(sizes),
            "targets": self._targets(chosen, longest),
        }
        if any(any(example.types) for example in chosen):
            batch["types"] = _padded([example.types for example in chosen], longest, 0)
        return batch

    def lengths(self, step: int) -> list[int]:
        return [len(example.input_ids) for example in self._chosen(step)]

    def _targets(self, chosen: list[Example], longest: int) -> torch.Tensor:
        rows: list[Any] = [example.targets for example in chosen]
        if self.objective == "tagging":
            return _padded(rows, longest, IGNORED)
        if self.objective == "conditional-generation" and isinstance(rows[0], tuple):
            return _padded([row[1:] for row in rows], longest, IGNORED)
        return torch.tensor(rows)

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array([len(example.input_ids) for example in self.examples])

    @cached_property
    def _epochs(self) -> dict[int, list[np.ndarray]]:
        return {}

    def _chosen(self, step: int) -> list[Example]:
        epoch, place = divmod(step, self.steps_an_epoch)
        # another thread fetches steps ahead, and may be in another epoch: what is found here is kept here
        batches = self._epochs.get(epoch)
        if batches is None:
            batches = _epoch_batches(self.seed, epoch, self.batch_size, self._sizes)
            self._epochs.clear()
            self._epochs[epoch] = batches
        return [self.examples[index] for index in batches[place]]


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> torch.Tensor:
    """(rows, length) int64, `value` after each row."""
    out = np.full((len(rows), length), value, dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return torch.from_numpy(out)


def _epoch_batches(seed: int, epoch: int, batch_size: int, sizes: np.ndarray) -> list[np.ndarray]:
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(sizes))
    group = batch_size * SORTED_BATCHES
    sorted_order = [part[np.argsort(sizes[part], kind="stable")] for part in _cut(order, group)]
    batches = [batch for part in sorted_order for batch in _cut(part, batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]


def _cut(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]
