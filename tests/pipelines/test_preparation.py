"""What is prepared for a task: looked through for what fine-tuning needs, and told in run.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.examples import make_examples
from pipelines.plan import make_plan
from pipelines.recipe_file import LoadedRecipe, load_recipe
from pipelines.stages import Job, run_stage
from pipelines.store import RunFolder
from pipelines.summary import summarise
from tests.pipelines.recipes import complaint, write
from tests.pipelines.saved import tokenizer

RECIPE = """\
name: tiny
corpus: {files: [text.jsonl], min_chars: 1}
tokenizer: {train: bpe, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x32]}}
budget: {tokens: 40960}
training: {rule: small-ladder, batch_tokens: 1024}
tasks:
  mood:
    kind: classification
    files: {train: train.jsonl, validation: test.jsonl, test: test.jsonl}
finetune:
  - {task: mood, max_rows: 3, class_weights: balanced}
report: {holdout: 0}
"""
WORDS = [f"word{n}" for n in range(60)]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    texts = [" ".join(WORDS[n : n + 20]) for n in range(12)]
    tables = {
        "text": [{"text": f"number {n} says {n * n}"} for n in range(60)] + [{"text": texts[0]}] * 3,
        "train": [{"text": f"mood {n}", "label": "rare" if n == 5 else "common"} for n in range(8)],
        "test": [{"text": f"mood {n}", "label": "rare" if n == 5 else "common"} for n in range(5, 7)],
    }
    tables["train"] += [{"text": f"again {n}", "label": "rare"} for n in range(2)]
    tables["test"] += [{"text": f"so {texts[0]} and more", "label": "common"}]
    for name, rows in tables.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write(tmp_path, RECIPE)


def prepare(loaded: LoadedRecipe, run: RunFolder, *names: str) -> None:
    plan = make_plan(loaded)
    for name in names:
        stage = plan.stage(f"prepare-{name}")
        inputs = {one: run.folder(plan.stage(one)) for one in stage.inputs}
        run_stage(Job(stage, "tiny", loaded.base, run.folder(stage), inputs, 1), lambda message: None)


def test_what_the_rows_are_and_share_stands_in_run_json(recipe: str, tmp_path: Path) -> None:
    loaded, run = load_recipe(recipe, ()), RunFolder(tmp_path / "run")
    prepare(loaded, run, "mood", "corpus")
    made = summarise(run, make_plan(loaded), loaded, {})
    assert made["tasks"] == {
        "mood": {
            "rows": {"train": 8, "validation": 3, "test": 3},
            "labels": {"train": {"common": 6, "rare": 2}, "validation": {"common": 2, "rare": 1},
                       "test": {"common": 2, "rare": 1}},
            "removed": {"train rows that are test rows":
                        {"count": 2, "examples": ["train#5 = test#0", "train#6 = test#1"]}},
            "overlap": {"with train": {"count": 0, "of": 3, "examples": []}},
            "notes": ["validation and test are the same rows: what is chosen by them is also scored"],
        }
    }  # fmt: skip
    found = made["corpus"]["overlap"]["mood test"]
    assert (found["count"], found["of"]) == (1, 3)
    assert found["examples"][0].startswith("test#2: word0 word1")


def test_a_rare_class_that_max_rows_leaves_out_has_its_weight_all_the_same(
    recipe: str, tmp_path: Path
) -> None:
    loaded, run = load_recipe(recipe, ()), RunFolder(tmp_path / "run")
    prepare(loaded, run, "mood")
    plan = make_plan(loaded)
    (stage,) = (stage for stage in plan.stages if stage.kind == "finetune")
    rows = {"prepare-mood": run.folder(plan.stage("prepare-mood"))}
    job = Job(stage, "tiny", loaded.base, tmp_path / "stage", rows, 1)
    examples = make_examples(job, tokenizer("gpt2"), "train")
    assert [example.targets for example in examples.members] == [0, 0, 0]
    assert examples.weights("balanced") == [8 / (2 * 6), 8 / (2 * 2)]
    assert examples.weights({"rare": 3.0}) == [1.0, 3.0]


def test_weighed_labels_are_looked_for_before_anything_is_trained(recipe: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    prepare(load_recipe(recipe, ["finetune.0.class_weights={rare: 2}"]), run, "mood")
    loaded = load_recipe(recipe, ["finetune.0.class_weights={rar: 2}"])
    message = r"finetune: class_weights of mood: no train row has the label 'rar'; there are common, rare"
    with pytest.raises(InputError, match=message):
        prepare(loaded, run, "mood")
    named = RECIPE.replace("class_weights: balanced", "class_weights: {rar: 2}").replace(
        "kind: classification", "kind: classification\n    labels: [common, rare]"
    )
    assert "class_weights: mood has no label 'rar'; there are common, rare" in complaint(tmp_path, named)
