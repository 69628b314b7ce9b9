"""Signs of life: what another process reads of a stage, and how a stage is asked to stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import heartbeat, stages
from pipelines.checkpoint import load_newest
from pipelines.heartbeat import Heart, read_life
from pipelines.plan import Stage
from pipelines.stages import Job, Message
from pipelines.stopping import REQUEUE, Stopped
from tests.pipelines.tiny import how, train_tiny


def _wait(for_what: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def _beat(folder: Path) -> int:
    life = read_life(folder)
    return -1 if life is None else life["beat"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)


def test_work_without_steps_lives_while_it_takes_processor_time(tmp_path: Path) -> None:
    with Heart("prepare-corpus", tmp_path):
        time.sleep(0.3)
        idle = _beat(tmp_path)
        until = time.monotonic() + 20
        while _beat(tmp_path) <= idle + 1:
            assert time.monotonic() < until, "busy, and no sign of it"
    assert read_life(tmp_path) is None, "what has ended gives no sign"


def test_once_there_are_steps_only_they_count(tmp_path: Path) -> None:
    """A training that spins in a step, waiting for another process, is not alive."""
    with Heart("pretrain-13k", tmp_path) as heart:
        heartbeat.beat()
        heart.told({"step": 7, "steps": 9, "tokens_per_second": 5.0})
        _wait(lambda: (read_life(tmp_path) or {}).get("step") == 7)
        before = _beat(tmp_path)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        assert _beat(tmp_path) == before
        heartbeat.beat()
        _wait(lambda: _beat(tmp_path) == before + 1)
        life = read_life(tmp_path)
        assert life is not None
        assert (life["stage"], life["pid"], life["step"]) == ("pretrain-13k", os.getpid(), 7)


@pytest.mark.parametrize("clock", [0.0, 4e9])
def test_a_clock_that_jumps_changes_nothing(
    clock: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Heart("x", tmp_path):
        monkeypatch.setattr(time, "time", lambda: clock)
        heartbeat.beat()
        _wait(lambda: _beat(tmp_path) == 1)
        life = read_life(tmp_path)
        assert life is not None
        assert 0 <= life["seconds"] < 20


def test_a_training_that_is_asked_to_stop_leaves_its_last_step_and_goes_on_from_it(tmp_path: Path) -> None:
    """As by SIGTERM: no step is lost, and the weights are those of a training left alone."""
    whole, _ = train_tiny(tmp_path / "whole", how=how(steps=12))
    parts = tmp_path / "parts"

    def watch(step: int) -> None:
        if step == 5:
            (parts / ".stop").touch()
            _wait(heartbeat.stop_asked)

    with pytest.raises(Stopped, match="stopped after step 5 of 12"), Heart("x", parts):
        train_tiny(parts, how=how(steps=12), log_every_tokens=1, on_progress=lambda told: watch(told.step))
    checkpoint, _ = load_newest(parts / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.step == 5
    resumed: list[int] = []
    again, _ = train_tiny(parts, how=how(steps=12), on_resume=resumed.append)
    assert resumed == [5]
    for name, value in whole.state_dict().items():
        assert value.equal(again.state_dict()[name]), name


_NOTHING_TO_LEAVE = """
import sys, time
from pathlib import Path
from pipelines import heartbeat
from pipelines.heartbeat import Heart
heartbeat.stop_on_sigterm()
with Heart("prepare-corpus", Path(sys.argv[1])):
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("asked", ["signal", "file"])
def test_work_with_nothing_to_leave_ends_at_once(asked: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _NOTHING_TO_LEAVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    if asked == "signal":
        process.terminate()
    else:
        (tmp_path / ".stop").touch()
    assert process.wait(timeout=20) == REQUEUE
    assert read_life(tmp_path) is None


def test_a_stage_tells_how_it_ended_when_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(job: Job, tell: stages.Tell) -> dict[str, Any]:
        tell(Message(job.stage.id, "progress", {"step": 3, "steps": 8}))
        raise Stopped("stopped after step 3 of 8")

    monkeypatch.setitem(stages.STAGES, "pretrain", stopping)
    stage = Stage(kind="pretrain", name="x", settings={}, inputs=(), version=1, key="k")
    outcome = stages.run_stage(Job(stage, "tiny", tmp_path, tmp_path / "stage", {}, threads=1), print)
    assert (outcome.status, outcome.reason) == ("stopped", "stopped after step 3 of 8")
    assert not (tmp_path / "stage" / "manifest.json").exists(), "it is not finished"
