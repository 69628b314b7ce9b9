"""What a comparison of two series says, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_report.frame import CORPUS_TASKS, METRIC_NAMES, Series
from scaling_report.notation import significant, with_error
from scaling_report.trend import ALPHA
from scaling_report.wording import AXIS_NAMES, capital, count, listed, p_text, per_cent, signed


def quantity_of_both(series: Series) -> str:
    """What two compared series measure: the metric, of the task where it is not running text."""
    name = METRIC_NAMES[series.metric]
    return name if series.task in CORPUS_TASKS else f"{name} of {series.task}"


def compare_sentences(found: Mapping[str, Any]) -> list[str]:
    """Exponents and their test; how far apart the two are; where they cross: of a comparison's entry."""
    first, second = found["names"]
    exponents = [
        f"{with_error(value, error)} ({name})"
        for value, error, name in zip(
            found["exponents"], found["standard_errors"], found["names"], strict=True
        )
    ]
    low, high = (signed(end) for end in found["interval"])
    adjusted = ""
    if found["comparisons_in_all"] > 1:
        adjusted = f", {p_text(found['p_holm'])} after Holm over {found['comparisons_in_all']} comparisons"
    how = f"paired over {count(found['sizes'][0], 'rung')}" if found["paired"] else "not paired"
    steeper = first if found["difference"] > 0 else second
    told = (
        f"the difference is shown: {steeper} falls faster to its floor"
        if found["law"] == "power-floor"
        else f"the difference is shown: {steeper} has the steeper law"
    )
    return [
        f"{capital(found['what'])} against {AXIS_NAMES[found['x']]}: exponents {listed(exponents)},"
        f" difference {signed(found['difference'])} (95 % interval {low} to {high}, {how},"
        f" {p_text(found['p_value'])}{adjusted});"
        f" {told if found['p_holm'] < ALPHA else 'no difference of exponents is shown'}.",
        _offset_sentence(found),
        *([_crossing_sentence(found)] if found["crossing"] else []),
    ]


def _offset_sentence(found: Mapping[str, Any]) -> str:
    offset, (first, second) = found["offset"], found["names"]
    values = [significant(value) for value in offset["values"]]
    low, high = (signed(end) for end in offset["interval"])
    share = f"{100 * found['level']:g} %"
    return (
        f"At {significant(offset['x'], 3)} {AXIS_NAMES[found['x']]}, the most that both reach, the curves are"
        f" at {values[0]} ({first}) and {values[1]} ({second}), {signed(offset['difference'])} apart"
        f" ({share} interval {low} to {high})."
    )


def _crossing_sentence(found: Mapping[str, Any]) -> str:
    crossing = found["crossing"]
    low, high = (significant(end, 2) for end in crossing["interval"])
    level, share = f"{100 * found['level']:g} %", per_cent(100 * crossing["share"])
    return (
        f"The curves cross at {significant(crossing['x'], 2)} {AXIS_NAMES[found['x']]}"
        f" ({level} interval {low} to {high}, in {share} of the refits)."
    )
