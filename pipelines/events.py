"""`events.jsonl`: what happened in a run, and the state that follows from it; standard library only.

The file is append-only, one JSON object a line with `time` (UTC, the writer's clock) and `event`. Its order
is that of its lines: clocks of several machines differ and jump, so no time is ever taken from another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

# What each event says beside `time` and `event`; what may be missing has a question mark.
EVENTS = {
    "planned": "stages: [{id, folder}], whenever the plan differs from the last one told",
    "run-started": "stages, done, jobs, executor?, host?, pid?",
    "run-stopped": "reason",
    "run-ended": "failed: [stage]",
    "stage-found": "stage, key?, seconds: finished by an earlier run that did not say so",
    "stage-started": "stage, key, attempt?, host?",
    "stage-resumed": "stage, step: it goes on from a checkpoint",
    "stage-retried": "stage, reason",
    "stage-broken": "stage, reason: an artefact that no longer has its hash, and is made again",
    "stage-stopped": "stage, reason?: it was asked to stop, and goes on from its last checkpoint",
    "stage-done": "stage, key?, seconds",
    "stage-failed": "stage, key?, seconds, reason",
}


@dataclass(frozen=True, kw_only=True)
class StageState:
    """What the events say of one artefact.

    `state`: waiting, running (started, and its end not told), done, failed, stopped (pre-empted after a
    checkpoint) or broken (found changed; it is made again). `folder` is None where no event named it.
    `resumed_step`: where its latest attempt went on from. `order` rises with each event, so that the newest
    can be told without clocks.
    """

    stage: str
    folder: str | None
    state: str = "waiting"
    seconds: float | None = None
    reason: str | None = None
    attempt: int = 0
    host: str | None = None
    retries: tuple[str, ...] = ()
    resumed_step: int | None = None
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """The latest run: `state` is on (its end was not told: it works, or was killed), ended or stopped."""

    state: str = "on"
    reason: str | None = None
    since: str | None = None
    host: str | None = None
    pid: int | None = None
    executor: str | None = None
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The state of a run: its artefacts by folder (by stage id where no folder was told), its latest run.

    `planned`: ids and folders of the last plan told; None where none was.
    """

    artefacts: Mapping[str, StageState]
    planned: tuple[tuple[str, str], ...] | None
    run: LastRun | None
    last_time: str | None

    def find(self, stage: str, folder: str) -> StageState | None:
        """What is known of a stage's artefact in `folder`."""
        found = self.artefacts.get(folder) or self.artefacts.get(stage)
        return found if found is None or found.stage == stage else None


def replay(events: Iterable[Mapping[str, Any]]) -> RunState:
    """The state after `events`, in their order; unknown events and fields of another type are passed over."""
    state = Replay()
    for event in events:
        state.add(event)
    return state.state()


class Replay:
    """The same, event by event, for who follows a growing file."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}  # the fields of a StageState, by artefact
        self._artefacts: dict[str, StageState] = {}  # made of them when somebody asks
        self._changed: set[str] = set()
        self._folders: dict[str, str] = {}
        self._planned: tuple[tuple[str, str], ...] | None = None
        self._run: LastRun | None = None
        self._time: str | None = None
        self._open: set[str] = set()  # artefacts that a new run looks at again
        self._order = 0

    def state(self) -> RunState:
        """The state so far; it does not change with what is added later."""
        for place in self._changed:
            self._artefacts[place] = StageState(**self._known[place])
        self._changed.clear()
        artefacts = MappingProxyType(dict(self._artefacts))
        return RunState(artefacts=artefacts, planned=self._planned, run=self._run, last_time=self._time)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one more event in."""
        self._order += 1
        self._time = _text(event.get("time")) or self._time
        name = event.get("event")
        if name == "planned":
            self._plan(event.get("stages"))
        elif name == "run-started":
            self._start(event)
        elif name in ("run-ended", "run-stopped"):
            self._end(name.removeprefix("run-"), _text(event.get("reason")))
        elif isinstance(name, str) and name in EVENTS and isinstance(event.get("stage"), str):
            self._stage(name.removeprefix("stage-"), event)

    def _plan(self, stages: Any) -> None:
        told = [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
        pairs = [(stage.get("id"), stage.get("folder")) for stage in told]
        self._planned = tuple((a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str))
        self._folders = dict(self._planned)

    def _start(self, event: Mapping[str, Any]) -> None:
        self._reopen("running", "stopped", "failed")
        self._run = LastRun(
            since=_text(event.get("time")),
            host=_text(event.get("host")),
            pid=_count(event.get("pid")),
            executor=_text(event.get("executor")),
            jobs=_count(event.get("jobs")),
        )

    def _end(self, how: str, reason: str | None) -> None:
        self._reopen("running")
        self._run = replace(self._run or LastRun(), state=how, reason=reason)

    def _reopen(self, *states: str) -> None:
        """What was in these states waits again: nobody works on it, or somebody tries anew."""
        for place in [place for place in self._open if self._known[place]["state"] in states]:
            self._known[place] |= {"state": "waiting", "reason": None, "attempt": 0}
            self._changed.add(place)
            self._open.discard(place)

    def _stage(self, what: str, event: Mapping[str, Any]) -> None:
        stage, key = event["stage"], event.get("key")
        if isinstance(key, str):
            self._folders[stage] = f"{stage}-{key}"
        folder = self._folders.get(stage)
        place = folder or stage
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = {"stage": stage, "folder": folder, "attempt": 0, "retries": ()}
        _change(known, what, event)
        known["order"] = self._order
        self._changed.add(place)
        if known["state"] == "done":
            self._open.discard(place)
        else:
            self._open.add(place)


# What a stage is after an event of it; one that failed for a moment is waiting to be tried again.
_AFTER = {
    "found": "done",
    "started": "running",
    "retried": "waiting",
    "broken": "broken",
    "stopped": "stopped",
    "done": "done",
    "failed": "failed",
}


def _change(known: dict[str, Any], what: str, event: Mapping[str, Any]) -> None:
    """Change what is known of a stage by an event of it."""
    if what == "resumed":
        known.setdefault("state", "running")
        known["resumed_step"] = _count(event.get("step"))
        return
    reason = _text(event.get("reason")) or "no reason given"
    known["state"] = _AFTER[what]
    known["reason"] = reason if what in ("failed", "broken") else None
    known["seconds"] = None
    if what in ("found", "done"):
        known["seconds"] = number(event.get("seconds"))
        return
    known["resumed_step"] = None
    if what == "started":
        known["attempt"] = _count(event.get("attempt")) or known["attempt"] + 1
        known["host"] = _text(event.get("host"))
    elif what == "retried":
        known["retries"] = (*known["retries"], reason)


class EventFile:
    """`events.jsonl` of a run folder, read as it grows: each `new` reads what was added since the last.

    A line that a kill cut short is passed over; one that is still being written is left for the next call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode: int | None = None

    def new(self) -> tuple[list[dict[str, Any]], bool]:
        """The new events, and whether these are all from the beginning: the file is shorter, or another one.

        Raises OSError where the file cannot be read; a file that is not there has no events.
        """
        if not self.path.is_file():
            anew, self._offset, self._inode = self._inode is not None, 0, None
            return [], anew
        with self.path.open("rb") as file:
            found = file.seek(0, 2)
            inode = self.path.stat().st_ino
            anew = self._inode not in (None, inode) or found < self._offset
            file.seek(0 if anew else self._offset)
            data = file.read()
        start = 0 if anew else self._offset
        whole = data[: data.rfind(b"\n") + 1]
        self._offset, self._inode = start + len(whole), inode
        return parse_events(whole), anew


def parse_events(data: bytes) -> list[dict[str, Any]]:
    """The objects of whole lines; anything else that stands on a line is passed over."""
    events = []
    for line in data.decode("utf-8", errors="replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def number(value: Any) -> float | None:
    """A finite number that is not negative; None for anything else that a file may hold in its place."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return real if math.isfinite(real) and real >= 0 else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
