"""Looks at a run folder, once or again and again, from any machine that sees it.

What is finished is known by its manifest; what happened, by `events.jsonl`; what runs, by signs of life that
change from one look to the next, or by the run's lock where it is held on this machine.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.files import InputError
from pipelines.events import EventFile, Replay, RunState, number
from pipelines.signs import Pulse, read_live
from pipelines.status import Planned, RunStatus, Seen, StageStatus, finished, unfinished
from pipelines.store import MANIFEST, RunFolder, read_failure, read_manifest
from pipelines.time_left import Work, estimate_left

SETTLE_S = 3.0  # in which a living worker writes its sign anew
_SETTLE_EVERY_S = 0.25


class Observer:
    """A look reads what changed since the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pulse = Pulse()
        self._run = RunFolder(folder)
        self._events = EventFile(folder / "events.jsonl")
        self._replay = Replay()
        self._finished: dict[str, float | None] = {}
        self._plan_stat: tuple[int, int, int] | None = None
        self._recipe: str | None = None
        self._stages: tuple[Planned, ...] = ()
        self._unsure: set[str] = set()  # folders whose signs only another look can judge

    def settled(self) -> RunStatus:
        """A look; where something claims to run and only another look can tell, three seconds of looks.

        Raises InputError if the folder is no run folder, or may not be read.
        """
        status, deadline = self.look(), time.monotonic() + SETTLE_S
        if not self._unsure:
            return status
        while not all(map(self._pulse.beats, self._unsure)) and time.monotonic() < deadline:
            time.sleep(_SETTLE_EVERY_S)
            for name in self._unsure:
                self._pulse.look(name, read_live(self.folder / "stages" / name))
        return self.look()

    def look(self) -> RunStatus:
        """What the folder shows now. Raises InputError as `settled`."""
        try:
            return self._look()
        except PermissionError as error:
            place = error.filename or self.folder
            raise InputError(f"{place}: you may not read it; ask its owner for the permission") from error

    def _look(self) -> RunStatus:
        new, anew = self._events.new()
        if anew:
            self._replay, self._finished = Replay(), {}
        for event in new:
            self._replay.add(event)
        state = self._replay.state()
        note = self._read_plan(state)
        held = self._run.is_running()
        names = _names(self.folder / "stages")
        self._find_finished(state, names)
        rows = self._rows(state, names, held)
        return self._sum_up(rows, state, note, held)

    def _read_plan(self, state: RunState) -> str | None:
        """Keep the plan's stages, or those of the events; returns what is wrong with plan.json."""
        path = self.folder / "plan.json"
        stat = _stat(path)
        if stat is not None and stat == self._plan_stat:
            return None
        try:
            plan = self._run.read_plan(checked=False)
            self._stages = _planned(plan, path)
        except InputError:
            if not state.planned:
                raise
            self._plan_stat, self._recipe = None, None
            self._stages = tuple(Planned(id_, folder, _kind(id_), (), None) for id_, folder in state.planned)
            what = "gone" if stat is None else "broken"
            return (
                f"plan.json is {what}: the stages are those that events.jsonl tells, and what they wait for "
                "is not known; running the recipe again writes it anew"
            )
        self._plan_stat, self._recipe = stat, plan["recipe"]
        return None

    def _find_finished(self, state: RunState, names: set[str]) -> None:
        """Keep the folders with a manifest; it is read where the events do not tell of the stage's end."""
        stages = self.folder / "stages"
        for stage in self._stages:
            told = state.find(stage.id, stage.folder)
            if told is not None and told.state == "broken":
                self._finished.pop(stage.folder, None)
                continue
            if stage.folder not in names or stage.folder in self._finished:
                continue
            if not os.access(f"{stages}/{stage.folder}/{MANIFEST}", os.F_OK):
                continue
            if told is not None and told.state == "done" and told.seconds is not None:
                self._finished[stage.folder] = told.seconds
            elif (manifest := read_manifest(stages / stage.folder)) is not None:
                self._finished[stage.folder] = number(manifest["seconds"])

    def _rows(self, state: RunState, names: set[str], held: bool) -> list[StageStatus]:
        folders = {stage.id: stage.folder for stage in self._stages}
        self._unsure = set()
        rows = []
        for stage in self._stages:
            told = state.find(stage.id, stage.folder)
            if stage.folder in self._finished:
                rows.append(finished(stage, self._finished[stage.folder], told))
                continue
            waits_for = [name for name in stage.inputs if folders.get(name) not in self._finished]
            folder, there = self.folder / "stages" / stage.folder, stage.folder in names
            live = read_live(folder) if there else None
            self._pulse.look(stage.folder, live)
            seen = Seen(
                told=told,
                live=live,
                beats=self._pulse.beats(stage.folder),
                stuck_seconds=self._pulse.stuck_seconds(stage.folder),
                held=held,
                ended=state.run is not None and state.run.state != "on",
                there=there,
                failure=read_failure(folder) if there else None,
                waits_for=waits_for,
            )
            rows.append(unfinished(stage, folder, seen))
            if rows[-1].state == "silent":
                self._unsure.add(stage.folder)
        return rows

    def _sum_up(self, rows: list[StageStatus], state: RunState, note: str | None, held: bool) -> RunStatus:
        run = state.run
        working = held or any(row.state == "running" for row in rows)
        jobs = (run.jobs if run else None) or sum(row.state == "running" for row in rows)
        left = estimate_left([_work(stage, row) for stage, row in zip(self._stages, rows, strict=True)], jobs)
        rows = [_with_left(row, left.stages) for row in rows]
        report = self.folder / "report" / "index.html"
        return RunStatus(
            folder=self.folder,
            recipe=self._recipe,
            plan_note=note,
            state="working" if working else _run_state(state),
            run=run,
            last_event=state.last_time,
            stages=tuple(rows),
            seconds_left=left.seconds,
            seconds_left_how=left.how,
            report=report if report.is_file() else None,
        )


def _run_state(state: RunState) -> str:
    """Of a run that nobody is seen working on."""
    if state.run is None:
        return "new"
    if state.run.state != "on":
        return state.run.state
    return "gone" if state.run.host == socket.gethostname() else "silent"


def _work(stage: Planned, row: StageStatus) -> Work:
    return Work(
        stage=stage.id,
        kind=stage.kind,
        inputs=stage.inputs,
        estimate=stage.estimate,
        state=row.state,
        seconds=row.seconds,
        left=row.seconds_left,
    )


def _with_left(row: StageStatus, left: Mapping[str, float]) -> StageStatus:
    """A running stage that does not say itself how long it still takes gets what is expected of its kind."""
    if row.state != "running" or row.seconds_left is not None:
        return row
    return replace(row, seconds_left=left.get(row.stage) or None)  # None, too, where it takes longer


def _planned(plan: dict[str, Any], path: Path) -> tuple[Planned, ...]:
    stages = []
    for stage in plan["stages"]:
        id_, folder, inputs = stage["id"], stage["folder"], stage.get("inputs")
        if not isinstance(id_, str) or not isinstance(folder, str):
            raise InputError(f"{path}: not a plan of Stepladder; remove the file and run the recipe again")
        names = tuple(name for name in inputs if isinstance(name, str)) if isinstance(inputs, list) else ()
        stages.append(Planned(id_, folder, _kind(id_), names, number(stage.get("seconds_estimate"))))
    return tuple(stages)


def _kind(stage: str) -> str:
    return stage.partition("-")[0]


def _names(folder: Path) -> set[str]:
    """The folders below `stages/`; a plan's name that leads elsewhere is none of them."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
