"""The three approaches of Hoffmann et al. 2022 on one table of runs, each with its interval and its bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.laws import Array
from scaling_report.optimal.envelope import bin_by_compute, redraw, winners
from scaling_report.optimal.isoflop import Group, fit_groups, vertices
from scaling_report.optimal.surface import Cost, Surface
from scaling_report.uncertainty import Bootstrap

RUNS_TO_REDRAW = 8  # sizes of every budget from which its runs can be drawn again
POINTS_NEEDED = 2  # of a line


@dataclass(frozen=True)
class Line:
    """N* = exp(`n`[0])·C^`n`[1], D* likewise: (R, 2) each, the fit in row 0, the refits after it.

    `kind` says what the refits are of, `failed` how many gave no line; `points` are the (C, N*, D*)
    behind the line, none for approach 3.
    """

    n: Array
    d: Array
    kind: str
    failed: int
    points: tuple[tuple[float, float, float], ...]

    def size(self, c: Array) -> Array:
        """N* at budgets c (m,): (R, m)."""
        return np.exp(self.n[:, :1] + self.n[:, 1:] * np.log(c))

    def tokens(self, c: Array) -> Array:
        """D* at budgets c (m,): (R, m)."""
        return np.exp(self.d[:, :1] + self.d[:, 1:] * np.log(c))


def by_envelope(n: Array, d: Array, c: Array, y: Array, replicates: int, seed: int) -> Line | None:
    """Approach 1 on runs (runs,) each: a line through the winners of the bins; None below two bins.

    The refits draw each bin's runs again. Two bins won by runs of the same size are points like any others.
    """
    bins = bin_by_compute(n, c)
    if len(bins) < POINTS_NEEDED:
        return None
    best = winners(bins, y)
    if replicates:
        best = np.concatenate([best, redraw(bins, y, replicates, np.random.default_rng(seed))])
    log_c = np.log(c[best])
    won = best[0]
    points = tuple(zip(c[won].tolist(), n[won].tolist(), d[won].tolist(), strict=True))
    of_n, of_d = (_lines(log_c, np.log(one[best]), np.ones(best.shape, dtype=bool)) for one in (n, d))
    return Line(of_n, of_d, "runs drawn again within each bin", 0, points)


def by_parabolas(
    groups: Sequence[Group], n: Array, d: Array, y: Array, replicates: int, seed: int
) -> Line | None:
    """Approach 2: a line through the vertices of the groups that have one; None where fewer than two do.

    Where each of those groups has eight sizes or more the refits draw its runs again. Below, noise is drawn
    about each parabola, with the variance that all of them share; without a degree of freedom there is none.
    """
    used = [group for group in groups if group.n is not None]
    if len(used) < POINTS_NEEDED:
        return None
    log_c = np.log([group.c for group in used])
    rng = np.random.default_rng(seed)
    redrawn = all(np.unique(n[list(group.members)]).size >= RUNS_TO_REDRAW for group in used)
    noise = None if redrawn else _shared_noise(used, n, y)
    if noise is not None and not np.isfinite(noise[0]):
        replicates = 0
    ways = [_refit(group, n, d, y, replicates, rng, noise) for group in used]
    log_n, log_d, holds = (np.stack([way[i] for way in ways], axis=1) for i in range(3))
    enough = holds.sum(axis=1) >= POINTS_NEEDED
    kind = "runs drawn again within each budget" if redrawn else "noise drawn about the parabolas"
    if noise is not None and not np.isfinite(noise[0]):
        kind = "none: the parabolas go through all their points, so nothing says how far runs scatter"
    log_c_rows = np.broadcast_to(log_c, holds.shape)[enough]
    points = tuple(
        (group.c, group.n, group.d) for group in used if group.n is not None and group.d is not None
    )
    return Line(
        _lines(log_c_rows, log_n[enough], holds[enough]),
        _lines(log_c_rows, log_d[enough], holds[enough]),
        kind,
        int((~enough).sum()),
        points,
    )


def by_surface(parameters: Array, boot: Bootstrap | None, cost: Cost) -> Line:
    """Approach 3: the closed form on the fitted surface, `parameters` (5,), and on each of its refits."""
    rows = parameters[None] if boot is None else np.vstack([parameters[None], boot.solutions.parameters])
    surface = Surface(rows, cost)
    of_n, of_d = surface.exponents
    n, d, _ = surface.best(1.0)
    lines = np.stack([np.log(n[:, 0]), of_n], axis=1), np.stack([np.log(d[:, 0]), of_d], axis=1)
    fine = np.isfinite(lines[0]).all(axis=1)
    fine[0] = True
    failed = int((~fine).sum()) + (boot.failed if boot else 0)
    ways = {"rungs": "runs drawn again", "parametric": "noise drawn about the surface"}
    kind = "none" if boot is None else ways.get(boot.kind, boot.kind)
    return Line(lines[0][fine], lines[1][fine], kind, failed, ())


def _shared_noise(groups: Sequence[Group], n: Array, y: Array) -> tuple[float, int]:
    """Standard deviation of loss about the parabolas, NaN without the degrees of freedom beside it."""
    squares, dof = 0.0, 0
    for group in groups:
        members = list(group.members)
        assert group.parabola is not None
        residuals = y[members] - np.polyval(group.parabola, np.log(n[members]) - group.centre)
        squares += float((residuals**2).sum())
        dof += len(members) - 3
    return (float(np.sqrt(squares / dof)) if dof > 0 else np.nan), dof


def _refit(
    group: Group,
    n: Array,
    d: Array,
    y: Array,
    replicates: int,
    rng: np.random.Generator,
    noise: tuple[float, int] | None,
) -> tuple[Array, Array, np.ndarray]:
    """ln N*, ln D* and whether there is a vertex, (1 + replicates,) each, the fit itself in front."""
    members = np.array(group.members)
    x, size = np.log(n[members]), members.size
    weights = np.ones((replicates + 1, size))
    data = np.tile(y[members], (replicates + 1, 1))
    if noise is None:
        weights[1:] = rng.multinomial(size, np.full(size, 1 / size), size=replicates)
    elif replicates:
        spread, dof = noise
        inflation = np.sqrt(dof / rng.chisquare(dof, size=(replicates, 1)))
        assert group.parabola is not None
        fitted = np.polyval(group.parabola, x - group.centre)
        data[1:] = fitted + spread * inflation * rng.standard_normal((replicates, size))
    _, at, holds = vertices(x, data, weights)
    lengths = np.polyfit(x - x.mean(), np.log(d[members]), 1)
    return at, np.polyval(lengths, at - x.mean()), holds


def _lines(log_c: Array, log_best: Array, holds: np.ndarray) -> Array:
    """Least-squares lines (R, 2), level and slope, of ln N* in ln C, (R, m) each, where `holds`."""
    weights = holds.astype(float)
    total = weights.sum(axis=1, keepdims=True)
    best = np.where(holds, log_best, 0.0)
    mean_c = (weights * log_c).sum(axis=1, keepdims=True) / total
    mean_n = (weights * best).sum(axis=1, keepdims=True) / total
    moved = weights * (log_c - mean_c)
    slope = (moved * (best - mean_n)).sum(axis=1) / np.maximum((moved * log_c).sum(axis=1), 1e-300)
    return np.stack([mean_n[:, 0] - slope * mean_c[:, 0], slope], axis=1)


def measure_bias(n: Array, d: Array, c: Array, surface: Surface) -> dict[str, float | None]:
    """How far the first two approaches' exponents would be off if the surface were true and without noise.

    Measured at the very runs (runs,) each; None where an approach would say nothing.
    """
    y = surface.loss(n, d)[0]
    true = float(surface.exponents[0][0])
    lines = {
        "envelope": by_envelope(n, d, c, y, 0, 0),
        "isoflop": by_parabolas(fit_groups(n, d, c, y), n, d, y, 0, 0),
    }
    return {name: None if line is None else float(line.n[0, 1]) - true for name, line in lines.items()}


def vertex_bias(group: Group, n: Array, d: Array, c: Array, surface: Surface) -> float | None:
    """How many times too large the group's vertex would be on the surface without noise; None without one.

    Measured against the surface's own minimum at the group's FLOPs.
    """
    members = np.array(group.members)
    x = np.log(n[members])
    _, at, holds = vertices(x, surface.loss(n[members], d[members]), np.ones((1, members.size)))
    best = surface.best(group.c)[0][0, 0]
    return float(np.exp(at[0]) / best) if holds[0] else None
