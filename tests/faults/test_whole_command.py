"""The command itself in bad company: pre-empted, on a full disk, in a folder that is closed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.stopping import REQUEUE
from tests.faults.here import RECIPE, assert_same, results_of
from tests.test_run import events, start, stepladder, write_recipe

pytestmark = pytest.mark.slow  # each starts the command several times

LONGER = RECIPE.replace("budget: {tokens: 8e3}", "budget: {tokens: 2e5}").replace("1e-6", "3600")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `LONGER` left alone."""
    folder = tmp_path_factory.mktemp("whole")
    write_recipe(folder, LONGER)
    done = stepladder("run", "tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def _wait_for(moment: object, process: subprocess.Popen[str]) -> None:
    while not moment():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_pre_empted_leaves_checkpoints_of_its_last_step(
    number: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    """No checkpoint falls due by time here: what is there was left because somebody asked."""
    write_recipe(tmp_path, LONGER)
    run = tmp_path / "runs" / "tiny"
    process = start("run", "tiny.yaml", cwd=tmp_path)

    def training() -> bool:
        logs = [path for path in run.glob("stages/pretrain-*/log.jsonl") if path.stat().st_size > 0]
        return len(logs) == 2

    _wait_for(training, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (REQUEUE if number == signal.SIGTERM else 130)
    assert said == "stopped; the same command goes on from the last checkpoint\n"
    left = {path.parent.parent.name: path.name for path in run.glob("stages/pretrain-*/checkpoints/step-*")}
    stopped = [event["stage"] for event in events(run) if event["event"] == "stage-stopped"]
    assert left
    assert sorted(name.rpartition("-")[0] for name in left) == sorted(stopped)
    assert events(run)[-1]["event"] == "run-stopped"
    again = stepladder("run", "tiny.yaml", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    resumed = {e["stage"]: f"step-{e['step']:08d}" for e in events(run) if e["event"] == "stage-resumed"}
    assert resumed == {name.rpartition("-")[0]: step for name, step in left.items()}, "nothing is done twice"
    assert_same(results_of(tmp_path), results_of(whole))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def test_a_full_disk_ends_in_one_line_and_goes_on_once_there_is_room(whole: Path, small_disk: Path) -> None:
    write_recipe(small_disk, LONGER)
    (small_disk / "ballast").write_bytes(b"x" * 2_300_000)
    full = stepladder("run", "tiny.yaml", cwd=small_disk)
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1, full.stderr
    assert "no space left on the disk; free some, then the same command goes on from here" in full.stderr
    (small_disk / "ballast").unlink()
    _remount(small_disk, "size=64m")
    again = stepladder("run", "tiny.yaml", cwd=small_disk)
    assert again.returncode == 0, again.stderr
    assert_same(results_of(small_disk), results_of(whole))


def test_a_folder_that_cannot_be_written_is_one_line_and_can_be_looked_at(
    whole: Path, small_disk: Path
) -> None:
    _remount(small_disk, "size=64m")
    subprocess.run(["cp", "-r", f"{whole}/.", str(small_disk)], check=True)
    _remount(small_disk, "ro")
    for command in (("run", "tiny.yaml"), ("report", "runs/tiny", "--target", "bits_per_byte=1")):
        refused = stepladder(*command, cwd=small_disk)
        assert refused.returncode == 2, (command, refused.stdout)
        assert "Read-only file system" in refused.stderr
        assert refused.stderr.count("\n") == 1, refused.stderr
    seen = stepladder("status", "runs/tiny", cwd=small_disk)
    assert seen.returncode == 0, seen.stderr
    assert "6 done" in seen.stdout
