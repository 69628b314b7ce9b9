"""Evaluations as people read them: tables in a terminal, the same as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from eval.evaluations import Kept
from eval.printing import Table, count, escape, markdown_table, number, print_table
from eval.results import Result
from eval.settings import EvalSettings

if TYPE_CHECKING:
    from rich.console import Console

_EXAMPLES, _EXAMPLE = 2, 60  # of what is noted: how many, how many characters
_SHOWN_LABELS = 12  # rows of a confusion matrix that fit a screen
_SHOWN_ROWS = 3  # files of rows
# Settings that stand in columns of their own, or are in no key.
_NOT_SHOWN = {"tasks", "split", "batch_tokens", "batch_size", "samples"}


def result_table(evaluations: Sequence[Kept]) -> Table:
    """A row a score: of every model, task, subset and metric, with the baselines beside it."""
    twins = _twins(evaluations)
    rows = []
    for kept in evaluations:
        baselines = [result for result in kept.results if result.family == "baseline"]
        rows += [
            {
                "model": _model(kept),
                "task": result.task + _key(kept, twins),
                "split": result.split,
                "metric": result.metric,
                "value": _value(result),
                "n": "" if result.n is None else f"{result.n:,}",
                "baseline": _baseline(result, baselines),
            }
            for result in kept.results
            if result.family != "baseline"
        ]
    return rows


def measured_table(evaluations: Sequence[Kept]) -> Table:
    """A row an evaluation: on which rows, with which settings, at what speed, and where it is kept."""
    twins = _twins(evaluations)
    rows = []
    for kept in evaluations:
        speed = kept.facts.get("speed") or {}
        latency = _rate(speed.get("latency_ms"))
        rows.append(
            {
                "model": _model(kept),
                "task": str(kept.manifest["task"]) + _key(kept, twins),
                "split": _split(kept),
                "rows": _rows(kept),
                "items": f"{kept.facts['items']:,}" if kept.facts.get("items") else "",
                "settings": _settings(kept),
                "items/s": _rate(speed.get("items_per_second")),
                "tokens/s": _rate(speed.get("tokens_per_second")),
                "latency": f"{latency} ms" if latency else "",
                "folder": f"{kept.folder.parent.name}/{kept.folder.name}",
            }
        )
    return rows


def notes(evaluations: Sequence[Kept]) -> list[str]:
    """What a reader must know beside scores: failed and cut items, overlap with train, numbers left out.

    What is so of several evaluations is said once.
    """
    twins = _twins(evaluations)
    said: dict[str, list[str]] = {}
    for kept in evaluations:
        for note in _notes(kept):
            said.setdefault(note, []).append(_title(kept) + _key(kept, twins))
    return [f"{note} [{'; '.join(where)}]" for note, where in said.items()]


def confusion_table(kept: Kept) -> Table:
    """References down, outputs across; empty where there is none, or one too large to read."""
    found = kept.facts.get("confusion")
    if not found or len(found["labels"]) > _SHOWN_LABELS:
        return []
    return [
        {"is \\ said": label}
        | {other: f"{times:,}" for other, times in zip(found["labels"], row, strict=True)}
        for label, row in zip(found["labels"], found["counts"], strict=True)
    ]


def results_markdown(evaluations: Sequence[Kept]) -> str:
    """All of it as Markdown."""
    if not evaluations:
        return "# Results\n\nNothing is finished.\n"
    twins = _twins(evaluations)
    parts = ["# Results", markdown_table(result_table(evaluations))]
    if said := notes(evaluations):
        parts.append("\n".join(f"- {escape(note)}" for note in said))
    parts += ["## What was measured", markdown_table(measured_table(evaluations))]
    for kept in evaluations:
        if table := confusion_table(kept):
            title = escape(_title(kept) + _key(kept, twins))
            parts += [f"## {title}: what was said for what is", markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def print_results(console: Console, evaluations: Sequence[Kept]) -> None:
    """The same in a terminal: a heading and a table for each model and task, so that narrow ones hold it."""
    twins = _twins(evaluations)
    for kept in evaluations:
        rows = result_table([kept])
        console.print(_heading(kept, twins), markup=False, highlight=False, soft_wrap=True)
        # model, task and split are in the heading, as is a number that is the same for all
        several = len({row["n"] for row in rows}) > 1
        columns = ("metric", "value", *(("n",) if several else ()), "baseline")
        table = [
            {"part": row["task"].partition("/")[2]} | {name: row[name] for name in columns} for row in rows
        ]
        if table:
            print_table(console, table)
        if confusion := confusion_table(kept):
            print_table(console, confusion)
    for note in notes(evaluations):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _heading(kept: Kept, twins: frozenset[str]) -> str:
    """Which model, task, split and rows, and what it cost."""
    (row,) = measured_table([kept])
    items = count(kept.facts["items"], "item") if row["items"] else ""
    cost = [f"{row[name]} {name}" for name in ("items/s", "tokens/s") if row[name]]
    cost += [f"{row['latency']} an item alone"] if row["latency"] else []
    parts = (_title(kept) + _key(kept, twins), row["split"], row["rows"], items, *cost)
    return " · ".join(part for part in parts if part)


def _twins(evaluations: Iterable[Kept]) -> frozenset[str]:
    """What several evaluations are all called: those of other rows, or asked otherwise."""
    titles = Counter(f"{_title(kept)} {_split(kept)}" for kept in evaluations)
    return frozenset(title for title, times in titles.items() if times > 1)


def _key(kept: Kept, twins: frozenset[str]) -> str:
    """What tells an evaluation from others of the same name: its key, which ends its folder's name."""
    return f" [{kept.manifest['key']}]" if f"{_title(kept)} {_split(kept)}" in twins else ""


def _title(kept: Kept) -> str:
    return f"{_model(kept)}, {kept.manifest['task']}"


def _model(kept: Kept) -> str:
    """A model of a run by its rung; any other by its name."""
    first = next((result for result in kept.results if result.family != "baseline"), None)
    if first is None or first.run is None:
        return str(kept.manifest["model"])
    return f"{first.stage} {first.rung}" + ("" if first.seed is None else f" s{first.seed}")


def _split(kept: Kept) -> str:
    return kept.results[0].split if kept.results else ""


def _rows(kept: Kept) -> str:
    """The names of the files that the rows come from, each with its folder's; the manifest has them whole."""
    names = ["/".join(PurePath(name).parts[-2:]) for name in kept.manifest.get("source") or ()]
    return ", ".join(names[:_SHOWN_ROWS]) + (", …" if len(names) > _SHOWN_ROWS else "")


def _settings(kept: Kept) -> str:
    """Those that are not as usual."""
    usual = EvalSettings().model_dump(mode="json", exclude=_NOT_SHOWN)
    usual["seed"] = 0
    given = kept.manifest["told"]["settings"] | {"seed": kept.manifest["told"].get("seed", 0)}
    return ", ".join(f"{name}={given[name]}" for name in usual if given.get(name, usual[name]) != usual[name])


def _notes(kept: Kept) -> list[str]:
    facts, said = kept.facts, []
    for state, what in (("failed", "could not be scored"), ("cut", _cut(kept))):
        if (found := facts.get(state)) and found["count"]:
            items = count(facts["items"], "item")
            said.append(f"{found['count']:,} of {items} {what} ({_examples(found)})")
    overlap = facts.get("contamination")
    if overlap and overlap["count"]:
        items = count(overlap["of"], "item")
        said.append(
            f"{overlap['count']:,} of {items} share long n-grams with train rows ({_examples(overlap)}); "
            "`clean` are the others"
        )
    return said + [f"left out: {left}" for left in facts.get("left_out", ())]


def _cut(kept: Kept) -> str:
    """What happened to items that were too long; solved examples stand first, and are cut first."""
    task = kept.manifest["told"]["task"]
    shots = task.get("shots") if isinstance(task, Mapping) else None
    lost = f", and lost some of their {count(shots, 'solved example')}: lower shots" if shots else ""
    return f"were longer than the model reads{lost}"


def _examples(found: Mapping[str, Any]) -> str:
    """A few of them, short; facts.json has more."""
    shown = [shorten(one, _EXAMPLE, placeholder="…") for one in found["examples"][:_EXAMPLES]]
    return "; ".join(shown) + ("; …" if found["count"] > len(shown) else "")


def _value(result: Result) -> str:
    """`value ± error`, to the error's second digit."""
    if result.value is None:
        return f"none ({result.missing['value']})"
    if not result.stderr:
        return f"{result.value:.4g}"
    digits = min(6, max(0, 1 - math.floor(math.log10(result.stderr))))
    return f"{result.value:.{digits}f} ± {result.stderr:.{digits}f}"


def _baseline(result: Result, baselines: Sequence[Result]) -> str:
    same = [
        one
        for one in baselines
        if (one.task, one.split, one.metric) == (result.task, result.split, result.metric)
        and one.value is not None
    ]
    return ", ".join(f"{number(one.value)} {one.rung}" for one in same)


def _rate(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
