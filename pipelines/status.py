"""`stepladder status`: what of a run is done, running or failed, read from its folder alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.store import RunFolder, read_failure, read_manifest


def stage_states(folder: Path) -> list[dict[str, Any]]:
    """One row a stage of the stored plan: stage, state (done, running, failed, waiting), seconds, note.

    Raises InputError if `folder` is no run folder.
    """
    run = RunFolder(folder)
    plan = run.read_plan()
    started, failed, _ = _last_told(folder)
    if not run.is_running():
        started = set()
    return [
        _state(folder / "stages" / stage["folder"], stage["id"], started, failed.get(stage["id"]))
        for stage in plan["stages"]
    ]


def print_status(folder: Path) -> None:
    """Print the states as a table, and a line that sums them up."""
    rows = stage_states(folder)
    table = Table("stage", "state", "seconds", "note", box=None, pad_edge=False)
    for row in rows:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(row["stage"], row["state"], seconds, row["note"] or "")
    console = Console(highlight=False, markup=False)
    console.print(table)
    counts = {
        state: sum(row["state"] == state for row in rows)
        for state in ("done", "running", "failed", "waiting")
    }
    stopped = _last_told(folder)[2]
    running = f"it stopped: {stopped}" if stopped else "nobody is working on it"
    if RunFolder(folder).is_running():
        running = "a stepladder is working on it"
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    console.print(f"{summary} of {len(rows)} stages; {running}", soft_wrap=True)
    report = folder / "report" / "index.html"
    if report.is_file():
        console.print(f"report: {report}", soft_wrap=True)


def _state(folder: Path, stage: str, started: set[str], failed: str | None) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest is not None:
        return {"stage": stage, "state": "done", "seconds": manifest["seconds"], "note": None}
    if reason := read_failure(folder) or failed:
        return {"stage": stage, "state": "failed", "seconds": None, "note": reason}
    state = "running" if stage in started else "waiting"
    return {"stage": stage, "state": state, "seconds": None, "note": _last_step(folder / "log.jsonl")}


def _last_step(log: Path) -> str | None:
    if not log.is_file():
        return None
    lines = _whole_lines(log)
    if not lines:
        return None
    last = lines[-1]
    return f"step {last['step']}, {last['tokens']:,} tokens, loss {last['loss_nats']:.3f} nats"


def _last_told(folder: Path) -> tuple[set[str], dict[str, str], str | None]:
    """By the latest run's events: stages it started and has not ended, why others failed, why it stopped."""
    started: set[str] = set()
    failed: dict[str, str] = {}
    stopped = None
    events = folder / "events.jsonl"
    for event in _whole_lines(events) if events.is_file() else []:
        stage = str(event.get("stage"))
        if event.get("event") == "run-started":
            started, failed, stopped = set(), {}, None
        elif event.get("event") == "run-stopped":
            stopped = str(event.get("reason"))
        elif event.get("event") == "stage-started":
            started.add(stage)
        elif event.get("event") in ("stage-done", "stage-failed"):
            started.discard(stage)
            if event["event"] == "stage-failed":
                failed[stage] = str(event.get("reason") or "no reason given")
    return started, failed, stopped


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that somebody may be writing; a line that a kill cut short is passed over."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]
