"""One entry of laws.json's `compute_optimal` -> its section of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.notation import MISSING, power_of_ten, short, significant, slug
from scaling_report.optimal.figures import frontier_chart, isoflop_chart
from scaling_report.optimal.words import SPOKEN, sentences_of, spread_of
from scaling_report.parts import Column, Figure, Section, Table
from scaling_report.wording import AXIS_NAMES, capital, count, signed

GROUP = "Compute-optimal training"
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
        sentences=tuple(sentences_of(value)),
        figures=tuple(figures),
        tables=tuple(table for table in tables if table),
        small_print="; ".join(value["left_out"]),
    )


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
            f"{short(answer['n'])}{spread_of(answer['n_interval'], True)}",
            f"{short(answer['d'])}{spread_of(answer['d_interval'], True)}",
            f"{significant(answer['loss'])}{spread_of(answer['loss_interval'])}",
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
            f"{significant(row['loss_penalty'], 2)}{spread_of(row['penalty_interval'])}",
            MISSING if row["flops_ratio"] is None else f"{significant(row['flops_ratio'], 3)}"
            f"{spread_of(row['flops_interval'])}",
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
