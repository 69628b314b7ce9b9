"""The whole way from a recipe to a report: once, again, killed, changed, crowded, diverging."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from eval.files import read_sealed
from eval.results import read_results, same
from pipelines.events import replay

RECIPE = """
name: tiny
corpus: {files: [text.jsonl]}
tokenizer: {train: bpe, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x16, 1x32, 2x32]}, head_size: 16}
budget: {tokens: 60e3}
training: {rule: small-ladder, batch_tokens: 512, checkpoint_every_s: 0.3}
eval: {tasks: [perplexity], bootstrap: 100, max_items: 10}
report: {bootstrap: 100}
"""


def write_recipe(folder: Path, recipe: str = RECIPE) -> Path:
    """The recipe beside a text with enough in it for three splits."""
    random = Random(0)
    words = ["".join(random.choices("abcdefghij", k=random.randint(2, 6))) for _ in range(200)]
    rows = [{"text": " ".join(random.choices(words[: 20 + i], k=120))} for i in range(160)]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny.yaml").write_text(recipe)
    return folder / "tiny.yaml"


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stepladder(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kill_when(moment: Callable[[Path], bool], run: Path, cwd: Path) -> None:
    """Start the recipe and `kill -9` it as soon as `moment` is seen in its run folder."""
    process = start("run", "tiny.yaml", cwd=cwd)
    while not moment(run):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def assert_same_results(one: Path, other: Path) -> None:
    left, right = read_results(one / "results.jsonl"), read_results(other / "results.jsonl")
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert same(a, b), (a, b)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_recipe(folder)
    done = stepladder("run", "tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_one_command_leaves_models_results_and_a_report(finished: Path) -> None:
    run = finished / "runs" / "tiny"
    results = [r for r in read_results(run / "results.jsonl") if r.metric == "bits_per_byte"]
    assert [r.rung for r in results] == ["3.3k", "13k", "25k"]
    assert all(r.value is not None and r.stderr is not None and 0 < r.value < 8 for r in results)
    page = (run / "report" / "index.html").read_text()
    assert "25k" in page
    assert len(page) < 2_000_000
    assert json.loads((run / "run.json").read_text())["rungs"][0]["status"] == "done"


def test_a_trained_rung_loads_in_plain_transformers(finished: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (folder,) = (finished / "runs" / "tiny" / "stages").glob("pretrain-13k-s0-*")
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sum(p.numel() for p in model.parameters()) == manifest["facts"]["params"]["total"]
    text = "abc def  ghij"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_again_is_free(finished: Path) -> None:
    run = finished / "runs" / "tiny"
    before = {
        path: path.stat().st_mtime_ns
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("events.jsonl", "plan.json", "recipe.yaml", ".lock")
    }
    again = stepladder("run", "tiny.yaml", cwd=finished)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_changed_setting_redoes_only_what_depends_on_it(finished: Path) -> None:
    run = finished / "runs" / "tiny"
    changed = stepladder("run", "tiny.yaml", "eval.max_items=7", cwd=finished)
    assert changed.returncode == 0, changed.stderr
    last = max(i for i, event in enumerate(events(run)) if event["event"] == "run-started")
    started = {event["stage"] for event in events(run)[last:] if event["event"] == "stage-started"}
    assert started == {f"evaluate-{rung}-s0-perplexity" for rung in ("3.3k", "13k", "25k")}
    back = stepladder("run", "tiny.yaml", cwd=finished)  # from what is kept
    assert back.returncode == 0
    assert "every stage was there, the report was made again" in back.stdout


def test_status_says_what_is_done(finished: Path) -> None:
    shown = stepladder("status", "runs/tiny", cwd=finished)
    assert shown.returncode == 0
    assert "8 done of 8 stages; nobody is working on it" in shown.stdout


def test_events_alone_tell_what_the_manifests_say(finished: Path) -> None:
    run = finished / "runs" / "tiny"
    state = replay(events(run))
    told = {folder: state.find(stage, folder) for stage, folder in state.planned or ()}
    manifests = {folder: run / "stages" / folder / "manifest.json" for folder in told}
    assert {folder: stage and (stage.state, stage.seconds) for folder, stage in told.items()} == {
        folder: ("done", read_sealed(path)["seconds"]) for folder, path in manifests.items()
    }


def _pretraining(run: Path) -> bool:
    return any(run.glob("stages/pretrain-*/checkpoints/step-*"))


def _evaluating(run: Path) -> bool:
    return (run / "events.jsonl").is_file() and any(
        e["event"] == "stage-started" and e["stage"].startswith("evaluate") for e in events(run)
    )


def _reporting(run: Path) -> bool:
    return (run / "events.jsonl").is_file() and any(event["event"] == "run-ended" for event in events(run))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [_pretraining, _evaluating, _reporting])
def test_killed_and_run_again_gives_the_undisturbed_results(
    moment: Callable[[Path], bool], finished: Path, tmp_path: Path
) -> None:
    write_recipe(tmp_path)
    run = tmp_path / "runs" / "tiny"
    kill_when(moment, run, cwd=tmp_path)
    resumed = stepladder("run", "tiny.yaml", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_results(run, finished / "runs" / "tiny")
    assert (run / "report" / "index.html").is_file()


TASK_RECIPE = """
name: tiny
corpus: {source: python-stdlib, max_bytes: 3e6}
tokenizer: {train: bpe, vocab_size: 512}
context: 128
ladder: {rungs: {shapes: [2x48]}, head_size: 16}
budget: {tokens: 40e3}
training: {batch_tokens: 1024, checkpoint_every_s: 0.1}
finetune: [{task: code-to-docstring, max_rows: 1000}, {task: module-classification, max_rows: 500}]
eval: {bootstrap: 100, max_items: 20}
report: {holdout: 0, bootstrap: 100}
"""


def _fine_tuning(run: Path) -> bool:
    return any(run.glob("stages/finetune-*-code-to-docstring-*/checkpoints/step-*"))


@pytest.mark.slow
def test_killed_in_the_middle_of_fine_tuning_gives_the_undisturbed_results(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        write_recipe(tmp_path / name, TASK_RECIPE)
    whole = stepladder("run", "tiny.yaml", cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "killed" / "runs" / "tiny"
    kill_when(_fine_tuning, run, cwd=tmp_path / "killed")
    resumed = stepladder("run", "tiny.yaml", cwd=tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_results(run, tmp_path / "whole" / "runs" / "tiny")


def test_a_second_run_in_the_same_folder_says_so_and_stops(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    first = start("run", "tiny.yaml", cwd=tmp_path)
    while not (tmp_path / "runs" / "tiny" / "events.jsonl").is_file():
        assert first.poll() is None
        time.sleep(0.02)
    second = stepladder("run", "tiny.yaml", cwd=tmp_path)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert second.returncode == 2
    assert f"another stepladder is working here (process {first.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert first.returncode == 130
    assert "the same command goes on from the last checkpoint" in said


def test_a_rung_that_diverges_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    recipe = RECIPE.replace("60e3", "6e3").replace(
        "small-ladder,", "fixed, learning_rate: 100, warmup_tokens: 0,"
    )
    write_recipe(tmp_path, recipe)
    done = stepladder("run", "tiny.yaml", cwd=tmp_path)
    run = tmp_path / "runs" / "tiny"
    assert done.returncode == 2
    assert "diverged" in done.stdout
    rungs = json.loads((run / "run.json").read_text())["rungs"]
    assert "failed" in {rung["status"] for rung in rungs}
    page = (run / "report" / "index.html").read_text()
    assert "diverged" in page
