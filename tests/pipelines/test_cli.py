"""The command says what is wrong in one line, and ends with 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.cli import main


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["stepladder", *arguments])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("run", "--nonsense"), "No such option: --nonsense; see `stepladder run --help`"),
        (("plan",), "Missing argument 'recipe'; see `stepladder plan --help`"),
        (("nonsense",), "No such command 'nonsense'; see `stepladder --help`"),
        (("run", "smoke", "--jobs", "0"), "Invalid value for '--jobs'"),
        (("run", "smoke", "--address", "head:6379"), "--address: names a Ray cluster; add --executor ray"),
        (("run", "smoke", "--executor", "slurm"), "Invalid value for '--executor'"),
        (("plan", "smok"), "did you mean 'smoke'?"),
        (("status", "/nowhere"), "not a run folder"),
        (("report", "/nowhere"), "/nowhere: neither a run (plan.json) nor evaluations (results.jsonl)"),
        (
            ("report", __file__, "--overlay", "gpt5"),
            "no published ladder of this name; there are gpt2-zero-shot",
        ),
        (("report", __file__, "--target", "acc=0.9"), "--target 'acc' is no metric; did you mean accuracy?"),
        (("report", __file__, "--target", "accuracy=2"), "accuracy is between 0 and 1"),
        (("report", __file__, "/tmp"), "/tmp: neither a run"),
        (("report", __file__, __file__), "add --out FOLDER"),
        (("report", __file__, "--out", ""), "--out: names no folder; give one, or leave it out"),
        (("report", __file__, "--out", __file__), "is a file; name a folder"),
    ],
)
def test_a_misuse_is_one_line(
    arguments: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in said(monkeypatch, capsys, *arguments)


def test_a_name_that_the_hub_would_refuse_is_seen_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")
    monkeypatch.setattr("pipelines.run.run_recipe", None)  # not come to
    run = ("run", "smoke", "--out", str(tmp_path / "out"), "--push-to-hub", "me/too")
    assert "--push-to-hub: 'me/too' is no name of a user" in said(monkeypatch, capsys, *run)
