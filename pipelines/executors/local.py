"""Stages as processes on this machine: as many side by side as cores, memory and GPUs allow.

Workers are spawned once and keep torch loaded between stages; one that dies is replaced, and the others work
on. A run that is killed takes its workers with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from eval.files import InputError
from pipelines.estimate import usable_cores
from pipelines.executors.scheduling import Ended, Needs
from pipelines.heartbeat import stop_on_sigterm
from pipelines.plan import Plan
from pipelines.stages import Job, Message, Outcome, run_stage
from pipelines.stopping import REQUEUE
from pipelines.workers import TRAININGS

WATCH_S = 0.5
GPUS = Path("/dev")  # the driver's device files, nvidia0 and so on; looking for them needs no torch
# Up to this size a rung trains faster on one core than its share of a second; above it, rungs take the
# machine in turn.
SIDE_BY_SIDE_PARAMS = 10_000_000
MEMORY_SHARE = 0.9  # of what is free when the run starts, for stages side by side


def gpus() -> list[str]:
    """The GPUs that a process started here may use, as `CUDA_VISIBLE_DEVICES` names them."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None:
        return [name for name in asked.split(",") if name not in ("", "-1")]
    files = [path.name.removeprefix("nvidia") for path in GPUS.glob("nvidia[0-9]*")]
    return sorted(files, key=int)


def choose_jobs(plan: Plan, cores: int | None = None, there: int | None = None) -> int:
    """How many stages to run side by side: one a GPU, else one a core for small rungs, else one in all.

    cores, there: processor cores and GPUs; this machine's where None.
    """
    there = len(gpus()) if there is None else there
    if there:
        return there
    sizes = [
        stage.settings["params"]["non_embedding"]
        for stage in plan.stages
        if stage.kind in ("pretrain", "sweep")
    ]
    if max(sizes, default=0) > SIDE_BY_SIDE_PARAMS:
        return 1
    return max(1, min(usable_cores() if cores is None else cores, len(sizes)))


def share_of_cores(jobs: int) -> int:
    """Threads a stage, where so many run side by side."""
    return max(1, usable_cores() // jobs)


@dataclass
class _Worker:
    """A process, the pipe to it, what it works on (None: nothing) and the slot whose cores and GPU it has."""

    slot: int
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None
    needs: Needs | None = None


class Local:
    """The backend of this machine: at most `jobs` stages at once. Use as a context manager."""

    def __init__(self, jobs: int, on_message: Callable[[Message], None]) -> None:
        import psutil

        self.jobs, self.threads = jobs, share_of_cores(jobs)
        self.memory_bytes = MEMORY_SHARE * psutil.virtual_memory().available
        self._on_message = on_message
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._warm = False

    def room(self, needs: Needs) -> bool:
        """Whether a slot is free, and memory beside what runs; a stage alone always has room."""
        busy = [worker.needs for worker in self._workers if worker.needs is not None]
        if not busy:
            return True
        taken = sum(one.memory_bytes or 0 for one in busy)
        return len(busy) < self.jobs and taken + (needs.memory_bytes or 0) <= self.memory_bytes

    def start(self, job: Job, needs: Needs) -> None:
        """Give the job to an idle worker, or to a new one."""
        worker = next((one for one in self._workers if one.job is None), None) or self._spawn()
        worker.job, worker.needs = job, needs
        with suppress(OSError):  # it died idle: its end is told like any other
            worker.pipe.send(job)
        if not self._warm:  # workers with nothing to do yet load torch meanwhile; it takes seconds
            self._warm = True
            while len(self._workers) < self.jobs:
                self._spawn()

    def wait(self, seconds: float) -> list[Ended]:
        """The stages that ended."""
        told = wait([worker.pipe for worker in self._workers], timeout=seconds)
        ended = []
        for worker in [worker for worker in self._workers if worker.pipe in told]:
            found = self._hear(worker)
            if found is not None:
                ended.append(found)
        return ended

    def stop(self, stage: str) -> None:
        """SIGTERM, which a worker takes for the wish to stop."""
        self._signal(stage, signal.SIGTERM)

    def kill(self, stage: str) -> None:
        self._signal(stage, signal.SIGKILL)

    def __enter__(self) -> Local:
        # OpenMP reads this when torch is loaded, which a worker does after it is spawned
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            if worker.job is None:
                with suppress(OSError):
                    worker.pipe.send(None)
            else:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(timeout=5)
            worker.process.kill()

    def _spawn(self) -> _Worker:
        taken = {worker.slot for worker in self._workers}
        slot = next(number for number in range(self.jobs) if number not in taken)
        ours, theirs = self._context.Pipe()
        process = self._process(theirs, os.getpid(), _place(slot, self.threads))
        process.start()
        theirs.close()  # so that its end is heard when the worker dies
        worker = _Worker(slot, process, ours)
        self._workers.append(worker)
        return worker

    def _process(self, pipe: Connection, parent: int, place: _Place) -> SpawnProcess:
        return self._context.Process(target=_work_on, args=(pipe, parent, place))

    def _hear(self, worker: _Worker) -> Ended | None:
        """One word of a worker: a message is passed on, an end is returned, a death is looked into."""
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if isinstance(said, Message):
            self._on_message(said)
            return None
        job, worker.job, worker.needs = worker.job, None, None
        assert job is not None
        if isinstance(said, InputError):
            return Ended(job.stage.id, None, error=said)
        assert isinstance(said, Outcome)
        return Ended(said.stage, said)

    def _bury(self, worker: _Worker) -> Ended | None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.job is None:
            return None
        return Ended(worker.job.stage.id, None, _death(worker.process.exitcode))

    def _signal(self, stage: str, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.job is not None and worker.job.stage.id == stage and worker.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)


def _death(code: int | None) -> str:
    """What a worker's exit code says of its end."""
    if code == REQUEUE:
        return "it was asked to stop"
    if code is None or code >= 0:
        return f"its process ended by itself (exit code {code})"
    name = signal.Signals(-code).name
    return f"its process was ended by {name}" + ("; was the memory full?" if -code == signal.SIGKILL else "")


@dataclass(frozen=True)
class _Place:
    """What of the machine a worker has while it works on a model: cores, and a GPU where there are any."""

    cores: tuple[int, ...]
    gpu: str | None


def _place(slot: int, threads: int) -> _Place:
    there = gpus()
    cores: tuple[int, ...] = ()
    if hasattr(os, "sched_getaffinity"):
        every = sorted(os.sched_getaffinity(0))
        cores = tuple(every[slot * threads : (slot + 1) * threads])
    return _Place(cores, there[slot % len(there)] if there else None)


def _work_on(pipe: Connection, parent: int, place: _Place) -> None:
    """A worker: jobs come by the pipe until there is none; what it says goes back by it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    stop_on_sigterm()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    every = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if not pipe.poll():
        load_libraries()
    with suppress(EOFError):
        while (job := pipe.recv()) is not None:
            if every:  # a model's threads stay where their caches are; preparation takes all cores
                trains = job.stage.kind in (*TRAININGS, "evaluate")
                os.sched_setaffinity(0, place.cores if trains and place.cores else every)
            pipe.send(do(job, pipe.send))


def do(job: Job, tell: Callable[[Any], None]) -> Outcome | InputError:
    """Run a stage; a user's mistake is returned, for the process that asked to raise."""
    try:
        return run_stage(job, tell)
    except InputError as error:
        return error


def load_libraries() -> None:
    """What every training needs and takes seconds to load."""
    import pipelines.training_stages  # noqa: F401


def _watch(parent: int) -> None:
    """End this worker when its parent is gone: a killed run leaves nobody writing."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


__all__ = ["Local", "choose_jobs", "gpus", "share_of_cores"]
