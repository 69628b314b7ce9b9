"""Run a plan's stages as processes on this machine: as many side by side as pays, the longest way first.

Workers are spawned once and keep torch loaded between stages. A worker that is killed costs its stage one
retry, which goes on from the last checkpoint; a run that is killed takes its workers with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType

from pipelines.estimate import usable_cores
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, Message, Outcome, run_stage
from pipelines.store import RunFolder

WATCH_S = 0.5
GPU = Path("/dev/nvidia0")  # the driver's device file; looking for it needs no torch
# Up to this size a rung trains faster on one core than its share of a second; above it, rungs take the
# machine in turn.
SIDE_BY_SIDE_PARAMS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a plan is run here; nothing of it changes what is made, but for `threads` the last bits."""

    jobs: int
    loop: LoopSettings

    @property
    def threads(self) -> int:
        """Threads a stage: its share of the cores."""
        return max(1, usable_cores() // self.jobs)


def choose_jobs(plan: Plan) -> int:
    """How many stages to run side by side: one a core for small rungs, else one in all."""
    sizes = [
        stage.settings["params"]["non_embedding"]
        for stage in plan.stages
        if stage.kind in ("pretrain", "sweep")
    ]
    if GPU.exists() or max(sizes, default=0) > SIDE_BY_SIDE_PARAMS:
        return 1
    return max(1, min(usable_cores(), len(sizes)))


def run_stages(
    plan: Plan,
    run: RunFolder,
    how: Execution,
    on_message: Callable[[Message], None],
    on_start: Callable[[Stage], None],
    on_outcome: Callable[[Outcome], None],
) -> dict[str, Outcome]:
    """Bring every stage of the plan to an end; returns how each ended, those found finished included.

    A stage whose input failed fails with it. Raises InputError for a user's mistake or a disk that is full or
    closed to us, after stopping the other workers; what they had finished or checkpointed stays.
    """
    found = _found(plan, run)
    _Runner(plan, run, how, on_message, on_start, on_outcome, found).work()
    return found


def _found(plan: Plan, run: RunFolder) -> dict[str, Outcome]:
    """The stages that need no work: finished, or failed in a way that would come again."""
    found: dict[str, Outcome] = {}
    for stage in plan.stages:
        if run.manifest(stage) is not None:
            found[stage.id] = Outcome(stage.id, "done", 0.0)
        elif reason := run.failure(stage):
            found[stage.id] = Outcome(stage.id, "failed", 0.0, reason)
    return found


def _weights(plan: Plan) -> dict[str, float]:
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


class _Runner:
    """The stages that wait, and how those that ended did (`outcomes`, filled as it goes)."""

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        how: Execution,
        on_message: Callable[[Message], None],
        on_start: Callable[[Stage], None],
        on_outcome: Callable[[Outcome], None],
        outcomes: dict[str, Outcome],
    ) -> None:
        self.plan, self.run, self.how, self.outcomes = plan, run, how, outcomes
        self.on_message, self.on_start, self.on_outcome = on_message, on_start, on_outcome
        weights = _weights(plan)
        todo = [stage for stage in plan.stages if stage.id not in outcomes]
        # a model that exists may yet be refused: that comes before the work on its data
        self.waiting = sorted(todo, key=lambda stage: (stage.kind != "fetch", -weights[stage.id]))

    def work(self) -> None:
        """Run all that waits; a stage whose worker died is tried again, alone: only the culprit fails."""
        while self.waiting:
            for stage in self._side_by_side():
                self._settle(self._alone(stage))

    def _side_by_side(self) -> list[Stage]:
        """Run until nothing is left, or a worker dies: then the stages that were in flight come back."""
        running: dict[Future[Outcome], Stage] = {}
        with _Pool(self.how.jobs, self.how.threads, self.on_message) as pool:
            try:
                while self.waiting or running:
                    self._fail_blocked()
                    for stage in self._ready()[: self.how.jobs - len(running)]:
                        running[pool.submit(self._job(stage))] = stage
                        self.waiting.remove(stage)
                        self.on_start(stage)
                    if pool.cold:
                        pool.warm_up(self.how.jobs - len(running))
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._settle(future.result())
                        del running[future]
            except BrokenProcessPool:
                return list(running.values())
        return []

    def _alone(self, stage: Stage) -> Outcome:
        """Two tries: the death before may have been a neighbour's."""
        for _ in range(2):
            with suppress(BrokenProcessPool), _Pool(1, self.how.threads, self.on_message) as pool:
                return pool.submit(self._job(stage)).result()
        return Outcome(stage.id, "failed", 0.0, "its process was killed twice; was the memory full?")

    def _ready(self) -> list[Stage]:
        return [stage for stage in self.waiting if all(name in self.outcomes for name in stage.inputs)]

    def _fail_blocked(self) -> None:
        """Settle what can no longer run; plan order, so that what needs it in turn is settled too."""
        for stage in [stage for stage in self.plan.stages if stage in self.waiting]:
            failed = [name for name in stage.inputs if self._failed(name)]
            if failed:
                self.waiting.remove(stage)
                self._settle(Outcome(stage.id, "failed", 0.0, f"needs {failed[0]}, which failed"))

    def _failed(self, name: str) -> bool:
        return name in self.outcomes and self.outcomes[name].status == "failed"

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.stage] = outcome
        self.on_outcome(outcome)

    def _job(self, stage: Stage) -> Job:
        return Job(
            stage=stage,
            run=self.plan.recipe,
            base=self.plan.base.resolve(),
            folder=self.run.folder(stage).resolve(),
            inputs={name: self.run.folder(self.plan.stage(name)).resolve() for name in stage.inputs},
            threads=self.how.threads,
            loop=self.how.loop,
        )


class _Pool:
    """Spawned workers with a queue to tell the parent things, and an event that ends them at once."""

    def __init__(self, jobs: int, threads: int, on_message: Callable[[Message], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[Message | None] = context.Queue()
        self._queue.cancel_join_thread()  # a worker killed while it wrote keeps the queue's lock for ever
        self._stop = context.Event()
        # OpenMP reads this when torch is loaded, which a worker does after it is spawned
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._pool = ProcessPoolExecutor(
            jobs,
            mp_context=context,
            initializer=_start_worker,
            initargs=(self._queue, self._stop, os.getpid()),
        )
        self._reader = threading.Thread(target=self._read, args=(on_message,), daemon=True)
        self.cold = True

    def warm_up(self, idle: int) -> None:
        """Let workers that have nothing to do yet load torch meanwhile; it takes seconds."""
        self.cold = False
        for _ in range(idle):
            self._pool.submit(_load_libraries)

    def submit(self, job: Job) -> Future[Outcome]:
        return self._pool.submit(_work, job)

    def __enter__(self) -> _Pool:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.put(None)
        self._reader.join(timeout=5)

    def _read(self, on_message: Callable[[Message], None]) -> None:
        while (message := self._queue.get()) is not None:
            on_message(message)


_tell: Callable[[Message], None] = lambda message: None  # noqa: E731  (set in each worker when it starts)


def _start_worker(queue: Queue[Message | None], stop: Event, parent: int) -> None:
    global _tell
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    queue.cancel_join_thread()
    _tell = queue.put
    threading.Thread(target=_watch, args=(stop, parent), daemon=True).start()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")


def _watch(stop: Event, parent: int) -> None:
    """End this worker when it is told to, or when its parent is gone: a killed run leaves nobody writing."""
    while not stop.is_set() and os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _load_libraries() -> None:
    import pipelines.training_stages  # noqa: F401


def _work(job: Job) -> Outcome:
    return run_stage(job, _tell)


__all__ = ["Execution", "choose_jobs", "run_stages"]
