"""laws.json and run.json -> the report in reading order: verdict, hero chart, metrics, how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from altair.utils.schemapi import debug_mode

from scaling_report.analysis import led_by_data
from scaling_report.compared import tell_compared
from scaling_report.figures import learning_curves
from scaling_report.loss_sections import tell_loss_to_task
from scaling_report.marks import chart_controls, recipe_of
from scaling_report.notation import integer, moment, short, significant
from scaling_report.optimal.telling import tell_optimal
from scaling_report.parts import Column, Figure, Section, Story, Table
from scaling_report.passage import read_passage
from scaling_report.provenance import (
    cost_facts,
    fact_tables,
    failure_table,
    read_samples,
    rung_tables,
    stage_table,
    training_facts,
)
from scaling_report.sections import glance, summarise_tasks, tell_series
from scaling_report.surface_view import tell_surface

LEFT_OUT_SHOWN = 60  # more are counted by their reasons; laws.json lists all


def tell(laws: Mapping[str, Any], run: Mapping[str, Any] | None, name: str = "a table of results") -> Story:
    """The whole report. `laws` is what `analyse` gives, `run` run.json's content or None for a bare table.

    Such a table may hold models of several runs, so the report has its own `name`, not theirs.
    """
    # altair checks every part against its schema as it is made, which takes longer than all the fits;
    # the tests draw every kind of chart, and what is wrong fails there
    with debug_mode(False):
        return _tell(laws, run or {}, name)


def _tell(laws: Mapping[str, Any], run: Mapping[str, Any], name: str) -> Story:
    hero = _hero(laws["series"])
    sections = {one["id"]: tell_series(one, laws["settings"]) for one in laws["series"]}
    surfaces = tuple(tell_surface(one) for one in laws["surfaces"])
    told = {sentence for section in (*sections.values(), *surfaces) for sentence in section.sentences}
    headline, *rest = laws["verdict"] or ["No rung has been measured yet."]
    lede = (*rest[:1], *summarise_tasks([one for one in laws["series"] if one["stage"] != "pretrain"]))
    optimal = tuple(tell_optimal(one) for one in laws["compute_optimal"])
    lead = sections.get((hero or {}).get("id", ""))
    if led_by_data(laws["series"], laws["compute_optimal"]):
        lead, *others = (*optimal, *surfaces, *sections.values())
    else:
        others = [*surfaces, *optimal, *(one for one in sections.values() if one is not lead)]
    findings = [sentence for sentence in rest[1:] if sentence not in told]
    stages = stage_table(run)
    return Story(
        run=run.get("run") or name,
        made=moment(run.get("made")),
        headline=headline,
        lede=lede,
        facts=(*_facts(hero, run), *cost_facts(run, laws["settings"])),
        failures=failure_table(run),
        hero=_lead(lead, (headline, *lede), findings) if lead else None,
        glance=glance(laws["series"]) if laws["series"] else None,
        sections=(
            *others,
            *tell_loss_to_task(laws["loss_to_task"]),
            *tell_compared(laws),
        ),
        curves=_curves(run.get("curves") or []),
        samples=read_samples(run),
        passage=read_passage(run),
        rungs=rung_tables(run),
        left_out=_left_out(laws["left_out"]),
        provenance=(*fact_tables(run), *((stages,) if stages else ())),
        command=run.get("command"),
        recipe=run.get("recipe_yaml"),
    )


def _hero(series: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Bits per byte on the test split, which every tokenizer shares; else the first series."""
    wanted = ("pretrain", "bits_per_byte", "test")
    first = next((one for one in series if (one["stage"], one["metric"], one["split"]) == wanted), None)
    return first or next(iter(series), None)


def _lead(section: Section, lede: Sequence[str], findings: Sequence[str]) -> Section:
    """The hero's section less what the lede has said, plus what only the verdict says."""
    kept = [sentence for sentence in section.sentences if sentence not in lede]
    return replace(section, sentences=(*kept, *findings))


def _facts(hero: Mapping[str, Any] | None, run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The few numbers that a reader carries away."""
    if hero is None:
        return training_facts(run)
    sizes = [size for point in hero["points"] if (size := point["x"].get("non_embedding"))]
    rungs = len({point["rung"] for point in hero["points"]})
    ends = dict.fromkeys(short(end(sizes)) for end in (min, max)) if sizes else ()
    reach = f", {' to '.join(ends)} non-embedding parameters" if ends else ""
    facts = [(str(rungs), f"{'rung' if rungs == 1 else 'rungs'}{reach}")]
    forecast = hero["forecast"]
    if forecast and forecast["error_percent"] is not None:
        rung = forecast["held_out"][-1]
        told = f"between the prediction of {rung} and its measurement"
        facts.append((f"{significant(abs(forecast['error_percent']), 2)} %", told))
    return (*facts, *training_facts(run))


def _curves(curves: Sequence[Mapping[str, Any]]) -> Figure | None:
    if not any(curve["points"] for curve in curves):
        return None
    spec = learning_curves(curves)
    rungs = dict.fromkeys(str(curve["rung"]) for curve in curves if curve["points"])
    return Figure(
        id="learning-curves",
        tab="by tokens",
        description="training loss against tokens seen, a line for each run",
        spec=spec,
        controls=chart_controls(spec, tuple(rungs)),
        again=recipe_of("figures", "learning_curves(told['curves'])", "", "../run.json"),
    )


def _left_out(entries: Sequence[Mapping[str, str]]) -> Table | None:
    columns = (Column("Left out", numeric=False), Column("Why", numeric=False))
    rows = tuple((entry["what"], entry["reason"]) for entry in entries[:LEFT_OUT_SHOWN])
    rest = Counter(entry["reason"] for entry in entries[LEFT_OUT_SHOWN:])
    rows += tuple((f"and {integer(number)} more", reason) for reason, number in rest.most_common(10))
    return Table("Not in the fits", columns, rows) if rows else None
