"""Whole runs of what the quickstart does not show: BERT, own tasks, branches, models that exist."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.plan import make_plan
from pipelines.recipe_file import load_recipe

pytestmark = pytest.mark.slow

_CHANCE = random.Random(7)
WORDS = ["".join(_CHANCE.choices("abcdefghij", k=_CHANCE.randint(2, 7))) for _ in range(250)]
GOOD, BAD = ("superb", "lovely", "fresh", "moving"), ("awful", "boring", "stale", "clumsy")

BERT = """\
name: reviews
family: bert
corpus: {files: [text.txt]}
tokenizer: {train: wordpiece, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x16, 1x32]}, head_size: 16}
budget: {tokens: [30000, 60000]}
training: {rule: small-ladder, batch_tokens: 1024, whole_words: true}
tasks:
  mood:
    kind: classification
    files: {train: train.csv, test: test.csv}
    columns: {text: review, label: mood}
finetune:
  - {task: mood, epochs: 6, learning_rate: [3e-3, 1e-2], class_weights: balanced}
eval: {bootstrap: 100}
report: {holdout: 0, bootstrap: 100}
"""
ON = """\
name: reviews-on
family: bert
corpus: {files: [text.txt]}
context: 32
ladder: {rungs: {init_from: runs/reviews}}
budget: {tokens: 20000}
training: {learning_rate: 3e-3, batch_tokens: 1024}
eval: {bootstrap: 100}
report: {holdout: 0, bootstrap: 100}
"""


def sentence(random: random.Random, mood: str | None = None) -> str:
    words = random.choices(WORDS, k=8)
    words.insert(
        random.randrange(8), random.choice({"good": GOOD, "bad": BAD}.get(mood or "", (*GOOD, *BAD)))
    )
    return " ".join(words)


def run(folder: Path, recipe: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", "from pipelines.cli import main; main()", "run", recipe],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / Path(recipe).stem


def results(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text, labelled reviews and a finished BERT run."""
    folder = tmp_path_factory.mktemp("ladders")
    chance = random.Random(0)
    documents = ["\n".join(sentence(chance) for _ in range(12)) for _ in range(300)]
    (folder / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    for split, rows in (("train", 600), ("test", 200)):
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["review", "mood"])
            for _ in range(rows):
                mood = chance.choice(["good", "bad"])
                table.writerow([sentence(chance, mood), mood])
    (folder / "reviews.yaml").write_text(BERT, encoding="utf-8")
    (folder / "reviews-on.yaml").write_text(ON, encoding="utf-8")
    run(folder, "reviews.yaml")
    return folder


def test_a_bert_pretrained_here_is_fine_tuned_from_that_and_learns(place: Path) -> None:
    found = results(place / "runs" / "reviews")
    losses = [row for row in found if row["metric"] == "masked_lm_loss"]
    assert sorted(row["tokens"] for row in losses) == [30720, 30720, 60416, 60416]
    assert all(row["annealed"] for row in losses)
    accuracy = [row for row in found if row["metric"] == "accuracy" and row["stage"] == "finetune"]
    assert len(accuracy) == 2
    largest = max(accuracy, key=lambda row: row["params"]["total"])
    assert largest["value"] > 0.5 + 2 * largest["stderr"]


def test_what_is_left_loads_in_plain_transformers(place: Path) -> None:
    stages = place / "runs" / "reviews" / "stages"
    pretrained = sorted(stages.glob("pretrain-*-60k-*/model"))[0]
    assert AutoModelForMaskedLM.from_pretrained(pretrained).config.model_type == "bert"
    tuned = sorted(stages.glob("finetune-*/model"))[0]
    model = AutoModelForSequenceClassification.from_pretrained(tuned)
    assert set(model.config.label2id) == {"good", "bad"}
    read = AutoTokenizer.from_pretrained(tuned)("a superb film", return_tensors="pt")
    assert model(**read).logits.shape == (1, 2)


def test_the_rates_tried_stand_in_the_manifest(place: Path) -> None:
    for path in (place / "runs" / "reviews" / "stages").glob("finetune-*/manifest.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        tried = {trial["learning_rate"]: trial["validation_loss_nats"] for trial in facts["rates_tried"]}
        assert set(tried) == {3e-3, 1e-2}
        assert facts["learning_rate"] == min(tried, key=lambda rate: tried[rate])
        assert not list(path.parent.glob("trial-*"))


def test_models_of_a_run_are_fine_tuned_at_a_share_of_the_rate_they_were_trained_at(place: Path) -> None:
    task = BERT[BERT.index("tasks:") : BERT.index("finetune:")]
    recipe = ON.replace("budget: {tokens: 20000}\n", "").replace("corpus: {files: [text.txt]}\n", "")
    recipe = recipe.replace("training: {learning_rate: 3e-3, batch_tokens: 1024}\n", "")
    (place / "moods.yaml").write_text(recipe + task + "finetune: [{task: mood}]\n", encoding="utf-8")
    plan = make_plan(load_recipe(str(place / "moods.yaml"), ()))
    peaks = {
        manifest["settings"]["rung"]: manifest["facts"]["learning_rate"]
        for path in (place / "runs" / "reviews" / "stages").glob("pretrain-*/manifest.json")
        for manifest in [json.loads(path.read_text(encoding="utf-8"))]
    }
    asked = {s.settings["rung"]: s.settings["learning_rates"] for s in plan.stages if s.kind == "finetune"}
    assert asked == {rung: [pytest.approx(peak / 3)] for rung, peak in peaks.items()}


def test_a_finished_ladder_is_trained_on_and_set_beside_the_old(place: Path) -> None:
    on = run(place, "reviews-on.yaml")
    losses = {(row["rung"], row["stage"]): row for row in results(on) if row["metric"] == "masked_lm_loss"}
    old = results(place / "runs" / "reviews")
    for rung in {rung for rung, _ in losses}:
        before, after = losses[rung, "fetch"], losses[rung, "pretrain"]
        longest = max((r for r in old if r["rung"] == rung and r["metric"] == "masked_lm_loss"),
                      key=lambda row: row["tokens"])  # fmt: skip
        assert before["value"] == pytest.approx(longest["value"], abs=1e-6)
        assert after["tokens"] == before["tokens"] + 20480
    page = (on / "report" / "index.html").read_text(encoding="utf-8")
    assert "masked" in page
