"""The command says what is wrong in one line, and ends with 2."""

from __future__ import annotations

import sys

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
        (("plan", "smok"), "did you mean 'smoke'?"),
        (("status", "/nowhere"), "not a run folder"),
    ],
)
def test_a_misuse_is_one_line(
    arguments: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in said(monkeypatch, capsys, *arguments)
