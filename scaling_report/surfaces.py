"""Chinchilla's law on a ladder's runs of every length: by each convention of N, tested on what it hid."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_report.doubts import find_doubts
from scaling_report.fits import fit
from scaling_report.frame import Frame
from scaling_report.judge import judge
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.pooled import SIZE_AXES, Pooled, pool_lengths
from scaling_report.settings import ReportSettings
from scaling_report.uncertainty import resample
from scaling_report.wording import AXIS_NAMES, capital, count, listed, per_cent, quantity

LAW = "chinchilla"
LOSSES = ("bits_per_byte", "masked_lm_loss", "answer_bits_per_byte")  # what a sum of terms can be the loss of
STARTS = 64
_SPOKEN = ("the largest rung", "the two largest rungs", "the longest trainings")


def fit_surfaces(frame: Frame, settings: ReportSettings) -> tuple[list[dict[str, Any]], str | None]:
    """An entry of laws.json for each loss whose rungs were trained to several lengths, and why there is none.

    An entry: id, title, unit, n, places, law, formula, level, conventions (by that of N, what `judge` says),
    backtests, left_out, sentences.
    """
    pooled = [one for one in pool_lengths(frame, settings_axis(settings)) if one.first.metric in LOSSES]
    needed = LAWS[LAW].sizes_needed
    found = [_entry(one, frame, settings) for one in pooled if one.varies and _places(one) >= needed]
    if found:
        return found, None
    return [], _reason(pooled)


def settings_axis(settings: ReportSettings) -> str:
    """The convention of N that the report counts by: the first size among its axes."""
    return next((axis for axis in settings.x if axis in SIZE_AXES), SIZE_AXES[0])


def _reason(pooled: Sequence[Pooled]) -> str:
    formula = LAWS[LAW].formula
    if not pooled:
        return f"{formula} is fitted to losses, and there are none of several sizes."
    if pooled[0].varies:
        return (
            f"{formula} is not fitted: {count(_places(pooled[0]), 'pair')} of size and length, and its five "
            f"parameters need {count(LAWS[LAW].sizes_needed, 'pair')}. Train more sizes, or to more lengths."
        )
    lengths = np.unique(pooled[0].d)
    how = (
        "saw the same tokens"
        if lengths.size == 1
        else "saw more tokens in step with its size, or in too few ways"
    )
    return (
        f"{formula} is not identified, so nothing is said of the best use of a budget: every rung {how}. "
        "Train the rungs to several lengths, such as budget: {isoflop: [...]} or tokens: [1e6, 2e6, 4e6]."
    )


def _entry(one: Pooled, frame: Frame, settings: ReportSettings) -> dict[str, Any]:
    own = settings_axis(settings)
    conventions = {}
    for axis in SIZE_AXES:
        runs = (
            one if axis == own else next(other for other in pool_lengths(frame, axis) if other.id == one.id)
        )
        if _places(runs) < LAWS[LAW].sizes_needed:
            continue  # that count of parameters is not in the results
        conventions[axis] = judge(
            LAW,
            {"n": runs.n, "d": runs.d},
            runs.y,
            bootstrap=settings.bootstrap,
            level=settings.level,
            seed=_seed(settings, one, axis),
            starts=STARTS,
        ).to_dict()
    backtests = [_backtest(one, hidden, spoken, settings) for hidden, spoken in _hidings(one)]
    backtests = [{**test, "sentence": _tested(test, settings.level)} for test in backtests]
    entry = {
        "id": one.id,
        "title": one.title,
        "unit": one.first.unit,
        "x": own,
        "level": settings.level,
        "n": int(one.y.size),
        "places": _places(one),
        "law": LAW,
        "formula": LAWS[LAW].formula,
        "conventions": conventions,
        "backtests": backtests,
        "points": [
            {"rung": rung, "n": n, "d": d, "c": c, "y": y}
            for rung, n, d, c, y in zip(
                one.rungs, one.n.tolist(), one.d.tolist(), one.c.tolist(), one.y.tolist(), strict=True
            )
        ],
        "left_out": list(one.left_out),
    }
    return {**entry, "sentences": _sentences(one, entry)}


def _places(one: Pooled) -> int:
    """Distinct pairs of size and length."""
    return int(np.unique(np.stack([one.n, one.d]), axis=1).shape[1])


def _hidings(one: Pooled) -> list[tuple[np.ndarray, str]]:
    """What each backtest hides (runs,), and what that is called."""
    sizes = np.unique(one.n)
    longest = np.array([d == one.d[one.n == n].max() for n, d in zip(one.n, one.d, strict=True)])
    return [
        (one.n >= sizes[-1], _SPOKEN[0]),
        (one.n >= sizes[-2:][0], _SPOKEN[1]),
        (longest, _SPOKEN[2]),
    ]


def _backtest(one: Pooled, hidden: np.ndarray, spoken: str, settings: ReportSettings) -> dict[str, Any]:
    """The law fitted to the other runs, and what it says of the hidden ones, beside two that know no law."""
    x, y = np.stack([one.n, one.d]), one.y
    seen, at = x[:, ~hidden], x[:, hidden]
    entry: dict[str, Any] = {"hidden": spoken, "runs": [], "reason": None}
    places = np.unique(seen, axis=1).shape[1]
    if places < LAWS[LAW].sizes_needed:
        need = LAWS[LAW].sizes_needed
        return {**entry, "reason": f"{count(places, 'place')} left to fit, and the law needs {need}"}
    found = fit(LAW, seen, y[~hidden], starts=STARTS)
    boot = resample(
        found,
        seen,
        y[~hidden],
        replicates=settings.bootstrap,
        seed=_seed(settings, one, spoken),
        weights=np.ones(seen.shape[1]),
    )
    if boot.failed == boot.replicates:
        return {**entry, "reason": "every refit of the runs that are left failed"}
    predicted, bands = found.predict(at), boot.prediction(at, settings.level)
    last = _last_values(seen, y[~hidden], at)
    plane = _plane(seen, y[~hidden], at)
    rows = [
        {
            "rung": rung,
            "n": float(place[0]),
            "d": float(place[1]),
            "predicted": float(value),
            "interval": [float(low), float(high)],
            "actual": float(actual),
            "error_percent": float(100 * (value / actual - 1)),
            "inside": bool(low <= actual <= high),
        }
        for rung, place, value, (low, high), actual in zip(
            np.array(one.rungs)[hidden].tolist(), at.T, predicted, bands, y[hidden], strict=True
        )
    ]
    return {
        **entry,
        "runs": rows,
        "identified": not find_doubts(found, seen, boot, settings.level),
        "inside": sum(row["inside"] for row in rows),
        "mean_absolute_error_percent": _miss(predicted, y[hidden]),
        "last_value_error_percent": _miss(last, y[hidden]),
        "plane_error_percent": _miss(plane, y[hidden]),
    }


def _tested(test: dict[str, Any], level: float) -> str:
    """How well the law predicted what was hidden from it, beside two that know no law."""
    if test["reason"]:
        return f"With {test['hidden']} hidden there is no test: {test['reason']}."
    misses = {
        "repeating the nearest run": test["last_value_error_percent"],
        "a plane in logarithms": test["plane_error_percent"],
    }
    naive = listed([f"{name} {per_cent(error)}" for name, error in misses.items()])
    runs = count(len(test["runs"]), "run")
    return (
        f"With {test['hidden']} hidden {LAWS[LAW].formula} predicts the {runs} there "
        f"{per_cent(test['mean_absolute_error_percent'])} off (mean), {test['inside']} inside the "
        f"{100 * level:g} % intervals; {naive}."
    )


def _last_values(seen: Array, y: Array, at: Array) -> Array:
    """The naive forecast that nothing changes: the run in sight that is nearest in ln N and ln D."""
    away = ((np.log(seen)[:, None, :] - np.log(at)[:, :, None]) ** 2).sum(axis=0)  # (hidden, seen)
    return y[away.argmin(axis=1)]


def _plane(seen: Array, y: Array, at: Array) -> Array:
    """The naive straight line, in two inputs: least squares of ln y on ln N and ln D."""
    ones = np.ones((1, seen.shape[1]))
    found, *_ = np.linalg.lstsq(np.vstack([ones, np.log(seen)]).T, np.log(y), rcond=None)
    return np.exp(found[0] + found[1:] @ np.log(at))


def _miss(predicted: Array, measured: Array) -> float:
    return float(100 * np.abs(predicted / measured - 1).mean())


def _seed(settings: ReportSettings, one: Pooled, name: str) -> int:
    return zlib.crc32(f"{settings.seed} {one.id} {LAW} {name}".encode())


def _sentences(one: Pooled, entry: dict[str, Any]) -> list[str]:
    own = entry["conventions"][entry["x"]]
    told = [f"{capital(quantity(one.first))} over {AXIS_NAMES[entry['x']]} and tokens: {own['verdict'][0]}"]
    told += own["verdict"][1:]
    told += [test["sentence"] for test in entry["backtests"]]
    known = [axis for axis, found in entry["conventions"].items() if found["identified"]]
    exponents = [
        f"{significant(entry['conventions'][axis]['parameters']['alpha'], 2)} by {AXIS_NAMES[axis]}"
        for axis in known
    ]
    if len(set(exponents)) > 1:
        told.append(f"Alpha by each count of N: {listed(exponents)}.")
    return told
