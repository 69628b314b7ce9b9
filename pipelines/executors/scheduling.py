"""Which stage runs when, on whatever runs them: order, room, retries, and an eye on those that hang.

A backend starts stages and tells how they ended: `local.py` by processes of this machine, `ray.py` on a
cluster. Nothing here starts a process or knows where one is. A stage whose process dies is started again and
goes on from its last checkpoint; one that dies without getting further than before fails in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from eval.files import InputError
from pipelines.estimate import usable_cores
from pipelines.heartbeat import forget_life, read_life
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, Message, Outcome
from pipelines.stopping import GRACE_S
from pipelines.store import RunFolder
from pipelines.workers import TRAININGS, workers_of

DEATHS = 3  # of a stage's process, without a newer checkpoint in between, before the stage has failed
START_S = 120.0  # a process may take to start, at least
LOOK_S = 0.5  # how long to wait for news before hearts are looked at


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a stage takes while it runs, in each of its `workers`.

    `memory_bytes` None: not known before other stages have run.
    """

    cores: int
    memory_bytes: int | None
    gpus: int
    workers: int = 1
    alone: bool = False
    """Nothing beside it: it died before, mostly for want of memory."""


@dataclass(frozen=True)
class Ended:
    """A stage came to an end. `outcome` None: its process died, `why` says of what, or it met `error`."""

    stage: str
    outcome: Outcome | None
    why: str = ""
    error: InputError | None = None
    """A user's mistake or a full disk: it ends the run."""


class Backend(Protocol):
    """Runs stages, wherever."""

    def room(self, needs: Needs) -> bool:
        """Whether a stage with these needs may be started now; one is, where nothing runs and none may."""
        ...

    def start(self, job: Job, needs: Needs) -> None:
        """Start a stage; returns at once."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """The stages that ended, as soon as there is one, after `seconds` at the latest."""
        ...

    def stop(self, stage: str) -> None:
        """Ask a stage to leave a checkpoint and end: an outcome `stopped` comes, or a death."""
        ...

    def kill(self, stage: str) -> None:
        """End a stage's process at once; its `Ended` comes as a death."""
        ...


@dataclass(frozen=True)
class Watcher:
    """Who is told what goes on. Everything is told from the thread that runs the stages."""

    message: Callable[[Message], None]
    started: Callable[[Stage, int], None]
    """With the number of this attempt, from 1."""
    retried: Callable[[Stage, str], None]
    """A process died, for this reason; the stage is started again."""
    ended: Callable[[Outcome], None]


@dataclass
class _Running:
    """A stage that runs: its last sign of life, by this machine's monotonic clock."""

    stage: Stage
    needs: Needs
    alive_at: float = field(default_factory=time.monotonic)
    life: tuple[object, object, object] | None = None
    begun: bool = False
    """Whether it gave one; `life` may be that of a process that died."""
    hung: bool = False


@dataclass
class _Deaths:
    """How often a stage died without getting further, and how far it was."""

    count: int = 0
    progress: tuple[str, ...] = ()
    attempts: int = 0


def run_stages(
    plan: Plan, run: RunFolder, backend: Backend, loop: LoopSettings, threads: int, watcher: Watcher
) -> dict[str, Outcome]:
    """Bring every stage of the plan to an end; returns how each ended, those found finished included.

    A stage whose input failed fails with it. Raises InputError for a user's mistake or a disk that is full or
    closed to us. Whatever is raised in here, `Interrupted` too, the stages that run are first asked to leave
    a checkpoint; they end as `stopped`.
    """
    found = find_ended(plan, run)
    _Scheduler(plan, run, backend, loop, threads, watcher, found).work()
    return found


def find_ended(plan: Plan, run: RunFolder) -> dict[str, Outcome]:
    """The stages that need no work: finished, or failed in a way that would come again."""
    found: dict[str, Outcome] = {}
    for stage in plan.stages:
        if run.manifest(stage) is not None:
            found[stage.id] = Outcome(stage.id, "done", 0.0)
        elif reason := run.failure(stage):
            found[stage.id] = Outcome(stage.id, "failed", 0.0, reason)
    return found


def make_job(plan: Plan, run: RunFolder, stage: Stage, loop: LoopSettings, threads: int) -> Job:
    """A stage with its place and its inputs' places, for another process."""
    return Job(
        stage=stage,
        run=plan.recipe,
        base=plan.base.resolve(),
        folder=run.folder(stage).resolve(),
        inputs={name: run.folder(plan.stage(name)).resolve() for name in stage.inputs},
        threads=threads,
        loop=loop,
    )


def weigh(plan: Plan) -> dict[str, float]:
    """The work from a stage to the end of its longest chain, roughly, in FLOPs: the longest starts first."""
    own: dict[str, float] = {}
    for stage in plan.stages:
        if stage.kind in ("pretrain", "sweep"):
            own[stage.id] = float(
                stage.flops or stage.settings["params"]["non_embedding"] * stage.settings["tokens"]
            )
        else:
            share = {"finetune": 0.5, "evaluate": 0.3}.get(stage.kind, 0.0)
            own[stage.id] = share * max((own[i] for i in stage.inputs), default=0.0)
    total = dict(own)
    for stage in reversed(plan.stages):
        for parent in stage.inputs:
            total[parent] = max(total[parent], own[parent] + total[stage.id])
    return total


class _Scheduler:
    """The stages that wait and that run, and how those that ended did (`outcomes`, filled as it goes)."""

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        backend: Backend,
        loop: LoopSettings,
        threads: int,
        watcher: Watcher,
        outcomes: dict[str, Outcome],
    ) -> None:
        self.plan, self.run, self.backend = plan, run, backend
        self.loop, self.threads, self.watcher = loop, threads, watcher
        self.outcomes = outcomes
        weights = weigh(plan)
        todo = [stage for stage in plan.stages if stage.id not in outcomes]
        # a model that exists may yet be refused: that comes before the work on its data
        todo.sort(key=lambda stage: (stage.kind != "fetch", -weights[stage.id]))
        self.waiting = {stage.id: stage for stage in todo}
        self.running: dict[str, _Running] = {}
        self.deaths: dict[str, _Deaths] = {}

    def work(self) -> None:
        try:
            while self.waiting or self.running:
                self._fail_blocked()
                self._start_ready()
                if self.running:
                    self._take_all(self.backend.wait(LOOK_S))
                    self._end_hung()
        except BaseException:  # a user's mistake in one stage costs the others no steps either
            self._wind_down()
            raise

    def _start_ready(self) -> None:
        ready = [one for one in self.waiting.values() if all(name in self.outcomes for name in one.inputs)]
        for stage in ready:
            needs = self._needs(stage)
            if any(running.needs.alone for running in self.running.values()):
                return
            if not (needs.alone and self.running) and self.backend.room(needs):  # else a smaller one may
                self._start(stage, needs)
        if ready and not self.running:  # the backend waits for what this one needs
            self._start(ready[0], self._needs(ready[0]))

    def _start(self, stage: Stage, needs: Needs) -> None:
        deaths = self.deaths.setdefault(stage.id, _Deaths())
        deaths.attempts += 1
        deaths.progress = checkpoints(self.run.folder(stage))
        del self.waiting[stage.id]
        self.running[stage.id] = _Running(stage, needs, life=self._life(stage))
        self.backend.start(make_job(self.plan, self.run, stage, self.loop, self.threads), needs)
        self.watcher.started(stage, deaths.attempts)

    def _needs(self, stage: Stage) -> Needs:
        deaths = self.deaths.get(stage.id)
        alone = deaths is not None and deaths.count > 1
        return needs_of(stage, self.threads, workers_of(stage, self.loop), alone=alone)

    def _take_all(self, ended: list[Ended]) -> None:
        """Take what ended, then let a mistake among it end the run: nobody would wait for the rest."""
        mistakes = [one for one in ended if one.error is not None]
        for one in ended:
            if one in mistakes:
                del self.running[one.stage]
            else:
                self._take(one)
        for one in mistakes:
            assert one.error is not None
            raise one.error

    def _take(self, ended: Ended) -> None:
        """Settle a stage that ended, or let it wait again where its process died."""
        running = self.running.pop(ended.stage)
        stage = running.stage
        if ended.outcome is not None and ended.outcome.status != "stopped":
            self._settle(ended.outcome)
            return
        why = ended.why or (ended.outcome and ended.outcome.reason) or "it was asked to stop"
        if running.hung:
            why = f"no sign of life for {self.loop.stalled_after_s:g} s"
        forget_life(self.run.folder(stage))
        deaths = self.deaths[stage.id]
        further = checkpoints(self.run.folder(stage)) != deaths.progress
        deaths.count = 1 if further else deaths.count + 1
        if deaths.count >= DEATHS:
            reason = f"its process ended {deaths.count} times without getting further: {why}"
            self._settle(Outcome(stage.id, "failed", 0.0, reason))
            return
        self.watcher.retried(stage, why)
        self.waiting = {stage.id: stage, **self.waiting}

    def _end_hung(self) -> None:
        """Kill what has given no sign of life for too long: steps, or work of the processor."""
        for name, running in self.running.items():
            seen = self._life(running.stage)
            if seen != running.life:
                running.life, running.alive_at = seen, time.monotonic()
                running.begun, running.hung = True, False  # a backend kills nothing that waits for room
            elif not running.hung and time.monotonic() - running.alive_at > self._patience(running):
                running.hung = True  # its end is told by the backend
                self.backend.kill(name)

    def _life(self, stage: Stage) -> tuple[object, object, object] | None:
        life = read_life(self.run.folder(stage))
        return None if life is None else (life.get("host"), life.get("pid"), life.get("beat"))

    def _patience(self, running: _Running) -> float:
        """Seconds without a sign of life that are borne; before the first one libraries are loaded."""
        patience = self.loop.stalled_after_s
        return patience if running.begun else max(patience, START_S)

    def _wind_down(self) -> None:
        """Ask what runs to leave a checkpoint; kill what has not ended in time."""
        for name in self.running:
            self.backend.stop(name)
        until = time.monotonic() + GRACE_S
        while self.running and time.monotonic() < until:
            for ended in self.backend.wait(min(LOOK_S, max(0.0, until - time.monotonic()))):
                stage = self.running.pop(ended.stage).stage
                with suppress(OSError):  # a full disk, which the run is about to end with
                    self._settle(ended.outcome or Outcome(stage.id, "stopped", 0.0, ended.why))
        for name in self.running:
            self.backend.kill(name)

    def _fail_blocked(self) -> None:
        """Settle what can no longer run; plan order, so that what needs it in turn is settled too."""
        for stage in [stage for stage in self.plan.stages if stage.id in self.waiting]:
            failed = [name for name in stage.inputs if self._failed(name)]
            if failed:
                del self.waiting[stage.id]
                self._settle(Outcome(stage.id, "failed", 0.0, f"needs {failed[0]}, which failed"))

    def _failed(self, name: str) -> bool:
        return name in self.outcomes and self.outcomes[name].status == "failed"

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.stage] = outcome
        self.watcher.ended(outcome)


def needs_of(stage: Stage, threads: int, workers: int = 1, *, alone: bool = False) -> Needs:
    """What a stage takes: preparation uses all cores there are, a model's stage its share."""
    trains = stage.kind in (*TRAININGS, "evaluate")
    return Needs(
        cores=threads if trains else usable_cores(),
        memory_bytes=stage.memory_bytes,
        gpus=1 if trains else 0,
        workers=workers,
        alone=alone,
    )


def checkpoints(folder: Path) -> tuple[str, ...]:
    """The whole checkpoints in a stage's folder, its trials' included: what tells how far it is."""
    return tuple(sorted(path.as_posix() for path in folder.glob("**/checkpoints/step-*")))
