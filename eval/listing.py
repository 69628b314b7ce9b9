"""What `stepladder eval --list` shows: the built-in tasks, and the kinds that others may be of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from eval.printing import Table
from eval.tasks import TASKS
from eval.tasks.base import KINDS, METRICS_OF, LanguageModelling, Task

if TYPE_CHECKING:
    from rich.console import Console

_TOKENS = {"next": "Each after those before it.", "masked": "15 % hidden.", "each": "Each hidden in turn."}


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
