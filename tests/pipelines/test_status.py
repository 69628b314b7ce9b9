"""`stepladder status` and a run's summary: what failed says why, and broken files are no crash."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, read_sealed, write_json, write_sealed
from pipelines import observer, stages
from pipelines.observer import Observer
from pipelines.plan import Plan, Stage
from pipelines.signs import PATIENCE_S, Live, Pulse
from pipelines.stages import Job, Outcome
from pipelines.status import StageStatus
from pipelines.status_view import show_status
from pipelines.store import RunFolder, read_manifest, write_manifest
from pipelines.summary import _read_summary


def _stage(name: str, *inputs: str) -> Stage:
    return Stage(kind="prepare", name=name, settings={}, inputs=inputs, version=1, key=name)


PLAN = Plan(
    recipe="tiny", base=Path(), stages=(_stage("good"), _stage("bad"), _stage("after", "prepare-bad"))
)


def _told(run: RunFolder) -> dict[str, tuple[str, str | None]]:
    return {
        row.stage.removeprefix("prepare-"): (row.state, row.reason or row.note)
        for row in Observer(run.root).look().stages
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
    show_status(tmp_path, watch=False, as_json=False, every_stage=False)
    assert "1 done, 2 failed of 3 stages" in capsys.readouterr().out
    run.record("run-stopped", reason="corpus: no text in it; give some")
    show_status(tmp_path, watch=False, as_json=False, every_stage=False)
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


def _look(folder: Path) -> dict[str, StageStatus]:
    return {row.stage.removeprefix("prepare-"): row for row in Observer(folder).settled().stages}


def _claimed(folder: Path) -> tuple[RunFolder, Path]:
    """A run folder whose events say that `good` runs on another machine; the stage's own folder."""
    run = RunFolder(folder)
    run.claim(PLAN, "name: tiny\n")
    run.record("run-started", stages=3, done=0, jobs=2, host="elsewhere", pid=7)
    run.record("stage-started", stage="prepare-good", key="good", attempt=1)
    stage = run.folder(PLAN.stages[0])
    stage.mkdir(parents=True)
    return run, stage


def _beat(stage: Path, beat: int, **more: Any) -> None:
    life = {
        "host": "elsewhere",
        "pid": 8,
        "beat": beat,
        "time": "2031-01-01T00:00:00Z",
        "seconds": 2.0 * beat,
    }
    write_json(stage / ".live.json", life | more)


def test_a_stage_runs_while_its_signs_change_whatever_the_clocks_say(tmp_path: Path) -> None:
    """The worker's clock is years ahead of this machine's, its files' times years behind."""
    _, stage = _claimed(tmp_path)
    over = threading.Event()

    def work() -> None:
        for beat in itertools.count():
            _beat(stage, beat, step=30, steps=90, tokens=3000, tokens_per_second=100.0, loss_nats=2.5)
            os.utime(stage / ".live.json", (0, 0))
            if over.wait(0.2):
                return

    worker = threading.Thread(target=work)
    worker.start()
    try:
        status = Observer(tmp_path).settled()
    finally:
        over.set()
        worker.join()
    row = status.stages[0]
    assert (status.state, row.state, row.host, row.pid) == ("working", "running", "elsewhere", 8)
    assert (row.tokens_per_second, row.seconds_left) == (100.0, 60.0), (
        "two thirds of 9,000 tokens at 100 a second"
    )


def test_a_stage_without_new_signs_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "SETTLE_S", 0.6)
    _, stage = _claimed(tmp_path)
    _beat(stage, 5, step=30, steps=90)
    status = Observer(tmp_path).settled()
    assert (status.state, status.stages[0].state) == ("silent", "silent")
    show_status(tmp_path, watch=False, as_json=False, every_stage=False)
    told = capsys.readouterr().out
    assert "silent   elsewhere (8)" in told
    assert "no sign of life; the last one at 2031-01-01T00:00:00Z by its own clock" in told
    assert "no sign that anybody is working on it" in told


def test_a_held_lock_needs_no_second_look(tmp_path: Path) -> None:
    run, stage = _claimed(tmp_path)
    _beat(stage, 5)
    left = run.folder(PLAN.stages[1])  # by a worker that was killed in an earlier run
    left.mkdir()
    _beat(left, 9)
    with run.locked():
        status = Observer(tmp_path).look()
    assert [row.state for row in status.stages] == ["running", "waiting", "waiting"]
    assert status.state == "working"


def test_a_run_that_told_its_end_makes_no_claims(tmp_path: Path) -> None:
    run, stage = _claimed(tmp_path)
    _beat(stage, 5)
    run.record("run-stopped", reason="stopped by SIGTERM")
    status = Observer(tmp_path).look()
    assert (status.state, status.stages[0].state) == ("stopped", "waiting")


def test_a_run_of_this_machine_whose_process_is_gone_says_so(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    run.record("run-started", host=socket.gethostname(), pid=7)
    assert Observer(tmp_path).settled().state == "gone"


def test_a_worker_that_lives_while_its_work_stands_still_says_for_how_long() -> None:
    now = 0.0
    pulse = Pulse(clock=lambda: now)

    def sign(beat: int, seconds: float) -> Live:
        values = dict.fromkeys(("host", "pid", "time", "step", "steps", "tokens", "tokens_per_second"))
        return Live(told={"seconds": seconds}, beat=beat, seconds=seconds, loss_nats=None, **values)

    pulse.look("stage", sign(1, 100.0))
    assert not pulse.beats("stage"), "one look tells nothing"
    now += 2
    pulse.look("stage", sign(2, 102.0))
    assert pulse.beats("stage")
    now -= 3600  # this machine's clock is monotonic; should it not be, nothing is negative
    pulse.look("stage", sign(2, 190.0))
    assert pulse.beats("stage")
    assert pulse.stuck_seconds("stage") == 88.0
    pulse.look("stage", sign(3, 192.0))
    assert pulse.stuck_seconds("stage") is None
    now += PATIENCE_S + 1
    pulse.look("stage", sign(3, 192.0))
    assert not pulse.beats("stage")


def test_what_is_done_is_told_by_manifests_not_by_events(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    write_manifest(PLAN.stages[0], run.folder(PLAN.stages[0]), {}, 0.5)  # which no event tells of
    run.record("stage-started", stage="prepare-bad", key="bad")
    run.record("stage-done", stage="prepare-bad", key="bad", seconds=1.0)  # whose artefact is gone
    rows = _look(tmp_path)
    assert (rows["good"].state, rows["good"].seconds) == ("done", 0.5)
    assert (rows["bad"].state, rows["bad"].note) == (
        "waiting",
        "was done, but its artefact is gone; it is made again",
    )
    assert rows["after"].waits_for == ("prepare-bad",)
    run.record("stage-broken", stage="prepare-good", reason="made: does not have the hash")
    assert _look(tmp_path)["good"].note == "is made again: made: does not have the hash"


TRACEBACK = """Traceback (most recent call last):
  File "/opt/stepladder/pipelines/stages.py", line 147, in run_stage
    facts = work(job, tell)
  File "/opt/venv/lib/python3.11/site-packages/pipelines/train.py", line 88, in train
    model(batch)
  File "/opt/venv/lib/python3.11/site-packages/transformers/pipelines/base.py", line 9, in forward
    raise ValueError(x)
ValueError: no such batch
  it had \x1b[31mtwo lines
"""


def test_a_failure_shows_the_exception_and_the_last_place_in_our_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    folder = run.folder(PLAN.stages[1])
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text(TRACEBACK)
    run.record("stage-started", stage="prepare-bad", key="bad", attempt=2)
    run.record("stage-failed", stage="prepare-bad", key="bad", reason="its process\x1b[2J died 3 times")
    row = _look(tmp_path)["bad"]
    assert (row.error, row.where) == ("ValueError: no such batch", "pipelines/train.py:88 in train")
    show_status(tmp_path, watch=False, as_json=False, every_stage=False)
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "died 3 times; ValueError: no such batch; at pipelines/train.py:88 in train" in told


@pytest.mark.parametrize(
    "text", [None, "", '{"format": 1, "rec', "[]", '{"recipe": "tiny", "stages": [{"id": 1, "folder": 2}]}']
)
def test_a_lost_or_torn_plan_is_told_by_the_events(tmp_path: Path, text: str | None) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    planned = [{"id": stage.id, "folder": stage.folder} for stage in PLAN.stages]
    if text is None:
        (tmp_path / "plan.json").unlink()
    else:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        Observer(tmp_path).look()
    run.record("planned", stages=planned)
    write_manifest(PLAN.stages[0], run.folder(PLAN.stages[0]), {}, 0.5)
    status = Observer(tmp_path).look()
    assert [row.state for row in status.stages] == ["done", "waiting", "waiting"]
    assert status.plan_note is not None
    assert status.plan_note.startswith(f"plan.json is {'gone' if text is None else 'broken'}: ")


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunFolder(tmp_path).claim(PLAN, "name: tiny\n")

    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(InputError, match="stages: you may not read it; ask its owner for the permission"):
        Observer(tmp_path).look()


def _many(count: int) -> Plan:
    names = [f"s{index:03}" for index in range(count)]
    return Plan(recipe="many", base=Path(), stages=tuple(map(_stage, names)))


def test_of_many_stages_what_runs_failed_and_finished_last_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, run = _many(100), RunFolder(tmp_path)
    run.claim(plan, "name: many\n")
    run.record("run-started", host="here", pid=1, jobs=2)
    for stage in reversed(plan.stages[:60]):  # s000 is the last to finish
        run.folder(stage).mkdir(parents=True)
        (run.folder(stage) / "manifest.json").write_text("{}")
        run.record("stage-done", stage=stage.id, key=stage.key, seconds=2.0)
    run.record("stage-failed", stage="prepare-s060", key="s060", seconds=1.0, reason="diverged at step 3")
    run.record("stage-started", stage="prepare-s061", key="s061", attempt=1)
    with run.locked():
        show_status(tmp_path, watch=False, as_json=False, every_stage=False)
        told = capsys.readouterr().out
        show_status(tmp_path, watch=False, as_json=False, every_stage=True)
        every = capsys.readouterr().out
    shown = re.findall(r"prepare-(s\d+)", told)
    assert shown == ["s000", "s001", "s002", "s003", "s004", "s060", "s061"]
    assert "diverged at step 3" in told
    assert "not shown: 93 more; --all shows every stage" in told
    assert (
        "60 done, 1 running, 1 failed, 38 waiting of 100 stages; a stepladder is working on it on here"
        in told
    )
    assert "time left: about 39 s (by what finished stages of the same kind took)" in told
    assert len(re.findall(r"prepare-(s\d+)", every)) == 100


def test_json_has_the_keys_that_the_manual_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunFolder(tmp_path).claim(PLAN, "name: tiny\n")
    show_status(tmp_path, watch=False, as_json=True, every_stage=False)
    told = json.loads(capsys.readouterr().out)
    manual = (Path(__file__).parents[2] / "docs" / "using.md").read_text()
    section = manual.partition("# Watching a run")[2]
    listed = set(re.findall(r"`(\w+)`", section))
    assert {*told, *told["stages"][0]} <= listed
    assert [row["stage"] for row in told["stages"]] == [stage.id for stage in PLAN.stages]
    assert told["counts"] == {"done": 0, "running": 0, "silent": 0, "failed": 0, "waiting": 3}


def _command(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", "from pipelines.cli import main; main()", "status", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_watching_ends_with_the_run_and_by_ctrl_c(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(PLAN, "name: tiny\n")
    run.record("run-started", host="elsewhere", pid=7, jobs=1)
    with run.locked():
        watching, stopped = _command(str(tmp_path), "--watch"), _command(str(tmp_path), "--watch", "--json")
        assert watching.stdout is not None
        assert stopped.stdout is not None
        first = json.loads(stopped.stdout.readline())
        assert first["state"] == "working"
        stopped.send_signal(signal.SIGINT)
        assert stopped.wait(20) == 130
        while "3 waiting of 3 stages" not in watching.stdout.readline():
            assert watching.poll() is None
        write_manifest(PLAN.stages[0], run.folder(PLAN.stages[0]), {}, 0.5)
        run.record("run-ended", failed=[])
    rest, error = watching.communicate(timeout=20)
    assert (watching.returncode, error) == (0, "")
    assert "1 done, 2 waiting of 3 stages; nobody is working on it" in rest


def test_status_loads_neither_torch_nor_the_recipes_models(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim(PLAN, "name: tiny\n")
    told = "import sys; from pipelines.status_view import show_status; from pathlib import Path\n"
    told += f"show_status(Path({str(tmp_path)!r}), watch=False, as_json=False, every_stage=False)\n"
    told += "print(sorted({'torch', 'pydantic', 'datasets', 'ray', 'rich', 'numpy'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
