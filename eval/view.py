"""Evaluations and comparisons as people read them: tables in a terminal, the same as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any, get_args

from eval.evaluations import Kept
from eval.results import Result
from eval.tasks import TASKS
from eval.tasks.base import KINDS, METRICS_OF, LanguageModelling, Task

if TYPE_CHECKING:
    from rich.console import Console

    from eval.comparing import Comparison

Table = list[dict[str, str]]

# Columns of words; numbers stand to the right.
_WORDS = frozenset(("model", "task", "split", "metric", "baseline", "verdict", "kind", "asks", "metrics"))
_TOKENS = {"next": "Each after those before it.", "masked": "15 % hidden.", "each": "Each hidden in turn."}
_EXAMPLES, _EXAMPLE = 2, 60  # of what is noted: how many, how many characters
_SHOWN_LABELS = 12  # rows of a confusion matrix that fit a screen


def result_table(evaluations: Iterable[Kept]) -> Table:
    """A row a score: of every model, task, subset and metric, with the baselines beside it."""
    rows = []
    for kept in evaluations:
        speed = kept.facts.get("speed") or {}
        own = [result for result in kept.results if result.family != "baseline"]
        baselines = [result for result in kept.results if result.family == "baseline"]
        for place, result in enumerate(own):
            rows.append(
                {
                    "model": _model(kept),
                    "task": result.task,
                    "split": result.split,
                    "metric": result.metric,
                    "value": _value(result),
                    "n": "" if result.n is None else f"{result.n:,}",
                    "baseline": _baseline(result, baselines),
                    # of the evaluation, so once
                    "items/s": _rate(speed.get("items_per_second")) if not place else "",
                    "tokens/s": _rate(speed.get("tokens_per_second")) if not place else "",
                    "latency": _milliseconds(speed.get("latency_ms")) if not place else "",
                }
            )
    return rows


def notes(evaluations: Iterable[Kept]) -> list[str]:
    """What a reader must know beside scores: failed and cut items, overlap with train, numbers left out.

    What is so of several evaluations is said once.
    """
    said: dict[str, list[str]] = {}
    for kept in evaluations:
        for note in _notes(kept.facts):
            said.setdefault(note, []).append(_title(kept))
    return [f"{note} [{'; '.join(where)}]" for note, where in said.items()]


def _notes(facts: Mapping[str, Any]) -> list[str]:
    said = []
    for state, what in (("failed", "could not be scored"), ("cut", "were longer than the model reads")):
        if (found := facts.get(state)) and found["count"]:
            count = f"{found['count']:,} of {facts['items']:,}"
            said.append(f"{count} items {what} ({_examples(found)})")
    overlap = facts.get("contamination")
    if overlap and overlap["count"]:
        count = f"{overlap['count']:,} of {overlap['of']:,}"
        said.append(
            f"{count} items share long n-grams with train rows ({_examples(overlap)}); `clean` are the others"
        )
    return said + [f"left out: {left}" for left in facts.get("left_out", ())]


def confusion_table(kept: Kept) -> Table:
    """References down, outputs across; empty where there is none, or one too large to read."""
    found = kept.facts.get("confusion")
    if not found or len(found["labels"]) > _SHOWN_LABELS:
        return []
    return [
        {"is \\ said": label}
        | {other: f"{count:,}" for other, count in zip(found["labels"], row, strict=True)}
        for label, row in zip(found["labels"], found["counts"], strict=True)
    ]


def results_markdown(evaluations: Sequence[Kept]) -> str:
    """All of it as Markdown."""
    parts = ["# Results", _markdown(result_table(evaluations))]
    if said := notes(evaluations):
        parts.append("\n".join(f"- {_escape(note)}" for note in said))
    for kept in evaluations:
        if table := confusion_table(kept):
            parts += [f"## {_escape(_title(kept))}: what was said for what is", _markdown(table)]
    return "\n\n".join(parts) + "\n"


def print_results(console: Console, evaluations: Sequence[Kept]) -> None:
    """The same in a terminal: a heading and a table for each model and task, so that narrow ones hold it."""
    for kept in evaluations:
        rows = result_table([kept])
        counts = {row["n"] for row in rows}
        console.print(_heading(kept, rows), markup=False, highlight=False, soft_wrap=True)
        told = ("model", "split", "items/s", "tokens/s", "latency")  # by the heading
        hidden = (*told, *(("n",) if len(counts) == 1 else ()))
        table = [{name: cell for name, cell in row.items() if name not in hidden} for row in rows]
        if len({row["task"] for row in table}) == 1:
            table = [{name: cell for name, cell in row.items() if name != "task"} for row in table]
        if table:
            _print(console, table)
        if confusion := confusion_table(kept):
            _print(console, confusion)
    for note in notes(evaluations):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _heading(kept: Kept, rows: Table) -> str:
    """Which model, task, split, and what it cost."""
    first = rows[0] if rows else {}
    cost = [f"{first[name]} {name}" for name in ("items/s", "tokens/s") if first.get(name)]
    if first.get("latency"):
        cost.append(f"{first['latency']} an item alone")
    items = f"{kept.facts['items']:,} items" if kept.facts.get("items") else ""
    return " · ".join(part for part in (_title(kept), first.get("split", ""), items, *cost) if part)


def comparison_table(comparison: Comparison) -> Table:
    """A row a metric."""
    models = any(one.rung is not None for one in comparison.compared)
    return [
        ({"model": f"{one.rung} s{one.seed}" if one.seed is not None else str(one.rung)} if models else {})
        | {
            "task": one.task,
            "split": one.split,
            "metric": one.metric,
            "A": _number(one.a),
            "B": _number(one.b),
            "B - A": _number(one.difference),
            "95 % interval": ""
            if one.interval is None
            else f"{one.interval[0]:.3g} to {one.interval[1]:.3g}",
            "n": f"{one.n:,}",
            "p bootstrap": _p(one.p_bootstrap),
            "p random.": _p(one.p_randomisation),
            "p McNemar": _p(one.p_mcnemar),
            "Holm": _p(one.p_holm),
            "verdict": one.verdict,
        }
        for one in comparison.compared
    ]


def print_comparison(console: Console, comparison: Comparison) -> None:
    """The table, seeds' spreads, and what was refused."""
    console.print(f"A: {comparison.a}\nB: {comparison.b}", markup=False, highlight=False, soft_wrap=True)
    if table := comparison_table(comparison):
        _print(console, table)
    lines = [
        f"{side}: {one.task}, {one.metric}, {one.rung}: {one.n} seeds, mean {_number(one.mean)}, "
        f"standard deviation between them {_number(one.deviation)}"
        for side, spreads in comparison.spreads.items()
        for one in spreads
    ]
    lines += [f"not compared: {refused.what}: {refused.reason}" for refused in comparison.refused]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def task_table() -> Table:
    """The built-in tasks: what each asks, and its metrics."""
    rows = []
    for task in TASKS.values():
        row = _task_row(task.name, type(task), task.metrics)
        if isinstance(task, LanguageModelling):
            row["asks"] += f" {_TOKENS[task.asks]}"
        rows.append({"task": task.name, "kind": task.kind} | row)
    return rows


def kind_table() -> Table:
    """The kinds that a task of one's own may have."""
    kinds = {kind.__dataclass_fields__["kind"].default: kind for kind in get_args(Task)}
    return [_task_row(name, kinds[name], METRICS_OF[name]) for name in KINDS]


def print_tasks(console: Console) -> None:
    """Both, each task in a few lines."""
    for title, table in (
        ("Built-in tasks, for --task NAME with --data ROWS:", task_table()),
        ("Kinds of task, for a file of your own, or --task KIND with --data ROWS:", kind_table()),
    ):
        console.print(f"{title}\n", markup=False, highlight=False, soft_wrap=True)
        for row in table:
            kind = f" ({row['kind']})" if row.get("kind", row["task"]) != row["task"] else ""
            lines = (f"  {row['task']}{kind}", f"    {row['asks']}", f"    {row['metrics']}")
            console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        console.print()


def _task_row(name: str, kind: type, metrics: Sequence[str]) -> dict[str, str]:
    asks = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return {"task": name, "asks": re.split(r"(?<=[.?]) ", asks)[0], "metrics": ", ".join(metrics)}


def _title(kept: Kept) -> str:
    return f"{_model(kept)}, {kept.manifest['task']}"


def _model(kept: Kept) -> str:
    """A model of a run by its rung; any other by its name."""
    first = next((result for result in kept.results if result.family != "baseline"), None)
    if first is None or first.run is None:
        return str(kept.manifest["model"])
    return f"{first.stage} {first.rung}" + ("" if first.seed is None else f" s{first.seed}")


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
    return ", ".join(f"{_number(one.value)} {one.rung}" for one in same)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _rate(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _milliseconds(value: float | None) -> str:
    return f"{_rate(value)} ms" if value else ""


def _columns(table: Table) -> list[str]:
    """The columns that any row has something in."""
    return [name for name in table[0] if any(row[name] for row in table)]


def _print(console: Console, table: Table, title: str | None = None) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    columns = _columns(table)
    shown = RichTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        words = name in _WORDS or name == columns[0]
        whole = name in ("metric", "verdict", "kind")  # the first to be cut are long names
        shown.add_column(name, justify="left" if words else "right", no_wrap=whole, overflow="fold")
    for row in table:
        shown.add_row(*(Text(row[name]) for name in columns))
    console.print(shown)


def _markdown(table: Table) -> str:
    if not table:
        return "Nothing is finished."
    columns = _columns(table)
    sides = [":--" if name in _WORDS or name == columns[0] else "--:" for name in columns]
    lines = [columns, sides, *([row[name] for name in columns] for row in table)]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in line)} |" for line in lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
