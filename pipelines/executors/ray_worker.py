"""What runs on a Ray cluster's nodes: a stage in a task, or in the workers of a Ray Train job.

What a stage says while it works goes by a file in its folder, which every node sees: whoever started it may
be gone and come again, and a mailbox of Ray's would be lost with its node.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from eval.files import InputError, read_json, write_json
from pipelines.heartbeat import stop_on_sigterm
from pipelines.stages import Job, Message, Outcome, follow_stage, run_stage
from pipelines.stopping import Stopped
from pipelines.store import ERROR, read_manifest

TOLD = ".told.jsonl"
ENDED = ".ended.json"  # the outcome of a stage of several workers
BEGUN = "begun"
"""The first message of a task: until then it waits for its resources, or for a process to start."""
DIED = "its process was killed, or its node was lost"
WATCH_S = 0.5
SHARED_S = 20.0  # that a network's file system may take to show this node what the driver has just written


def run_task(job: Job) -> Outcome:
    """A task: one stage, in this process. Raises the InputError that the stage meets."""
    _settle_in()
    with suppress(ValueError):  # Ray ran this in a thread that is not the main one
        stop_on_sigterm()
    return run_stage(job, _begin(job))


def run_group(job: Job, workers: int, resources: dict[str, float], storage: Path) -> Outcome:
    """A task that runs a Ray Train job of so many workers on one stage, and waits for it.

    resources: of each worker. storage: a folder that every node sees, for what Ray Train writes of a job.
    Raises the InputError that a worker meets, and `GroupDied` where one of them died.
    """
    began = time.monotonic()
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")  # they go to a dashboard, which is not started
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import WorkerGroupError

    from pipelines.executors.ranks import PATIENCE

    _settle_in()
    trainer = TorchTrainer(
        work_as_rank,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=resources.get("GPU", 0) > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=job.stage.folder, storage_path=str(storage), failure_config=FailureConfig(max_failures=0)
        ),
        torch_config=TorchConfig(
            backend=None if resources.get("GPU") else "gloo", timeout_s=int(PATIENCE.total_seconds())
        ),
    )
    (job.folder / ENDED).unlink(missing_ok=True)
    try:
        trainer.fit()
    except WorkerGroupError as error:
        return _judge(job, error.worker_failures, time.monotonic() - began)
    outcome = Outcome(**read_json(job.folder / ENDED))
    (job.folder / ENDED).unlink()
    return outcome


def work_as_rank(config: dict[str, Any]) -> None:
    """A worker of a Ray Train job; the first one leaves the outcome in the stage's folder.

    Ray Train has formed the group of processes; accelerate finds it, as it does under torchrun.
    """
    import torch
    from accelerate import PartialState

    from pipelines.executors.ranks import rank
    from pipelines.ranks import said_by_first

    _settle_in()
    job: Job = replace(config["job"], rank=rank())
    torch.set_num_threads(job.threads)
    PartialState(cpu=not torch.cuda.is_available())
    tell = _begin(job) if job.rank == 0 else None
    # one that was finished meanwhile, by a process that was given up for lost, is not for the others to make
    if said_by_first(read_manifest(job.folder) is not None):
        outcome = Outcome(job.stage.id, "done", 0.0)
    elif tell is not None:
        outcome = run_stage(job, tell, raise_bugs=True)
    else:
        with suppress(Stopped):
            follow_stage(job)
    if job.rank == 0:
        write_json(job.folder / ENDED, asdict(outcome))


def load_libraries() -> None:
    """A task that leaves a process which has loaded what every training needs; it takes seconds."""
    _settle_in()
    import pipelines.training_stages  # noqa: F401


class GroupDied(RuntimeError):
    """A process of a Ray Train job died: in one line, how."""


def _judge(job: Job, failures: dict[int, Exception], seconds: float) -> Outcome:
    """What the failures of a group's ranks mean: raises InputError or GroupDied; a bug fails the stage."""
    for error in failures.values():
        if isinstance(error, InputError):
            raise InputError(str(error))
    for rank, error in failures.items():
        if not _may_be_echo(error):
            reason = f"rank {rank}: {one_line(error)}"
            if (job.folder / ERROR).is_file():
                reason += f" (traceback: {job.folder / ERROR})"
            return Outcome(job.stage.id, "failed", seconds, reason)
    rank, error = max(failures.items(), key=lambda one: type(one[1]).__module__.startswith("ray"))
    if type(error).__module__.startswith("ray"):
        raise GroupDied(f"rank {rank}: {DIED}")
    raise GroupDied(f"rank {rank}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}"


def _may_be_echo(error: Exception) -> bool:
    """Whether a failure may be that of another rank, or of none: a connection closed, an actor that died."""
    told = str(error)
    words = ("Connection", "Broken pipe", "timed out", "Timed out")
    return type(error).__module__.partition(".")[0] in ("ray", "torch") or any(one in told for one in words)


def _begin(job: Job) -> Callable[[Message], None]:
    """Say that the stage has begun; returns how to say more. Raises InputError where nobody would hear it."""
    _refuse_own_folder(job)
    job.folder.mkdir(parents=True, exist_ok=True)

    def tell(message: Message) -> None:
        line = json.dumps({"what": message.what, "values": message.values})
        with suppress(OSError), (job.folder / TOLD).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    tell(Message(job.stage.id, BEGUN, {"host": socket.gethostname()}))
    return tell


def _refuse_own_folder(job: Job) -> None:
    """Raise InputError where this node does not see the run folder that the driver holds."""
    run = job.folder.parent.parent
    until = time.monotonic() + SHARED_S
    while not (run / ".owner.json").exists():
        if time.monotonic() > until:
            raise InputError(
                f"{run}: node {socket.gethostname()} does not see it as it is; the run folder (--out) must "
                "lie on a file system that all nodes of the cluster share"
            )
        time.sleep(WATCH_S)


_watched = False


def _settle_in() -> None:
    """Once a process: quiet libraries, and an end with Ray's process on this node.

    Ray's workers outlive it by a minute where it is killed, and would write beside those that took over.
    """
    global _watched
    if _watched:
        return
    _watched = True
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_HUB_VERBOSITY", "error"),
        ("TQDM_DISABLE", "1"),
    ):
        os.environ.setdefault(name, value)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
