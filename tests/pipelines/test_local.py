"""The local executor with real processes: a worker's death costs a retry and fails only the culprit."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from pipelines import stages
from pipelines.disk import as_input_error, disk_is_full
from pipelines.executors import local
from pipelines.executors.local import Execution, choose_jobs, run_stages
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, Outcome
from pipelines.store import RunFolder, write_manifest


def _stage(name: str, *inputs: str) -> Stage:
    return Stage(kind="prepare", name=name, settings={}, inputs=inputs, version=1, key=name)


PLAN = Plan(
    recipe="tiny",
    base=Path(),
    stages=(
        _stage("good"),
        _stage("once"),
        _stage("always"),
        _stage("after-good", "prepare-good", "prepare-once"),
        _stage("after-always", "prepare-always"),
    ),
)


def dying_work(job: Job) -> Outcome:
    """Stands for a stage's work: `once` is killed the first time, `always` every time."""
    job.folder.mkdir(parents=True, exist_ok=True)
    seen = job.folder / "seen"
    if job.stage.name == "always" or (job.stage.name == "once" and not seen.exists()):
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write_manifest(job.stage, job.folder, {}, 0.1)
    return Outcome(job.stage.id, "done", 0.1)


def test_a_dead_worker_costs_a_retry_and_only_the_culprit_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_work", dying_work)
    monkeypatch.setattr(local, "_load_libraries", os.getpid)
    run = RunFolder(tmp_path)
    told: list[str] = []
    outcomes = run_stages(
        PLAN,
        run,
        Execution(jobs=2, loop=LoopSettings()),
        on_message=lambda message: None,
        on_start=lambda stage: None,
        on_outcome=lambda outcome: told.append(outcome.stage),
    )
    status = {name.removeprefix("prepare-"): outcome.status for name, outcome in outcomes.items()}
    assert status == {
        "good": "done", "once": "done", "always": "failed", "after-good": "done", "after-always": "failed",
    }  # fmt: skip
    assert sorted(told) == sorted(outcomes), "each stage is told of once"
    assert outcomes["prepare-always"].reason == "its process was killed twice; was the memory full?"
    assert outcomes["prepare-after-always"].reason == "needs prepare-always, which failed"


class _Here:
    """Stands for the pool: a job is done as soon as it is given."""

    cold = False

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def submit(self, job: Job) -> Any:
        done: Future[Outcome] = Future()
        done.set_result(Outcome(job.stage.id, "done", 0.1))
        return done


def test_models_that_exist_are_taken_in_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they load is known before hours of preparation, although those are the longer way."""
    settings = {"params": {"non_embedding": 1000}, "tokens": 10**9}
    fetch = Stage(kind="fetch", name="one", settings={}, inputs=(), version=1, key="f")
    train = Stage(
        kind="pretrain", name="p", settings=settings, inputs=("prepare-good", fetch.id), version=1, key="p"
    )
    longest = Stage(
        kind="pretrain", name="q", settings=settings, inputs=("prepare-good",), version=1, key="q"
    )
    plan = Plan(recipe="tiny", base=Path(), stages=(_stage("good"), fetch, train, longest))
    order: list[str] = []
    monkeypatch.setattr(local, "_Pool", _Here)
    run_stages(
        plan,
        RunFolder(tmp_path),
        Execution(jobs=1, loop=LoopSettings()),
        on_message=lambda message: None,
        on_start=lambda stage: order.append(stage.id),
        on_outcome=lambda outcome: None,
    )
    assert order[:2] == ["fetch-one", "prepare-good"]


def test_a_plan_of_small_rungs_uses_the_cores_and_a_large_one_runs_them_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan(*sizes: int) -> Plan:
        made = [
            Stage(
                kind="pretrain",
                name=str(n),
                settings={"params": {"non_embedding": n}},
                inputs=(),
                version=1,
                key="",
            )
            for n in sizes
        ]
        return Plan(recipe="tiny", base=Path(), stages=tuple(made))

    monkeypatch.setattr(local, "usable_cores", lambda: 4)
    monkeypatch.setattr(local, "GPU", Path("/nowhere"))
    assert choose_jobs(plan(1000, 2000)) == 2
    assert choose_jobs(plan(*range(1, 9))) == 4
    assert choose_jobs(plan(1000, 124_000_000)) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_whichever_library_met_it(error: Exception, tmp_path: Path) -> None:
    assert disk_is_full(tmp_path, error)
    said = str(as_input_error(error, tmp_path))
    assert "no space left on the disk; free some, then the same command goes on from here" in said
    assert "\n" not in said


def test_a_closed_folder_says_which(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/x")
    assert not disk_is_full(tmp_path, error)
    assert str(as_input_error(error, tmp_path)).startswith("runs/x: Permission denied; ")


def test_a_disk_that_fills_while_a_stage_works_ends_the_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(job: Job, tell: stages.Tell) -> dict:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.folder / "train.npy"))

    monkeypatch.setitem(stages.PREPARE, "corpus", full)
    job = Job(_stage("corpus"), "tiny", tmp_path, tmp_path / "stage", {}, threads=1)
    with pytest.raises(InputError, match=r"train\.npy: no space left on the disk"):
        stages.run_stage(job, lambda message: None)
    assert not (tmp_path / "stage" / "manifest.json").exists()
