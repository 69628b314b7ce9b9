"""What is known of a run and of each of its stages, as `stepladder status` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.events import LastRun, StageState
from pipelines.last_lines import last_error, last_step
from pipelines.signs import Live

STATES = ("done", "running", "silent", "failed", "waiting")


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """A stage; what is not known, or does not apply, is None.

    `state`: done; running; silent (started, its end not told, and no sign of life seen); failed; waiting.
    `seconds`: a finished one took, a running one has worked. `seconds_left`: of a running one, an estimate.
    `error`, `where`: the exception's line and the place in the code. `last_sign`: by the clock of the machine
    that gave it. `order`: rises with what was told last.
    """

    stage: str
    folder: str
    state: str
    seconds: float | None = None
    seconds_left: float | None = None
    host: str | None = None
    pid: int | None = None
    attempt: int | None = None
    retries: tuple[str, ...] = ()
    resumed_step: int | None = None
    step: int | None = None
    steps: int | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    loss_nats: float | None = None
    waits_for: tuple[str, ...] = ()
    reason: str | None = None
    error: str | None = None
    where: str | None = None
    last_sign: str | None = None
    note: str | None = None
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run.

    `state`: working (seen at work); ended; stopped (before its end, for `run.reason`); gone (its process, on
    this machine, ended without a word); silent (it told no end, and no sign of life is seen from here); new
    (none has begun). `plan_note` says what is wrong with plan.json. `seconds_left` is an estimate and
    `seconds_left_how` what it is made of, or why it is None.
    """

    folder: Path
    recipe: str | None
    plan_note: str | None
    state: str
    run: LastRun | None
    last_event: str | None
    stages: tuple[StageStatus, ...]
    seconds_left: float | None
    seconds_left_how: str
    report: Path | None

    def counts(self) -> dict[str, int]:
        """How many stages are in each state."""
        found = dict.fromkeys(STATES, 0)
        for stage in self.stages:
            found[stage.state] += 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the keys that `status --json` prints."""
        run = self.run
        return {
            "format": 1,
            "folder": str(self.folder),
            "recipe": self.recipe,
            "plan_note": self.plan_note,
            "state": self.state,
            "reason": run.reason if run else None,
            "since": run.since if run else None,
            "host": run.host if run else None,
            "pid": run.pid if run else None,
            "executor": run.executor if run else None,
            "jobs": run.jobs if run else None,
            "last_event": self.last_event,
            "counts": self.counts(),
            "seconds_left": self.seconds_left,
            "seconds_left_how": self.seconds_left_how,
            "report": str(self.report) if self.report else None,
            "stages": [
                {name: value for name, value in vars(stage).items() if name != "order"}
                for stage in self.stages
            ],
        }


@dataclass(frozen=True)
class Planned:
    """What of a plan's stage matters here; `inputs` are ids."""

    id: str
    folder: str
    kind: str
    inputs: tuple[str, ...]
    estimate: float | None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a stage that is not finished.

    `beats`: its signs of life change. `held`: the run's lock is held on this machine. `ended`: the run told
    its end. `there`: the stage's folder exists. `waits_for`: inputs that are not finished.
    """

    told: StageState | None
    live: Live | None
    beats: bool
    stuck_seconds: float | None
    held: bool
    ended: bool
    there: bool
    failure: str | None
    waits_for: Sequence[str]


def finished(stage: Planned, seconds: float | None, told: StageState | None) -> StageStatus:
    """The row of a stage whose artefact is there."""
    if told is None:
        return StageStatus(stage=stage.id, folder=stage.folder, state="done", seconds=seconds)
    return StageStatus(
        stage=stage.id,
        folder=stage.folder,
        state="done",
        seconds=seconds,
        host=told.host,
        attempt=told.attempt or None,
        retries=told.retries,
        resumed_step=told.resumed_step,
        order=told.order,
    )


def unfinished(stage: Planned, folder: Path, seen: Seen) -> StageStatus:
    """The row of a stage whose artefact is not there; `folder` is where it will be."""
    told = seen.told
    started = told is not None and told.state == "running"
    common: dict[str, Any] = {"stage": stage.id, "folder": stage.folder}
    if told is not None:
        common |= {
            "host": told.host,
            "attempt": told.attempt or None,
            "retries": told.retries,
            "resumed_step": told.resumed_step,
            "order": told.order,
        }
    if (started and seen.held) or seen.beats:
        return _running(common, folder, seen)
    if not started and (reason := _failure(seen)):
        error, where = last_error(folder) if seen.there else (None, None)
        return StageStatus(**common, state="failed", reason=reason, error=error, where=where)
    if started or claims(seen):
        return _silent(common, seen.live)
    return _waiting(common, folder, seen)


def claims(seen: Seen) -> bool:
    """Whether a stage that the events do not call running may be one: it left a sign, and no end was told."""
    return seen.live is not None and not seen.held and not seen.ended


def _failure(seen: Seen) -> str | None:
    if seen.told is not None and seen.told.state == "failed":
        return seen.failure or seen.told.reason
    return seen.failure


def _running(common: dict[str, Any], folder: Path, seen: Seen) -> StageStatus:
    live = seen.live
    if live is None:
        return StageStatus(**common, state="running", note=last_step(folder))
    stuck = seen.stuck_seconds
    return StageStatus(
        **common | {"host": live.host or common.get("host")},
        state="running",
        seconds=live.seconds,
        seconds_left=live.seconds_left,
        pid=live.pid,
        step=live.step,
        steps=live.steps,
        tokens=live.tokens,
        tokens_per_second=live.tokens_per_second,
        loss_nats=live.loss_nats,
        last_sign=live.time,
        note=None if stuck is None else f"its work has shown no progress for {stuck:.0f} s",
    )


def _silent(common: dict[str, Any], live: Live | None) -> StageStatus:
    if live is None:
        return StageStatus(**common, state="silent", note="it was started; no sign of life")
    last = f"; the last one at {live.time} by its own clock" if live.time else ""
    return StageStatus(
        **common | {"host": live.host or common.get("host")},
        state="silent",
        pid=live.pid,
        step=live.step,
        steps=live.steps,
        tokens=live.tokens,
        loss_nats=live.loss_nats,
        last_sign=live.time,
        note=f"no sign of life{last}",
    )


def _waiting(common: dict[str, Any], folder: Path, seen: Seen) -> StageStatus:
    notes = []
    told = seen.told
    if told is not None and told.state == "broken":
        notes.append(f"is made again: {told.reason}")
    elif told is not None and told.state == "done":
        notes.append("was done, but its artefact is gone; it is made again")
    elif told is not None and told.state == "stopped":
        notes.append("was stopped when asked to; the next run goes on with it")
    if seen.there and (step := last_step(folder)):
        notes.append(step)
    waits_for = tuple(seen.waits_for)
    return StageStatus(**common, state="waiting", waits_for=waits_for, note="; ".join(notes) or None)
