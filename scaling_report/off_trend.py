"""Rungs that stand off the law of the others, each with its evidence: diverged, or mistuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr

from scaling_report.curves import Curve, fit_axis
from scaling_report.fit import FitResult, fit
from scaling_report.frame import Series
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.settings import ReportSettings
from scaling_report.trend import average_by_size
from scaling_report.wording import capital, per_cent, quantity

ALPHA = 0.05  # for all rungs of a series together
SMALLEST = 0.002  # of the law's quantity: less is no finding, however exact the others
DIVERGED = 0.03  # of the lowest training loss: how far above it a run may end
UNLIKE = 3.0  # times the learning rate that a power law through the other rungs gives


def find_off_trend(
    series: Series, settings: ReportSettings, run: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The rungs that the law fitted to all others says could not stand where they do.

    For each rung the law is fitted without it, and its distance from what that predicts is divided by the
    prediction's standard error: Student's t on the degrees of freedom left, the deletion test for an outlier
    (Cook & Weisberg 1982, section 2.2.2), Bonferroni over the rungs. Only the most unlikely rung is tried at
    a time, then, without it, the others: an outlier makes the rest look unlikely. `run` (run.json) says
    whether its training diverged, or went at a learning rate unlike its neighbours'.
    """
    axis = settings.x[0]
    sizes, _ = average_by_size(series.points, axis)
    found: list[dict[str, Any]] = []
    points = list(series.points)
    while True:
        curves, _ = fit_axis(series, points, axis, settings, best_only=True)
        best = next((one for one in curves if one.chosen), None)
        if (
            best is None
            or np.unique(best.x).size < LAWS[best.fit.law].sizes_needed + 2
            or len(found) * 4 >= sizes.size
        ):
            return found
        size, p_value, deviation = _most_unlikely(best)
        if p_value * np.unique(best.x).size >= ALPHA or abs(deviation) < SMALLEST:
            return found
        rung = next(point.rung for point in points if point.x[axis] == size)
        evidence = find_evidence(run, rung)
        entry = {
            "rung": rung,
            "x": size,
            "deviation_percent": 100 * deviation,
            "p_value": min(1.0, p_value * np.unique(best.x).size),
            "evidence": evidence,
        }
        found.append({**entry, "sentence": _sentence(series, best, entry)})
        points = [point for point in points if point.rung != rung]


def _most_unlikely(best: Curve) -> tuple[float, float, float]:
    """The size that the others speak against most: itself, its p-value, how far its ln y lies off."""
    sizes = np.unique(best.x)
    log_y = np.array([np.log(best.y[best.x == size]).mean() for size in sizes])
    told = []
    for i, size in enumerate(sizes):
        others = np.arange(sizes.size) != i
        found = fit(best.fit.law, sizes[others], np.exp(log_y[others]), loss="least-squares")
        deviation = float(log_y[i] - np.log(found.predict(np.array([size])))[0])
        slopes = _slopes(found, sizes)
        dof = int(others.sum()) - len(found.parameters)
        variance = float(np.square(found.log_residuals).sum()) / dof
        leverage = slopes[i] @ np.linalg.pinv(slopes[others].T @ slopes[others]) @ slopes[i]
        error = float(np.sqrt(variance * (1 + max(float(leverage), 0.0))))
        t = abs(deviation) / error if error > 0 else np.inf if deviation else 0.0
        told.append((float(2 * stdtr(dof, -t)), float(size), deviation))
    p_value, size, deviation = min(told)
    return size, p_value, deviation


def _slopes(found: FitResult, x: Array) -> Array:
    """Derivatives of ln y by the parameters (n, P), each scaled to its own size: central differences."""
    law, center = LAWS[found.law], np.array(list(found.parameters.values()))
    steps = np.maximum(np.abs(center), 1e-8) * 1e-5
    columns = []
    for i, step in enumerate(steps):
        shift = np.where(np.arange(center.size) == i, step, 0.0)
        up, down = (np.log(law.predict(x, (center + side * shift)[None])[0]) for side in (1, -1))
        columns.append((up - down) / (2 * step) * max(abs(center[i]), 1e-8))
    return np.stack(columns, axis=1)


def find_evidence(run: Mapping[str, Any] | None, rung: str) -> list[str]:
    """What run.json says of a rung's pretraining that may be why: divergence, its learning rate."""
    told = []
    for curve in (run or {}).get("curves") or []:
        losses = [loss for _, loss in curve["points"] if loss is not None]
        if str(curve["rung"]) != rung or len(losses) < 5:
            continue
        last, least = float(np.mean(losses[-3:])), float(np.min(losses))
        if last > least * (1 + DIVERGED):
            told.append(
                f"its training loss ended at {significant(last)} after {significant(least)}, so it diverged"
            )
    rates = {
        str(one["rung"]): (one["params"]["non_embedding"], one["hyper"]["learning_rate"])
        for one in (run or {}).get("rungs") or []
        if one.get("hyper") and one.get("params") and one.get("stage") == "pretrain"
    }
    if rung in rates and len(rates) >= 4:
        own = rates.pop(rung)
        sizes, others = np.log(np.array(list(rates.values()))).T
        expected = float(np.exp(np.polyval(np.polyfit(sizes, others, 1), np.log(own[0]))))
        if not 1 / UNLIKE < own[1] / expected < UNLIKE:
            told.append(
                f"its learning rate is {significant(own[1], 2)}, where the other rungs' trend gives "
                f"{significant(expected, 2)}"
            )
    return list(dict.fromkeys(told))


def _sentence(series: Series, best: Curve, entry: Mapping[str, Any]) -> str:
    way = "above" if entry["deviation_percent"] > 0 else "below"
    symbol = "" if best.target.symbol == "y" else f" in {best.target.symbol}"
    why: Sequence[str] = entry["evidence"]
    p = "p < 0.001" if entry["p_value"] < 0.001 else f"p = {entry['p_value']:.2g}"
    text = (
        f"{capital(quantity(series))}: {entry['rung']} lies {per_cent(entry['deviation_percent'])}{symbol} "
        f"{way} the law of the other rungs ({p}, all rungs considered)"
    )
    if why:
        return f"{text}; {' and '.join(why)}. Train it again before you trust the law."
    return f"{text}; its training shows no reason. Train it again, or with another learning rate, to see."
