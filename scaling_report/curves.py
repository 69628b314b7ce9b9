"""Every law on one axis of a series: what was fitted, how sure it is, what the data leave open."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scaling_report.fits import FitResult, fit
from scaling_report.forecast import FITTED, Candidate, choose_law
from scaling_report.frame import Point, Series
from scaling_report.laws import LAWS, Array
from scaling_report.local import measure_local
from scaling_report.notation import significant
from scaling_report.settings import ReportSettings
from scaling_report.target import Target, targets_of
from scaling_report.uncertainty import Bootstrap, Scatter, resample, share_weights
from scaling_report.weights import RunWeights, weigh_runs
from scaling_report.wording import AXIS_NAMES, LAW_NAMES, SMALL_NUMBERS, count, per_cent

GRID_POINTS = 60
GRID_REACH = 1.5  # the curve is drawn to this multiple of the largest size
FAR = 3.0  # multiple of the largest fitted size: extrapolation beyond it is said to be one
DISAGREEMENT = 0.01  # relative difference of the two opinions at FAR that is worth a note
FAILED_SHARE = 0.1  # of refits: beyond it the bands are not to be trusted


@dataclass(frozen=True)
class Curve:
    """One law on one axis: what the fit saw and of what, what it found, how sure it is."""

    axis: str
    target: Target
    x: Array
    y: Array
    fit: FitResult
    bootstrap: Bootstrap
    chosen: bool
    weights: Array
    weighing: RunWeights | None

    def at(self, x: Array) -> Array:
        """The curve at x (n,), in the metric's unit."""
        return self.target.from_law(self.fit.predict(x))


def fit_axis(
    series: Series, visible: Sequence[Point], axis: str, settings: ReportSettings, *, best_only: bool = False
) -> tuple[list[Curve], list[str]]:
    """Every law that the visible runs suffice for, on one axis, and in words what they do not suffice for.

    `best_only`: just the one that is chosen.
    """
    candidates, notes = find_candidates(series, visible, axis)
    if not candidates:
        return [], notes
    chosen = choose_law(candidates)
    fitted = []
    for one in candidates:
        if not one.able:
            law = LAWS[one.law]
            notes.append(
                f"Against {AXIS_NAMES[axis]} {law.formula} is not identified by {count(one.sizes, 'size')}:"
                f" {count(len(law.parameters), 'parameter')} need {SMALL_NUMBERS[law.sizes_needed]} or more."
            )
        elif one is chosen or not best_only:
            curve = _fit_candidate(one, f"{series.id} {axis}", axis, settings, one is chosen)
            if curve.bootstrap.failed < curve.bootstrap.replicates:
                fitted.append(curve)
            else:
                formula = LAWS[one.law].formula
                notes.append(f"Against {AXIS_NAMES[axis]} {formula} is not shown: every refit of it failed.")
    return fitted, notes


def find_candidates(series: Series, visible: Sequence[Point], axis: str) -> tuple[list[Candidate], list[str]]:
    """What may be fitted to the visible runs, and in words what cannot; none where there is one size."""
    distance, *others = targets_of(series)
    x, y, error, notes = _law_data(visible, axis, distance)
    if (sizes := np.unique(x).size) < 2:
        return [], [*notes, f"No law is fitted against {AXIS_NAMES[axis]}: {count(sizes, 'size')} to fit."]
    candidates = [Candidate(law, distance, x, y, error) for law in FITTED]
    for target in others:
        x_odds, y_odds, error_odds, left = _law_data(visible, axis, target)
        if len(left) == len(notes):
            candidates.append(Candidate("power", target, x_odds, y_odds, error_odds))
        else:
            notes.append("Odds over chance are not fitted: a run scores no better than chance.")
    return candidates, notes


def _fit_candidate(one: Candidate, name: str, axis: str, settings: ReportSettings, chosen: bool) -> Curve:
    weighing = None if one.error is None else weigh_runs(one.law, one.x, one.y, one.error, seeds_share=True)
    weights = share_weights(one.x) if weighing is None else weighing.weights
    found = fit(one.law, one.x, one.y, weights=weights)
    # each fit has its own seed, so a metric more or less leaves the other bands as they are
    link = "" if one.target.chance is None else " odds"
    seed = zlib.crc32(f"{settings.seed} {name} {one.law}{link}".encode())
    bootstrap = resample(found, one.x, one.y, replicates=settings.bootstrap, seed=seed, weights=weights)
    return Curve(axis, one.target, one.x, one.y, found, bootstrap, chosen, weights, weighing)


def _law_data(
    points: Sequence[Point], axis: str, target: Target
) -> tuple[Array, Array, Array | None, list[str]]:
    """x, the law's y and its standard errors (n,) of the points that can be fitted, and what cannot.

    No errors where one is not known: runs then weigh alike.
    """
    usable = []
    notes = []
    for point in points:
        size, y = point.x[axis], float(target.to_law(np.array(point.value)))
        if size is None:
            notes.append(
                f"{point.rung} is in no fit against {AXIS_NAMES[axis]}: its result does not have them."
            )
        elif y <= 0:
            notes.append(
                f"{point.rung} is in no fit: {target.symbol} is {significant(y)}, and laws need it above 0."
            )
        else:
            usable.append((size, y, _error(point, target)))
    table = np.array(usable, dtype=float).reshape(-1, 3)
    error = None if np.isnan(table[:, 2]).any() else table[:, 2]
    return table[:, 0], table[:, 1], error, notes


def _error(point: Point, target: Target) -> float | None:
    """Standard error of the law's y, by the target's slope at the value; of none at all nothing is known."""
    if not point.stderr:  # zero is what every item alike gives, at a floor or ceiling: no exact measurement
        return None
    step = 1e-4 * point.stderr
    low, high = target.to_law(np.array([point.value - step, point.value + step]))
    return abs(float(high - low)) / 2e-4


def curve_entry(one: Curve, series: Series, settings: ReportSettings) -> dict[str, Any]:
    """The curve as `laws.json` holds it: parameters, how sure they are, bands on a grid, notes in words.

    `domain` are the smallest and the largest size fitted; `target` says how the metric becomes the law's y.
    """
    law = LAWS[one.fit.law]
    notes = _notes(one, settings)
    local = measure_local(one.fit, one.x, one.y, settings.level, one.weights, profile=one.chosen)
    intervals = one.bootstrap.interval(settings.level)
    return {
        "x": one.axis,
        "law": law.name,
        "name": name_law(one),
        "formula": law.formula.replace("y", one.target.symbol, 1),
        "target": asdict(one.target),
        "domain": [float(one.x.min()), float(one.x.max())],
        "source": law.source,
        "chosen": one.chosen,
        "parameters": dict(one.fit.parameters),
        "standard_errors": one.bootstrap.standard_errors(),
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        **local.to_dict(),
        "weights": one.weighing and one.weighing.to_dict(),
        "second_opinion": dict(one.fit.second_opinion),
        "n": one.fit.n,
        "sizes": one.fit.sizes,
        "objective": one.fit.objective,
        "scatter": asdict(one.bootstrap.scatter),
        "converged": one.fit.converged,
        "at_bound": list(one.fit.at_bound),
        "identified": not _loose(one, settings) and one.fit.identified,
        "notes": notes,
        "residuals": _residuals(one, series.points),
        "grid": _grid(one, series, settings.level),
        "bootstrap": {
            "kind": one.bootstrap.kind,
            "replicates": one.bootstrap.replicates,
            "failed": one.bootstrap.failed,
        },
    }


def name_law(one: Curve) -> str:
    """What the law is called in running text."""
    return LAW_NAMES[one.fit.law] + ("" if one.target.chance is None else " of odds")


def _loose(one: Curve, settings: ReportSettings) -> list[str]:
    """Parameters whose interval reaches the edge of what is allowed."""
    tail = (1 - settings.level) / 2
    return [name for name, share in one.bootstrap.share_at_bound().items() if share > tail]


def _notes(one: Curve, settings: ReportSettings) -> list[str]:
    notes = [
        _scatter_note(one.bootstrap.scatter, one.target),
        *(one.weighing.sentences if one.weighing else ()),
    ]
    loose = _loose(one, settings)
    if "e" in loose:
        share = per_cent(100 * one.bootstrap.share_at_bound()["e"])
        notes.append(
            f"The floor e is not identified: {share} of the refits put it at zero. The curve may still hold."
        )
    notes += [f"{name} is not identified: its interval reaches its bound." for name in loose if name != "e"]
    end = np.array([one.x.max() * FAR])
    other = LAWS[one.fit.law].curve(end, **one.fit.second_opinion)
    if (gap := abs(float(other[0] / one.fit.predict(end)[0] - 1))) > DISAGREEMENT:
        notes.append(
            f"Plain least squares differs by {per_cent(100 * gap)} at {FAR:g} times the largest fitted size."
        )
    if not one.fit.converged:
        notes.append("The solver did not arrive; take the parameters as a sketch.")
    failed, replicates = one.bootstrap.failed, one.bootstrap.replicates
    if failed > FAILED_SHARE * replicates:
        notes.append(f"{failed} of {replicates} refits failed, so the bands are not to be trusted.")
    return notes


def _scatter_note(scatter: Scatter, target: Target) -> str:
    away = f"A single run lies {per_cent(100 * scatter.of_mean(1))} of {target.symbol} from the curve"
    if scatter.between_seeds is None:
        return f"{away} (standard deviation); no rung has two seeds, so their part is not known."
    seeds = per_cent(100 * scatter.between_seeds)
    return f"{away}, and seeds of one rung lie {seeds} from each other's mean (standard deviations)."


def _grid(one: Curve, series: Series, level: float) -> dict[str, Any]:
    sizes = [size for point in series.points if (size := point.x[one.axis]) is not None]
    x = np.geomspace(min(sizes), max(sizes) * GRID_REACH, GRID_POINTS)
    return {
        "x": _rounded(x),
        "fit": _rounded(one.at(x)),
        "confidence": _rounded(one.target.band_from_law(one.bootstrap.confidence(x, level))),
        "prediction": _rounded(one.target.band_from_law(one.bootstrap.prediction(x, level))),
    }


def _residuals(one: Curve, points: Sequence[Point]) -> list[float | None]:
    """ln y - ln of the law for each point, the hidden ones too; y is what the curve's target says of it.

    None for a point without a size on this axis, or whose y is not above zero.
    """
    away: list[float | None] = []
    for point in points:
        size, y = point.x[one.axis], float(one.target.to_law(np.array(point.value)))
        fitted = None if size is None else float(one.fit.predict(np.array([size]))[0])
        away.append(float(np.log(y / fitted)) if fitted is not None and min(fitted, y) > 0 else None)
    return away


def _rounded(values: Array) -> list[Any]:
    """Six significant digits: what a chart can show, at a third of the file's size."""
    return [_rounded(value) if np.ndim(value) else float(f"{value:.6g}") for value in values]
