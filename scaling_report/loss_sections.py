"""laws.json's `loss_to_task` -> sections of the report: each task's metrics charted against loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from scaling_report.axes import metric_axis
from scaling_report.frame import METRIC_NAMES
from scaling_report.loss_to_task import NAMES
from scaling_report.marks import Spec, chart_controls, data_layer, finish, point_layers, recipe_of
from scaling_report.notation import MISSING, significant, slug, with_error
from scaling_report.palette import light
from scaling_report.parts import Column, Figure, Section, Table
from scaling_report.wording import capital, listed

GROUP = "Task scores against loss"
Entry = Mapping[str, Any]


def tell_loss_to_task(entries: Sequence[Entry]) -> tuple[Section, ...]:
    """A section for each task, a chart for each of its metrics."""
    tasks = dict.fromkeys((entry["task"], entry["split"]) for entry in entries)
    return tuple(
        _section(task, split, [one for one in entries if (one["task"], one["split"]) == (task, split)])
        for task, split in tasks
    )


def _section(task: str, split: str, entries: Sequence[Entry]) -> Section:
    fitted = [entry["sentence"] for entry in entries if entry["fit"]]
    bare: dict[str, list[str]] = {}
    for entry in entries:
        if not entry["fit"]:
            bare.setdefault(entry["no_fit_reason"], []).append(METRIC_NAMES[entry["metric"]])
    why = [f"No curve for {listed(names)}: {reason}." for reason, names in bare.items()]
    return Section(
        id=slug(f"loss-to-{task}-{split}"),
        group=GROUP,
        title=f"{task}, {split}",
        sentences=(*fitted, *why),
        figures=tuple(_figure(entry) for entry in entries),
        tables=(_table(entries),),
        small_print=f"Loss: {entries[0]['loss']['title']}, of the same rung and seed.",
    )


def _figure(entry: Entry) -> Figure:
    spec = loss_chart(entry)
    key = [("measured", "measured" + (", ± one standard error" if any(_errors(entry)) else ""))]
    if entry["fit"]:
        key.append(("fit", f"{NAMES[entry['fit']['law']]}, the hidden rungs unseen"))
    if any(point["held_out"] for point in entry["points"]):
        key.append(("truth", "hidden rung, measured"))
    return Figure(
        id=slug(f"loss-to-{entry['series']}"),
        tab=METRIC_NAMES[entry["metric"]],
        description=f"{entry['title']} against {METRIC_NAMES[entry['loss']['metric']]}",
        spec=spec,
        key=tuple(key),
        controls=chart_controls(spec),
        again=recipe_of(
            "loss_sections",
            "loss_chart(entry)",
            f"(entry,) = [one for one in told['loss_to_task'] if one['series'] == {entry['series']!r}]",
        ),
    )


def loss_chart(entry: Entry) -> Spec:
    """Vega-Lite of one task metric against loss, which falls to the right as models get better."""
    name = METRIC_NAMES[entry["loss"]["metric"]]
    rows = [
        {
            "x": point["loss"],
            "y": point["value"],
            "low": point["value"] - (point["stderr"] or 0.0),
            "high": point["value"] + (point["stderr"] or 0.0),
            "rung": point["rung"],
            "seed": MISSING if point["seed"] is None else str(point["seed"]),
            name: significant(point["loss"]),
            "value": with_error(point["value"], point["stderr"]),
            "held_out": point["held_out"],
        }
        for point in entry["points"]
    ]
    curve = []
    if entry["fit"]:
        grid = entry["fit"]["grid"]
        curve = [{"x": x, "y": y} for x, y in zip(grid["x"], grid["fit"], strict=True)]
    x_ends, y_ends = (
        _ends([row["x"] for row in rows]),
        _ends([*(row[end] for row in rows for end in ("low", "high")), *(row["y"] for row in curve)]),
    )
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=x_ends, reverse=True, nice=False, zero=False),
        axis=alt.Axis(
            title=f"{capital(name)} of the same run, falling to the right",
            grid=False,
            tickCount=6,
            titlePadding=10,
            domainColor=light("muted"),
            tickColor=light("muted"),
        ),
    )
    y = alt.Y("y:Q", scale=alt.Scale(domain=y_ends, nice=False, zero=False), axis=metric_axis(entry))
    lines = [data_layer(curve).mark_line(color=light("measured"), strokeWidth=2)] if curve else []
    layers = [*lines, *point_layers(rows, ("rung", "seed", name, "value"))]
    described = f"{entry['title']} against {name}. {entry['sentence']}"
    return finish(alt.layer(*layers).encode(x=x, y=y), described)


def _ends(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return [low - air, high + air]


def _errors(entry: Entry) -> list[float | None]:
    return [point["stderr"] for point in entry["points"]]


def _table(entries: Sequence[Entry]) -> Table:
    """A row a run; a run without one of the metrics has a dash there."""
    runs: dict[tuple[str, Any], Mapping[str, Any]] = {}
    values: dict[tuple[str, Any, str], str] = {}
    for entry in entries:
        for point in entry["points"]:
            run = (point["rung"], point["seed"])
            runs.setdefault(run, point)
            values[(*run, entry["series"])] = with_error(point["value"], point["stderr"])
    rows = tuple(
        (
            rung,
            MISSING if seed is None else str(seed),
            significant(point["loss"]),
            *(values.get((rung, seed, entry["series"]), MISSING) for entry in entries),
            "hidden from the fits" if point["held_out"] else "",
        )
        for (rung, seed), point in runs.items()
    )
    columns = (
        Column("Rung", numeric=False),
        Column("Seed"),
        Column(capital(METRIC_NAMES[entries[0]["loss"]["metric"]])),
        *(Column(capital(METRIC_NAMES[entry["metric"]])) for entry in entries),
        Column("Note", numeric=False),
    )
    return Table("Measured, with the loss of the same run", columns, rows)
