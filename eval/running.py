"""Answer all rows of a task, some at a time: memory holds statistics, never all texts or all tokens."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.files import open_jsonl
from eval.measuring.base import Item, Measurement
from eval.model import Model
from eval.ranks import Ranks
from eval.tally import Tally, sample_places
from eval.tasks.base import Row
from eval.tasks.rows import RowFile

# Rows answered together, by kind of device: some batches, to be sorted by length, and to tell how far it is.
MOST_ROWS = {"cpu": 512, "cuda": 8192}
MOST_CHARACTERS = {"cpu": 1 << 19, "cuda": 1 << 23}
ALONE = 5  # first items, answered one at a time: what one takes by itself

Tell = Callable[[int, int], None]


def run(
    measurement: Measurement,
    rows: RowFile,
    *,
    device: str = "cpu",
    contaminated: frozenset[str] = frozenset(),
    samples: int = 0,
    items_to: Path | None = None,
    tell: Tell | None = None,
    ranks: Ranks | None = None,
) -> Tally:
    """Answer every row; the first process writes each item to `items_to` (.jsonl.gz), whole or not at all."""
    ranks = ranks or Ranks()
    tally = Tally(measurement, sample_places(len(rows), samples))
    writes = items_to is not None and ranks.is_first
    spool: AbstractContextManager[Callable[[Mapping[str, Any]], None] | None]
    spool = open_jsonl(items_to) if writes and items_to is not None else nullcontext()
    with spool as write:
        for chunk in chunks(rows, device, alone=ALONE):
            mine = ranks.share(chunk)

            def answer(mine: list[Row] = mine, alone: bool = len(chunk) == len(mine) == 1) -> list[Item]:
                begin = time.perf_counter()
                answers = measurement.answer(mine) if mine else []
                if alone:
                    tally.alone.append(time.perf_counter() - begin)
                return answers

            items = ranks.gather(answer)
            items = [replace(one, contaminated=one.row["id"] in contaminated) for one in items]
            tally.add(items)
            if write is not None:
                for item in items:
                    write(item.record())
            if tell is not None:
                tell(tally.items, len(rows))
    return tally


def chunks(rows: Iterable[Row], device: str = "cpu", alone: int = 0) -> Iterator[list[Row]]:
    """Rows in groups that memory holds, the first `alone` of them each by itself."""
    chunk: list[Row] = []
    size = 0
    for place, row in enumerate(rows):
        chunk.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if place < alone or len(chunk) >= MOST_ROWS[device] or size >= MOST_CHARACTERS[device]:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def speed(model: Model, tally: Tally, seconds: float) -> dict[str, Any]:
    """What the run cost: items and tokens a second, and the median time of an item by itself.

    Tokens are those read and written, without padding; rates are of all processes together, and the first
    items, which are answered one at a time, count in them. Of several processes the first times single items.
    """
    import torch

    return {
        "items_per_second": round(tally.items / seconds, 3),
        "tokens_per_second": round(tally.tokens / seconds, 1),
        "latency_ms": round(1000 * statistics.median(tally.alone), 3) if tally.alone else None,
        "seconds": round(seconds, 3),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
    }
