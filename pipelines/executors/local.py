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
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType

from pipelines.estimate import usable_cores
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, Message, Outcome, run_stage
from pipelines.store import RunFolder

WATCH_S = 0.5
TRIES = 2
# Up to this size a rung trains faster on one core than its share of a second; above it, rungs take the
# machine in turn.
SIDE_BY_SIDE_PARAMS = 10_000_000


def choose_jobs(plan: Plan) -> int:
    """How many stages to run side by side: one a core for small rungs, else one in all."""
    sizes = [stage.settings["params"]["non_embedding"] for stage in plan.stages if stage.kind == "pretrain"]
    on_gpu = Path("/dev/nvidia0").exists()
    if on_gpu or max(sizes, default=0) > SIDE_BY_SIDE_PARAMS:
        return 1
    return max(1, min(usable_cores(), len(sizes)))


def run_stages(
    plan: Plan,
    run: RunFolder,
    *,
    jobs: int,
    checkpoint_every_s: float,
    on_message: Callable[[Message], None],
    on_start: Callable[[Stage], None],
    on_outcome: Callable[[Outcome], None],
) -> dict[str, Outcome]:
    """Bring every stage of the plan to an end; returns how each ended, those found finished included.

    A stage whose input failed fails with it. Raises InputError for a user's mistake or a disk that is full or
    closed to us, after stopping the other workers; what they had finished or checkpointed stays.
    """
    outcomes = _found(plan, run)
    if len(outcomes) == len(plan.stages):
        return outcomes
    weights = _weights(plan)
    waiting = sorted((s for s in plan.stages if s.id not in outcomes), key=lambda s: -weights[s.id])
    tries = dict.fromkeys((stage.id for stage in waiting), 0)
    while waiting:
        with _Pool(jobs, on_message) as pool:
            _drain(plan, run, pool, waiting, outcomes, tries, checkpoint_every_s, on_start, on_outcome)
    return outcomes


def _found(plan: Plan, run: RunFolder) -> dict[str, Outcome]:
    """The stages that need no work: finished, or failed in a way that would come again."""
    found: dict[str, Outcome] = {}
    for stage in plan.stages:
        if run.manifest(stage) is not None:
            found[stage.id] = Outcome(stage.id, "done", 0.0)
        elif failure := run.failure(stage):
            found[stage.id] = Outcome(stage.id, "failed", 0.0, failure["reason"])
    return found


def _weights(plan: Plan) -> dict[str, float]:
    """The work from a stage to the end of its longest chain, roughly, in FLOPs: the longest starts first."""
    own: dict[str, float] = {}
    for stage in plan.stages:
        if stage.kind == "pretrain":
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


def _drain(
    plan: Plan,
    run: RunFolder,
    pool: _Pool,
    waiting: list[Stage],
    outcomes: dict[str, Outcome],
    tries: dict[str, int],
    checkpoint_every_s: float,
    on_start: Callable[[Stage], None],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Run what can run until nothing is left or the pool breaks; stages in flight then wait again."""
    running: dict[Future[Outcome], Stage] = {}

    def settle(outcome: Outcome) -> None:
        outcomes[outcome.stage] = outcome
        on_outcome(outcome)

    while waiting or running:
        for stage in _blocked(waiting, outcomes):
            waiting.remove(stage)
            settle(Outcome(stage.id, "failed", 0.0, f"needs {_failed_input(stage, outcomes)}, which failed"))
        for stage in [s for s in waiting if all(i in outcomes for i in s.inputs)][: pool.jobs - len(running)]:
            waiting.remove(stage)
            tries[stage.id] += 1
            on_start(stage)
            running[pool.submit(_job(plan, run, stage, pool.threads, checkpoint_every_s))] = stage
        if not running:
            continue
        if pool.cold:
            pool.warm_up(pool.jobs - len(running))
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            stage = running.pop(future)
            try:
                settle(future.result())
            except BrokenProcessPool:
                for lost in (stage, *running.values()):
                    if tries[lost.id] < TRIES:
                        waiting.insert(0, lost)
                    else:
                        settle(
                            Outcome(
                                lost.id,
                                "failed",
                                0.0,
                                "its process was killed twice; out of memory? try --jobs 1",
                            )
                        )
                return


def _blocked(waiting: Iterable[Stage], outcomes: dict[str, Outcome]) -> list[Stage]:
    return [stage for stage in waiting if _failed_input(stage, outcomes)]


def _failed_input(stage: Stage, outcomes: dict[str, Outcome]) -> str | None:
    failed = [i for i in stage.inputs if i in outcomes and outcomes[i].status == "failed"]
    return failed[0] if failed else None


def _job(plan: Plan, run: RunFolder, stage: Stage, threads: int, checkpoint_every_s: float) -> Job:
    inputs = {name: run.folder(plan.stage(name)).resolve() for name in stage.inputs}
    folder = run.folder(stage).resolve()
    return Job(stage, plan.recipe, plan.base.resolve(), folder, inputs, threads, checkpoint_every_s)


class _Pool:
    """Spawned workers with a queue to tell the parent things, and an event that ends them at once."""

    def __init__(self, jobs: int, on_message: Callable[[Message], None]) -> None:
        self.jobs = jobs
        self.threads = max(1, usable_cores() // jobs)
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[Message | None] = context.Queue()
        self._stop = context.Event()
        # OpenMP reads this when torch is loaded, which a worker does after it is spawned
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
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


__all__ = ["choose_jobs", "run_stages"]
