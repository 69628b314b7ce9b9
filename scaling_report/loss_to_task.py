"""Task scores against the language-modelling loss of the same runs: `loss_to_task` of laws.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling_report.fits import FitResult, fit, fit_many
from scaling_report.frame import CORPUS_TASKS, METRIC_NAMES
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.wording import count

GRID_POINTS = 60
# laws of a share over loss, and whether each is of the error, 1 - score, or of the score
SHARE_LAWS = {"error-decay": True, "sigmoid": False}
NAMES = {"error-decay": "an exponential decay of the error", "sigmoid": "a sigmoid"}
Series = Mapping[str, Any]


def loss_to_task(series: Sequence[Series]) -> list[dict[str, Any]]:
    """For each task metric of runs whose loss is known: joined points, and a law where the metric is a share.

    `series` are laws.json's. A score is joined with the loss of the run of its rung and seed: the one trained
    to as many tokens, else the only one. Hidden rungs are in the points and unseen by the fit. Empty where
    nothing joins. Of the laws that the visible rungs suffice for, the one that predicts left-out rungs best
    is kept.
    """
    entries = []
    for one in series:
        losses = None if one["task"] in CORPUS_TASKS else _losses_for(one, series)
        points = _joined(one, losses) if losses else []
        if losses and points:
            entries.append(_entry(one, losses, points))
    return entries


def _losses_for(one: Series, series: Sequence[Series]) -> Series | None:
    """The pretraining loss of the same family and run: bits per byte on the test split where there is one."""
    wanted = ("bits_per_byte", "masked_lm_loss")
    found = [
        other
        for other in series
        if other["stage"] == "pretrain"
        and other["metric"] in wanted
        and (other["family"], other["run"]) == (one["family"], one["run"])
    ]
    of_length = [other for other in found if other["length"] == one["length"]] or found
    return min(
        of_length, key=lambda other: (wanted.index(other["metric"]), other["split"] != "test"), default=None
    )


def _joined(one: Series, losses: Series) -> list[dict[str, Any]]:
    runs: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for point in losses["points"]:
        runs.setdefault((point["rung"], point["seed"]), []).append(point)
    points = []
    for point in one["points"]:
        same = runs.get((point["rung"], point["seed"]), [])
        exact = [run for run in same if run["x"].get("tokens") == point["x"].get("tokens")]
        if len(exact or same) == 1:
            (run,) = exact or same
            names = ("rung", "seed", "value", "stderr", "held_out")
            points.append({"loss": run["value"], **{name: point[name] for name in names}})
    return points


def _entry(one: Series, losses: Series, points: list[dict[str, Any]]) -> dict[str, Any]:
    found, reason = _best_law(one, points)
    names = ("id", "title", "task", "metric", "split", "unit", "higher_is_better")
    entry = {
        "series": one["id"],
        **{name: one[name] for name in names[1:]},
        "loss": {name: losses[name] for name in ("id", "title", "metric", "unit")},
        "points": points,
        "left_out": len(one["points"]) - len(points),
        "baselines": one["baselines"],
        "fit": found,
        "no_fit_reason": reason,
    }
    return {**entry, "sentence": _sentence(entry)}


def _best_law(one: Series, points: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any] | None, str | None]:
    """The law that predicts left-out rungs best, as laws.json holds it; or why there is none."""
    if (one["floor"], one["ceiling"], one["higher_is_better"]) != (0, 1, True):
        return None, "laws over loss are fitted to shares between 0 and 1 of which more is better"
    if one["trend"]["verdict"] not in ("rises", "falls"):
        return None, "no clear trend with size"
    if not any(name in LAWS for name in SHARE_LAWS):
        return None, "no law over loss is known"
    seen = [point for point in points if not point["held_out"] and 0 < point["value"] < 1]
    rungs = [point["rung"] for point in seen]
    loss, value = np.array([[point["loss"], point["value"]] for point in seen]).reshape(-1, 2).T
    sizes, seeds = len(set(rungs)), Counter(rungs)
    weights = np.array([1 / seeds[rung] for rung in rungs])
    # one rung more than a law needs, since each is left out once
    names = [name for name in SHARE_LAWS if name in LAWS and sizes > LAWS[name].sizes_needed]
    if not names:
        needed = 1 + min(LAWS[name].sizes_needed for name in SHARE_LAWS if name in LAWS)
        return None, f"{count(sizes, 'rung')} to fit, where a law over loss takes {needed} or more"
    tried = {name: _left_out_error(name, loss, value, weights, rungs) for name in names}
    name = min(tried, key=lambda law: tried[law])
    naive = _mean_error(value, weights, rungs)
    if not tried[name] < naive:
        return None, "the mean of the other rungs predicts one left out as well as a law over loss"
    best = _fit(name, loss, value, weights)
    ends = [point["loss"] for point in points]
    grid = np.linspace(min(ends), max(ends), GRID_POINTS)
    entry = {
        "law": name,
        "of": "1 - y" if SHARE_LAWS[name] else "y",
        "formula": LAWS[name].formula,
        "source": LAWS[name].source,
        "parameters": dict(best.parameters),
        "n": best.n,
        "sizes": sizes,
        "converged": best.converged,
        "at_bound": list(best.at_bound),
        "left_out_error": tried[name],
        "left_out_error_of_mean": naive,
        "grid": {"x": _rounded(grid), "fit": _rounded(_scores(best, grid))},
    }
    return entry, None


def _fit(name: str, loss: Array, value: Array, weights: Array) -> FitResult:
    return fit(name, loss, 1 - value if SHARE_LAWS[name] else value, weights=weights)


def _scores(found: FitResult, loss: Array) -> Array:
    fitted = found.predict(loss)
    return 1 - fitted if SHARE_LAWS[found.law] else fitted


def _left_out_error(name: str, loss: Array, value: Array, weights: Array, rungs: Sequence[str]) -> float:
    """Root mean square of score - prediction over rungs, each predicted from the others."""
    out = np.array([[other == rung for other in rungs] for rung in dict.fromkeys(rungs)])
    y = np.broadcast_to(1 - value if SHARE_LAWS[name] else value, out.shape)
    fitted = fit_many(LAWS[name], loss, y, weights=weights * ~out).predict(loss)  # (left out, n)
    squares = [float(np.mean((one[left] - y[0, left]) ** 2)) for one, left in zip(fitted, out, strict=True)]
    return float(np.sqrt(np.mean(squares)))


def _mean_error(value: Array, weights: Array, rungs: Sequence[str]) -> float:
    """The same error of the naive guess: a rung left out scores what the others do on average."""
    squares = []
    for rung in dict.fromkeys(rungs):
        out = np.array([other == rung for other in rungs])
        guess = np.average(value[~out], weights=weights[~out])
        squares.append(float(np.mean((guess - value[out]) ** 2)))
    return float(np.sqrt(np.mean(squares)))


def _sentence(entry: Mapping[str, Any]) -> str:
    name, loss = METRIC_NAMES[entry["metric"]], METRIC_NAMES[entry["loss"]["metric"]]
    found = entry["fit"]
    if found is None:
        return f"{name[0].upper()}{name[1:]} has no law over loss: {entry['no_fit_reason']}."
    law = NAMES[found["law"]]
    told = (
        f"Over {loss}, {name} is fitted with {law} ({found['formula']}), which misses a rung left out by"
        f" {significant(found['left_out_error'], 2)} (root mean square); the mean of the others misses it by"
        f" {significant(found['left_out_error_of_mean'], 2)}."
    )
    hidden = [point for point in entry["points"] if point["held_out"]]
    if hidden:
        grid = found["grid"]
        at = float(np.interp(hidden[-1]["loss"], grid["x"], grid["fit"]))
        told += (
            f" At the measured loss of {hidden[-1]['rung']}, hidden from the fit, it gives"
            f" {significant(at, 3)}; measured: {significant(hidden[-1]['value'], 3)}."
        )
    return told


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
