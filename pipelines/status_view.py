"""`stepladder status` as people and programs read it: a table with its summary, or JSON; once or again."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live as Redrawn
from rich.table import Table
from rich.text import Text

from pipelines.status import STATES, RunStatus, StageStatus
from pipelines.watcher import Watcher

EVERY_S = 2.0
# Up to so many stages are shown whole; of more, what runs or failed and the newest that finished.
WHOLE = 40
FAILED, NEWEST = 20, 5
_STYLES = {"done": "green", "running": "cyan", "silent": "yellow", "failed": "red", "waiting": "dim"}


def show_status(folder: Path, *, watch: bool, as_json: bool, every_stage: bool) -> None:
    """Print what is known of the run in `folder`; with `watch` every two seconds until it ends.

    Raises InputError if the folder is no run folder, or may not be read.
    """
    watcher = Watcher(folder)
    console = Console(highlight=False, markup=False)
    if not watch:
        gc.disable()  # a tenth of the time with ten thousand stages, and the process ends anyway
    status = watcher.settled()
    if not watch:
        _print(console, status, as_json, every_stage)
    elif console.is_terminal and not as_json:
        _redraw(console, watcher, status, every_stage)
    else:
        _follow(console, watcher, status, as_json, every_stage)


def is_over(status: RunStatus) -> bool:
    """Whether there is nothing more to watch. A run that is silent from here may work elsewhere."""
    return status.state in ("ended", "stopped", "gone", "new")


def _redraw(console: Console, watcher: Watcher, status: RunStatus, every_stage: bool) -> None:
    with Redrawn(view(status, every_stage), console=console, auto_refresh=False) as redrawn:
        while not is_over(status):
            time.sleep(EVERY_S)
            status = watcher.look()
            redrawn.update(view(status, every_stage), refresh=True)


def _follow(console: Console, watcher: Watcher, status: RunStatus, as_json: bool, every_stage: bool) -> None:
    """Where nothing can be drawn over: JSON every time, the table when a stage's state changed."""
    shown = None
    while True:
        states = (status.state, [row.state for row in status.stages])
        if as_json or states != shown:
            _print(console, status, as_json, every_stage, one_line=True)
        shown = states
        if is_over(status):
            return
        time.sleep(EVERY_S)
        status = watcher.look()


def _print(
    console: Console, status: RunStatus, as_json: bool, every_stage: bool, *, one_line: bool = False
) -> None:
    if as_json:
        found = status.to_dict()
        print(json.dumps(found, allow_nan=False, indent=None if one_line else 2), flush=True)
    else:
        console.print(view(status, every_stage), soft_wrap=not console.is_terminal)


def view(status: RunStatus, every_stage: bool) -> Group:
    """The table of stages, and the lines below it."""
    rows = status.stages if every_stage else chosen(status.stages)
    facts = [_facts(row) for row in rows]
    columns = ["stage", "state", "where", "seconds", "tokens/s", "left", "note"]
    used = [index for index in range(len(columns)) if index < 2 or any(fact[index] for fact in facts)]
    table = Table(box=None, pad_edge=False)
    for index in used:
        right = columns[index] in ("seconds", "tokens/s", "left")
        table.add_column(
            columns[index],
            justify="right" if right else "left",
            no_wrap=columns[index] != "note",
            overflow="fold",
        )
    for row, fact in zip(rows, facts, strict=True):
        cells = [Text(plain(fact[index])) for index in used]
        cells[1].stylize(_STYLES[row.state])
        table.add_row(*cells)
    return Group(table, *(Text(plain(line)) for line in _summary(status, len(rows))))


def chosen(rows: Iterable[StageStatus]) -> tuple[StageStatus, ...]:
    """The stages worth a row where there are many, in the plan's order.

    All that run or gave no sign, failures of their own first, and the newest that finished.
    """
    every = tuple(rows)
    if len(every) <= WHOLE:
        return every
    failed = [row for row in every if row.state == "failed"]
    failed.sort(key=lambda row: (row.error is None and (row.reason or "").startswith("needs "), -row.order))
    done = sorted((row for row in every if row.state == "done"), key=lambda row: -row.order)
    shown = {row.stage for row in (*failed[:FAILED], *done[:NEWEST])}
    return tuple(row for row in every if row.state in ("running", "silent") or row.stage in shown)


def _facts(row: StageStatus) -> tuple[str, ...]:
    where = row.host or ""
    if row.pid is not None:
        where = f"{where} ({row.pid})".strip()
    speed = "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}"
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    left = "" if row.seconds_left is None else duration(row.seconds_left)
    return row.stage, row.state, where, seconds, speed, left, _note(row)


def _note(row: StageStatus) -> str:
    notes = []
    if row.reason:
        notes.append(row.reason)
    if row.error and row.error not in (row.reason or ""):
        notes.append(row.error)
    if row.where:
        notes.append(f"at {row.where}")
    if row.step is not None:
        of = "" if row.steps is None else f" of {row.steps:,}"
        loss = "" if row.loss_nats is None else f", loss {row.loss_nats:.3f} nats"
        notes.append(f"step {row.step:,}{of}{loss}")
    if row.note:
        notes.append(row.note)
    if row.retries and row.state != "done":
        times = "once" if len(row.retries) == 1 else f"{len(row.retries)} times"
        notes.append(f"retried {times}: {row.retries[-1]}")
    elif row.retries:
        notes.append("at the second try" if len(row.retries) == 1 else f"at try {len(row.retries) + 1}")
    if row.waits_for:
        more = f" and {len(row.waits_for) - 2} more" if len(row.waits_for) > 2 else ""
        notes.append(f"waits for {', '.join(row.waits_for[:2])}{more}")
    return "; ".join(notes)


def _summary(status: RunStatus, shown: int) -> Iterable[str]:
    counts = status.counts()
    if shown < len(status.stages):
        yield f"{len(status.stages) - shown:,} more stages are not shown; --all shows every one"
    summary = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
    yield f"{summary or 'none'} of {len(status.stages):,} stages; {_who(status)}"
    if counts["done"] + counts["failed"] < len(status.stages):
        if status.seconds_left is None:
            yield f"time left: not known ({status.seconds_left_how})"
        else:
            yield f"time left: about {duration(status.seconds_left)} ({status.seconds_left_how})"
    if status.plan_note:
        yield f"note: {status.plan_note}"
    if status.report:
        yield f"report: {status.report}"


def _who(status: RunStatus) -> str:
    run = status.run
    if status.state == "working":
        place = f" on {run.host}" if run and run.host else ""
        process = f" (process {run.pid})" if run and run.pid is not None else ""
        return f"a stepladder is working on it{place}{process}"
    if status.state == "stopped" and run:
        return f"it stopped: {run.reason or 'no reason told'}"
    if status.state == "gone":
        return "nobody is working on it; the run ended without a word, and the same command goes on with it"
    if status.state == "silent":
        last = (
            f"; it last told something at {status.last_event}, by its own clock" if status.last_event else ""
        )
        return f"no sign that anybody is working on it{last}"
    return "nobody is working on it"


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.5 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def plain(text: str) -> str:
    """Text of a stranger's file without what would move a terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
