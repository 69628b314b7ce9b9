"""Comparisons and published ladders of laws.json -> their sections: charts, tests, sources, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.compared_chart import compared_chart
from scaling_report.figures import has_axis
from scaling_report.frame import CORPUS_TASKS, METRIC_NAMES
from scaling_report.notation import axis_value, fixed, significant, slug, with_error
from scaling_report.parts import Column, Figure, Section, Table
from scaling_report.series_figures import TABS
from scaling_report.wording import AXIS_NAMES, LAW_NAMES, SMALL_NUMBERS, capital, signed

GROUP = "Families compared"
Laws = Mapping[str, Any]
Entry = Mapping[str, Any]


def tell_compared(laws: Laws) -> tuple[Section, ...]:
    """A section for every set of series that were compared, and for those beside published ones alone.

    Where series were there to be compared, but none could be, a section says why.
    """
    groups = _groups(laws["comparisons"])
    compared = {one for group in groups for one in group}
    groups += _beside([one for one in laws["series"] if one["id"] not in compared], laws["overlays"])
    sections = [_section(laws, group) for group in groups]
    asked = laws["not_compared"] or any(one["run"] for one in laws["series"])
    if not laws["comparisons"] and asked:
        sections.append(_why_none(laws))
    return tuple(sections)


def _groups(comparisons: Sequence[Entry]) -> list[list[str]]:
    """The ids that comparisons join, directly or by way of others, in order of appearance."""
    groups: list[list[str]] = []
    for one in comparisons:
        pair = [one["a"], one["b"]]
        joined = [group for group in groups if set(group) & set(pair)]
        members = dict.fromkeys([id_ for group in joined for id_ in group] + pair)
        groups = [group for group in groups if group not in joined] + [list(members)]
    return groups


def _beside(series: Sequence[Entry], overlays: Sequence[Entry]) -> list[list[str]]:
    """Series that a published ladder may be drawn over, those of one metric and task together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in series:
        if any(one["id"] in overlay["drawn_over"] for overlay in overlays):
            groups.setdefault((one["metric"], one["task"]), []).append(one["id"])
    return list(groups.values())


def _section(laws: Laws, group: Sequence[str]) -> Section:
    by_id = {one["id"]: one for one in laws["series"]}
    series = [by_id[id_] for id_ in group]
    pairs = [one for one in laws["comparisons"] if one["a"] in group]
    overlays = [one for one in laws["overlays"] if set(one["drawn_over"]) & set(group)]
    named = list(zip(_names(series, pairs), series, strict=True))
    title = _title(series) + ("" if pairs else ", beside published ladders")
    id_ = slug(f"compared-{group[0]}")
    axes = [axis for axis in laws["settings"]["x"] if all(has_axis(one, axis) for one in series)]
    if not pairs:  # the published figures are what it is about
        axes = [axis for axis in axes if any(_has(one, axis) for one in overlays)]
    notes = dict.fromkeys(note for one in pairs for note in one["notes"])
    whole = [
        sentence
        for one in pairs
        for sentence in (one["sentences"] if len(pairs) == 1 else one["sentences"][:1])
    ]
    tables = (_exponents(named, pairs), _tests(pairs), _published(overlays, laws["settings"]["x"][0]))
    return Section(
        id=id_,
        group=GROUP,
        title=title,
        sentences=(*whole, *notes, *map(_overlay_sentence, overlays)),
        figures=tuple(_figure(id_, named, overlays, axis, title, laws["settings"]["level"]) for axis in axes),
        tables=tuple(table for table in tables if table),
        small_print=_small_print(pairs),
    )


def _has(overlay: Entry, axis: str) -> bool:
    """Whether the published models have a place on the axis."""
    return all(point["x"].get(axis) for point in overlay["points"])


def _title(series: Sequence[Entry]) -> str:
    """The metric, and the task where they share one that is not running text."""
    metric, tasks = capital(METRIC_NAMES[series[0]["metric"]]), {one["task"] for one in series}
    task = "" if len(tasks) > 1 or tasks & set(CORPUS_TASKS) else f" of {series[0]['task']}"
    return f"{metric}{task}, {series[0]['split']}"


def _names(series: Sequence[Entry], pairs: Sequence[Entry]) -> list[str]:
    """What each is called on the chart: as in the only comparison, else by what its title adds."""
    if len(pairs) == 1:
        called = dict(zip((pairs[0]["a"], pairs[0]["b"]), pairs[0]["names"], strict=True))
        return [called[one["id"]] for one in series]
    titles = [str(one["apart"] or one["title"]) for one in series]
    return [
        str(one["title"]) if titles.count(name) > 1 else name
        for name, one in zip(titles, series, strict=True)
    ]


def _figure(
    id_: str,
    named: Sequence[tuple[str, Entry]],
    overlays: Sequence[Entry],
    axis: str,
    title: str,
    level: float,
) -> Figure:
    drawn = [one for one in overlays if _has(one, axis)]
    who = " and ".join(name for name, _ in named)
    description = f"{title} of {who} against {AXIS_NAMES[axis]}"
    if drawn:
        description += f", with published figures of {' and '.join(one['title'] for one in drawn)}"
    key = [("series", "measured, a colour and a shape for each, as in the legend")]
    if any(fit["x"] == axis and fit["chosen"] for _, one in named for fit in one["fits"]):
        key.append(("confidence", f"{100 * level:g} % confidence band of each law, hidden rungs unseen"))
    key += [("overlay", f"{one['title']}: {one['source']}") for one in drawn]
    spec = compared_chart(named, drawn, axis, f"{description}.")
    return Figure(f"{id_}-{slug(axis)}", TABS[axis], description, spec, tuple(key))


def _exponents(named: Sequence[tuple[str, Entry]], pairs: Sequence[Entry]) -> Table | None:
    if not pairs:
        return None
    names = {one["id"]: name for name, one in named}
    rows = [
        (
            f"{names[one[side]]}, {'with' if one['paired'] else 'not paired with'} {names[one[other]]}",
            f"{one['formula']} ({LAW_NAMES[one['law']]})",
            str(one["sizes"][place]),
            with_error(one["exponents"][place], one["standard_errors"][place]),
        )
        for one in pairs
        for place, (side, other) in enumerate((("a", "b"), ("b", "a")))
    ]
    columns = (
        Column("Series", numeric=False),
        Column("Law", numeric=False),
        Column("Rungs"),
        Column("Exponent b ± s.e."),
    )
    return Table("Exponents, over all rungs", columns, tuple(rows))


def _tests(pairs: Sequence[Entry]) -> Table | None:
    if not pairs:
        return None
    titles = (
        "Difference of b",
        "95 % interval",
        "p",
        "p after Holm",
        "Apart at the largest size",
        "Cross at",
    )
    rows = tuple(
        (
            " − ".join(one["names"]),
            one["differs_in"],
            "paired" if one["paired"] else "not paired",
            signed(one["difference"]),
            " to ".join(signed(end) for end in one["interval"]),
            fixed(one["p_value"], 3),
            fixed(one["p_holm"], 3),
            signed(one["offset"]["difference"]),
            axis_value(one["x"], one["crossing"]["x"]) if one["crossing"] else "not seen",
        )
        for one in pairs
    )
    words = (
        Column("Pair", numeric=False),
        Column("Differs in", numeric=False),
        Column("Test", numeric=False),
    )
    return Table("Do the exponents differ?", (*words, *map(Column, titles)), rows)


def _published(overlays: Sequence[Entry], axis: str) -> Table | None:
    if not overlays:
        return None
    rows = tuple(
        (point["name"], one["title"], axis_value(axis, point["x"].get(axis)), significant(point["value"]))
        for one in overlays
        for point in one["points"]
    )
    columns = (
        Column("Model", numeric=False),
        Column("Ladder", numeric=False),
        Column(capital(AXIS_NAMES[axis])),
        Column("Value"),
    )
    return Table("Published", columns, rows)


def _overlay_sentence(overlay: Entry) -> str:
    fit = overlay["fit"]
    error, many = fit["standard_errors"]["b"], len(overlay["points"])
    return (
        f"{overlay['title']} ({overlay['source']}): a power law through these {SMALL_NUMBERS[many]} figures"
        f" alone has exponent {with_error(fit['parameters']['b'], error)} by {AXIS_NAMES[fit['x']]}."
        f" They are in no fit here, and not the same measure: {overlay['caveat']}."
    )


def _small_print(pairs: Sequence[Entry]) -> str:
    if not pairs:
        return ""
    return (
        f"Exponents here are by least squares of ln y over all rungs, each rung's seeds averaged, so they may"
        f" differ from those of the laws above; p-values from {pairs[0]['refits']} refits to draws about the"
        " curves, paired draws with the residuals' own covariance."
    )


def _why_none(laws: Laws) -> Section:
    rows = tuple((one["what"], one["reason"]) for one in laws["not_compared"])
    columns = (Column("Pair", numeric=False), Column("Why", numeric=False))
    return Section(
        id="compared-none",
        group=GROUP,
        title="Nothing compared",
        sentences=(laws["no_comparison_reason"],),
        figures=(),
        tables=(Table("Not compared", columns, rows),) if rows else (),
        small_print="",
    )
