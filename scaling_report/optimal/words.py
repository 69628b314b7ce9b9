"""What one entry of laws.json's `compute_optimal` says, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.notation import power_of_ten, short, significant
from scaling_report.wording import AXIS_NAMES, capital, count, listed, signed

SPOKEN = {
    "envelope": "the lowest losses by compute",
    "isoflop": "iso-FLOP parabolas",
    "surface": "the fitted surface",
}
Value = Mapping[str, Any]


def sentences_of(value: Value) -> list[str]:
    """The main thing first: how the best size grows, or why that cannot be told."""
    known = [one for one in value["approaches"] if one["exponent_n"] is not None]
    told = []
    if not known:
        told.append(f"What a budget is best spent on cannot be told: {value['reason']}.")
        told += _of_doubt(value)
    else:
        first, *others = [_exponent(one) for one in reversed(known)]
        told.append(f"The best size grows as {first}.")
        if others:
            told.append(f"Other approaches give {listed(others)}.")
        told += _of_doubt(value)
        told += _of_bias(value, known)
        told += _of_budget(value)
        told += _of_off_size(value)
    told.append(_of_cost(value))
    told += _of_groups(value)
    return told


def doubted_sentences(value: Value) -> list[str]:
    """The main thing, and why it is in doubt."""
    return [*sentences_of(value)[:1], *_of_doubt(value)]


def _of_doubt(value: Value) -> list[str]:
    surface = value["surface"]
    if not surface or not surface["doubts"]:
        return []
    return [f"The fitted surface is in doubt, and what rests on it, too. {' '.join(surface['doubts'])}"]


def _exponent(one: Value) -> str:
    interval = one["interval_n"]
    ends = f" ({significant(interval[0], 3)} to {significant(interval[1], 3)})" if interval else ""
    return f"C^{one['exponent_n']:.3f}{ends} by {SPOKEN[one['name']]}"


def _of_bias(value: Value, known: Sequence[Value]) -> list[str]:
    off = [one for one in known if one["name"] != "surface" and one["bias"] is not None]
    if not off:
        return []
    parts = [f"{signed(one['bias'])} ({SPOKEN[one['name']]})" for one in off]
    return [
        "Were the fitted surface true and no run noisy, at these very runs the exponent would come out wrong "
        f"by {listed(parts)}."
    ]


def _of_budget(value: Value) -> list[str]:
    budget = value["budgets"][0]
    answer = next((one for one in reversed(budget["answers"])), None)
    if answer is None:
        return []
    loss = ""
    if answer["loss"] is not None:
        loss = f", for {significant(answer['loss'])}{spread_of(answer['loss_interval'])} {value['unit']}"
    return [
        f"By {SPOKEN[answer['name']]}, {power_of_ten(budget['flops'])} FLOPs are best spent on "
        f"{short(answer['n'])}{spread_of(answer['n_interval'], True)} {AXIS_NAMES[value['x']]} and "
        f"{short(answer['d'])}{spread_of(answer['d_interval'], True)} tokens{loss}."
    ]


def _of_off_size(value: Value) -> list[str]:
    if value["off_size"] is None:
        return []
    rows = {row["size_ratio"]: row for row in value["off_size"]["rows"]}
    told = []
    for ratio, name in ((0.5, "half that size"), (2.0, "twice that size")):
        row = rows[ratio]
        dearer = (
            "no budget reaches the same"
            if row["flops_ratio"] is None
            else f"the same takes {significant(100 * (row['flops_ratio'] - 1), 2)} % more FLOPs"
        )
        told.append(f"{name} costs {significant(row['loss_penalty'], 2)} {value['unit']} ({dearer})")
    return [f"{capital(told[0])}; {told[1]}."]


def _of_cost(value: Value) -> str:
    cost = value["cost"]
    error = f", to {significant(100 * cost['worst_error'], 2)} %" if cost["worst_error"] > 1e-6 else ""
    return f"C are the runs' own FLOPs: here {cost['formula']}{error}, N being {AXIS_NAMES[value['x']]}."


def _of_groups(value: Value) -> list[str]:
    groups = value["groups"]
    rejected = [group for group in groups if group["rejected"]]
    told = []
    if rejected:
        many = count(len(rejected), "FLOPs budget")
        told.append(f"Without a vertex: {many} of {len(groups)}; the table says why.")
    if value["alone"]:
        stand = "stands" if value["alone"] == 1 else "stand"
        told.append(
            f"{capital(count(value['alone'], 'run'))} {stand} at FLOPs that fewer than three sizes share "
            "(within 10 %)."
        )
    return told


def spread_of(interval: Sequence[float] | None, counts: bool = False) -> str:
    if not interval:
        return ""
    low, high = (short(end) if counts else significant(end) for end in interval)
    return f" ({low} to {high})"
