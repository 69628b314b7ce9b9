"""Plans with tasks of a reader's own that models are asked as they are: no fine-tuning, any kind of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, write_json, write_jsonl
from pipelines.plan import Plan, make_plan
from pipelines.recipe_file import load_recipe
from pipelines.stages import Job, prepare_corpus, prepare_rows
from tests.pipelines.recipes import write

RECIPE = """\
name: tiny
corpus: {files: {train: [train/*.txt], validation: [dev.txt], test: [test.txt]}, min_chars: 1}
tokenizer: {train: bpe, vocab_size: 300}
context: 64
ladder: {rungs: {shapes: [1x32, 2x32]}}
budget: {tokens: 40960}
training: {rule: small-ladder, batch_tokens: 1024}
tasks:
  quiz: {kind: multiple-choice, files: {test: quiz.jsonl}, prompt: "{{ q }}",
         columns: {choices: c, answer: a}}
  last-word: {kind: cloze, files: {test: passages.jsonl}}
  known-by-heart: {kind: memorisation, files: {test: train/*.txt}, prefix: 8, suffix: 8}
  pairs: {kind: bias-pairs, files: {test: pairs.jsonl}}
  hidden: {kind: language-modelling, files: {test: test.txt}, asks: masked}
eval: {tasks: [perplexity, quiz, last-word, known-by-heart, pairs]}
"""
PASSAGE = "the quick brown fox jumps over the lazy dog and runs far away from here"
OWN = ("quiz", "last-word", "known-by-heart", "pairs")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.txt").write_text(f"Once {PASSAGE}.\n", encoding="utf-8")
    (tmp_path / "train" / "b.txt").write_text("It was a bright cold day.\n", encoding="utf-8")
    for name in ("dev", "test"):
        (tmp_path / f"{name}.txt").write_text(f"Another text, the {name} one.\n", encoding="utf-8")
    write_jsonl(tmp_path / "quiz.jsonl", [{"q": "One and one?", "c": ["two", "three"], "a": "A"}])
    write_jsonl(tmp_path / "passages.jsonl", [{"text": f"Also {PASSAGE}"}])
    write_jsonl(tmp_path / "pairs.jsonl", [{"more": "She cooks.", "less": "He cooks."}])
    return Path(write(tmp_path, RECIPE))


def plan(recipe: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(str(recipe), overrides))


def refused(recipe: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        plan(recipe, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(recipe), "recipe.yaml")


def job(made: Plan, stage_id: str, out: Path, **inputs: Path) -> Job:
    folders = {f"prepare-{name}": path for name, path in inputs.items()}
    return Job(made.stage(stage_id), "tiny", made.base, out, folders, threads=1)


def test_every_pretrained_model_is_asked_without_fine_tuning(recipe: Path) -> None:
    made = plan(recipe)
    assert not [stage for stage in made.stages if stage.kind == "finetune"]
    for rung in ("13k", "25k"):
        for task in OWN:
            stage = made.stage(f"evaluate-{rung}-s0-{task}")
            assert stage.inputs == (f"pretrain-{rung}-s0", f"prepare-{task}")
    assert made.find("prepare-hidden") is None, "not named in eval.tasks"


def test_models_that_are_fetched_are_asked_too_without_a_corpus(recipe: Path) -> None:
    shape = {"n_layer": 1, "n_embd": 32, "n_head": 2, "n_positions": 64, "vocab_size": 300}
    write_json(recipe.parent / "one" / "config.json", {"model_type": "gpt2"} | shape)
    (recipe.parent / "one" / "model.bin").write_bytes(b"weights")
    write_json(recipe.parent / "one" / "tokenizer_config.json", {"eos_token": "a"})
    write_json(recipe.parent / "one" / "tokenizer.json", {"model": {"vocab": {"a": 0}}})
    none = ("corpus=null", "budget=null", "tokenizer=null", "eval.tasks=[quiz, pairs]", "report.holdout=0")
    made = plan(recipe, "ladder={rungs: {pretrained: [one]}}", *none)
    assert [stage.id for stage in made.stages] == [
        "fetch-one-s0",
        "prepare-quiz",
        "prepare-pairs",
        "evaluate-one-s0-quiz",
        "evaluate-one-s0-pairs",
    ]


def test_only_the_rows_that_are_made_are_in_their_key(recipe: Path) -> None:
    before = plan(recipe)
    after = plan(recipe, "tasks.quiz.separator='\\n'")
    assert before.stage("prepare-quiz").key == after.stage("prepare-quiz").key
    assert before.stage("evaluate-13k-s0-quiz").key != after.stage("evaluate-13k-s0-quiz").key
    asked = plan(recipe, "tasks.quiz.prompt='{{ q }}!'")
    assert before.stage("prepare-quiz").key != asked.stage("prepare-quiz").key


def test_rows_of_test_alone_are_prepared_and_kept_out_of_the_text(recipe: Path, tmp_path: Path) -> None:
    made = plan(recipe)
    assert made.stage("prepare-corpus").inputs == ("prepare-quiz", "prepare-last-word", "prepare-pairs"), (
        "passages to know by heart are the training text's own"
    )
    folders = {}
    for task in OWN:
        folders[task] = tmp_path / "out" / task
        facts = prepare_rows(job(made, f"prepare-{task}", folders[task]), lambda message: None)
        assert list(facts["rows"]) == list(facts["hashes"]) == ["test"]
    out = tmp_path / "out" / "corpus"
    inputs = {name: folders[name] for name in ("quiz", "last-word", "pairs")}
    facts = prepare_corpus(job(made, "prepare-corpus", out, **inputs), lambda message: None)
    assert facts["overlap"]["last-word test"]["count"] == 1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["finetune=[{task: quiz}]"], "finetune.0.task: multiple-choice is asked of models as they"),
        (["eval.tasks=[hidden]"], "eval.tasks.0: hidden is not for causal-lm, but for masked-lm; remove"),
        (["eval.tasks=[cloze]"], "eval.tasks.0: cloze has no rows in a recipe; add a task of kind cloze"),
        (["eval.split=validation"], "tasks.quiz: names no validation rows, which eval.split asks for"),
        (["tasks.known-by-heart.suffix=64"], "tasks.known-by-heart: needs 73 tokens a row, and mod"),
        (["tasks.corpus={kind: cloze, files: {test: passages.jsonl}}"], "tasks.corpus: is the name of a"),
        (["tasks.quiz={kind: prompted-classification, files: {test: quiz.jsonl}}"], "names neither labels"),
        (["tasks.quiz.columns={choices: c, answer: b}"], "quiz.jsonl: row 1: no column 'b' for answer"),
        (["tasks.quiz.prompt='{{ p }}'"], "quiz.jsonl: row 1: the template of query: no column 'p'"),
        (["tasks.quiz.prompt='{{ q'"], "tasks.quiz.prompt: is no template"),
        (["tasks.quiz.shots=2"], "tasks.quiz.shots: solved examples are train rows; name some"),
        (["eval.tasks=[code-completion]"], "code-completion is not fine-tuned; add {task: code-completion}"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(recipe: Path, overrides: list[str], said: str) -> None:
    assert said in refused(recipe, *overrides)


def test_a_toxicity_classifier_is_part_of_the_key(recipe: Path) -> None:
    write_jsonl(recipe.parent / "p.jsonl", [{"prompt": "You are"}])
    task = "tasks.rude={kind: toxicity, files: {test: p.jsonl}, classifier: judge, toxic: toxic}"
    tasks = "eval.tasks=[rude]"
    assert "tasks.rude.classifier: " in refused(recipe, task, tasks)
    write_json(recipe.parent / "judge" / "config.json", {"id2label": {"0": "kind", "1": "toxic"}})
    assert "no weights in it" in refused(recipe, task, tasks)
    weights = recipe.parent / "judge" / "model.safetensors"
    weights.write_bytes(b"one")
    before = plan(recipe, task, tasks).stage("evaluate-13k-s0-rude")
    definition: dict[str, Any] = before.settings["definition"]
    assert definition["classifier"] == "judge", "a key does not hold where a folder happens to be"
    weights.write_bytes(b"two")
    after = plan(recipe, task, tasks).stage("evaluate-13k-s0-rude")
    assert before.key != after.key
    assert json.dumps(after.settings)


def test_solved_examples_are_not_for_a_model_that_learns_the_task(recipe: Path) -> None:
    files = "{train: pairs.jsonl, test: pairs.jsonl}"
    task = f"tasks.swap={{kind: generation, files: {files}, prompt: '{{{{ more }}}}', target: x, shots: 1}}"
    assert "tasks.swap.target: names no column" in refused(recipe, task, "finetune=[{task: swap}]")
    task = task.replace("target: x", "target: '{{ less }}'")
    assert "tasks.swap.shots: solved examples are for models that did not" in refused(
        recipe, task, "finetune=[{task: swap}]", "eval.tasks=[swap]"
    )
