"""What a ladder promises: the next rungs, how far that was tested, and the size that reaches a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling_report.curves import FAR, Curve, fit_axis, name_law
from scaling_report.frame import Series
from scaling_report.laws import Array
from scaling_report.notation import power_of_ten, short, significant
from scaling_report.settings import ReportSettings
from scaling_report.trend import find_trend
from scaling_report.wording import AXIS_NAMES, capital, count, per_cent, quantity

SMALLEST_STEP = 1.25  # between rungs: closer ones are no next rung
SEARCHED = 1e4  # times beyond the largest rung a target is looked for
SEARCH_POINTS = 1500


def look_ahead(
    series: Series,
    settings: ReportSettings,
    backtests: Sequence[Mapping[str, Any]],
    latencies: Mapping[float, float],
) -> dict[str, Any]:
    """What the law fitted to all rungs, none hidden, says beyond them.

    Keys: law, rungs (the next ones up to `FAR` times the largest: size, value, interval), target (None where
    none is asked for), tested, sentences; reason, and nothing else, where there is no law. `latencies`:
    seconds an item took at each size.
    """
    axis = settings.x[0]
    if not find_trend(series.points, axis).moves:
        return {"reason": "it shows no trend, so nothing is predicted"}
    curves, _ = fit_axis(series, series.points, axis, settings, best_only=True)
    best = next((one for one in curves if one.chosen), None)
    if best is None:
        return {"reason": f"no law could be fitted against {AXIS_NAMES[axis]}"}
    trained = np.array([size for point in series.points if (size := point.x[axis])])
    rungs = [_predict(best, size, settings.level, trained.max()) for size in next_sizes(trained)]
    wanted = settings.targets.get(series.metric)
    target = None if wanted is None else find_size(series, best, wanted, settings.level, latencies)
    tested = _tested(series, backtests)
    told = [_next_sentence(series, best, rungs, settings.level), tested["sentence"]]
    if target is not None:
        told.append(target["sentence"])
    return {
        "law": best.fit.law,
        "law_name": name_law(best),
        "parameters": dict(best.fit.parameters),
        "x": axis,
        "level": settings.level,
        "rungs": rungs,
        "tested": tested,
        "target": target,
        "sentences": told,
    }


def next_sizes(x: Array) -> list[float]:
    """The ladder's next one or two sizes, by its mean step, up to `FAR` times its largest."""
    sizes = np.unique(x)
    step = max(float((sizes[-1] / sizes[0]) ** (1 / (sizes.size - 1))), SMALLEST_STEP)
    steps = [step**k for k in range(1, 3) if step**k <= FAR] or [FAR]
    return [float(sizes[-1] * one) for one in steps]


def _predict(best: Curve, size: float, level: float, largest: float) -> dict[str, Any]:
    at = np.array([size])
    return {
        "x": size,
        "times": size / float(largest),
        "value": float(best.at(at)[0]),
        "interval": best.target.band_from_law(best.bootstrap.prediction(at, level))[0].tolist(),
    }


def _next_sentence(series: Series, best: Curve, rungs: Sequence[Mapping[str, Any]], level: float) -> str:
    told = []
    for rung in rungs:
        low, high = (significant(end) for end in rung["interval"])
        told.append(f"{significant(rung['value'])} ({low} to {high}) at {_about(best.axis, rung['x'])}")
    which = "the next rung" if len(rungs) == 1 else f"the next {count(len(rungs), 'rung')}"
    return (
        f"{capital(quantity(series))}: trained as the others, {which} would score {' and '.join(told)} "
        f"{AXIS_NAMES[best.axis]} ({100 * level:g} % prediction interval{'s'[: len(rungs) - 1]}; "
        f"{name_law(best)} on all rungs)."
    )


def _tested(series: Series, backtests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far beyond what it saw the law was tried, how well it did, and so how far it may be trusted."""
    made = [one["forecast"] for one in backtests if one["forecast"]]
    held = [one for one in made if all(rung["inside"] for rung in one["rungs"])]
    if not made:
        why = backtests[0]["no_forecast_reason"] if backtests else "No rung was hidden."
        return _untested(f"This was never tested, so take the intervals for a hope. {why}")
    if not held:
        return _untested(
            f"Do not rely on it: with {_hidden(made)} hidden, what was measured lay outside the intervals."
        )
    best = max(held, key=lambda one: float(one["reach"]))
    error = best["error_percent"]
    off = "" if error is None else f" and was {per_cent(error)} off"
    sentence = (
        f"With {_hidden([best])} hidden the law reached {significant(best['reach'], 2)} times beyond what it "
        f"saw{off}, inside its interval; "
    )
    if missed := [one for one in made if one not in held]:
        sentence += f"with {_hidden(missed)} hidden, what was measured lay outside. "
    sentence += f"Nothing is claimed beyond {FAR:g} times the largest rung."
    sentence = sentence.replace("; Nothing", "; nothing")
    return {"reach": best["reach"], "error_percent": error, "sentence": sentence}


def _untested(sentence: str) -> dict[str, Any]:
    return {"reach": None, "error_percent": None, "sentence": sentence}


def _hidden(tests: Sequence[Mapping[str, Any]]) -> str:
    """ "one rung", "one rung, and with two rungs"."""
    return ", and with ".join(count(len(one["held_out"]), "rung") for one in tests)


def find_size(
    series: Series, best: Curve, wanted: float, level: float, latencies: Mapping[float, float]
) -> dict[str, Any]:
    """The smallest size at which the curve reaches `wanted`: size, interval, latency_seconds, a sentence.

    The interval is that of the refits' curves; its upper end is None where more of them than half of what the
    level leaves out never get there within `SEARCHED` times the largest rung. `latency_seconds`: an item's at
    that size, by a power law through `latencies`.
    """
    grid = np.geomspace(best.x.min(), best.x.max() * SEARCHED, SEARCH_POINTS)
    sign = 1.0 if series.higher_is_better else -1.0
    found = float(_crossing(grid, sign * best.at(grid)[None], sign * wanted)[0])
    refits = _crossing(
        grid, sign * best.target.from_law(best.bootstrap.solutions.predict(grid)), sign * wanted
    )
    low, high = np.quantile(refits, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    latency = _latency_at(found, latencies)
    entry = {
        "value": wanted,
        "size": _finite(found),
        "times": _finite(found / float(best.x.max())),
        "interval": [_finite(float(low)), _finite(float(high))],
        "latency_seconds": latency,
        "latency_reason": None if latency is not None else _no_latency(found, latencies),
    }
    return {**entry, "sentence": _target_sentence(series, best, entry, level)}


def _crossing(grid: Array, curves: Array, wanted: float) -> Array:
    """Where each curve (R, n) over `grid` (n,) first reaches `wanted`; infinite where it never does."""
    above = curves >= wanted
    first = above.argmax(axis=1)
    rows = np.arange(len(curves))
    before = np.maximum(first - 1, 0)
    rise = curves[rows, first] - curves[rows, before]
    share = np.where(rise > 0, (wanted - curves[rows, before]) / np.where(rise > 0, rise, 1.0), 1.0)
    at = np.log(grid[before]) + share * (np.log(grid[first]) - np.log(grid[before]))
    return np.where(above.any(axis=1), np.where(first == 0, grid[0], np.exp(at)), np.inf)


def _target_sentence(series: Series, best: Curve, entry: Mapping[str, Any], level: float) -> str:
    what = f"{capital(quantity(series))} of {significant(entry['value'])}"
    name = AXIS_NAMES[best.axis]
    if entry["size"] is None:
        end = significant(float(best.at(np.array([best.x.max() * SEARCHED]))[0]))
        return f"{what} is not reached: ten thousand times beyond the largest rung the curve is at {end}."
    if entry["size"] <= best.x.min():
        return f"{what} is reached by the smallest rung already."
    low, high = (_about(best.axis, end) if end else "no end" for end in entry["interval"])
    text = (
        f"{what} takes about {_about(best.axis, entry['size'])} {name} "
        f"({100 * level:g} % interval {low} to {high}), {significant(entry['times'], 2)} times the largest "
        "rung"
    )
    if entry["times"] > FAR:
        text += ", too far beyond it for that interval to be claimed"
    if entry["latency_seconds"] is not None:
        text += (
            f"; an item takes it about {_spoken_seconds(entry['latency_seconds'])} where these were measured"
        )
    return f"{text}."


def _about(axis: str, value: float) -> str:
    """A size to three digits: what is predicted is not counted."""
    return power_of_ten(value) if axis == "flops" else short(value)


def _spoken_seconds(seconds: float) -> str:
    return f"{significant(1000 * seconds, 2)} ms" if seconds < 1 else f"{significant(seconds, 2)} s"


def _latency_at(size: float, latencies: Mapping[float, float]) -> float | None:
    """Seconds an item at `size`: never less than a size below it took, rising as what was measured does."""
    if len(latencies) < 2 or not np.isfinite(size):
        return None
    x, seconds = np.array(sorted(latencies.items())).T
    slope, level = np.polyfit(np.log(x), np.log(seconds), 1)
    return float(np.exp(level + max(slope, 0.0) * np.log(size)))


def _no_latency(size: float, latencies: Mapping[float, float]) -> str:
    return (
        "no size reaches it"
        if not np.isfinite(size)
        else f"{count(len(latencies), 'size')} timed, and it takes two"
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
