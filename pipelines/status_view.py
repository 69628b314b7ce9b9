"""`stepladder status` as people and programs read it: a table with its summary, or JSON; once or again."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.observer import Observer
from pipelines.status import STATES, RunStatus, StageStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

EVERY_S = 2.0
# Up to so many stages are shown whole; of more, what runs or failed and the newest that finished.
WHOLE = 40
FAILED, NEWEST = 20, 5
COLUMNS = ("stage", "state", "where", "seconds", "tokens/s", "left", "note")
_STYLES = {"done": "green", "running": "cyan", "silent": "yellow", "failed": "red", "waiting": "dim"}


def show_status(folder: Path, *, watch: bool, as_json: bool, every_stage: bool) -> None:
    """Print what is known of the run in `folder`; with `watch` every two seconds until it ends.

    Raises InputError if the folder is no run folder, or may not be read.
    """
    observer = Observer(folder)
    if not watch:
        gc.disable()  # a tenth of the time with ten thousand stages, and the process ends anyway
    status = observer.settled()
    drawn = sys.stdout.isatty() and not as_json
    if not drawn:
        _follow(observer, status, watch, as_json, every_stage)
    elif watch and not is_over(status):
        _redraw(observer, status)
    else:
        _console().print(_coloured(status, every_stage, None))


def is_over(status: RunStatus) -> bool:
    """Whether there is nothing more to watch. A run that is silent from here may work elsewhere."""
    return status.state in ("ended", "stopped", "gone", "new")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False)


def _redraw(observer: Observer, status: RunStatus) -> None:
    """In a terminal; what does not fit into its height is counted."""
    from rich.live import Live

    console = _console()
    with Live(console=console, auto_refresh=False) as redrawn:
        while True:
            over = is_over(status)
            # what stays on the screen may be longer than it
            redrawn.update(_coloured(status, False, None if over else console.height), refresh=True)
            if over:
                return
            time.sleep(EVERY_S)
            status = observer.look()


def _follow(observer: Observer, status: RunStatus, watch: bool, as_json: bool, every_stage: bool) -> None:
    """Where nothing can be drawn over: JSON with every look, lines when the state of a stage changed."""
    shown = None
    while True:
        states = (status.state, [row.state for row in status.stages])
        if as_json:
            print(json.dumps(status.to_dict(), allow_nan=False, indent=None if watch else 2), flush=True)
        elif states != shown:
            rows = status.stages if every_stage else chosen(status.stages)
            print("\n".join([*(line for line, _ in lines(rows)), *summary(status, len(rows))]), flush=True)
        shown = states
        if not watch or is_over(status):
            return
        time.sleep(EVERY_S)
        status = observer.look()


def _coloured(status: RunStatus, every_stage: bool, height: int | None) -> Text:
    """All of it, for a terminal; at most `height` lines."""
    from rich.text import Text

    rows = status.stages if every_stage else chosen(status.stages)
    told = summary(status, len(rows))
    if height is not None:
        rows = chosen(rows, max(1, height - len(told) - 3))
        told = summary(status, len(rows))
    text = Text(overflow="ellipsis", no_wrap=height is not None)
    for line, state in lines(rows):
        text.append(f"{line}\n", style=_STYLES.get(state))
    return text.append("\n".join(told))


def chosen(rows: Sequence[StageStatus], most: int | None = None) -> tuple[StageStatus, ...]:
    """The stages worth a line, in the plan's order: all where they are few, and where there are many
    all that run or gave no sign, failures, those of their own first, and the newest that finished.

    most: no more than so many.
    """
    running = [row for row in rows if row.state in ("running", "silent")]
    failed = [row for row in rows if row.state == "failed"]
    failed.sort(key=lambda row: (row.error is None and (row.reason or "").startswith("needs "), -row.order))
    done = sorted((row for row in rows if row.state == "done"), key=lambda row: -row.order)
    if len(rows) <= (WHOLE if most is None else most):
        return tuple(rows)
    waiting = [row for row in rows if row.state == "waiting"] if most is not None else []
    first = [*running, *failed[:FAILED], *done[:NEWEST], *waiting][:most]
    kept = {row.stage for row in first}
    return tuple(row for row in rows if row.stage in kept)


def lines(rows: Sequence[StageStatus]) -> list[tuple[str, str]]:
    """Headings, then a line a stage, each with the stage's state; a column without content is left out."""
    cells = [COLUMNS, *(tuple(plain(cell) for cell in _cells(row)) for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(COLUMNS) - 1)]
    used = [index for index in range(len(COLUMNS)) if index < 2 or any(row[index] for row in cells[1:])]
    states = ["", *(row.state for row in rows)]
    found = []
    for row, state in zip(cells, states, strict=True):
        padded = (
            _pad(row[index], widths[index], index) if index < len(widths) else row[index] for index in used
        )
        found.append(("  ".join(padded).rstrip(), state))
    return found


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if COLUMNS[column] in ("seconds", "tokens/s", "left") else cell.ljust(width)


def _cells(row: StageStatus) -> tuple[str, ...]:
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
        resumed = f" (resumed at {row.resumed_step:,})" if row.resumed_step and row.state == "running" else ""
        notes.append(f"step {row.step:,}{of}{resumed}{loss}")
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


def summary(status: RunStatus, shown: int) -> list[str]:
    """The lines below the table: counts, who works on it, the time left."""
    return [plain(line) for line in _summary(status, shown)]


def _summary(status: RunStatus, shown: int) -> Iterable[str]:
    counts = status.counts()
    if shown < len(status.stages):
        yield f"not shown: {len(status.stages) - shown:,} more; --all shows every stage"
    summary = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
    yield f"{summary or 'none'} of {len(status.stages):,} stages; {_who(status)}"
    if counts["done"] + counts["failed"] < len(status.stages):
        if status.seconds_left is None:
            yield f"time left: not known ({status.seconds_left_how})"
        elif status.seconds_left < 1:
            yield f"time left: any moment, what runs took as long as expected ({status.seconds_left_how})"
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
