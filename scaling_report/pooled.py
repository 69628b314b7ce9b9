"""Series of one metric at several lengths, put together again: what a law of size and data is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.frame import Frame, Point, Series
from scaling_report.laws import Array
from scaling_report.notation import slug

SIZE_AXES = ("non_embedding", "total", "matmul")


@dataclass(frozen=True)
class Pooled:
    """One metric's runs of every length, a row a run: (runs,) each, smallest first, all above zero.

    `n` are parameters by the convention `size_axis`, `d` tokens, `c` training FLOPs as the results have them.
    `first` is the series that names the metric, `left_out` says in words which runs are not in the arrays.
    """

    id: str
    title: str
    first: Series
    size_axis: str
    rungs: tuple[str, ...]
    n: Array
    d: Array
    c: Array
    y: Array
    left_out: tuple[str, ...]

    @property
    def varies(self) -> bool:
        """Whether sizes were trained to different lengths, so that n and d do not go together."""
        places = np.unique(np.log(np.stack([self.n, self.d])), axis=1)
        if places.shape[1] < 3:
            return False
        return np.linalg.matrix_rank(places - places.mean(axis=1, keepdims=True), tol=1e-3) == 2


def pool_lengths(frame: Frame, size_axis: str = "non_embedding") -> list[Pooled]:
    """One `Pooled` a metric, in the frame's order. Runs without a size, tokens or FLOPs are left out."""
    groups: dict[tuple[str | None, ...], list[Series]] = {}
    for series in frame.series:
        groups.setdefault(_kind(series), []).append(series)
    return [_pool(parts, size_axis) for parts in groups.values()]


def _kind(series: Series) -> tuple[str | None, ...]:
    return (
        series.run,
        series.family,
        series.objective,
        series.stage,
        series.task,
        series.split,
        series.metric,
        series.signature,
        series.data_fingerprint,
    )


def _pool(parts: Sequence[Series], size_axis: str) -> Pooled:
    first = parts[0]
    usable: list[Point] = []
    left_out = []
    for point in (point for part in parts for point in part.points):
        lacking = [name for name in (size_axis, "tokens", "flops") if not point.x.get(name)]
        if lacking or point.value <= 0:
            why = f"its result has no {lacking[0]}" if lacking else f"its value is {point.value:g}"
            left_out.append(f"{point.rung}: {why}")
        else:
            usable.append(point)
    usable.sort(key=lambda point: (point.x[size_axis] or 0.0, point.x["tokens"] or 0.0, point.seed or 0))
    columns = [[point.x[name] for point in usable] for name in (size_axis, "tokens", "flops")]
    n, d, c = (np.array(column, dtype=float) for column in columns)
    length = f", at {first.length}" if first.length else ""
    tail = f"-{slug(first.length)}" if first.length else ""
    return Pooled(
        id=first.id.removesuffix(tail),
        title=first.title.removesuffix(length),
        first=first,
        size_axis=size_axis,
        rungs=tuple(point.rung for point in usable),
        n=n,
        d=d,
        c=c,
        y=np.array([point.value for point in usable], dtype=float),
        left_out=tuple(left_out),
    )
