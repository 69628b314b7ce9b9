"""What a plan is: stages with their settings, inputs and content keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.files import hash_json
from pipelines.estimate import estimate_costs, usable_cores

# Raised by hand when what a kind of stage makes from the same settings changes.
VERSIONS = {
    "prepare-corpus": 3,
    "prepare-tokens": 2,
    "prepare-rows": 2,
    "fetch": 2,
    "sweep": 1,
    "tune": 1,
    "pretrain": 3,
    "finetune": 2,
    "evaluate": 2,
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One unit of work. What is None is not known before the stages it needs have run."""

    kind: str
    name: str
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    version: int
    key: str
    flops: int | None = None
    tokens: int | None = None
    seconds_estimate: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None

    @property
    def id(self) -> str:
        """Unique in a plan: `pretrain-13k-s0`."""
        return f"{self.kind}-{self.name}"

    @property
    def folder(self) -> str:
        """The artefact's folder below `stages/`."""
        return f"{self.id}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a recipe, every stage after its inputs; `base` is where relative files are looked up."""

    recipe: str
    base: Path
    stages: tuple[Stage, ...]

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id; `KeyError` when there is none."""
        return self._by_id[stage_id]

    def find(self, stage_id: str) -> Stage | None:
        """The stage of that id, if there is one."""
        return self._by_id.get(stage_id)

    @cached_property
    def _by_id(self) -> dict[str, Stage]:
        return {stage.id: stage for stage in self.stages}


def make_stage(work: str, name: str, settings: dict[str, Any], *inputs: Stage) -> Stage:
    """A stage that does `work` (a key of VERSIONS, which begins with the stage's kind)."""
    version = VERSIONS[work]
    content = {"settings": settings, "inputs": [stage.key for stage in inputs], "version": version}
    return Stage(
        kind=work.partition("-")[0],
        name=name,
        settings=settings,
        inputs=tuple(stage.id for stage in inputs),
        version=version,
        key=hash_json(content)[:12],
        flops=settings.get("flops"),
        tokens=settings.get("tokens"),
        **vars(estimate_costs(work, settings, usable_cores())),
    )
