"""Approach 2: a parabola of loss in ln N for each FLOPs budget; its vertex is the best size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scaling_report.laws import Array
from scaling_report.notation import short

TOLERANCE = 0.10  # FLOPs of one budget differ by at most this
SIZES_NEEDED = 3  # points of a parabola
_REACH = (1 + TOLERANCE) * (1 + 1e-9)  # a rounding error is no other budget


@dataclass(frozen=True)
class Group:
    """The runs of one FLOPs budget. `members` are their places among the runs, smallest size first.

    `c` is their geometric mean. `parabola` are the coefficients of loss in (ln N - `centre`), the highest
    first; None below three sizes. `n`, `d`, `loss` are the vertex's, None with the reason in `rejected`.
    """

    members: tuple[int, ...]
    c: float
    centre: float
    parabola: tuple[float, float, float] | None
    n: float | None
    d: float | None
    loss: float | None
    rejected: str | None


def group_by_flops(n: Array, c: Array) -> list[np.ndarray]:
    """The runs' places by budget, cheapest first: windows of `TOLERANCE`, those with the most sizes first."""
    order = np.argsort(c, kind="stable")
    apart = np.flatnonzero(c[order][1:] > c[order][:-1] * _REACH) + 1
    groups = [group for part in np.split(order, apart) for group in _windows(part, n, c)]
    return sorted(groups, key=lambda group: float(c[group[0]]))


def _windows(left: np.ndarray, n: Array, c: Array) -> list[np.ndarray]:
    """Windows of the places `left`, cheapest first, until none is left."""
    groups = []
    while left.size:
        ends = np.searchsorted(c[left], c[left] * _REACH, side="right").tolist()
        sizes = n[left].tolist()
        seen: Counter[float] = Counter()
        end, most, best = 0, 0, 0
        for start, stop in enumerate(ends):
            seen.update(sizes[end:stop])
            end = stop
            if len(seen) > most:
                most, best = len(seen), start
            seen[sizes[start]] -= 1
            if not seen[sizes[start]]:
                del seen[sizes[start]]
        groups.append(left[best : ends[best]])
        left = np.delete(left, np.arange(best, ends[best]))
    return groups


def fit_groups(n: Array, d: Array, c: Array, y: Array) -> list[Group]:
    """Every budget's parabola and vertex, or why it has none."""
    return [_fit(group[np.argsort(n[group], kind="stable")], n, d, c, y) for group in group_by_flops(n, c)]


def _fit(members: np.ndarray, n: Array, d: Array, c: Array, y: Array) -> Group:
    x, mean = np.log(n[members]), float(np.exp(np.log(c[members]).mean()))
    sizes, centre = np.unique(x).size, float(x.mean())
    places = tuple(members.tolist())
    if sizes < SIZES_NEEDED:
        why = f"{sizes} size{'' if sizes == 1 else 's'}; a parabola takes three"
        return Group(places, mean, centre, None, None, None, None, why)
    weights = np.ones((1, members.size))
    coefficients, at, holds = vertices(x, y[members][None], weights)
    a, b, level = coefficients[0]
    parabola = (float(a), float(b), float(level))
    if not holds[0]:
        return Group(places, mean, centre, parabola, None, None, None, _why(float(a), float(at[0]), x))
    lengths = np.polyfit(x - centre, np.log(d[members]), 1)
    return Group(
        places,
        mean,
        centre,
        parabola,
        float(np.exp(at[0])),
        float(np.exp(np.polyval(lengths, at[0] - centre))),
        float(np.polyval(parabola, at[0] - centre)),
        None,
    )


def _why(curvature: float, at: float, x: Array) -> str:
    if curvature <= 0:
        return "the parabola opens downwards: noise, or sizes too close together"
    end, way = (x.min(), "smaller") if at <= x.min() else (x.max(), "larger")
    return f"the minimum lies outside the sizes tried: train models {way} than {short(float(np.exp(end)))}"


def vertices(x: Array, y: Array, weights: Array) -> tuple[Array, Array, np.ndarray]:
    """Weighted least-squares parabolas of y (R, m) in x - mean(x), x (m,) being ln N.

    Returns coefficients (R, 3), the highest first, vertices (R,) as ln N, and whether each is a minimum
    inside the sizes with weight, of which there are three or more.
    """
    centred = x - x.mean()
    design = np.stack([centred**2, centred, np.ones_like(centred)], axis=1)  # (m, 3)
    normal = np.einsum("rm,mi,mj->rij", weights, design, design)
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    wanted = np.einsum("rm,mi,rm->ri", weights, design, y)
    found = np.linalg.solve(normal + 1e-14 * scale * np.eye(3), wanted[..., None])[..., 0]
    with np.errstate(all="ignore"):
        at = x.mean() - found[:, 1] / (2 * found[:, 0])
    there = weights > 0
    low = np.where(there, x, np.inf).min(axis=1)
    high = np.where(there, x, -np.inf).max(axis=1)
    _, size = np.unique(x, return_inverse=True)
    seen = np.stack([there[:, size == i].any(axis=1) for i in range(size.max() + 1)], axis=1).sum(axis=1)
    return found, at, (seen >= SIZES_NEEDED) & (found[:, 0] > 0) & (low < at) & (at < high)
