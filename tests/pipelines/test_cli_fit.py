"""`stepladder fit`, as a shell calls it: what it prints, and every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.files import hash_file
from eval.results import write_results
from pipelines.cli import main
from scaling_report.laws import chinchilla, sigmoid
from scaling_report.saved import FittedLaw
from tests.scaling_report.synthetic import ladder, result

TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
SURFACE = ("--law", "chinchilla", "--x", "n=params", "--x", "d=tokens", "--y", "loss", "--bootstrap", "50")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 16 runs, one without a loss, one with a loss that is not wanted."""
    monkeypatch.chdir(tmp_path)
    lines = ["params,tokens,flops,loss,who"]
    for n in np.geomspace(1e7, 1e9, 4):
        for d in np.geomspace(1e9, 1e11, 4):
            lines.append(f"{n},{d},{6 * n * d},{chinchilla(n, d, **TRUTH)},me")
    lines += ["1e8,1e10,6e18,,me", "1e8,1e10,6e18,9.5,me"]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stepladder", "fit", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_one_json_object_holds_the_fit(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*SURFACE, "--where", "loss<9", "--predict", "n=2e9,d=2e11", "--holdout", "2", "--json")
    code, out, err = run(monkeypatch, capsys, "runs.csv", *asked)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["parameters"] == pytest.approx(TRUTH, rel=1e-5)
    assert list(found["parameters"]) == ["E", "A", "B", "alpha", "beta"]
    assert (found["law"], found["n"], found["converged"], found["identified"]) == (
        "chinchilla",
        16,
        True,
        True,
    )
    assert found["standard_errors"].keys() == found["intervals"].keys() == TRUTH.keys()
    assert found["predictions"][0]["value"] == pytest.approx(chinchilla(2e9, 2e11, **TRUTH), rel=1e-5)
    assert found["holdout"]["mean_absolute_error_percent"] < 1e-3
    assert found["left_out"] == ["1 row by --where", "1 row without a number (row 17)"]
    assert all(sentence.endswith(".") for sentence in found["verdict"])


def test_the_same_is_a_table_without_json_and_data_come_from_compute(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--law", "chinchilla", "--x", "n=params", "--x", "c=flops", "--y", "loss", "--where", "loss<9")
    code, out, _ = run(monkeypatch, capsys, "runs.csv", *asked, "--bootstrap", "50")
    assert code == 0
    for words in ("L = E + A/N^alpha + B/D^beta · 16 runs", "alpha", "0.350000", "± s.e.", "90 % interval"):
        assert words in out
    assert "left out: 1 row without a number (row 17)" in out
    assert "The best size grows as C^0.514" in out


def test_a_curve_takes_one_column(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["size,loss", *(f"{size},{1.6 + 16.5 * size**-0.35}" for size in np.geomspace(1e4, 1e6, 8))]
    (table.parent / "curve.csv").write_text("\n".join(lines))
    asked = ("--law", "power-floor", "--x", "size", "--y", "loss", "--predict", "x=2e6", "--json")
    code, out, _ = run(monkeypatch, capsys, "curve.csv", *asked)
    assert code == 0
    found = json.loads(out)
    assert found["parameters"] == pytest.approx({"e": 1.6, "a": 16.5, "b": 0.35}, rel=1e-5)
    assert found["predictions"][0]["value"] == pytest.approx(1.6 + 16.5 * 2e6**-0.35)
    by_column = run(monkeypatch, capsys, "curve.csv", *asked[:-2], "size=2e6", "--json")[1]
    assert json.loads(by_column)["predictions"] == found["predictions"]


def test_a_fit_is_kept_with_the_command_that_made_it(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*SURFACE, "--where", "loss<9", "--predict", "n=2e9,d=2e11", "--save", "kept/law.json", "--json")
    code, out, _ = run(monkeypatch, capsys, "runs.csv", *asked)
    assert code == 0
    law = FittedLaw.load(table.parent / "kept" / "law.json")
    assert law.predict(n=2e9, d=2e11).to_dict() == json.loads(out)["predictions"][0]
    assert law.provenance["command"].startswith("stepladder fit runs.csv --law chinchilla")
    assert law.provenance["x"] == {"n": "params", "d": "tokens"}
    assert law.provenance["sha256"] == hash_file(table)
    assert run(monkeypatch, capsys, "runs.csv", *asked)[0] == 0  # a saved fit may be made again


def test_columns_called_as_the_inputs_are_need_no_naming_and_a_run_folder_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = result("bits_per_byte", 2.0, split="validation")
    write_results(tmp_path / "run" / "results.jsonl", [*ladder(), more])
    asked = (str(tmp_path / "run"), "--law", "power", "--x", "n", "--y", "bits_per_byte", "--bootstrap", "0")
    code, _, err = run(monkeypatch, capsys, *asked)
    assert (code, err.count("\n")) == (2, 1)
    assert "split is 'test' (10 rows), 'validation' (1 row); choose with --where 'split=test'" in err
    code, out, _ = run(monkeypatch, capsys, *asked, "--where", "split=test")
    assert code == 0
    assert "y = a·x^-b · 10 runs" in out
    assert "left out: 1 row by --where" in out
    (tmp_path / "runs.jsonl").write_text(
        "\n".join(
            json.dumps({"n": n, "d": d, "loss": chinchilla(n, d, **TRUTH), "flops": 600 * n * d})
            for n in np.geomspace(1e7, 1e9, 4)
            for d in np.geomspace(1e9, 1e11, 4)
        )
    )
    asked = (str(tmp_path / "runs.jsonl"), "--law", "chinchilla", "--y", "loss", "--bootstrap", "0")
    code, out, _ = run(monkeypatch, capsys, *asked)
    assert code == 0
    assert "its FLOPs are 100 times 6·n·d (median)" in out.split("note: ")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.csv", *SURFACE), "none.csv: no such file; check the name"),
        (("runs.txt", *SURFACE), "runs.txt: none of .jsonl, .csv, .parquet"),
        (
            ("runs.csv", "--law", "chinchila", *SURFACE[2:]),
            "--law: 'chinchila' is not known; did you mean 'chin",
        ),
        (("runs.csv", *SURFACE, "--loss", "hubert"), "--loss: 'hubert' is not known; did you mean 'huber'?"),
        (
            ("runs.csv", *SURFACE[:2], "--x", "n=params", "--y", "loss"),
            "chinchilla: needs d (tokens), and n is given",
        ),
        (("runs.csv", *SURFACE[:2], "--x", "m=params", "--y", "loss"), "--x: 'm' is no input of chinchilla"),
        (
            ("runs.csv", *SURFACE[:2], "--x", "params", "--y", "loss"),
            "--x: 'params'; NAME=COLUMN, such as n=params, is w",
        ),
        (
            ("runs.csv", *SURFACE[:4], "--x", "d=token", "--y", "loss"),
            "runs.csv: has no column 'token'; did you mean 'tokens'? there are params, tokens",
        ),
        (("runs.csv", *SURFACE[:6], "--y", "who"), "runs.csv: row 1: who: 'me' is no number; write one"),
        (("runs.csv", *SURFACE, "--where", "loss~3"), "--where: 'loss~3'; COLUMN=VALUE is wanted"),
        (("runs.csv", *SURFACE, "--where", "loss<low"), "--where: 'low' is no number; write one"),
        (
            ("runs.csv", *SURFACE, "--where", "loss<0"),
            "runs.csv: no rows to fit (17 rows by --where; 1 row without a number (row 17)); give some, or",
        ),
        (("runs.csv", *SURFACE, "--where", "loss<2.5"), "distinct pairs of n and d for 5 parameters"),
        (("zero.csv", *SURFACE), "zero.csv: row 1: params: 0; laws need finite numbers above zero"),
        (("runs.csv", *SURFACE, "--predict", "n=big,d=1"), "--predict n: 'big' is no number"),
        (
            ("runs.csv", *SURFACE, "--predict", "n=1e9"),
            "--predict n=1e9: d (tokens) is missing; write n=…,d=…",
        ),
        (
            ("runs.csv", *SURFACE, "--where", "loss<9", "--predict", "n=1e200,d=1e9"),
            "times beyond what was measured (1e+07 to 1e+09, 1e+09 to 1e+11); ask nearer by",
        ),
        (("runs.csv", *SURFACE, "--predict", "n=1e-300,d=1e-300"), "give c beyond what a number holds"),
        (("runs.csv", *SURFACE, "--predict", "n=0,d=1"), "laws need finite numbers above zero\n"),
        (("runs.csv", *SURFACE, "--save", "runs.csv"), "--save: runs.csv is the table; name another file"),
        (("runs.csv", *SURFACE, "--save", "runs.txt"), "--save: runs.txt is there and is no saved fit"),
        (("runs.csv", *SURFACE, "--save", ""), "--save: . is a folder; name a file"),
        (("runs.csv", *SURFACE, "--save", "/dev/null"), "--save: /dev/null is no regular file"),
        (("runs.csv", *SURFACE, "--save", "runs.csv/law"), "--save: runs.csv is no folder"),
        (("runs.csv", *SURFACE[:6], "--y", "tokens"), "--y: 'tokens' is the column of d too"),
        (
            ("runs.csv", "--law", "power", "--y", "loss"),
            "name its column (--x COLUMN); there are params, tokens, flops, loss, who",
        ),
        (
            ("runs.csv", *SURFACE, "--predict", "n=nan,d=1"),
            "--predict n: nan; laws need finite numbers above",
        ),
        (("runs.csv", *SURFACE, "--predict", "n=1,d=2,q=3"), "--predict: 'q' is no input here; choose from"),
        (("runs.csv", *SURFACE, "--predict", "n=1,d=2,n=3"), "--predict: n is given twice; leave one out"),
        (("runs.csv", *SURFACE, "--predict", "n="), "--predict: 'n='; NAME=NUMBER, such as n=1e9, is wanted"),
        (("runs.csv", *SURFACE, "--x", "n=flops"), "--x: n is given twice; leave one out"),
        (("runs.csv", *SURFACE, "--x", "c=flops"), "chinchilla: n, d, c are given; two of n, d and c=FLOPs"),
        (("runs.csv", *SURFACE, "--bootstrap", "1"), "--bootstrap: one refit has no spread"),
        (
            ("runs.csv", "--law", "repeated", *SURFACE[2:]),
            "repeated: needs u (unique tokens), and n, d are given",
        ),
        (("runs.csv", "--law", "two-step", *SURFACE[2:]), "two-step: needs the task's loss"),
        (("runs.csv", *SURFACE, "--via", "loss"), "--via: chinchilla goes through no loss; leave it out"),
        (
            ("runs.csv", "--law", "sigmoid", "--x", "n=params", "--y", "loss"),
            "--x: 'n' is no input of sigmoid; choose from l (loss)",
        ),
        (
            ("runs.csv", "--law", "sigmoid", "--x", "params", "--y", "loss"),
            "the law is of shares, between zero and one: divide percentages by 100",
        ),
        (("runs.csv", *SURFACE, "--holdout", "13"), "--holdout: 13 of 17 places leaves 4 to fit; hide fewer"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...],
    said: str,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (table.parent / "runs.txt").write_text("x")
    (table.parent / "zero.csv").write_text("params,tokens,loss\n0,1,2\n")
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_product_says_what_it_dropped(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--law", "product", "--x", "n=params", "--x", "d=tokens", "--x", "c=flops", "--y", "loss")
    _, out, _ = run(
        monkeypatch, capsys, "runs.csv", *asked, "--where", "loss<9", "--bootstrap", "0", "--json"
    )
    told = json.loads(out)
    assert (told["law"], told["dropped"], told["identified"]) == ("product", ["d"], False)
    assert list(told["parameters"]) == ["a", "b", "c"]
    assert any(one.startswith("Not identified: C is 6·N·D in every row") for one in told["verdict"])


def test_accuracy_is_predicted_by_way_of_the_tasks_loss(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = {"a": -0.6, "k": 3.0, "x0": 2.6, "b": 0.9}
    lines = table.read_text().splitlines()[:17]
    rows = [f"{one},{sigmoid(float(one.split(',')[3]), **truth)}" for one in lines[1:]]
    Path("tasks.csv").write_text("\n".join([f"{lines[0]},accuracy", *rows]) + "\n")
    asked = (
        "--law",
        "two-step",
        *SURFACE[2:6],
        "--via",
        "loss",
        "--y",
        "accuracy",
        "--predict",
        "n=2e9,d=2e11",
    )
    _, out, _ = run(monkeypatch, capsys, "tasks.csv", *asked, "--bootstrap", "20", "--json")
    told = json.loads(out)
    assert told["parameters"] == pytest.approx(TRUTH | truth, rel=1e-5)
    expected = sigmoid(chinchilla(np.array(2e9), np.array(2e11), **TRUTH), **truth)
    assert told["predictions"][0]["value"] == pytest.approx(expected, rel=1e-6)
    assert told["standard_errors"].keys() == told["parameters"].keys()


def test_nothing_of_torch_is_loaded(table: Path) -> None:
    code = (
        "import sys; sys.argv = ['stepladder', 'fit', *sys.argv[1:]]\n"
        "from pipelines.cli import main\n"
        "main()\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, "runs.csv", *SURFACE], check=True, capture_output=True, cwd=table.parent
    )


def test_measured_errors_weigh_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run far off, said to be ill measured, hardly moves the line."""
    monkeypatch.chdir(tmp_path)
    sizes = np.geomspace(1e6, 1e9, 9)
    loss = 40 * sizes**-0.06 * np.exp(0.002 * np.random.default_rng(0).standard_normal(9))
    loss[-1] *= 1.1
    rows = [f"{n},{y},{y * (0.1 if n == sizes[-1] else 0.002)}" for n, y in zip(sizes, loss, strict=True)]
    Path("runs.csv").write_text("\n".join(["n,loss,se", *rows]) + "\n", encoding="utf-8")
    asked = ("runs.csv", "--law", "power", "--x", "n", "--y", "loss", "--loss", "least-squares", "--json")
    plain = json.loads(run(monkeypatch, capsys, *asked)[1])
    weighed = json.loads(run(monkeypatch, capsys, *asked, "--error", "se")[1])
    assert abs(weighed["parameters"]["b"] - 0.06) < 0.1 * abs(plain["parameters"]["b"] - 0.06)
    assert any(one.startswith("Runs weigh by") for one in weighed["verdict"])
    code, _, err = run(monkeypatch, capsys, *asked, "--error", "stderr")
    assert code == 2
    assert "has no column 'stderr'" in err
