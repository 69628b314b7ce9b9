"""Signs and sizes of exponents beside what is commonly taught, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_report.frame import Series
from scaling_report.notation import significant
from scaling_report.symptoms import PLATEAU_SHARE, find_plateau
from scaling_report.trend import Trend, average_by_size
from scaling_report.wording import capital, quantity

KAPLAN_N = 0.076  # L(N) = (Nc/N)^0.076: Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.1
HOFFMANN_N = 0.34  # E + A/N^0.34: Hoffmann et al. 2022 (arXiv:2203.15556), eq. 10
ORDER = 3.0  # times larger or smaller than taught: worth a sentence
_SIZES = ("non_embedding", "total", "matmul")
_LOSSES = ("bits_per_byte", "masked_lm_loss")  # per token or byte, as the published exponents are


def find_surprises(series: Series, trend: Trend, fits: list[dict[str, Any]], axis: str) -> list[str]:
    """What goes against common teaching: a metric that gets worse with size, or has nothing left to gain, an
    exponent of another order.

    `fits` are the series' entries of laws.json.
    """
    what = capital(quantity(series))
    told = []
    if trend.moves and trend.slope is not None and (trend.slope > 0) != series.higher_is_better:
        told.append(
            f"{what} gets worse with size. Loss is taught to fall and scores to rise with it (Kaplan et al. "
            "2020): look for a learning rate too high at the large end, for overfitting, or for too few "
            "tokens, before you believe in a law."
        )
    if trend.moves and (rung := _plateau(series, axis)):
        told.append(
            f"{what} is saturated: from {rung} on it moves by less than {100 * PLATEAU_SHARE:.0f} % of its "
            "whole range, so larger rungs tell nothing; take a harder task or a finer metric."
        )
    if at_end := _at_end(series):
        told.append(
            f"{what} is as good as it can be from {at_end} on, within its error: it cannot tell rungs apart."
        )
    if series.metric in _LOSSES:
        for entry in fits:
            if entry["chosen"] and entry["x"] in _SIZES and (said := _order(what, entry)):
                told.append(said)
    return list(dict.fromkeys(told))


def _plateau(series: Series, axis: str) -> str | None:
    """The rung from which on a metric hardly moves."""
    start = find_plateau(*average_by_size(series.points, axis))
    return None if start is None else next(point.rung for point in series.points if point.x[axis] == start)


def _at_end(series: Series) -> str | None:
    """The smallest rung from which on all scores are within two of their errors of the best there is."""
    best = series.ceiling if series.higher_is_better else series.floor
    if best is None:
        return None
    good: list[str] = []
    for point in reversed(series.points):
        if point.stderr is None or abs(best - point.value) > 2 * point.stderr:
            break
        good.append(point.rung)
    return good[-1] if len(set(good)) > 1 else None


def _order(what: str, entry: Mapping[str, Any]) -> str | None:
    taught, who = (
        (KAPLAN_N, "Kaplan et al. 2020") if entry["law"] == "power" else (HOFFMANN_N, "Hoffmann et al. 2022")
    )
    found = entry["parameters"]["b"]
    if found <= 0 or 1 / ORDER < found / taught < ORDER:
        return None
    times = significant(max(found / taught, taught / found), 2)
    less = found < taught
    why = (
        "tokens held fixed, or too little training for the larger rungs, flatten it"
        if less
        else "small models at the start of their curve steepen it"
    )
    return (
        f"{what}: the exponent {significant(found, 2)} is {times} times {'smaller' if less else 'larger'} "
        f"than the {taught:g} of {who} for models with data to spare; {why}."
    )
