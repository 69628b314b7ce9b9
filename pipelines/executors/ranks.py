"""Run a plan's stages under a launcher such as `torchrun`: all train and measure, the first does the rest.

    torchrun --nproc-per-node 8 --no-python stepladder run RECIPE

Every process goes through the same plan in the same order. The first says of each stage whether there is
work, and writes; where models train or are measured all of them work, in any other stage they wait for it.
What fails alike in all of them, as a training that diverges does, is that stage's failure. A bug ends its
process, and so the launcher ends all: the others may be in the middle of something that needs it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import timedelta

from pipelines.estimate import usable_cores
from pipelines.executors.scheduling import Watcher, make_job
from pipelines.heartbeat import stop_on_sigterm
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, Outcome, follow_stage, run_stage
from pipelines.stopping import Interrupted, Stopped
from pipelines.store import RunFolder

TOGETHER = ("sweep", "pretrain", "finetune", "evaluate")
PATIENCE = timedelta(days=2)  # that ranks wait for the first one's corpus


def ranks() -> int:
    """How many processes a launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ.get("RANK", "0"))


def run_stages(plan: Plan, run: RunFolder, loop: LoopSettings, watcher: Watcher) -> dict[str, Outcome]:
    """Bring every stage to an end, in the first process; how each ended. The others call `follow_stages`.

    SIGTERM, which a launcher passes on to all, ends a training after its next checkpoint: Interrupted.
    """
    from pipelines.ranks import said_by_first

    _join()
    outcomes: dict[str, Outcome] = {}
    for stage in plan.stages:
        outcome = _settled(stage, run, outcomes)
        said_by_first(outcome is None)
        if outcome is None:
            watcher.started(stage, 1)
            job, together = _job(plan, run, stage, loop), stage.kind in TOGETHER
            outcome = run_stage(job, watcher.message, raise_bugs=together)
            watcher.ended(outcome)
            if outcome.status == "stopped":
                raise Interrupted(signal.SIGTERM)
        outcomes[stage.id] = outcome
    return outcomes


def follow_stages(plan: Plan, run: RunFolder, loop: LoopSettings) -> None:
    """Work beside the first process: the stages of all, in the plan's order."""
    from pipelines.ranks import said_by_first

    _join()
    for stage in plan.stages:
        if said_by_first(None) and stage.kind in TOGETHER:
            try:
                follow_stage(_job(plan, run, stage, loop))
            except Stopped as stopped:
                raise Interrupted(signal.SIGTERM) from stopped


def _settled(stage: Stage, run: RunFolder, outcomes: dict[str, Outcome]) -> Outcome | None:
    """How a stage ended that needs no work: made before, failed before, or failed with its input."""
    if run.manifest(stage) is not None:
        return Outcome(stage.id, "done", 0.0)
    failed = [name for name in stage.inputs if outcomes[name].status == "failed"]
    reason = f"needs {failed[0]}, which failed" if failed else run.failure(stage)
    return Outcome(stage.id, "failed", 0.0, reason) if reason else None


def _job(plan: Plan, run: RunFolder, stage: Stage, loop: LoopSettings) -> Job:
    threads = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return replace(make_job(plan, run, stage, loop, threads), rank=rank())


def _join() -> None:
    """Form the group of processes, over gloo on processors, over NCCL on GPUs."""
    import torch
    from accelerate import PartialState

    from pipelines.ranks import refuse_more_ranks_than_gpus

    stop_on_sigterm()
    refuse_more_ranks_than_gpus()
    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
