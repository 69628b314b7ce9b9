"""The local executor with real processes: a worker's death costs a retry and fails only the culprit."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from eval.files import InputError
from pipelines import heartbeat, stages
from pipelines.disk import as_input_error, disk_is_full
from pipelines.executors import local
from pipelines.executors.local import choose_jobs
from pipelines.executors.scheduling import Ended, Needs, Watcher, run_stages
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, Outcome
from pipelines.store import RunFolder


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


def dying_work(job: Job, tell: stages.Tell) -> dict[str, Any]:
    """Stands for a stage's work: `once` is killed the first time, `always` every time."""
    seen = job.folder / "seen"
    if job.stage.name == "always" or (job.stage.name == "once" and not seen.exists()):
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def frozen_work(job: Job, tell: stages.Tell) -> dict[str, Any]:
    """Stands for a stage that hangs the first time, as where two processes wait for each other."""
    seen = job.folder / "seen"
    if job.stage.name == "always" or (job.stage.name == "once" and not seen.exists()):
        seen.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return {}


def spinning_work(job: Job, tell: stages.Tell) -> dict[str, Any]:
    """Stands for a training that hangs in a step, busy: it did steps, and does no more."""
    seen = job.folder / "seen"
    heartbeat.beat()
    if job.stage.name in ("always", "once") and not (job.stage.name == "once" and seen.exists()):
        seen.touch()
        while True:
            pass
    return {}


def _worker(pipe: Any, parent: int, place: Any, work: Any, beat_s: float) -> None:
    """A worker of which one stage's function is replaced; spawned, so all it needs comes by arguments."""
    stages.PREPARE.update(dict.fromkeys(("good", "once", "always", "after-good", "after-always"), work))
    heartbeat.BEAT_S = beat_s
    local.load_libraries = os.getpid
    local._work_on(pipe, parent, place)


class _Workers(local.Local):
    """The backend of this machine with `_worker` in its processes."""

    work: Any = None

    def _process(self, *arguments: Any) -> Any:
        return self._context.Process(target=_worker, args=(*arguments, type(self).work, 0.1))


def _run(
    folder: Path, work: Any, plan: Plan = PLAN, jobs: int = 2, **loop: Any
) -> tuple[dict[str, Outcome], list[str], list[str]]:
    """How the stages ended, of which it was told, and which were started again, and why."""
    ended: list[str] = []
    again: list[str] = []
    watcher = Watcher(
        lambda message: None,
        lambda stage, attempt: None,
        lambda stage, why: again.append(f"{stage.name}: {why}"),
        lambda outcome: ended.append(outcome.stage),
    )
    workers = type("_These", (_Workers,), {"work": staticmethod(work)})
    with workers(jobs, watcher.message) as backend:
        return run_stages(plan, RunFolder(folder), backend, LoopSettings(**loop), 1, watcher), ended, again


@pytest.mark.parametrize(
    ("work", "loop", "why"),
    [
        (dying_work, {}, "its process was ended by SIGKILL; was the memory full?"),
        (frozen_work, {"stalled_after_s": 1.0}, "no sign of life for 1 s"),
        (spinning_work, {"stalled_after_s": 1.0}, "no sign of life for 1 s"),
    ],
)
def test_a_dead_or_hung_worker_costs_a_retry_and_only_the_culprit_fails(
    work: Any, loop: dict[str, Any], why: str, tmp_path: Path
) -> None:
    outcomes, ended, again = _run(tmp_path, work, **loop)
    status = {name.removeprefix("prepare-"): outcome.status for name, outcome in outcomes.items()}
    assert status == {
        "good": "done", "once": "done", "always": "failed", "after-good": "done", "after-always": "failed",
    }  # fmt: skip
    assert sorted(ended) == sorted(outcomes), "each stage is told of once"
    reason = outcomes["prepare-always"].reason
    assert reason == f"its process ended 3 times without getting further: {why}"
    assert outcomes["prepare-after-always"].reason == "needs prepare-always, which failed"
    assert sorted(again) == [f"always: {why}", f"always: {why}", f"once: {why}"]


class _Here:
    """Stands for the backend: a job is done as soon as it is started."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def room(self, needs: Needs) -> bool:
        return not self.jobs

    def start(self, job: Job, needs: Needs) -> None:
        self.jobs.append(job.stage.id)

    def wait(self, seconds: float) -> list[Ended]:
        return [Ended(self.jobs[0], Outcome(self.jobs.pop(), "done", 0.1))]

    def stop(self, stage: str) -> None: ...

    def kill(self, stage: str) -> None: ...


def test_models_that_exist_are_taken_in_first(tmp_path: Path) -> None:
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
    watcher = Watcher(print, lambda stage, attempt: order.append(stage.id), print, print)
    run_stages(plan, RunFolder(tmp_path), _Here(), LoopSettings(), 1, watcher)
    assert order[:2] == ["fetch-one", "prepare-good"]


class _Two(_Here):
    """A backend with two slots, in which one stage works until it is asked to stop."""

    def __init__(self, first: Ended) -> None:
        super().__init__()
        self.first: list[Ended] = [first]
        self.stopped: list[str] = []

    def room(self, needs: Needs) -> bool:
        return len(self.jobs) < 2

    def wait(self, seconds: float) -> list[Ended]:
        if self.first:
            return [self.first.pop()]
        return [Ended(name, Outcome(name, "stopped", 0.1, "after step 3")) for name in self.stopped]

    def stop(self, stage: str) -> None:
        self.stopped.append(stage)


def test_a_mistake_in_one_stage_costs_the_others_no_steps(tmp_path: Path) -> None:
    ended: list[tuple[str, str]] = []
    watcher = Watcher(print, print, print, lambda outcome: ended.append((outcome.stage, outcome.status)))
    backend = _Two(Ended("prepare-good", None, error=InputError("tasks: no such label")))
    with pytest.raises(InputError, match="no such label"):
        run_stages(PLAN, RunFolder(tmp_path), backend, LoopSettings(), 1, watcher)
    assert backend.stopped == ["prepare-once"]
    assert ended == [("prepare-once", "stopped")]


def test_what_ended_with_a_mistake_is_still_told_of(tmp_path: Path) -> None:
    """Both come at once: the run ends, and nobody waits for a stage that is over."""
    ended: list[str] = []

    class Both(_Two):
        def wait(self, seconds: float) -> list[Ended]:
            good = Ended("prepare-once", Outcome("prepare-once", "done", 0.1))
            return [self.first.pop(), good] if self.first else pytest.fail("waited for what had ended")

    backend = Both(Ended("prepare-good", None, error=InputError("tasks: no such label")))
    watcher = Watcher(print, print, print, lambda outcome: ended.append(outcome.status))
    with pytest.raises(InputError, match="no such label"):
        run_stages(PLAN, RunFolder(tmp_path), backend, LoopSettings(), 1, watcher)
    assert (ended, backend.stopped) == (["done"], [])


def test_a_stage_that_no_machine_holds_now_lets_smaller_ones_go_first(tmp_path: Path) -> None:
    class Small(_Here):
        def room(self, needs: Needs) -> bool:
            return not self.jobs and (needs.memory_bytes or 0) < 100

    large = replace(_stage("large"), memory_bytes=1000)
    plan = Plan(recipe="tiny", base=Path(), stages=(large, _stage("small"), _stage("other")))
    order: list[str] = []
    watcher = Watcher(print, lambda stage, attempt: order.append(stage.name), print, print)
    run_stages(plan, RunFolder(tmp_path), Small(), LoopSettings(), 1, watcher)
    assert order == ["small", "other", "large"]


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_what_a_shared_folder_says_of_a_moment_is_tried_again(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(job: Job, tell: stages.Tell) -> dict:
        raise OSError(number, os.strerror(number), str(job.folder / "train.npy"))

    monkeypatch.setitem(stages.PREPARE, "corpus", stale)
    job = Job(_stage("corpus"), "tiny", tmp_path, tmp_path / "stage", {}, threads=1)
    outcome = stages.run_stage(job, lambda message: None)
    assert outcome.status == "stopped", "the scheduler starts it again"
    assert os.strerror(number) in str(outcome.reason)


def test_a_folder_that_another_process_holds_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a node was lost, and the file server has not yet noticed."""
    monkeypatch.setattr(stages, "LOCK_TIMEOUT_S", 0.1)
    job = Job(_stage("corpus"), "tiny", tmp_path, tmp_path, {}, threads=1)
    with FileLock(tmp_path / ".lock"):
        outcome = stages.run_stage(job, lambda message: None)
    assert outcome.status == "stopped"
    assert "another process still works in" in str(outcome.reason)


def test_memory_decides_what_runs_beside_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three slots and ten gigabytes, six and three fit side by side, six and five do not."""

    def needs(gigabytes: int | None) -> Needs:
        return Needs(cores=1, memory_bytes=None if gigabytes is None else gigabytes * 10**9, gpus=0)

    backend = local.Local(3, print)
    backend.memory_bytes = 10e9

    def idle(slot: int, size: int | None) -> Any:
        return local._Worker(slot, None, None, "job", needs(size))  # type: ignore[arg-type]

    assert backend.room(needs(50)), "alone it may try"
    backend._workers = [idle(0, 6)]
    assert backend.room(needs(3))
    assert backend.room(needs(None)), "not known: hoped for"
    assert not backend.room(needs(5))
    backend._workers = [idle(slot, 1) for slot in range(3)]
    assert not backend.room(needs(1)), "no slot is free"


def test_each_gpu_has_one_stage_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 16)
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(local, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plan = Plan(recipe="tiny", base=Path(), stages=())
    assert local.gpus() == ["0", "1", "10"]
    assert choose_jobs(plan) == 3
    assert [local._place(slot, 5).gpu for slot in range(3)] == ["0", "1", "10"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert (local.gpus(), choose_jobs(plan)) == (["1"], 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.gpus() == []


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
    monkeypatch.setattr(local, "GPUS", Path("/nowhere"))
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
