"""Requests in batches of like length, as large as memory holds; nothing else decides what is in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Padded tokens of a batch where nobody says how many. On a processor what a layer hands to the next should
# stay near its caches (measured with 4 layers of 128: 16384 take a tenth longer); on a GPU the most that fit
# are found by halving.
CPU_TOKENS = 4096
GPU_TOKENS = 262_144

# What torch's allocator for processors says; it has no exception of its own.
_CPU_FULL = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class BatchLimits:
    """The most padded tokens (None: found) and rows (None: any) of a batch: speed and memory only."""

    tokens: int | None = None
    rows: int | None = None


def order_by_length(lengths: Sequence[int]) -> list[int]:
    """Indices, longest first, so that memory runs out at once or not at all. Ties keep their order."""
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def count_rows(longest: int, tokens: int, rows: int | None) -> int:
    """Rows of a batch whose longest has `longest` tokens: at most `tokens` padded ones, or one row."""
    fit = max(1, tokens // max(1, longest))
    return fit if rows is None else min(fit, max(1, rows))


def run_batches(
    lengths: Sequence[int],
    limits: BatchLimits,
    answer: Callable[[list[int]], None],
    device: torch.device,
) -> None:
    """Call `answer` with the indices of one batch after the other until each of `lengths` was in one.

    A batch for which memory runs out is tried again with half its tokens, and later ones are no larger: so
    `answer` may be called twice for an index. Raises what `answer` does, and when one row does not fit.
    """
    tokens = limits.tokens or (CPU_TOKENS if device.type == "cpu" else GPU_TOKENS)
    order = order_by_length(lengths)
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + count_rows(longest, tokens, limits.rows)]
        if _fits(batch, answer, device):
            start += len(batch)
        else:
            tokens = len(batch) * longest // 2


def _fits(batch: list[int], answer: Callable[[list[int]], None], device: torch.device) -> bool:
    """Whether the batch was answered; once this returns, nothing holds the tensors of one that was not."""
    try:
        answer(batch)
    except RuntimeError as error:
        if len(batch) == 1 or not _memory_ran_out(error):
            raise
    else:
        return True
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
    return False


def _memory_ran_out(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _CPU_FULL)
