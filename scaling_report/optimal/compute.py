"""A table of runs -> what its budgets are best spent on, as one JSON-able value for laws.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.doubts import find_doubts
from scaling_report.fits import fit
from scaling_report.laws import Array
from scaling_report.laws.surfaces import CHINCHILLA
from scaling_report.optimal.approaches import (
    Line,
    by_envelope,
    by_parabolas,
    by_surface,
    measure_bias,
    vertex_bias,
)
from scaling_report.optimal.isoflop import SIZES_NEEDED, Group, fit_groups
from scaling_report.optimal.surface import PARAMETERS, Surface, fit_cost
from scaling_report.uncertainty import Bootstrap, resample

REACH = 100.0  # times the largest run's FLOPs, to which budgets are told; beyond FAR they are called far
FAR = 3.0
RATIOS = (0.25, 0.5, 2.0, 4.0)  # of the best size: what it costs to be off it
GRID = 25
NAMES = {
    "envelope": "1: lowest loss by compute",
    "isoflop": "2: iso-FLOP parabolas",
    "surface": "3: fitted surface",
}


def compute_optimal(
    n: Array,
    d: Array,
    c: Array,
    y: Array,
    *,
    budgets: Sequence[float] = (),
    bootstrap: int = 400,
    level: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """The approaches side by side on runs (runs,) each: parameters n, tokens d, training FLOPs c, loss y.

    `c` is used as given; `cost` says how it goes with n and d. `budgets` in FLOPs, by default the tenfold and
    hundredfold of the dearest run after that run's own. What cannot be told is None beside its reason; the
    value has no NaN. The first two approaches see no law; `bias` is what they would be off by on the fitted
    surface at these very runs. Raises `InputError` for arrays of unequal length or not above zero.
    """
    n, d, c, y = _checked(n, d, c, y)
    cost = fit_cost(n, d, c)
    groups = fit_groups(n, d, c, y)
    surface, boot, found, why = _surface(n, d, y, bootstrap, level, seed)
    known = None if surface is None else Surface(surface[None], cost)
    lines = {
        "envelope": by_envelope(n, d, c, y, bootstrap, seed),
        "isoflop": by_parabolas(groups, n, d, y, bootstrap, seed),
        "surface": None if surface is None else by_surface(surface, boot, cost),
    }
    biases = {} if known is None else measure_bias(n, d, c, known)
    top = float(c.max())
    wanted = [_flops(one) for one in budgets] or [top, 10 * top, REACH * top]
    reasons = {
        "envelope": "fewer than two ranges of compute hold three sizes or more",
        "isoflop": _no_vertices(groups),
        "surface": why,
    }
    return {
        "runs": [
            dict(zip("ncdy", row, strict=True))
            for row in zip(*(a.tolist() for a in (n, c, d, y)), strict=True)
        ],
        "cost": {"k": cost.k, "p": cost.p, "worst_error": cost.worst, "formula": cost.formula},
        "level": level,
        "surface": found,
        "approaches": [
            _approach(name, line, biases.get(name), reasons[name], level) for name, line in lines.items()
        ],
        "groups": [_group(one, n, d, c, known) for one in groups if len(one.members) >= SIZES_NEEDED],
        "alone": sum(len(one.members) for one in groups if len(one.members) < SIZES_NEEDED),
        "budgets": [_budget(one, lines, known, boot, top, level) for one in wanted],
        "off_size": None if known is None else _off_size(known, boot, wanted[0], level),
        "frontier": _frontier(lines, c, level),
        "reason": None if any(lines.values()) else _missing(reasons),
    }


def frontier(
    n: Array, d: Array, c: Array, y: Array, budgets: Sequence[float], **how: Any
) -> list[dict[str, Any]]:
    """Best size, tokens and loss of each budget in FLOPs by every approach, with intervals.

    Arrays and keywords are those of `compute_optimal`, whose `budgets` these are.
    """
    told: list[dict[str, Any]] = compute_optimal(n, d, c, y, budgets=budgets, **how)["budgets"]
    return told


def _checked(*columns: Array) -> tuple[Array, ...]:
    arrays = tuple(np.asarray(column, dtype=float) for column in columns)
    for name, values in zip(("n", "d", "c", "y"), arrays, strict=True):
        if values.shape != arrays[0].shape or values.ndim != 1 or not values.size:
            raise InputError(f"compute-optimal: {name} has shape {values.shape}; give one number a run")
        if not (np.isfinite(values) & (values > 0)).all():
            raise InputError(
                f"compute-optimal: {name} has a value that is not above zero; mend or leave it out"
            )
    return arrays


def _surface(
    n: Array, d: Array, y: Array, replicates: int, level: float, seed: int
) -> tuple[Array | None, Bootstrap | None, dict[str, Any] | None, str | None]:
    """Parameters (5,) and refits of Chinchilla's law, how it is told, or None and why there is none."""
    x = np.stack([n, d])
    places = np.unique(x, axis=1).shape[1]
    if places < CHINCHILLA.sizes_needed:
        return None, None, None, f"{places} distinct runs for the surface's five parameters; six are needed"
    found = fit("chinchilla", x, y)
    boot = (
        resample(found, x, y, replicates=replicates, seed=seed, weights=np.ones_like(y))
        if replicates
        else None
    )
    if boot is not None and boot.replicates - boot.failed < 2:
        boot = None
    doubts = find_doubts(found, x, boot, level)
    told = {
        "parameters": dict(found.parameters),
        "standard_errors": boot and boot.standard_errors(),
        "identified": found.identified and not doubts,
        "doubts": doubts,
    }
    fatal = [name for name in ("A", "B", "alpha", "beta") if name in found.at_bound]
    together = [one for one in doubts if "go together" in one or "is the same in all runs" in one]
    if fatal or together:
        return (
            None,
            None,
            told,
            together[0] if together else f"{fatal[0]} ended at the edge of what is allowed",
        )
    return np.array([found.parameters[name] for name in PARAMETERS]), boot, told, None


def _approach(
    name: str, line: Line | None, bias: float | None, reason: str | None, level: float
) -> dict[str, Any]:
    if line is None:
        return {"name": name, "title": NAMES[name], "exponent_n": None, "reason": reason}
    return {
        "name": name,
        "title": NAMES[name],
        "exponent_n": float(line.n[0, 1]),
        "interval_n": _ends(line.n[1:, 1], level),
        "exponent_d": float(line.d[0, 1]),
        "interval_d": _ends(line.d[1:, 1], level),
        "log_coefficient_n": float(line.n[0, 0]),
        "log_coefficient_d": float(line.d[0, 0]),
        "bias": 0.0 if name == "surface" else bias,
        "points": [list(point) for point in line.points],
        "refits": len(line.n) - 1,
        "failed": line.failed,
        "refits_of": line.kind,
        "reason": None,
    }


def _group(group: Group, n: Array, d: Array, c: Array, surface: Surface | None) -> dict[str, Any]:
    members = list(group.members)
    best = None if surface is None else float(surface.best(group.c)[0][0, 0])
    return {
        "flops": group.c,
        "runs": members,
        "sizes": int(np.unique(n[members]).size),
        "centre": group.centre,
        "parabola": None if group.parabola is None else list(group.parabola),
        "n": group.n,
        "d": group.d,
        "loss": group.loss,
        "rejected": group.rejected,
        "surface_n": best if best is not None and np.isfinite(best) else None,
        "vertex_bias": None if surface is None or group.n is None else vertex_bias(group, n, d, c, surface),
    }


def _flops(budget: Any) -> float:
    if not (isinstance(budget, int | float | np.number) and 0 < budget < np.inf):
        raise InputError(f"budgets: {budget!r}; give finite FLOPs above zero")
    return float(budget)


def _budget(
    c: float,
    lines: dict[str, Line | None],
    surface: Surface | None,
    boot: Bootstrap | None,
    top: float,
    level: float,
) -> dict[str, Any]:
    """What every approach says of one budget. Loss is the fitted surface's at that approach's own answer."""
    at = np.array([c])
    rows = []
    for name, line in lines.items():
        if line is None:
            continue
        n, d = line.size(at)[:, 0], line.tokens(at)[:, 0]
        row = {"name": name, "n": float(n[0]), "n_interval": _ends(n[1:], level)}
        row |= {"d": float(d[0]), "d_interval": _ends(d[1:], level), "loss": None, "loss_interval": None}
        if surface is not None:
            row["loss"] = float(surface.loss(n[:1], d[:1])[0, 0])
            if name == "surface" and boot is not None:
                refits = Surface(boot.solutions.parameters, surface.cost).best(at)[2][:, 0]
                row["loss_interval"] = _ends(refits, level)
        rows.append(row)
    return {"flops": c, "times_beyond": c / top, "far": c > FAR * top, "answers": rows}


def _off_size(surface: Surface, boot: Bootstrap | None, c: float, level: float) -> dict[str, Any]:
    """What a model off the best size costs at a budget: loss, and the FLOPs to make up for it."""
    refits = None if boot is None else Surface(boot.solutions.parameters, surface.cost)
    rows = []
    for ratio in RATIOS:
        penalty, times = surface.off_size(c, ratio)
        many = None if refits is None else refits.off_size(c, ratio)
        reached = bool(np.isfinite(times[0]))
        rows.append(
            {
                "size_ratio": ratio,
                "loss_penalty": float(penalty[0]),
                "penalty_interval": None if many is None else _ends(many[0], level),
                "flops_ratio": float(times[0]) if reached else None,
                "flops_interval": None if many is None or not reached else _ends(many[1], level),
                "reason": None if reached else "no amount of data brings a model so small to that loss",
            }
        )
    return {"flops": c, "rows": rows}


def _frontier(lines: dict[str, Line | None], c: Array, level: float) -> dict[str, Any]:
    """Each approach's N* and its band on a grid of budgets, from the cheapest run to tenfold the dearest."""
    grid = np.geomspace(c.min(), 10 * c.max(), GRID)
    told: dict[str, Any] = {"flops": [_round(one) for one in grid.tolist()]}
    for name, line in lines.items():
        if line is None:
            continue
        n = line.size(grid)
        band = [_ends(column, level) for column in n[1:].T] if len(n) > 1 else None
        told[name] = {
            "n": [_round(one) for one in n[0].tolist()],
            "band": band and [one and [_round(end) for end in one] for one in band],
        }
    return told


def _ends(values: Array, level: float) -> list[float] | None:
    """The central interval of refits; None where there are too few, or it has no end."""
    if np.isfinite(values).sum() < 2:
        return None
    beyond = np.nan_to_num(values, nan=np.inf)  # what is no number is beyond every end
    ends = np.quantile(beyond, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return [float(end) for end in ends] if np.isfinite(ends).all() else None


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _no_vertices(groups: Sequence[Group]) -> str:
    tried = [group for group in groups if group.parabola is not None]
    found = [group for group in tried if group.n is not None]
    if not tried:
        return "no FLOPs budget holds three sizes or more"
    if not found:
        return f"none of {len(tried)} budgets has a minimum inside its sizes"
    return "one budget has a minimum inside its sizes; a line takes two"


def _missing(reasons: dict[str, str | None]) -> str:
    return "; ".join(f"approach {NAMES[name]}: {reason}" for name, reason in reasons.items() if reason)
