"""Before a run goes on: is what is finished still what was written? What is not is made again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from pipelines.estimate import usable_cores
from pipelines.plan import Plan
from pipelines.store import MANIFEST, RunFolder, discard_artefact, verify_artefact

GATHERED = ("log.jsonl",)  # what the report takes from a stage that nothing else reads


def discard_broken(plan: Plan, run: RunFolder) -> dict[str, str]:
    """Empty the folders of finished stages that are to be read and whose bytes have changed; why, by stage.

    Read are the inputs of what is still to do, and what the report is made of: what was measured, and logs.
    Hashing goes at a gigabyte a second and core, in threads.
    """
    broken: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...] | None]] = set()
    while True:  # what is discarded is to do, and so its own inputs are read
        unseen = {name: files for name, files in _read_again(plan, run).items() if (name, files) not in seen}
        seen |= set(unseen.items())
        found = _broken(unseen, plan, run)
        for name in found:
            discard_artefact(run.folder(plan.stage(name)))
        if not found:
            return broken
        broken |= found


def _read_again(plan: Plan, run: RunFolder) -> dict[str, tuple[str, ...] | None]:
    """The stages with a manifest, and which of their files will be read: None for all of them."""
    finished = {stage.id for stage in plan.stages if run.manifest(stage) is not None}
    inputs = {name for stage in plan.stages if stage.id not in finished for name in stage.inputs}
    return {
        stage.id: None if stage.id in inputs or stage.kind == "evaluate" else GATHERED
        for stage in plan.stages
        if (run.folder(stage) / MANIFEST).is_file()
    }


def _broken(stages: dict[str, tuple[str, ...] | None], plan: Plan, run: RunFolder) -> dict[str, str]:
    stop = Event()

    def look(name: str) -> str | None:
        return verify_artefact(run.folder(plan.stage(name)), stages[name], stop)

    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            found = dict(zip(stages, pool.map(look, stages), strict=True))
        except BaseException:  # pre-empted: the pool waits for its threads
            stop.set()
            raise
    return {name: reason for name, reason in found.items() if reason is not None}
