"""Rungs that stand off the law of the others, each with its evidence: diverged, or mistuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr

from scaling_report.curves import find_candidates
from scaling_report.fits import fit_many
from scaling_report.forecast import Candidate
from scaling_report.frame import Point, Series
from scaling_report.laws import LAWS, Array, Law
from scaling_report.losses import LEAST_SQUARES
from scaling_report.notation import significant
from scaling_report.settings import ReportSettings
from scaling_report.target import targets_of
from scaling_report.wording import capital, per_cent, quantity

ALPHA = 0.05  # for all rungs of a series together
SMALLEST = 0.002  # of the law's quantity: less is no finding, however exact the others
DOF = 2
MOST = 4  # one rung in so many: where more are off the trend, it is the law that is wrong
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
    points = list(series.points)
    found: list[dict[str, Any]] = []
    while len(found) * MOST < len(series.rungs) and (best := _law_of(series, points, axis)):
        sizes = np.unique(best.x)
        size, p_value, deviation = _most_unlikely(best)
        p_value = min(1.0, p_value * sizes.size)
        if p_value >= ALPHA or abs(deviation) < SMALLEST:
            break
        rung = next(point.rung for point in points if point.x[axis] == size)
        entry = {
            "rung": rung,
            "x": size,
            "deviation_percent": 100 * deviation,
            "p_value": p_value,
            "evidence": find_evidence(run, rung),
        }
        found.append({**entry, "sentence": _sentence(series, best, entry)})
        points = [point for point in points if point.rung != rung]
    return found


def _law_of(series: Series, points: Sequence[Point], axis: str) -> Candidate | None:
    """The richest law that a rung can be left out of and leave `DOF` degrees of freedom to judge it by."""
    distance, *_ = targets_of(series)
    candidates, _ = find_candidates(series, points, axis)
    able = [
        one
        for one in candidates
        if one.target == distance and one.sizes - 1 - len(LAWS[one.law].parameters) >= DOF
    ]
    return max(able, key=lambda one: len(LAWS[one.law].parameters), default=None)


def _most_unlikely(best: Candidate) -> tuple[float, float, float]:
    """The size that the others speak against most: itself, its p-value, how far its ln y lies off."""
    law, sizes = LAWS[best.law], np.unique(best.x)
    log_y = np.array([np.log(best.y[best.x == size]).mean() for size in sizes])
    without_one = 1.0 - np.eye(sizes.size)
    rows = np.broadcast_to(np.exp(log_y), without_one.shape)
    found = fit_many(law, sizes, rows, weights=without_one, loss=LEAST_SQUARES)
    residuals = log_y - np.log(found.predict(sizes))  # (left out, at)
    dof = sizes.size - 1 - len(law.parameters)
    told = []
    for i, size in enumerate(sizes):
        others = without_one[i] > 0
        slopes = _slopes(law, found.parameters[i], sizes)
        variance = float(np.square(residuals[i, others]).sum()) / dof
        leverage = float(slopes[i] @ np.linalg.pinv(slopes[others].T @ slopes[others]) @ slopes[i])
        error = float(np.sqrt(variance * (1 + max(leverage, 0.0))))
        deviation = float(residuals[i, i])
        t = abs(deviation) / error if error > 0 else np.inf if deviation else 0.0
        told.append((float(2 * stdtr(dof, -t)), float(size), deviation))
    p_value, size, deviation = min(told)
    return size, p_value, deviation


def _slopes(law: Law, parameters: Array, x: Array) -> Array:
    """Derivatives of ln y by the parameters (n, P), each scaled to its own size: central differences."""
    columns = []
    for i, size in enumerate(np.maximum(np.abs(parameters), 1e-8)):
        shift = np.where(np.arange(parameters.size) == i, 1e-5 * size, 0.0)
        up, down = (np.log(law.predict(x, (parameters + side * shift)[None])[0]) for side in (1, -1))
        columns.append((up - down) / 2e-5)
    return np.stack(columns, axis=1)


def find_evidence(run: Mapping[str, Any] | None, rung: str) -> list[str] | None:
    """What run.json says of a rung's pretraining that may be why; None where it says nothing of it.

    Its loss may have diverged, or its learning rate be unlike its neighbours'.
    """
    curves = [one for one in (run or {}).get("curves") or [] if str(one["rung"]) == rung]
    losses = [[loss for _, loss in one["points"] or () if loss is not None] for one in curves]
    rates = _learning_rates(run)
    known = any(len(one) >= 5 for one in losses) or (rung in rates and len(rates) >= 5)
    if not known:
        return None
    told = []
    for one in losses:
        if len(one) >= 5 and (last := float(np.mean(one[-3:]))) > (least := min(one)) * (1 + DIVERGED):
            told.append(
                f"its training loss ended at {significant(last)} after {significant(least)}, so it diverged"
            )
    if rung in rates and len(rates) >= 5:
        size, rate = rates.pop(rung)
        sizes, others = np.log(np.array(list(rates.values()))).T
        expected = float(np.exp(np.polyval(np.polyfit(sizes, others, 1), np.log(size))))
        if not 1 / UNLIKE < rate / expected < UNLIKE:
            told.append(
                f"its learning rate is {significant(rate, 2)}, where the other rungs' trend gives "
                f"{significant(expected, 2)}"
            )
    return list(dict.fromkeys(told))


def _learning_rates(run: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Size and peak learning rate of each pretrained rung that has both."""
    found = {}
    for one in (run or {}).get("rungs") or []:
        size = (one.get("params") or {}).get("non_embedding")
        rate = (one.get("hyper") or {}).get("learning_rate")
        if one.get("stage") == "pretrain" and size and rate:
            found[str(one["rung"])] = (float(size), float(rate))
    return found


def _sentence(series: Series, best: Candidate, entry: Mapping[str, Any]) -> str:
    way = "above" if entry["deviation_percent"] > 0 else "below"
    symbol = "" if best.target.symbol == "y" else f" in {best.target.symbol}"
    why: Sequence[str] | None = entry["evidence"]
    p = "p < 0.001" if entry["p_value"] < 0.001 else f"p = {entry['p_value']:.2g}"
    text = (
        f"{capital(quantity(series))}: {entry['rung']} lies {per_cent(entry['deviation_percent'])}{symbol} "
        f"{way} the law of the other rungs ({p}, all rungs of this metric considered)"
    )
    if why:
        return f"{text}; {' and '.join(why)}. Train it again before you trust the law."
    if why is None:
        return f"{text}; nothing is known of its training. Train it again before you trust the law."
    return f"{text}; its training shows no reason. Train it again, or with another learning rate, to see."
