"""`stepladder run`: plan, claim the folder, run what is not there, gather, report."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from eval.files import InputError
from pipelines.disk import as_input_error
from pipelines.environment import check_environment
from pipelines.executors import ranks
from pipelines.executors.local import Local, choose_jobs
from pipelines.executors.ray import Ray
from pipelines.executors.scheduling import Watcher, run_stages
from pipelines.mirror import Mirror, Mirrored
from pipelines.model_card import write_cards
from pipelines.plan import Plan, make_plan
from pipelines.progress import RunView
from pipelines.recipe_file import LoadedRecipe
from pipelines.recording import Record
from pipelines.remote import Remote
from pipelines.stages import LoopSettings, Outcome
from pipelines.stopping import Interrupted
from pipelines.store import RunFolder
from pipelines.summary import write_summary
from pipelines.verifying import discard_broken
from pipelines.workers import check_workers


@dataclass(frozen=True)
class RunSummary:
    """What came of a run: where the report lies, and the stages that failed."""

    report: Path
    failed: tuple[Outcome, ...]
    worked: bool
    """Whether any stage was run; False when all of them were there."""
    reported: bool
    """Whether the report was made; False when the same one was there."""
    seconds: float
    mirrored: Mirrored | None = None


@dataclass(frozen=True)
class Executor:
    """What runs the stages: processes of this machine, or a Ray cluster."""

    name: str = "local"  # local | ray
    jobs: int | None = None
    """Stages side by side; chosen where None."""
    address: str | None = None
    """Of the cluster; None: `RAY_ADDRESS`, else one that is started here."""


def run_recipe(
    loaded: LoadedRecipe,
    out: Path,
    executor: Executor,
    console: Console,
    mirror_to: Remote | None = None,
    *,
    verify_mirror: bool = False,
) -> RunSummary | None:
    """Do everything of a recipe that is not done, in `out`, and make the report; copy it to `mirror_to`.

    None in a launcher's processes but the first, which tells and writes for all. Raises InputError for a
    user's mistake: a folder of another recipe or in use, a corpus or a package that is not there, a full
    disk; and Interrupted, once what trained has left a checkpoint.
    """
    began = time.monotonic()
    plan, loop = make_plan(loaded), LoopSettings.of(loaded)
    check_environment(loaded.recipe, loop)
    if ranks.ranks() == 1:  # a launcher's processes all work on every rung
        check_workers(plan, loop, executor.name)
    run = RunFolder(out)
    if ranks.rank() > 0:
        ranks.follow_stages(plan, run, loop)
        return None
    run.check_owner(plan.recipe)
    try:
        with run.locked():
            run.claim(plan, loaded.text)
            mirror = None if mirror_to is None else Mirror(run, mirror_to, verify=verify_mirror)
            if mirror is not None:
                mirror.begin()
            outcomes = _run_stages(plan, run, loop, executor, console, mirror)
            worked = any(outcome.seconds > 0 for outcome in outcomes.values())
            write_summary(run, plan, loaded, outcomes)
            write_cards(run, plan, loaded)
            report, reported = _report(run, loaded)
            mirrored = (
                None if mirror is None else mirror.finish(lambda line: console.print(line, markup=False))
            )
    except OSError as error:
        raise as_input_error(error, out) from error
    failed = tuple(outcome for outcome in outcomes.values() if outcome.status == "failed")
    return RunSummary(report, failed, worked, reported, time.monotonic() - began, mirrored)


def _run_stages(
    plan: Plan,
    run: RunFolder,
    loop: LoopSettings,
    executor: Executor,
    console: Console,
    mirror: Mirror | None,
) -> dict[str, Outcome]:
    record = Record(run)
    record.planned(plan)
    for stage, reason in discard_broken(plan, run).items():
        record.broken(stage, reason)
        console.print(f"warning: {reason}; {stage} is made again", style="yellow", markup=False)
    done = record.found(plan)
    jobs = executor.jobs or (choose_jobs(plan) if executor.name == "local" else None)
    run.record(
        "run-started",
        stages=len(plan.stages),
        done=done,
        jobs=jobs,
        executor="ranks" if ranks.ranks() > 1 else executor.name,
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    with RunView(console, total=len(plan.stages), done=done) as view:
        watcher = record.watcher(plan, view)
        if mirror is not None:
            watcher = mirror.follow(plan, watcher)
        try:
            if ranks.ranks() > 1:
                outcomes = ranks.run_stages(plan, run, loop, watcher)
            else:
                with _backend(executor, jobs, plan, run, watcher) as backend:
                    outcomes = run_stages(plan, run, backend, loop, backend.threads, watcher)
        except (InputError, Interrupted) as error:
            with suppress(OSError):  # a full disk is what it may be about
                run.record("run-stopped", reason=str(error))
            raise
    run.record("run-ended", failed=[o.stage for o in outcomes.values() if o.status == "failed"])
    return outcomes


def _backend(
    executor: Executor, jobs: int | None, plan: Plan, run: RunFolder, watcher: Watcher
) -> Local | Ray:
    if executor.name == "ray":
        return Ray(executor.address, jobs, plan, run.root / ".ray", watcher.message)
    return Local(jobs or 1, watcher.message)


def _report(run: RunFolder, loaded: LoadedRecipe) -> tuple[Path, bool]:
    """The report's page, and whether it was made, or made again."""
    from scaling_report.report import MANIFEST, make_report

    written = run.root / "report" / MANIFEST  # the last file that a report writes
    before = written.stat().st_mtime_ns if written.is_file() else None
    page = make_report(run.root, loaded.recipe.report)
    return page, written.stat().st_mtime_ns != before
