"""Before a run goes on: is what is finished still what was written? What is not is made again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pipelines.estimate import usable_cores
from pipelines.plan import Plan, Stage
from pipelines.store import MANIFEST, RunFolder, discard_artefact, verify_artefact


def discard_broken(plan: Plan, run: RunFolder) -> dict[str, str]:
    """Empty the folders of finished stages that are to be read and whose bytes have changed; why, by stage.

    Read are the inputs of what is still to do, and what was measured, which the report is made of. Hashing
    goes at a gigabyte a second and core, in threads.
    """
    broken: dict[str, str] = {}
    seen: set[str] = set()
    while True:  # what is discarded is to do, and so its own inputs are read
        unseen = [stage for stage in _read_again(plan, run) if stage.id not in seen]
        if not unseen:
            return broken
        seen |= {stage.id for stage in unseen}
        found = _broken(unseen, run)
        for name in found:
            discard_artefact(run.folder(plan.stage(name)))
        broken |= found


def _read_again(plan: Plan, run: RunFolder) -> list[Stage]:
    finished = {stage.id for stage in plan.stages if (run.folder(stage) / MANIFEST).is_file()}
    inputs = {name for stage in plan.stages if stage.id not in finished for name in stage.inputs}
    return [
        stage
        for stage in plan.stages
        if stage.id in finished and (stage.id in inputs or stage.kind == "evaluate")
    ]


def _broken(stages: list[Stage], run: RunFolder) -> dict[str, str]:
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = pool.map(lambda stage: verify_artefact(run.folder(stage)), stages)
    return {stage.id: reason for stage, reason in zip(stages, found, strict=True) if reason is not None}
