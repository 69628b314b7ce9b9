"""`stepladder next`: from runs that are there to those that would narrow a forecast most for their FLOPs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError
from pipelines import fitting
from pipelines.cli_fit import parse_pair
from scaling_report.doubts import find_doubts
from scaling_report.fits import fit
from scaling_report.forecast import choose_curve
from scaling_report.inputs import find_inputs, times_beyond
from scaling_report.laws import LAWS, Array
from scaling_report.library import find_columns
from scaling_report.notation import short, significant
from scaling_report.optimal.design import design
from scaling_report.optimal.surface import Cost, Surface, fit_cost
from scaling_report.predicting import FAR, check_distance
from scaling_report.sources import open_table, select_runs
from scaling_report.sources.conditions import positive, read_number

REACH = 10.0  # times the dearest run's FLOPs: the target where none is named
SPREAD = 4.0  # times the largest size or length that there is, up to which runs are looked for
STEPS = 16  # sizes, and lengths, tried
ROUND = 2  # digits of a suggested size or length


@dataclass(frozen=True)
class Runs:
    """What is there: parameters n, tokens d, FLOPs c, loss y, (runs,) each, and what it is called."""

    n: Array
    d: Array
    c: Array
    y: Array
    what: str
    size: str


def suggest(runs: Runs, *, budget: float, most: int, reach: str | None, level: float) -> dict[str, Any]:
    """JSON: the law, the target, its band now, and the `runs` to train in order with the band after each.

    `reach` is a number of FLOPs, or n=…,d=… (n alone where there is one length). Raises `InputError` for a
    budget that pays for no run, and for runs that no law can be fitted to.
    """
    if not budget > 0:
        raise InputError(f"--budget: {budget:g} FLOPs pay for nothing; give a number above zero")
    if not np.isfinite(budget):
        raise InputError(f"--budget: {budget:g} FLOPs; give a finite number")
    cost, notes = fit_cost(runs.n, runs.d, runs.c), list[str]()
    surface = _has_surface(runs, notes)
    law = "chinchilla" if surface else _curve(runs)
    x = np.stack([runs.n, runs.d]) if surface else runs.n
    found = fit(law, x, runs.y)
    if surface and (doubts := find_doubts(found, x, None, level)):
        notes += doubts
    habit = (
        None if surface else np.polyfit(np.log(runs.n), np.log(runs.d), 1 if np.ptp(np.log(runs.n)) else 0)
    )
    n, d = _target(runs, found.parameters, cost, reach, habit)
    sizes, lengths = _candidates(runs, habit)
    flops = _price(runs, cost, sizes, lengths)
    with np.errstate(over="ignore"):
        there = float(_price(runs, cost, np.array([n]), np.array([d]))[0])
    if there <= flops.min():
        raise InputError(
            f"--reach: a run of {there:.3g} FLOPs lies below the cheapest that could be suggested "
            f"({flops.min():.3g}); reach further"
        )
    _check_target(runs, n, d, notes)
    able = (flops <= budget) & (flops < there) & ((sizes != n) | (lengths != d))
    if not able.any():
        raise InputError(
            f"--budget: {budget:.3g} FLOPs pay for none of the runs that could be told from the target; the "
            f"cheapest takes {flops.min():.3g}"
        )
    sizes, lengths, flops = sizes[able], lengths[able], flops[able]
    target = np.array([[n], [d]]) if surface else np.array([n])
    new = np.stack([sizes, lengths]) if surface else sizes
    plan = design(found, x, target, new, flops, budget=budget, most=most, level=level)
    told = [
        {"n": float(sizes[run.place]), "d": float(lengths[run.place]), "flops": run.flops, "band": run.band}
        for run in plan.runs
    ]
    return {
        "what": runs.what,
        "size": runs.size,
        "law": law,
        "formula": LAWS[law].formula,
        "n_runs": int(runs.y.size),
        "cost": cost.formula,
        "target": {
            "n": n,
            "d": d,
            "flops": there,
            "value": float(found.predict(target)[0]),
        },
        "level": level,
        "band": plan.now,
        "budget": budget,
        "spent": sum(run.flops for run in plan.runs),
        "runs": told,
        "recipes": recipes(told) if runs.size == "non_embedding" else [],
        "notes": notes,
    }


def of_folder(folder: Path) -> Runs:
    """The runs of a run folder's results: its first language-modelling loss, whatever lengths it has."""
    from eval.results import read_results
    from scaling_report.frame import from_results
    from scaling_report.optimal.report import LOSSES, losses_of
    from scaling_report.pooled import pool_lengths

    results = folder / "results.jsonl"
    if not results.is_file():
        raise InputError(f"{folder}: no results.jsonl in it; name a finished run's folder, or a table")
    pooled = losses_of(pool_lengths(from_results(read_results(results))))
    if not pooled:
        raise InputError(
            f"{results}: no language-modelling loss with size, tokens and FLOPs; nothing to narrow"
        )
    one = pooled[0]
    y = np.log(one.y) if LOSSES[one.first.metric] else one.y
    return Runs(one.n, one.d, one.c, y, one.title, one.size_axis)


def of_table(table: Path, *, x: Sequence[str], y: str, where: Sequence[str]) -> Runs:
    """The runs of a table whose columns are named as for `fit`. FLOPs that are not there are 6·N·D."""
    opened = open_table(table)
    columns = fitting.unique_pairs([fitting.read_input(one, "chinchilla") for one in x], "--x")
    found = select_runs(opened, columns or find_columns("chinchilla", opened, None), y, where)
    n, d = find_inputs("chinchilla", found.inputs)
    return Runs(n, d, found.inputs.get("c", 6.0 * n * d), found.y, y, "n")


def _has_surface(runs: Runs, notes: list[str]) -> bool:
    """Whether size and data vary apart, at places enough; a note where they do not."""
    places = np.unique(np.log(np.stack([runs.n, runs.d])), axis=1)
    apart = (
        places.shape[1] >= LAWS["chinchilla"].sizes_needed
        and min(np.ptp(places, axis=1)) > 0
        and abs(float(np.corrcoef(places)[0, 1])) < 0.99
    )
    if not apart:
        notes.append(
            "Size and data do not vary apart, so a curve over size is what runs like these can narrow; train "
            "three sizes at two budgets each to tell what data do."
        )
    return apart


def _curve(runs: Runs) -> str:
    law = choose_curve(runs.n, runs.y)
    if law is None:
        sizes = np.unique(runs.n).size
        raise InputError(f"{runs.what}: sizes to fit: {sizes}; train three or more first")
    return law


def _target(
    runs: Runs, parameters: Mapping[str, float], cost: Cost, reach: str | None, habit: Array | None
) -> tuple[float, float]:
    """Where the forecast is wanted, as n and d."""
    if reach is not None and "=" in reach:
        pairs = dict(parse_pair(one, "--reach") for one in reach.split(","))
        if not ({"n"} <= pairs.keys() <= {"n", "d"}) or (habit is None and "d" not in pairs):
            raise InputError(f"--reach: {reach!r}; FLOPs, or n=…,d=…, are wanted")
        values = {
            name: positive(read_number(value, f"--reach {name}"), f"--reach {name}")
            for name, value in pairs.items()
        }
        n = values["n"]
        return n, values.get("d") or float(np.exp(np.polyval(np.asarray(habit), np.log(n))))
    flops = REACH * float(runs.c.max())
    if reach is not None:
        flops = positive(read_number(reach, "--reach"), "--reach")
    if habit is None:
        n_best, d_best, _ = Surface.of(parameters, cost).best(flops)
        if np.isfinite(n_best).all() and np.isfinite(d_best).all():
            return float(n_best[0, 0]), float(d_best[0, 0])
        raise InputError("--reach: the fitted surface has no best size for so many FLOPs; give n=…,d=…")
    slope, level = (float(habit[0]), float(habit[1])) if len(habit) == 2 else (0.0, float(habit[0]))
    log_n = (np.log(flops / cost.k) - level) / (cost.p + slope)  # flops = k·n^p·d(n)
    return float(np.exp(log_n)), float(np.exp(level + slope * log_n))


def _check_target(runs: Runs, n: float, d: float, notes: list[str]) -> None:
    """A note where the target is far from what was measured; `InputError` where it is absurdly far."""
    measured, target = np.stack([runs.n, runs.d]), np.array([n, d])
    check_distance("chinchilla", measured, target[:, None], "--reach")
    beyond = times_beyond("chinchilla", measured, target)
    if beyond > FAR:
        notes.append(
            f"The target is {significant(beyond, 2)} times beyond what was measured: the band holds only if "
            "the law does."
        )


def _price(runs: Runs, cost: Cost, n: Array, d: Array) -> Array:
    """FLOPs of d tokens at sizes n: a token's as runs of a size have it, between sizes along a power of N,
    beyond them along the cost's own.
    """
    sizes, place = np.unique(np.log(runs.n), return_inverse=True)
    a_token = np.log(runs.c / runs.d)
    known = np.array([a_token[place == i].mean() for i in range(sizes.size)])
    log_n = np.log(n)
    beyond = log_n - np.clip(log_n, sizes[0], sizes[-1])
    return np.asarray(d * np.exp(np.interp(log_n, sizes, known) + cost.p * beyond))


def _candidates(runs: Runs, habit: Array | None) -> tuple[Array, Array]:
    """Sizes and lengths to choose from: not below what is there, up to `SPREAD` times it, at tokens per
    parameter that were tried. Optimal designs go to the ends of what they may, where laws hold least.
    """
    sizes = _grid(runs.n)
    if habit is not None:
        return sizes, np.exp(np.polyval(habit, np.log(sizes)))
    pairs = np.array(list(itertools.product(sizes, _grid(runs.d))))
    ratio, tried = pairs[:, 1] / pairs[:, 0], runs.d / runs.n
    pairs = pairs[(ratio >= tried.min() * 0.99) & (ratio <= tried.max() * 1.01)]
    return pairs[:, 0], pairs[:, 1]


def _grid(values: Array) -> Array:
    wanted = np.geomspace(values.min(), values.max() * SPREAD, STEPS)
    return np.unique([float(f"{value:.{ROUND}g}") for value in wanted])


def recipes(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Lines of recipes that train the runs: one recipe a length, since a recipe trains all rungs alike."""
    told = []
    for tokens in dict.fromkeys(run["d"] for run in runs):
        sizes = sorted({run["n"] for run in runs if run["d"] == tokens})
        rungs = ", ".join(f"{size:.0f}" for size in sizes)
        told.append(f"ladder: {{rungs: {{non_embedding: [{rungs}]}}}}\nbudget: {{tokens: {tokens:.0f}}}")
    return told


def told(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The table of runs for a terminal, the first row what is there."""
    start = {"run": "now", "size": "", "tokens": "", "FLOPs": "", "band at the target": _band(found["band"])}
    return [
        start,
        *(
            {
                "run": str(place),
                "size": short(run["n"]),
                "tokens": short(run["d"]),
                "FLOPs": f"{run['flops']:.2e}",
                "band at the target": _band(run["band"]),
            }
            for place, run in enumerate(found["runs"], start=1)
        ),
    ]


def _band(width: float) -> str:
    return f"±{100 * width / 2:.2g} %"
