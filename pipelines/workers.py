"""How many processes train a rung together: what `training.workers` says of a stage, and where it may."""

from __future__ import annotations

import re
from collections.abc import Iterable

from eval.files import InputError
from pipelines.planned import Plan, Stage
from pipelines.stages import LoopSettings

TRAININGS = ("sweep", "pretrain", "finetune")
"""The kinds of stages that several processes may work on."""


def workers_of(stage: Stage, loop: LoopSettings) -> int:
    """The processes that work on a stage: those of its rung where a model learns, else 1."""
    if stage.kind not in TRAININGS:
        return 1
    if isinstance(loop.workers, int):
        return loop.workers
    return next((count for rung, count in loop.workers.items() if _is_of(stage, rung)), 1)


def check_workers(plan: Plan, loop: LoopSettings, executor: str) -> None:
    """Raise InputError for a rung that the plan lacks, and for several workers where only Ray starts them."""
    if not isinstance(loop.workers, int):
        for rung in loop.workers:
            if not any(_is_of(stage, rung) for stage in plan.stages):
                raise InputError(
                    f"training.workers: the ladder has no rung {rung!r}; there are {', '.join(_rungs(plan))}"
                )
    several = [stage for stage in plan.stages if workers_of(stage, loop) > 1]
    if executor != "ray" and several:
        raise InputError(
            f"training.workers: {several[0].id} asks for {workers_of(several[0], loop)} processes; start "
            "them with --executor ray, or leave it out and run all of it under torchrun"
        )


# A rung's stages are `<rung>-s<seed>…`, those of a sweep `<rung>-x<factor>`.
_SEED_OR_FACTOR = r"-(s\d+|x[\d.e+-]+)(-.*)?"


def _is_of(stage: Stage, rung: str) -> bool:
    return stage.kind in TRAININGS and re.fullmatch(re.escape(rung) + _SEED_OR_FACTOR, stage.name) is not None


def _rungs(plan: Plan) -> Iterable[str]:
    """The rungs' names, in the plan's order."""
    names = [
        re.fullmatch("(.+?)" + _SEED_OR_FACTOR, stage.name)
        for stage in plan.stages
        if stage.kind in TRAININGS
    ]
    return dict.fromkeys(found[1] for found in names if found)
