"""Answer all rows of a task, some at a time: memory holds statistics, never all texts or all tokens."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from eval.files import open_jsonl
from eval.measuring.base import Measurement
from eval.model import Model
from eval.ranks import Ranks
from eval.tally import Tally, sample_places
from eval.tasks.base import Row
from eval.tasks.rows import RowFile

MOST_ROWS = 4096  # answered together: enough to be sorted by length
MOST_CHARACTERS = 1 << 23
LATENCIES = 5  # items answered alone, to time one
LATENCY_SECONDS = 2.0  # after which no further one is

Tell = Callable[[int, int], None]


def run(
    measurement: Measurement,
    rows: RowFile,
    *,
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
        for chunk in chunks(rows):
            mine = ranks.share(chunk)
            items = ranks.gather(measurement.answer(mine) if mine else [])
            tally.add(items)
            if write is not None:
                for item in items:
                    write(item.record())
            if tell is not None:
                tell(tally.items, len(rows))
    return tally


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in groups that memory holds."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(chunk) >= MOST_ROWS or size >= MOST_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def measure_speed(
    model: Model, measurement: Measurement, rows: RowFile, tally: Tally, seconds: float
) -> dict[str, Any]:
    """What the run cost: items and tokens a second, and the median time of an item by itself.

    Tokens are those read and written, without padding; rates are of all processes together.
    """
    import torch

    times: list[float] = []
    for row in rows.choose(LATENCIES):
        if sum(times) > LATENCY_SECONDS:
            break
        begin = time.perf_counter()
        measurement.answer([row])
        times.append(time.perf_counter() - begin)
    return {
        "items_per_second": round(tally.items / seconds, 3),
        "tokens_per_second": round(tally.tokens / seconds, 1),
        "latency_ms": round(1000 * statistics.median(times), 3),
        "seconds": round(seconds, 3),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
    }
