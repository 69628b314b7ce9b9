"""Published ladders beside a table's own series: laws.json's `overlays`. Neither is fitted with the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.results import METRICS, PARAM_CONVENTIONS
from scaling_report.fits import fit
from scaling_report.frame import Series
from scaling_report.published import LADDERS, PublishedLadder
from scaling_report.settings import ReportSettings
from scaling_report.target import Target
from scaling_report.uncertainty import resample

GRID_POINTS = 24
LAW = "power"  # four and six sizes carry no floor


def overlay_entries(settings: ReportSettings, series: Sequence[Series]) -> list[dict[str, Any]]:
    """Every ladder of the overlays asked for, with the series that it may be drawn over, or why none.

    A ladder is drawn over series of its metric; of an answer's metric, over those of its task alone.
    """
    wanted = [ladder for ladder in LADDERS if ladder.overlay in settings.overlay]
    return [_entry(ladder, settings, series) for ladder in wanted]


def _entry(ladder: PublishedLadder, settings: ReportSettings, series: Sequence[Series]) -> dict[str, Any]:
    axis = settings.x[0]
    over = [one.id for one in series if _same_measure(ladder, one)]
    reason = None
    if axis not in PARAM_CONVENTIONS:
        over, reason = [], "Published figures have sizes; they are drawn where size is the first axis."
    elif not over:
        what = f"{ladder.metric.replace('_', ' ')}{f' of {ladder.task}' if ladder.task else ''}"
        reason = f"No series here measures {what}."
    return {
        "overlay": ladder.overlay,
        "title": ladder.title,
        "source": ladder.source,
        "family": ladder.family,
        "metric": ladder.metric,
        "caveat": ladder.caveat,
        "points": [{"name": one.name, "x": dict(one.x), "value": one.value} for one in ladder.points],
        "fit": None if reason else _fit(ladder, axis, settings),
        "drawn_over": over,
        "not_drawn_reason": reason,
    }


def _same_measure(ladder: PublishedLadder, series: Series) -> bool:
    if series.metric != ladder.metric or series.split != "test":
        return False
    return ladder.task is None or ladder.task in series.task.replace("-", "").lower()


def _fit(ladder: PublishedLadder, axis: str, settings: ReportSettings) -> dict[str, Any]:
    """The straight power law through the published figures alone."""
    metric = METRICS[ladder.metric]
    target = Target(metric.ceiling if metric.higher_is_better else None, metric.floor)
    x = np.array([one.x[axis] for one in ladder.points], dtype=float)
    y = target.to_law(np.array([one.value for one in ladder.points]))
    found = fit(LAW, x, y)
    bootstrap = resample(found, x, y, replicates=settings.bootstrap, seed=settings.seed)
    grid = np.geomspace(x.min(), x.max(), GRID_POINTS)
    return {
        "x": axis,
        "law": LAW,
        "parameters": dict(found.parameters),
        "standard_errors": bootstrap.standard_errors(),
        "grid": {
            "x": [float(f"{value:.6g}") for value in grid],
            "fit": [float(f"{value:.6g}") for value in target.from_law(found.predict(grid))],
        },
    }
