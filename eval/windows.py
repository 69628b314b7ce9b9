"""Cut long texts into overlapping windows and gather sequences into batches; plain arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The model reads tokens [begin, end) of a text and is scored on predicting tokens [first, end]."""

    begin: int
    end: int
    first: int


def cut_windows(length: int, *, context: int, stride: int) -> list[Window]:
    """Windows over a text of `length` tokens, in which each token but the first is predicted exactly once.

    The first window predicts `context` tokens; each later one predicts `stride` more, and sees more than
    `context - stride` tokens before each. Position `t` predicts token `t + 1`, so a window [begin, end)
    predicts up to token `end`. Raises `ValueError` unless 1 <= stride <= context.
    """
    if not 1 <= stride <= context:
        raise ValueError(f"stride {stride} with context {context}: a stride of 1 to {context} is wanted")
    windows = []
    scored_to = 0  # tokens [1, scored_to] have been predicted
    while scored_to < length - 1:
        end = min(scored_to + (stride if scored_to else context), length - 1)
        windows.append(Window(begin=max(0, end - context), end=end, first=scored_to + 1))
        scored_to = end
    return windows


def batch_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first: at most `batch_tokens` padded tokens, or one row.

    Longest first, so that memory runs out at once or not at all. Ties keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
