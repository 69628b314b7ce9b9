"""Stages as tasks of a Ray cluster, each with its cores, memory and GPUs; several workers as a Ray Train job.

Ray places them and tells when one died with its process or its node; what is then tried again is the
scheduler's, so Ray itself tries nothing twice. The run folder lies where all nodes see it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from eval.files import InputError
from pipelines.executors import ray_worker
from pipelines.executors.local import choose_jobs
from pipelines.executors.ray_cluster import connect
from pipelines.executors.ray_worker import BEGUN, DIED, TOLD, GroupDied, one_line
from pipelines.executors.scheduling import Ended, Needs
from pipelines.heartbeat import STOP
from pipelines.plan import Plan
from pipelines.stages import Job, Message, Outcome

LOOK_S = 2.0  # between two looks at which nodes there are


@dataclass(frozen=True)
class Nodes:
    """What the living nodes of a cluster have: in all, and the largest of them."""

    cores: int
    gpus: int
    memory_bytes: float
    most_cores: int
    most_gpus: int
    most_memory_bytes: float

    @classmethod
    def of(cls, told: list[dict[str, Any]]) -> Nodes:
        """From `ray.nodes()`."""
        having = [node["Resources"] for node in told if node["Alive"]]
        cores = [int(one.get("CPU", 0)) for one in having]
        gpus = [int(one.get("GPU", 0)) for one in having]
        memory = [float(one.get("memory", 0)) for one in having]
        return cls(
            cores=sum(cores),
            gpus=sum(gpus),
            memory_bytes=sum(memory),
            most_cores=max(cores, default=0),
            most_gpus=max(gpus, default=0),
            most_memory_bytes=max(memory, default=0.0),
        )

    def after(self, before: Nodes) -> Nodes:
        """These nodes, with the largest of before: a stage waits for such a node, it does not make do."""
        return replace(
            self,
            most_cores=max(self.most_cores, before.most_cores),
            most_gpus=max(self.most_gpus, before.most_gpus),
            most_memory_bytes=max(self.most_memory_bytes, before.most_memory_bytes),
        )

    def threads(self, plan: Plan, jobs: int | None) -> int:
        """Cores a stage, by the rule of a single machine; never more than a node has."""
        side_by_side = jobs or choose_jobs(plan, self.cores, self.gpus)
        return max(1, min(self.most_cores, self.cores // side_by_side))

    def resources(self, needs: Needs) -> dict[str, float]:
        """What Ray is asked for, for each worker of a stage; an estimate never asks more than a node has."""
        found = {
            "CPU": max(1, min(needs.cores, self.most_cores)),
            "GPU": min(needs.gpus, self.most_gpus),
            "memory": int(min(needs.memory_bytes or 0, self.most_memory_bytes)),
        }
        return {name: amount for name, amount in found.items() if amount > 0}

    def hold(self, taken: list[dict[str, float]]) -> bool:
        """Whether so much fits, in all."""
        there = {"CPU": self.cores, "GPU": self.gpus, "memory": self.memory_bytes}
        return all(sum(one.get(name, 0) for one in taken) <= amount for name, amount in there.items())


@dataclass
class _Flight:
    """A stage that was given to Ray: what it takes in all, and how far its messages were read."""

    job: Job
    ref: Any
    future: Future[Outcome]
    taken: dict[str, float]
    read: int = 0
    begun: bool = False


class Ray:
    """The backend of a Ray cluster. Use as a context manager.

    address: of a cluster that runs (`host:port`, or `auto` for the one of this machine); None starts one on
    this machine, which ends with the run. storage: a folder on the shared file system for Ray Train's notes.
    Raises InputError where Ray is not installed or no cluster answers.
    """

    def __init__(
        self,
        address: str | None,
        jobs: int | None,
        plan: Plan,
        storage: Path,
        on_message: Callable[[Message], None],
    ) -> None:
        self.address, self.jobs, self.storage = address, jobs, storage.resolve()
        self._plan, self._on_message = plan, on_message
        self._flights: dict[str, _Flight] = {}
        self._nodes: Nodes | None = None
        self._looked_at = 0.0
        self.threads = 1

    def __enter__(self) -> Ray:
        self._ray = connect(self.address)
        # Ray itself tries nothing again; a process takes stage after stage, so that libraries stay loaded
        self._run_task = self._ray.remote(max_retries=0)(ray_worker.run_task)
        # but not on GPUs: a process keeps the first one it computed on, and memory there
        self._run_on_gpu = self._ray.remote(max_retries=0, max_calls=1)(ray_worker.run_task)
        self._run_group = self._ray.remote(num_cpus=0, max_retries=0)(ray_worker.run_group)
        self.threads = self.nodes().threads(self._plan, self.jobs)
        if self.nodes().cores == self.nodes().most_cores:  # one node: its processes load libraries meanwhile
            load = self._ray.remote(num_cpus=0, max_retries=0)(ray_worker.load_libraries)
            for _ in range(self.nodes().cores // self.threads - 1):
                load.remote()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            for flight in self._flights.values():
                self._ray.cancel(flight.ref, force=True)
        self._ray.shutdown()
        shutil.rmtree(self.storage, ignore_errors=True)

    def nodes(self) -> Nodes:
        """The living nodes, as of a moment ago; the largest node is the largest there has been."""
        if self._nodes is None or time.monotonic() - self._looked_at > LOOK_S:
            found = Nodes.of(self._ray.nodes())
            self._nodes = found if self._nodes is None else found.after(self._nodes)
            self._looked_at = time.monotonic()
        return self._nodes

    def room(self, needs: Needs) -> bool:
        """Whether the cluster has it now, beside what runs."""
        if self.jobs is not None and len(self._flights) >= self.jobs:
            return False
        nodes = self.nodes()
        taken = [flight.taken for flight in self._flights.values()]
        return nodes.hold([*taken, _times(nodes.resources(needs), needs.workers)])

    def start(self, job: Job, needs: Needs) -> None:
        """Give the stage to Ray, as a task or as a Ray Train job."""
        nodes = self.nodes()
        resources = nodes.resources(needs)
        taken = _times(resources, needs.workers)
        if not nodes.hold([taken]):
            asked = ", ".join(f"{amount:g} {name}" for name, amount in taken.items() if name != "memory")
            text = f"{job.stage.id} waits for nodes: it takes {asked}, more than the cluster has now"
            self._on_message(Message(job.stage.id, "warning", {"text": text}))
        with suppress(OSError):
            (job.folder / TOLD).unlink(missing_ok=True)
        if needs.workers == 1:
            options = {"num_cpus": resources["CPU"], "num_gpus": resources.get("GPU", 0)}
            options |= {"memory": resources["memory"]} if "memory" in resources else {}
            task = self._run_on_gpu if options["num_gpus"] else self._run_task
            ref = task.options(name=job.stage.id, **options).remote(job)
        else:
            self.storage.mkdir(parents=True, exist_ok=True)
            ref = self._run_group.options(name=job.stage.id).remote(
                job, needs.workers, resources, self.storage
            )
        self._flights[job.stage.id] = _Flight(job, ref, ref.future(), taken)

    def wait(self, seconds: float) -> list[Ended]:
        """The stages that ended."""
        wait([flight.future for flight in self._flights.values()], seconds, FIRST_COMPLETED)
        for flight in self._flights.values():
            self._hear(flight)
        done = [name for name, flight in self._flights.items() if flight.future.done()]
        return [self._end(name) for name in done]

    def stop(self, stage: str) -> None:
        """Ask by a file, which the stage's heart looks for; what waits for its resources is taken back."""
        flight = self._flights.get(stage)
        if flight is None:
            return
        if flight.begun:
            with suppress(OSError):
                (flight.job.folder / STOP).touch()
        else:
            self._ray.cancel(flight.ref, force=True)

    def kill(self, stage: str) -> None:
        """End the stage's processes. One that waits for its resources has not hung, and is left to wait."""
        flight = self._flights.get(stage)
        if flight is not None and flight.begun:
            self._ray.cancel(flight.ref, force=True)

    def _hear(self, flight: _Flight) -> None:
        """Pass on what a stage has told since the last look."""
        with suppress(OSError), (flight.job.folder / TOLD).open("rb") as file:
            file.seek(flight.read)
            lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]  # the last one may be half written
            flight.read += len(whole)
            for line in whole.splitlines():
                try:
                    said = json.loads(line)
                except ValueError:  # two processes wrote at once, one of a node that was taken for lost
                    continue
                flight.begun = True
                if said["what"] != BEGUN:
                    self._on_message(Message(flight.job.stage.id, said["what"], said["values"]))

    def _end(self, stage: str) -> Ended:
        flight = self._flights[stage]
        self._hear(flight)
        del self._flights[stage]
        with suppress(OSError):
            (flight.job.folder / TOLD).unlink(missing_ok=True)
        try:
            return Ended(stage, flight.future.result())
        except Exception as error:
            try:
                return Ended(stage, None, death(error))
            except InputError as mistake:
                return Ended(stage, None, error=mistake)


def _times(resources: dict[str, float], workers: int) -> dict[str, float]:
    return {name: amount * workers for name, amount in resources.items()}


def death(error: Exception) -> str:
    """Why a task ended without an outcome, in a line. Raises InputError where that is the user's to mend."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, InputError):
        raise InputError(str(cause)) from error
    if isinstance(cause, ImportError):
        raise InputError(
            f"--executor ray: a node cannot load what it needs ({one_line(cause)}); install the same "
            "stepladder, with the same extras, on every node"
        ) from error
    if isinstance(cause, GroupDied):
        return str(cause)
    known = {
        "WorkerCrashedError": DIED,
        "NodeDiedError": "its node was lost",
        "LocalRayletDiedError": "its node was lost",
        "OutOfMemoryError": "its node's memory was full, and Ray ended it",
        "TaskCancelledError": "it was ended",
    }
    return known.get(type(error).__name__, one_line(cause))
