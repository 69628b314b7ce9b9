"""A bit that flips, or a file that is cut short, anywhere in a run: told of, made again, no wrong number."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eval.files import InputError
from eval.results import Result
from pipelines.stages import Job
from scaling_report.report import make_report
from scaling_report.settings import ReportSettings
from tests.faults.here import assert_same, results_of, run_here


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        run_here(folder, patch)
    return folder


@pytest.fixture(scope="module")
def expected(whole: Path) -> list[Result]:
    return results_of(whole)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The finished run in a place of its own, to be damaged."""
    return shutil.copytree(whole, tmp_path / "copy")


def flip(path: Path) -> None:
    """One bit, in the middle of the file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Without its last third."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def change_digit(path: Path) -> None:
    """The hard case of a flipped bit: the file is as well-formed as before, a number in it is another."""
    text = path.read_text(encoding="utf-8")
    (place, *_) = [found.start(1) for found in re.finditer(r"\d\.\d*(\d)", text)]
    path.write_text(text[:place] + str(int(text[place]) ^ 1) + text[place + 1 :], encoding="utf-8")


def _unfinish(run: Path, kinds: str) -> None:
    """Stages still to do, so that what they read is read again."""
    for folder in run.glob(f"stages/{kinds}"):
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("file", "damage", "unfinished"),
    [
        ("stages/evaluate-3.3k-s0-perplexity-*/results.jsonl", change_digit, None),
        ("stages/evaluate-3.3k-s0-perplexity-*/results.jsonl", cut, None),
        ("stages/evaluate-3.3k-s0-perplexity-*/manifest.json", change_digit, None),
        ("stages/evaluate-3.3k-s0-perplexity-*/manifest.json", cut, None),
        ("stages/evaluate-13k-s0-perplexity-*/facts.json", flip, None),
        ("stages/prepare-tokens-*/train-00000.npy", flip, "pretrain-*"),
        ("stages/prepare-tokens-*/train-00000.npy", cut, "pretrain-*"),
        ("stages/prepare-tokens-*/manifest.json", cut, "pretrain-*"),
        ("stages/prepare-corpus-*/test.jsonl*", flip, "evaluate-*"),
        ("stages/pretrain-13k-s0-*/model/model.safetensors", flip, "evaluate-13k-*"),
        ("stages/pretrain-13k-s0-*/log.jsonl", change_digit, None),
        ("stages/pretrain-13k-s0-*/model/model.safetensors", cut, None),
    ],
)
def test_an_altered_artefact_is_told_of_and_made_again(
    file: str,
    damage: Callable[[Path], None],
    unfinished: str | None,
    copy: Path,
    expected: list[Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = copy / "runs" / "tiny"
    if unfinished:
        _unfinish(run, unfinished)
    (found,) = run.glob(file)
    damage(found)
    shown, failed = run_here(copy, monkeypatch)
    assert failed == []
    stage = found.parent.name if found.parent.parent.name == "stages" else found.parent.parent.name
    assert re.search(
        rf"warning: \S*{re.escape(stage)}\S*: .*; {stage.rpartition('-')[0]} is made again", shown
    )
    told = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [one["stage"] for one in told if one["event"] == "stage-broken"] == [stage.rpartition("-")[0]]
    assert_same(results_of(copy), expected)


@pytest.mark.parametrize("damage", [change_digit, cut, flip])
@pytest.mark.parametrize("name", ["results.jsonl", "run.json", "plan.json"])
def test_what_a_run_gathered_is_gathered_again(
    name: str,
    damage: Callable[[Path], None],
    copy: Path,
    expected: list[Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The report alone refuses it; the recipe's command makes it again from the artefacts."""
    path = copy / "runs" / "tiny" / name
    damage(path)
    if name != "plan.json":
        with pytest.raises(InputError, match=rf"{re.escape(name)}.*(hash|JSON|cut|UTF-8)"):
            make_report(copy / "runs" / "tiny", ReportSettings(bootstrap=100, holdout=0))
    _, failed = run_here(copy, monkeypatch)
    assert failed == []
    assert_same(results_of(copy), expected)


def test_events_that_nobody_can_read_cost_nothing(
    copy: Path, expected: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy / "runs" / "tiny" / "events.jsonl"
    path.write_bytes(b"\xff\x00{]\n" + path.read_bytes()[: 2 * path.stat().st_size // 3])
    shown, failed = run_here(copy, monkeypatch)
    assert failed == []
    assert "made again" not in shown
    assert_same(results_of(copy), expected)


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_broken_checkpoint_is_set_aside_for_the_one_before(
    file: str,
    damage: Callable[[Path], None],
    copy: Path,
    expected: list[Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = copy / "runs" / "tiny"
    _unfinish(run, "pretrain-13k-*")
    _unfinish(run, "evaluate-13k-*")
    _stop_after(12, monkeypatch, copy)
    *_, before, newest = sorted(run.glob("stages/pretrain-13k-*/checkpoints/step-*"))
    damage(newest / file)
    shown, failed = run_here(copy, monkeypatch)
    assert failed == []
    assert f"{newest.name}: broken checkpoint" in shown
    assert "set aside, using the one before" in shown
    told = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    resumed = [one["step"] for one in told if one["event"] == "stage-resumed"]
    assert resumed == [int(before.name.removeprefix("step-"))]
    assert_same(results_of(copy), expected)


def _stop_after(step: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Run until that step of the training that is left to do, as if the process were killed there."""
    from pipelines import training_setup

    class _Killed(BaseException):
        pass

    kept = training_setup._run

    def killed(job: Job, *rest: object) -> object:
        run = kept(job, *rest)  # type: ignore[arg-type]
        made = run.batches.batch

        class Batches:
            def __getattr__(self, name: str) -> object:
                return getattr(run.batches, name)

            def batch(self, number: int, *rest: object) -> object:
                if number == step:
                    raise _Killed
                return made(number, *rest)

        return training_setup.Run(**{**vars(run), "batches": Batches()})

    with monkeypatch.context() as patch:
        patch.setattr(training_setup, "_run", killed)
        patch.setattr("pipelines.executors.scheduling.GRACE_S", 0.0)  # nothing is left to wait for
        with pytest.raises(_Killed):
            run_here(folder, patch)
