"""`stepladder status` and a run's summary: what failed says why, and broken files are no crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.files import read_sealed, write_sealed
from pipelines import stages
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, Outcome
from pipelines.status import print_status, stage_states
from pipelines.store import RunFolder, read_manifest, write_manifest
from pipelines.summary import _read_summary


def _stage(name: str, *inputs: str) -> Stage:
    return Stage(kind="prepare", name=name, settings={}, inputs=inputs, version=1, key=name)


PLAN = Plan(
    recipe="tiny", base=Path(), stages=(_stage("good"), _stage("bad"), _stage("after", "prepare-bad"))
)


def _told(run: RunFolder) -> dict[str, tuple[str, str | None]]:
    return {
        row["stage"].removeprefix("prepare-"): (row["state"], row["note"]) for row in stage_states(run.root)
    }


def test_a_stage_that_ended_in_an_exception_and_what_needed_it_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(job: Job, tell: stages.Tell) -> dict[str, Any]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(stages.PREPARE, "bad", broken)
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    run.record("run-started")
    write_manifest(PLAN.stages[0], run.folder(PLAN.stages[0]), {}, 0.1)
    job = Job(PLAN.stages[1], "tiny", tmp_path, run.folder(PLAN.stages[1]), {}, threads=1)
    run.record("stage-started", stage=job.stage.id)
    outcome = stages.run_stage(job, lambda message: None)
    for ended in (outcome, Outcome("prepare-after", "failed", 0.0, "needs prepare-bad, which failed")):
        run.record(f"stage-{ended.status}", stage=ended.stage, seconds=0.0, reason=ended.reason)
    told = _told(run)
    assert told["good"] == ("done", None)
    assert told["bad"][0] == "failed"
    assert str(told["bad"][1]).startswith("ZeroDivisionError: a bug (traceback: ")
    assert told["after"] == ("failed", "needs prepare-bad, which failed")
    print_status(tmp_path)
    assert "1 done, 2 failed of 3 stages" in capsys.readouterr().out
    run.record("run-stopped", reason="corpus: no text in it; give some")
    print_status(tmp_path)
    assert "it stopped: corpus: no text in it; give some" in capsys.readouterr().out
    run.record("run-started")  # which tries again
    assert _told(run)["bad"][0] == "waiting"


def test_a_manifest_that_lacks_something_is_not_finished(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    folder = run.folder(PLAN.stages[0])
    write_manifest(PLAN.stages[0], folder, {}, 0.1)
    whole = read_sealed(folder / "manifest.json")
    assert read_manifest(folder) == whole
    for name in ("seconds", "facts", "settings", "files"):
        broken = {key: value for key, value in whole.items() if key != name}
        write_sealed(folder / "manifest.json", broken)
        assert _told(run)["good"][0] == "waiting"


@pytest.mark.parametrize("text", ["[]", "3", "{", ""])
def test_a_run_json_of_another_shape_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    assert _read_summary(tmp_path / "run.json") == {}
