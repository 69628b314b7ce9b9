"""One entry of laws.json's `compute_optimal` -> its section of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.notation import MISSING, power_of_ten, short, significant, slug
from scaling_report.optimal.figures import frontier_chart, isoflop_chart
from scaling_report.parts import Column, Figure, Section, Table
from scaling_report.wording import AXIS_NAMES, capital, count, listed, signed

GROUP = "Compute-optimal training"
SPOKEN = {
    "envelope": "the lowest losses by compute",
    "isoflop": "iso-FLOP parabolas",
    "surface": "the fitted surface",
}
CAVEATS = {
    "envelope": "Knows only the sizes tried, favours a bin's dear end and lucky runs; interval too narrow.",
    "isoflop": "A parabola is only near its minimum right: wide or off-centre grids shift the vertex.",
    "surface": "Right where L = E + A/N^alpha + B/D^beta is; then without bias.",
}
Value = Mapping[str, Any]


def tell_optimal(value: Value) -> Section:
    """The section: what budgets are best spent on in sentences, two charts, the approaches side by side."""
    figures = []
    if any(group["parabola"] for group in value["groups"]):
        figures.append(_isoflop(value))
    if any(one["exponent_n"] is not None for one in value["approaches"]):
        figures.append(_frontier(value))
    tables = (_approaches(value), _budgets(value), _off_size(value), _groups(value))
    return Section(
        id=slug(value["id"]),
        group=GROUP,
        title=f"Best size and data for a budget: {value['title']}",
        sentences=tuple(_sentences(value)),
        figures=tuple(figures),
        tables=tuple(table for table in tables if table),
        small_print="; ".join(value["left_out"]),
    )


def tell_no_optimal(reason: str) -> Section:
    """The section of a table that cannot tell: what it takes."""
    return Section(
        id="compute-optimal", group=GROUP, title="Best size and data for a budget", sentences=(reason,),
        figures=(), tables=(), small_print="",
    )  # fmt: skip


def _sentences(value: Value) -> list[str]:
    known = [one for one in value["approaches"] if one["exponent_n"] is not None]
    told = []
    if not known:
        told.append(f"What a budget is best spent on cannot be told: {value['reason']}.")
        told += _of_doubt(value)
    else:
        told.append(f"The best size grows as {listed([_exponent(one) for one in reversed(known)])}.")
        told += _of_doubt(value)
        told += _of_bias(value, known)
        told += _of_budget(value)
        told += _of_off_size(value)
    told.append(_of_cost(value))
    told += _of_groups(value)
    return told


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
        loss = f", for {significant(answer['loss'])}{_to(answer['loss_interval'])} {value['unit']}"
    return [
        f"By {SPOKEN[answer['name']]}, {power_of_ten(budget['flops'])} FLOPs are best spent on "
        f"{short(answer['n'])}{_to(answer['n_interval'], True)} {AXIS_NAMES[value['x']]} and "
        f"{short(answer['d'])}{_to(answer['d_interval'], True)} tokens{loss}."
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


def _to(interval: Sequence[float] | None, counts: bool = False) -> str:
    if not interval:
        return ""
    low, high = (short(end) if counts else significant(end) for end in interval)
    return f" ({low} to {high})"


def _approaches(value: Value) -> Table:
    share = f"{100 * value['level']:g} % interval"
    columns = (
        Column("Approach", numeric=False),
        Column("N* grows as C to the"),
        Column(share),
        Column("D* as C to the"),
        Column(share),
        Column("Bias at these runs"),
        Column("Less its bias"),
        Column("What it rests on", numeric=False),
    )
    return Table("The approaches side by side", columns, tuple(_approach(one) for one in value["approaches"]))


def _approach(one: Value) -> tuple[str, ...]:
    if one["exponent_n"] is None:
        return (one["title"], *[MISSING] * 6, f"Not told: {one['reason']}.")
    points = f"{capital(count(len(one['points']), 'point'))}. " if one["points"] else ""
    refits = f"Interval: {one['refits']} refits, {one['refits_of']}" if one["refits"] else one["refits_of"]
    failed = f", {one['failed']} failed" if one["failed"] else ""
    less = None if one["bias"] is None else one["exponent_n"] - one["bias"]
    return (
        one["title"],
        f"{one['exponent_n']:.3f}",
        _ends(one["interval_n"]),
        f"{one['exponent_d']:.3f}",
        _ends(one["interval_d"]),
        MISSING if one["bias"] is None else signed(one["bias"]) if one["bias"] else "0",
        MISSING if less is None else f"{less:.3f}",
        f"{points}{CAVEATS[one['name']]} {capital(refits)}{failed}.",
    )


def _ends(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else MISSING


def _budgets(value: Value) -> Table | None:
    rows = [
        (
            power_of_ten(budget["flops"]),
            SPOKEN[answer["name"]],
            f"{short(answer['n'])}{_to(answer['n_interval'], True)}",
            f"{short(answer['d'])}{_to(answer['d_interval'], True)}",
            f"{significant(answer['loss'])}{_to(answer['loss_interval'])}",
            f"{significant(budget['times_beyond'], 2)} times" + (": far" if budget["far"] else ""),
        )
        for budget in value["budgets"]
        for answer in budget["answers"]
    ]
    columns = (
        Column("FLOPs", numeric=False),
        Column("By", numeric=False),
        Column(f"Best {AXIS_NAMES[value['x']]}"),
        Column("Tokens"),
        Column(f"Loss on the surface, {value['unit']}"),
        Column("Of the dearest run"),
    )
    return Table("Budgets, and what they are best spent on", columns, tuple(rows)) if rows else None


def _off_size(value: Value) -> Table | None:
    found = value["off_size"]
    if found is None:
        return None
    rows = [
        (
            f"{row['size_ratio']:g}",
            f"{significant(row['loss_penalty'], 2)}{_to(row['penalty_interval'])}",
            MISSING if row["flops_ratio"] is None else f"{significant(row['flops_ratio'], 3)}"
            f"{_to(row['flops_interval'])}",
            row["reason"] or "",
        )
        for row in found["rows"]
    ]  # fmt: skip
    columns = (
        Column("Times the best size", numeric=False),
        Column(f"Loss above the best, {value['unit']}"),
        Column("Times the FLOPs for the same loss"),
        Column("Note", numeric=False),
    )
    return Table(f"A model off the best size at {power_of_ten(found['flops'])} FLOPs", columns, tuple(rows))


def _groups(value: Value) -> Table | None:
    rows = [
        (
            power_of_ten(group["flops"]),
            f"{len(group['runs'])} at {group['sizes']}",
            short(group["n"]),
            short(group["d"]),
            significant(group["loss"]),
            MISSING if group["vertex_bias"] is None else signed(100 * (group["vertex_bias"] - 1)) + " %",
            short(group["surface_n"]),
            capital(group["rejected"]) + "." if group["rejected"] else "",
        )
        for group in value["groups"]
    ]
    columns = (
        Column("FLOPs", numeric=False),
        Column("Runs at sizes"),
        Column("Vertex N"),
        Column("Its D"),
        Column("Its loss"),
        Column("Vertex's bias at these sizes"),
        Column("Surface's best N"),
        Column("No vertex because", numeric=False),
    )
    return Table("Every FLOPs budget", columns, tuple(rows)) if rows else None


def _isoflop(value: Value) -> Figure:
    return Figure(
        id=f"{slug(value['id'])}-isoflop",
        tab="iso-FLOP parabolas",
        description=f"{value['title']} against size at each FLOPs budget, with parabolas and their vertices",
        spec=isoflop_chart(value),
        key=(
            ("truth", "vertex: that budget's best size"),
            ("hollow", "runs of a budget without a vertex"),
        ),
    )


def _frontier(value: Value) -> Figure:
    return Figure(
        id=f"{slug(value['id'])}-frontier",
        tab="frontier",
        description=f"best size against training FLOPs by each approach, for {value['title']}",
        spec=frontier_chart(value),
        key=(
            ("hollow", "a run"),
            ("prediction", f"{100 * value['level']:g} % interval, of each line in its colour"),
        ),
    )
