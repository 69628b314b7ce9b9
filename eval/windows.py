"""Cut long texts into overlapping windows; plain arithmetic, no torch."""

from __future__ import annotations

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
