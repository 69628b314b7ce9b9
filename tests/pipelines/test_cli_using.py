"""The commands that use a model, as a shell calls them."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.cli import main
from pipelines.using.folders import find_model
from tests.pipelines.saved import TEXTS, labels, save

CALL = [sys.executable, "-c", "from pipelines.cli import main; main()"]


@dataclass(frozen=True)
class Called:
    code: object
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """The command, in this process: what it says, and the code that it ends with."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def called(*arguments: str | Path, stdin: str = "") -> Called:
        monkeypatch.setattr(sys, "argv", ["stepladder", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfd.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        return Called(code, *capfd.readouterr())

    yield called
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    return save(folder, "BertForSequenceClassification", **labels("bad", "good"))


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("language_model"), "GPT2LMHeadModel")


def test_lines_go_in_and_answers_come_out_and_nothing_else(classifier: Path, call: Call) -> None:
    found = call("predict", classifier, "-", stdin="\n".join([*TEXTS, "a " * 99]) + "\n")
    assert found.code == 0
    answers = [json.loads(line) for line in found.out.splitlines()]
    assert [answer["id"] for answer in answers] == [1, 2, 3, 4, 5]
    assert all(set(answer["probabilities"]) == {"bad", "good"} for answer in answers)
    assert found.err == "warning: 1 row was longer than the model reads and lost its end\n"


def test_a_prompt_is_answered_with_its_text_alone(language_model: Path, call: Call) -> None:
    found = call("generate", language_model, "the", "--max-new-tokens", "5")
    rows = call(
        "generate", language_model, "--file", "-", "--max-new-tokens", "5", stdin='{"prompt": "the"}\n'
    )
    assert found.code == rows.code == 0
    assert found.out.rstrip("\n") == json.loads(rows.out)["text"]
    assert found.err == rows.err == ""


@pytest.mark.parametrize(
    "arguments", [["predict", "nowhere/at/all", "-"], ["generate", "."], ["push", ".", "me/x"]]
)
def test_a_mistake_is_one_line_and_exit_code_two(
    arguments: list[str], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = call(*arguments, stdin="x\n")
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert found.out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes are a POSIX shell's")
def test_who_stops_reading_and_ctrl_c_end_it_quietly(classifier: Path) -> None:
    stopped, unread = (
        subprocess.Popen(
            [*CALL, "predict", str(classifier), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    for process in (stopped, unread):
        assert process.stdin is not None
        process.stdin.write("x\n" * 257)  # more than are answered at a time, and no end
        process.stdin.flush()
    for process in (stopped, unread):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == 1
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert (stopped.returncode, said) == (130, "stopped\n")

    assert unread.stdin is not None
    assert unread.stdout is not None
    assert unread.stderr is not None
    unread.stdout.close()
    unread.stdin.write("x\n" * 256)
    with contextlib.suppress(BrokenPipeError):  # it may have ended before it was told all
        unread.stdin.close()
    assert unread.stderr.read() == ""
    assert unread.wait(timeout=60) == 1


def test_a_model_is_found_by_its_folder_its_stages_or_its_runs(tmp_path: Path) -> None:
    first = tmp_path / "stages" / "finetune-a" / "model"
    first.mkdir(parents=True)
    (first / "config.json").write_text("{}")
    assert find_model(str(first)) == find_model(str(first.parent)) == find_model(str(tmp_path)) == first
    second = tmp_path / "stages" / "finetune-b" / "model"
    second.mkdir(parents=True)
    (second / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds 2 models; name one of .*finetune-a/model.*finetune-b/model"):
        find_model(str(tmp_path))
    with pytest.raises(InputError, match="is a file"):
        find_model(str(first / "config.json"))
    with pytest.raises(InputError, match="no model"):
        find_model(str(tmp_path / "stages"))
    with pytest.raises(InputError, match="no such folder"):
        find_model("./nothing-here")
