"""`stepladder eval` and `stepladder compare`, as a shell calls them."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval.evaluations import Evaluations
from eval.files import read_json, read_jsonl, write_sealed
from eval.results import read_results
from pipelines.cli import main
from pipelines.origin import find_origin
from tests.pipelines.saved import TEXTS, labels, save


@dataclass(frozen=True)
class Called:
    code: object
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Call]:
    """The command, in this process and an empty folder: what it says, and the code that it ends with."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments: str | Path) -> Called:
        monkeypatch.setattr(sys, "argv", ["stepladder", *map(str, arguments)])
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
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    heads = {
        "first": "GPT2ForSequenceClassification",
        "second": "BertForSequenceClassification",
    }
    made = {name: save(root / name, head, **labels("bad", "good")) for name, head in heads.items()}
    made["decoder"] = save(root / "decoder", "GPT2LMHeadModel")
    made["encoder"] = save(root / "encoder", "BertForMaskedLM")
    return made


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reviews.csv, which has no train rows, and texts."""
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "reviews.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        table.writerows([text, ("bad", "good")[place % 2]] for place, text in enumerate(TEXTS * 3))
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    (folder / "empty.csv").write_text("text,label\n")
    (folder / "blank.csv").write_text("text,label\n,a\n ,b\n")
    (folder / "stars.csv").write_text("text,label\nfine,one\n")
    (folder / "pairs.csv").write_text("source,target\ncat,Katze\ncow,Kuh\n")
    shots = "kind: generation\nfiles: {train: pairs.csv, test: pairs2.csv}\nshots: 2\nmax_new_tokens: 2\n"
    (folder / "pairs2.csv").write_text("source,target\ndog,Hund\n")
    (folder / "shots.yaml").write_text(shots)
    (folder / "odd").mkdir()
    good = {"id": "a", "text": "x", "label": "good"}
    (folder / "odd" / "test.jsonl").write_text(json.dumps(good))
    (folder / "odd" / "train.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps({'id': 'b'})}\n")
    return folder


def test_models_are_measured_kept_shown_and_not_measured_again(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("eval", models["first"], models["second"], "--task", "classification")
    asked = (*asked, "--data", rows / "reviews.csv", "--out", "out", "bootstrap=50")
    found = call(*asked)
    assert (found.code, found.err) == (0, "")
    for word in ("first", "second", "classification-reviews", "accuracy", "±", "items/s", "an item alone"):
        assert word in found.out
    kept = Evaluations(tmp_path / "out").finished()
    assert [one.folder.parent.name for one in kept] == ["first", "second"]
    results = read_results(tmp_path / "out" / "results.jsonl")
    assert {result.rung for result in results} == {"first", "second"}
    assert {result.n for result in results} == {12}
    assert len(list(kept[0].items())) == 12
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    own = (tmp_path / "out" / "second" / "results.md").read_text(encoding="utf-8")
    assert "| first | classification-reviews | test | accuracy |" in page
    rows_of = f"{rows.name}/reviews.csv"
    assert f"| first | classification-reviews | test | {rows_of} | 12 | bootstrap=50 |" in page
    assert rows_of in found.out
    assert "| second |" in own
    assert "| first |" not in own

    def load(*_: object) -> None:
        raise RuntimeError("loaded")

    monkeypatch.setattr("eval.evaluate.load_model", load)
    assert call(*asked) == found
    assert "loaded" in call(*asked, "--max-items", "4").err, "other items are another evaluation"


def test_one_task_is_asked_about_several_files_each_by_itself(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.jsonl").write_text(json.dumps({"text": "One more."}))
    both = ("--data", rows / "texts.jsonl", "--data", "more.jsonl")
    found = call("eval", models["decoder"], "--task", "perplexity", "--task", "perplexity", *both)
    assert (found.code, found.err) == (0, "")
    results = read_results(tmp_path / "evals" / "results.jsonl")
    assert {one.n for one in results} == {len(TEXTS), 1}
    assert len({one.data_fingerprint for one in results}) == 2


def test_ours_are_found_by_their_run_with_all_that_is_known_of_them(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tmp_path / "run" / "stages" / "finetune-1k-s3-reviews-0a"
    shutil.copytree(models["first"], stage / "model")
    plan = {"format": 1, "recipe": "trial", "stages": [{"id": "x", "folder": "x", "kind": "finetune"}]}
    (tmp_path / "run" / "plan.json").write_text(json.dumps(plan))
    settings = {"family": "gpt2", "objective": "classification", "rung": "1k", "seed": 3}
    counts = {"total": 3, "non_embedding": 1, "matmul": 2}
    facts = {"params": counts, "tokens": 5, "unique_tokens": 5, "flops": 7.0, "stage_flops": 7.0}
    manifest = {"stage": "finetune-1k-s3-reviews", "settings": settings, "files": {}, "seconds": 1.0}
    manifest["facts"] = facts | {"step": 2, "annealed": True}
    write_sealed(stage / "manifest.json", manifest)
    found = call("eval", stage, "--task", "classification", "--data", rows / "reviews.csv", "bootstrap=50")
    assert (found.code, found.err) == (0, "")
    (one, *_) = read_results(tmp_path / "evals" / "results.jsonl")
    assert (one.run, one.stage, one.rung, one.seed, one.params) == ("trial", "finetune", "1k", 3, counts)
    assert "finetune 1k s3" in found.out
    monkeypatch.chdir(stage / "model")
    assert find_origin(Path()) is not None, "`eval .` in the model's folder"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "perplexity"], "eval: no model; name a folder, or a model of the hub"),
        (["MODELS/decoder"], "no task; name one with --task"),
        (
            ["MODELS/decoder", "--task", "perplexty", "--data", "ROWS/texts.jsonl"],
            "did you mean 'perplexity'",
        ),
        (["MODELS/decoder", "--task", "perplexity"], "has no rows of its own"),
        (["MODELS/decoder", "--task", "perplexity", "--data", "ROWS/nothing.csv"], "no such file"),
        (["MODELS/decoder", "--task", "multiple-choice", "--data", "ROWS/texts.jsonl"], "no column"),
        (["MODELS/first", "--task", "classification", "--data", "ROWS/empty.csv"], "no rows"),
        (
            ["MODELS/encoder", "--task", "perplexity", "--data", "ROWS/texts.jsonl"],
            "a bert cannot do perplexity",
        ),
        (
            ["MODELS/decoder", "--task", "masked-lm", "--data", "ROWS/texts.jsonl"],
            "a gpt2 cannot do",
        ),
        (
            ["MODELS/decoder", "MODELS/encoder", "--task", "perplexity", "--data", "ROWS/texts.jsonl"],
            "a bert cannot do perplexity",
        ),
        (["nowhere/at/all", "--task", "perplexity", "--data", "ROWS/texts.jsonl"], "no such folder"),
        (["MODELS/decoder", "contxt=8", "--task", "perplexity", "--data", "ROWS/texts.jsonl"], "'context'"),
        (["MODELS/decoder", "--split", "tst", "--task", "perplexity"], "'tst' is not one of the choices"),
        (["MODELS/decoder", "--max-items", "0", "--task", "perplexity"], "must be at least 1"),
        (
            [
                "MODELS/decoder",
                *("--task perplexity --task cloze --task bias-pairs --data a --data b".split()),
            ],
            "2 for 3 tasks",
        ),
        (
            ["MODELS/decoder", "context=9999", "--task", "perplexity", "--data", "ROWS/texts.jsonl"],
            "eval.context: 9999 is more than the model's",
        ),
        (
            ["MODELS/decoder", "context=16", "stride=17", "--task=perplexity", "--data=ROWS/texts.jsonl"],
            "eval.stride: 17 is more than the context, 16 tokens",
        ),
        (
            ["MODELS/decoder", "context=16", "--task", "memorisation", "--data", "ROWS/texts.jsonl"],
            "prefix 50 and suffix 50 are more than the context, 16 tokens",
        ),
        (
            ["MODELS/decoder", "context=16", "--task", "generation", "--data", "ROWS/pairs.csv"],
            "max_new_tokens 64 leaves no room for a prompt in a context of 16",
        ),
        (
            ["MODELS/decoder", "--split", "train", "--task", "cloze", "--data", "ROWS/texts.jsonl"],
            "error: cloze: has no train rows; name some, or measure one of test with --split",
        ),
        (["MODELS/decoder", "--task", "ROWS/shots.yaml"], "2 solved examples are wanted, and 1 different"),
        (["MODELS/first", "--task", "classification", "--data", "ROWS/odd"], "train.jsonl: row 2: no field"),
        (["MODELS/decoder", "--lm-eval", "hellaswag", "--data", "x"], "--data: is for --task"),
        (
            ["MODELS/decoder", "--task", "cloze", "--lm-eval-tasks", "x"],
            "--lm-eval-tasks: is for --lm-eval",
        ),
        (["MODELS/decoder", "--lm-eval", "hellaswag"], "pip install 'stepladder[lm-eval]'"),
        (
            ["MODELS/decoder", "--task", "perplexity", "--data", "ROWS/blank.csv"],
            "all 2 test texts are empty",
        ),
        (["MODELS/decoder", "--task", "classification", "--data", "ROWS/reviews.csv"], "saved as GPT2LMHead"),
        (["MODELS/first", "--task", "classification", "--data", "ROWS/stars.csv"], "label 'one' is not in"),
        (
            ["MODELS/decoder", "--max-items", "2", "max_items=1", "--task", "cloze"],
            "--max-items says it, too",
        ),
        (
            ["MODELS/decoder", "--task", "perplexity", "--data", "ROWS/texts.jsonl", "--out", "/dev/null/e"],
            "/dev/null/e: cannot be made (Not a directory); name another folder with --out",
        ),
    ],
)
def test_a_mistake_is_one_line_before_a_model_loads(
    arguments: list[str],
    said: str,
    call: Call,
    models: dict[str, Path],
    rows: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("eval.evaluate.load_model", None)
    monkeypatch.setattr("eval.harness.find_spec", lambda name: None)
    root = models["first"].parent
    found = call("eval", *(one.replace("MODELS", str(root)).replace("ROWS", str(rows)) for one in arguments))
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert said in found.err
    assert found.out == ""
    assert not (tmp_path / "evals").exists()


def test_one_that_fails_later_does_not_lose_the_others(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    decoder = tmp_path / "decoder"
    shutil.copytree(models["decoder"], decoder)
    config = json.loads((decoder / "config.json").read_text())
    labels = {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    (decoder / "config.json").write_text(json.dumps(config | labels | {"architectures": None}))
    found = call(
        *("eval", decoder, models["first"], "--task", "classification"),
        *("--data", rows / "reviews.csv", "bootstrap=50"),
    )
    assert found.code == 2
    assert found.err.startswith("error: 1 of 2 failed: decoder, classification-reviews: ")
    assert "has no trained score.weight" in found.err
    assert "first" in found.out
    assert {result.rung for result in read_results(tmp_path / "evals" / "results.jsonl")} == {"first"}
    assert not list(tmp_path.glob("evals/decoder/*/*")), "nothing half-written"


def test_what_is_listed_needs_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['stepladder', 'eval', '--list']\n"
        "from pipelines.cli import app\n"
        "app(standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'lm_eval', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("perplexity", "code-to-docstring", "multiple-choice", "accuracy_norm"):
        assert word in done.stdout


def test_two_models_are_compared_on_their_items(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    asked = ("--task", "classification", "--data", rows / "reviews.csv", "bootstrap=50", "context=48")
    assert call("eval", models["first"], models["second"], *asked).code == 0
    found = call("compare", "evals/first", "evals/second", "--replicates", "50", "--json", "found.json")
    assert (found.code, found.err) == (0, "")
    for word in ("A: evals/first", "accuracy", "95 % interval", "McNemar", "Holm"):
        assert word in found.out
    numbers = read_json(tmp_path / "found.json")
    (accuracy,) = [one for one in numbers["compared"] if one["metric"] == "accuracy"]
    (folder,) = (tmp_path / "evals" / "first").glob("classification-*")
    right = [item["statistics"]["accuracy"][0] for item in read_jsonl(folder / "items.jsonl.gz")]
    assert accuracy["a"] == pytest.approx(sum(right) / len(right))
    assert accuracy["n"] == 12
    wrong = call("compare", "evals/first", "nowhere")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX shell's")
def test_ctrl_c_leaves_nothing_half_written(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = []

    def interrupt(*_: object) -> None:
        half.extend(tmp_path.glob("evals/decoder/*/items.jsonl.gz"))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    asked = ("eval", models["decoder"], "--data", rows / "texts.jsonl", "--task", "perplexity")
    assert call(*asked).code == 0
    finished = sorted(tmp_path.glob("evals/decoder/*-*"))
    monkeypatch.setattr("eval.evaluate.speed", interrupt)
    stopped = call(*asked, "--max-items", "2")
    assert (stopped.code, stopped.out, stopped.err) == (130, "", "stopped\n")
    assert len(half) == 2, "it was in the middle of the second"
    assert sorted(tmp_path.glob("evals/decoder/*-*")) == finished
    assert {result.n for result in read_results(tmp_path / "evals" / "results.jsonl")} == {4}


def test_a_folder_of_evaluations_has_a_report_too(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    asked = ("--task", "perplexity", "--data", rows / "texts.jsonl", "--out", "my-evals")
    assert call("eval", models["decoder"], *asked).code == 0
    assert call("report", "my-evals").out == "report: my-evals/report/index.html\n"
    assert "is a run's folder; name one in it" in call("report", "my-evals", "--out", "my-evals").err
    told = (tmp_path / "my-evals" / "report" / "report.md").read_text(encoding="utf-8")
    assert "Scaling report of **my-evals**" in told
    assert "report.holdout" not in told, "there is no recipe to set it in"


def test_a_full_disk_is_told_of_the_folder_of_evaluations(
    call: Call, models: dict[str, Path], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("eval.evaluations.write_results", write)
    found = call(
        "eval", models["decoder"], "--task", "perplexity", "--data", rows / "texts.jsonl", "--out", "my-evals"
    )
    assert found.code == 2
    assert found.err.startswith("error: my-evals: no space left on the disk; free some")
    assert not list(tmp_path.glob("my-evals/*/*/*")), "nothing half-written"


def test_lm_evals_tasks_are_kept_like_all_others(
    call: Call, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    task = f"""\
task: tiny_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/texts.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list: [{{metric: bits_per_byte}}]
"""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "text.yaml").write_text(task)
    asked = ("eval", models["decoder"], "--lm-eval", "tiny_text", "--lm-eval-tasks", "own")
    found = call(*asked)
    assert (found.code, found.err) == (0, "")
    assert "lm-eval:tiny_text" in found.out
    (one,) = read_results(tmp_path / "evals" / "results.jsonl")
    assert (one.task, one.rung, one.n, one.family) == ("lm-eval:tiny_text", "decoder", 4, "gpt2")
    assert one.params is not None
    (kept,) = Evaluations(tmp_path / "evals").finished()
    sums = [item["statistics"]["bits_per_byte"] for item in kept.items()]
    nats, size = map(sum, zip(*sums, strict=True))
    assert one.value == pytest.approx(nats / size / math.log(2))
    monkeypatch.setattr("pipelines.evaluating.load_harness", None)  # not come to
    assert call(*asked).out == found.out
    refused = call("eval", models["encoder"], "--lm-eval", "tiny_text", "--lm-eval-tasks", "own")
    assert "a bert cannot do lm-eval" in refused.err
