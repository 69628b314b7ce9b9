"""Recipes: what they may say, and that every mistake is one line with its place, the value and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe_file import load_recipe, schema
from tests.pipelines.recipes import GOOD, complaint, load, write

# What is read


def test_numbers_are_numbers_however_yaml_writes_them(tmp_path: Path) -> None:
    recipe = load(tmp_path).recipe
    assert (recipe.budget.tokens, recipe.training.learning_rate) == (60_000, 3e-4)
    assert load(tmp_path, GOOD.replace("60e3", "60_000")).recipe.budget.tokens == 60_000
    assert load(tmp_path, GOOD.replace("60e3", "+6.0E+4")).recipe.budget.tokens == 60_000


def test_text_that_yaml_1_1_took_for_something_else_stays_text(tmp_path: Path) -> None:
    for name in ("no", "on", "3e-4-ladder"):
        assert load(tmp_path, GOOD.replace("name: tiny", f"name: {name}")).recipe.name == name


def test_a_recipe_never_changes(tmp_path: Path) -> None:
    recipe = load(tmp_path).recipe
    with pytest.raises(ValueError, match="frozen"):
        recipe.context = 128  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.clip = 2.0  # type: ignore[misc]


def test_relative_files_are_looked_up_beside_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path).base == tmp_path
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").base == tmp_path
    assert load_recipe("quickstart").path is None


def test_one_seed_number_stands_for_all_rungs_and_a_list_for_each(tmp_path: Path) -> None:
    def seeds(value: str) -> list[int]:
        recipe = load(tmp_path, GOOD, f"ladder.seeds={value}").recipe
        return [len(rung.seeds) for rung in recipe.ladder.named_rungs()]

    assert seeds("2") == [2, 2]
    assert seeds("[3, 1]") == [3, 1]


def test_bounded_aliases_are_welcome(tmp_path: Path) -> None:
    text = GOOD.replace("shapes: [1x32, 2x32]", "shapes: &sizes [1x32, 2x32]").replace(
        "  - task: module-classification\n",
        "  - {task: module-classification, max_rows: &rows 7, max_tokens: *rows}\n",
    )
    assert load(tmp_path, text).recipe.finetune[1].max_tokens == 7


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).recipe.name == "tiny"


# Places and advice


@pytest.mark.parametrize(
    ("old", "new", "place", "advice"),
    [
        ("context: 64", "contxt: 64", "4:1: contxt", "unknown key; did you mean 'context'?"),
        ("learning_rate: 3e-4", "learning_rate_: 3e-4",
         "11:3: training.learning_rate_", "did you mean 'learning_rate'?"),
        ("    epochs: 1", "    epoch: 1", "14:5: finetune.0.epoch", "did you mean 'epochs'?"),
        ("vocab_size: 512}", "vocab_sise: 512}", "3:25: tokenizer.vocab_sise", "did you mean 'vocab_size'?"),
        ("context: 64", "context: 64\nvocab_size: 9",
         "5:1: vocab_size", "it belongs in tokenizer.vocab_size"),
        ("context: 64", "context: 64\n<<: {a: 1}", "5:1: <<", "unknown key; choose from name, data, family"),
        ("context: 64", "context: 64.5", "4:1: context", "must be a whole number, got 64.5"),
        ("context: 64", "context: true", "4:1: context", "must be a whole number, got true"),
        ("context: 64", "context: '64'", "4:1: context", "got the text '64'; write it without quotes: 64"),
        ("context: 64", "context: 0", "4:1: context", "must be at least 8, got 0"),
        ("context: 64", "context: .inf", "4:1: context", "must be a whole number, got inf"),
        ("3e-4", "'3e-4'",
         "11:3: training.learning_rate", "must be a number, got the text '3e-4'; write it without"),
        ("3e-4", ".nan", "11:3: training.learning_rate", "must be a finite number, got nan"),
        ("3e-4", "-1", "11:3: training.learning_rate", "must be more than 0, got -1"),
        ("3e-4", "[1]", "11:3: training.learning_rate", "must be a number, got the list [1]"),
        ("60e3", "60e60", "9:3: budget.tokens", "must be a whole number, got 6e+61"),
        ("60e3", "1e15\n  flops: 3", "10:3: budget.flops", "tokens is given too (null takes it out)"),
        ("  tokens: 60e3", "  {}",
         "8:1: budget", "give exactly one of tokens, tokens_per_param, flops, isoflop; none is given"),
        ("{source: python-stdlib}", "{}",
         "2:1: corpus", "give exactly one of source, files, hub; none is given"),
        ("{source: python-stdlib}", "{files: []}", "2:10: corpus.files", "is empty"),
        ("{source: python-stdlib}", "{source: python}",
         "2:10: corpus.source", "did you mean 'python-stdlib'?"),
        ("{source: python-stdlib}", "{source: python-stdlib, config: x}",
         "2:33: corpus.config", "only a hub corpus"),
        ("{source: python-stdlib}", "books",
         "2:1: corpus", "must be a mapping of keys to values, got the text 'books'"),
        ("train: bpe, ", "train: bpe, pretrained: gpt2, ",
         "3:25: tokenizer.pretrained", "train is given too"),
        (", vocab_size: 512", "", "3:1: tokenizer", "add vocab_size: 2048"),
        ("vocab_size: 512", "vocab_size: 100", "3:25: tokenizer.vocab_size", "must be at least 258, got 100"),
        ("2x32]", "2x33]", "7:20: ladder.rungs.shapes.1", "not a multiple of head size 32; write 2x32"),
        ("2x32]", "1x32]", "7:20: ladder.rungs.shapes.1", "gives 12,768 parameters after a rung of 12,768"),
        ("2x32]", "two]",
         "7:20: ladder.rungs.shapes.1", "'two' is not a shape; write layers x width, such as 2x64"),
        ("shapes: [1x32, 2x32]", "non_embedding: [1, 1e6]",
         "7:21: ladder.rungs.non_embedding.0", "nearest: 1x32"),
        ("shapes: [1x32, 2x32]", "non_embedding: [13e3, big]",
         "7:27: ladder.rungs.non_embedding.1", "got the text 'big'"),
        ("shapes: [1x32, 2x32]", "{}",
         "6:3: ladder.rungs", "give exactly one of non_embedding, shapes, pretrained, init_from; none"),
        ("task: module-classification", "task: modul",
         "15:5: finetune.1.task", "is no task to fine-tune on; choose from"),
        ("task: module-classification", "task: code-to-docstring",
         "15:5: finetune.1.task", "listed twice; remove one"),
        ("- task: module-classification", "- 3",
         "15:5: finetune.1", "must be a mapping of keys to values, got 3"),
        ("    epochs: 1", "    max_tokens: 65",
         "14:5: finetune.0.max_tokens", "more than the models' context, 64"),
        ("    epochs: 1", "    max_tokens: 40",
         "14:5: finetune.0.max_tokens", "too short for code-to-docstring"),
        ("    epochs: 1", "    max_tokens: 1",
         "14:5: finetune.0.max_tokens", "must be at least 2"),
        ("context: 64", "context: 64\neval: {context: 40}",
         "5:8: eval.context", "rows of 40 tokens are too short for code-to-docstring; it needs 64"),
        ("{source: python-stdlib}", "{files: [a.txt]}",
         "13:5: finetune.0.task", "is made from Python source: write corpus: {source: python-stdlib}"),
        ("learning_rate: 3e-4", "batch_tokens: 100",
         "11:3: training.batch_tokens", "not a multiple of the context, 64; write 128"),
        ("learning_rate: 3e-4", "rule: fixed",
         "10:1: training", "rule 'fixed' chooses nothing; add learning_rate"),
        ("3e-4", "3e-4\n  deepspeed: z.json\n  sharding: fsdp", "13:3: training.sharding",
         "DeepSpeed: it shares out itself; write none, or remove deepspeed"),
        ("3e-4", "3e-4\n  deepspeed: z.json\n  precision: fp16", "13:3: training.precision",
         "not used with fp16 here; write bf16, fp32 or auto"),
        ("3e-4", "3e-4\n  deepspeed: z.json\n  compile: on", "13:3: training.compile", "write off or auto"),
        ("3e-4", "3e-4\n  deepspeed: z.json\n  early_stopping: {}", "13:3: training.early_stopping",
         "DeepSpeed: it keeps no best weights; remove one of them"),
        ("3e-4", "3e-4\n  deepspeed: z.json\n  optimizer: adafactor", "13:3: training.optimizer",
         "adafactor does not work on sharded weights; choose another, or remove training.deepspeed"),
        ("  learning_rate: 3e-4\nfinetune:\n  - task: code-to-docstring\n",
         "  deepspeed: z.json\nfinetune:\n  - task: code-to-docstring\n    early_stopping: {}\n",
         "14:5: finetune.0.early_stopping", "DeepSpeed: it keeps no best weights"),
        ("  tokens: 60e3\ntraining:\n", "  tokens: [60e3, 70e3]\ntraining:\n  deepspeed: z.json\n",
         "11:3: training.deepspeed", "keeps no state that another length could go on from"),
        ("3e-4", "3e-4\n  sharding: fsdp\n  optimizer: adafactor", "13:3: training.optimizer",
         "adafactor does not work on sharded weights"),
        ("  learning_rate: 3e-4\nfinetune:\n  - task: code-to-docstring\n", "  sharding: fsdp\nfinetune:\n"
         "  - task: code-to-docstring\n    learning_rate: 0.1\n    optimizer: adafactor\n",
         "15:5: finetune.0.optimizer", "adafactor does not work on sharded weights"),
        ("learning_rate: 3e-4", "rule: olmo", "11:3: training.rule", "did you mean 'olmo-ladder'?"),
        ("name: tiny", "name: Tiny!",
         "1:1: name", "'Tiny!' does not fit; use small letters, digits and dashes"),
        ("name: tiny", "name: 2024",
         "1:1: name", "must be text (in quotes, if it looks like something else), got 2024"),
        ("name: tiny\n", "", "recipe.yaml: name", "is missing; add it"),
        ("context: 64", "family: bert",
         "3:13: tokenizer.train", "bpe is not for bert; write wordpiece"),
        ("context: 64", "objective: masked-lm", "4:1: objective", "gpt2 does not learn masked-lm"),
        ("  tokens: 60e3", "  tokens: [500, 400]", "9:3: budget.tokens", "does not rise"),
        ("  learning_rate: 3e-4", "  rule: tune\n  learning_rate: 1e-3", "12:3: training.learning_rate",
         "rule 'tune' finds the learning rate"),
        ("    shapes: [1x32, 2x32]", "    pretrained: [gpt2]", "3:1: tokenizer",
         "existing models bring their tokenizer"),
        ("context: 64", "eval: {tasks: [bleu]}",
         "4:16: eval.tasks.0", "'bleu' is no task; choose from perplexity"),
        ("context: 64", "eval: {max_items: '3'}",
         "4:8: eval.max_items", "must be a whole number, got the text '3'"),
        ("context: 64", "eval: {contxt: 3}", "4:8: eval.contxt", "did you mean 'context'?"),
        ("context: 64", "report: {x: [size]}", "4:14: report.x.0", "'size' is not one of the choices"),
        ("context: 64", "report: {x: [flops, flops]}", "4:10: report.x", "list each axis once"),
        ("context: 64", "context: 64\neval: {stride: 65}", "5:8: eval.stride", "65 is more than the models'"),
        ("3e-4", "3e-4\n  schedule: cosine\n  early_stopping: {metric: accuracy}",
         "13:20: training.early_stopping.metric", "pretraining is watched by its loss"),
        ("ladder:\n  rungs:\n    shapes: [1x32, 2x32]",
         "ladder:\n  seeds: 2\n  rungs:\n    init_from: runs/a",
         "6:3: ladder.seeds", "brings the seeds of its run"),
        ("context: 64", "report: {holdout: 2}",
         "4:10: report.holdout", "hides 2 of 2 rungs; keep some to fit"),
        ("ladder:\n", "ladder:\n  seeds: [1, 2, 3]\n", "6:3: ladder.seeds", "has 3 numbers for 2 rungs"),
        ("ladder:\n", "ladder:\n  seeds: [1, x]\n",
         "6:14: ladder.seeds.1", "must be a whole number, got the text 'x'"),
        ("ladder:\n", "ladder:\n  seeds: many\n",
         "6:3: ladder.seeds", "must be a whole number, got the text 'many'"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands_with_what_to_do(
    tmp_path: Path, old: str, new: str, place: str, advice: str
) -> None:
    assert old in GOOD
    line = complaint(tmp_path, GOOD.replace(old, new, 1))
    if not place.startswith("recipe.yaml"):
        place = f"recipe.yaml:{place}"
    assert line.startswith(f"{place}: ")
    assert advice in line


def test_the_misspelling_is_shown_before_what_it_leaves_missing(tmp_path: Path) -> None:
    line = complaint(tmp_path, GOOD.replace("budget:", "bugdet:"))
    assert line == "recipe.yaml:8:1: bugdet: unknown key; did you mean 'budget'?"


def test_a_task_that_is_measured_must_be_fine_tuned_when_it_was_asked_for(tmp_path: Path) -> None:
    without = GOOD[: GOOD.index("finetune:")]
    assert load(tmp_path, without).recipe.finetune == ()
    line = complaint(tmp_path, without + "eval: {tasks: [perplexity, code-to-docstring]}\n")
    assert line.startswith("recipe.yaml:12:28: eval.tasks.1: code-to-docstring is not fine-tuned; add {task:")


@pytest.mark.parametrize(
    ("corpus", "place", "advice"),
    [
        ("files: [a.txt], splits: {test: test}", "corpus.splits", "only a hub corpus has this"),
        ("hub: a/b, split: test, splits: {test: test}", "corpus.split", "corpus.splits names each split"),
        ("hub: a/b, splits: {test: test}, test_fraction: 0.1", "corpus.test_fraction", "remove this"),
        ("hub: a/b, splits: {train: a, test: b}", "corpus.splits", "no validation split, which pretraining"),
        ("hub: a/b, splits: {train: a}", "corpus.splits.test", "is missing"),
    ],
)
def test_a_hub_corpus_names_its_splits_whole(tmp_path: Path, corpus: str, place: str, advice: str) -> None:
    without = GOOD[: GOOD.index("finetune:")]
    line = complaint(tmp_path, without.replace("source: python-stdlib", corpus))
    assert f"{place}: " in line
    assert advice in line
    good = "hub: a/b, splits: {train: a, validation: b, test: c}"
    assert load(tmp_path, without.replace("source: python-stdlib", good)).recipe.corpus.splits.test == "c"


TASK = (
    GOOD[: GOOD.index("finetune:")]
    + """\
tasks:
  mine: {kind: span, files: {train: a.jsonl, test: b.jsonl}}
finetune:
  - {task: mine, max_tokens: 15}
"""
)
WRITTEN = "generation, max_new_tokens: 4, cue: 'now write it:'"


@pytest.mark.parametrize(
    ("kind", "family", "least"),
    [
        ("span", "gpt2", 16),
        ("span", "bert", 16),
        ("tagging", "gpt2", 2),
        ("classification", "bert", 3),
        (WRITTEN, "gpt2", 9),
        ("generation, max_new_tokens: 8", "gpt2", 16),
        ("generation, max_new_tokens: 1", "gpt2", 4),
    ],
)
def test_rows_too_short_for_their_kind_are_refused_before_anything_is_trained(
    tmp_path: Path, kind: str, family: str, least: int
) -> None:
    """The least is what encoding itself asks for, where a tokenizer makes a token of each word."""
    text = TASK.replace("kind: span", f"kind: {kind}").replace("name: tiny", f"name: tiny\nfamily: {family}")
    text = text.replace("bpe", "wordpiece") if family == "bert" else text
    assert load(tmp_path, text.replace("max_tokens: 15", f"max_tokens: {least}")).recipe
    if least > 2:
        line = complaint(tmp_path, text.replace("max_tokens: 15", f"max_tokens: {least - 1}"))
        assert f"finetune.0.max_tokens: rows of {least - 1} tokens are too short for mine; it needs" in line


# The schema


def test_the_schema_accepts_and_refuses_what_editors_show() -> None:
    made = schema()
    text = json.dumps(made)
    assert made["additionalProperties"] is False
    assert made["properties"]["context"]["description"] == "Tokens a model sees at once."
    assert {"required": ["source"]} in made["$defs"]["Corpus"]["oneOf"]
    assert set(made["required"]) == {"name", "ladder"}
    for name in ("EvalSettings", "ReportSettings", "Finetune", "Training"):
        assert f'"#/$defs/{name}"' in text


def _undescribed(made: dict[str, Any]) -> list[str]:
    return [
        f"{title}.{name}"
        for title, section in [("Recipe", made), *made["$defs"].items()]
        for name, field in section.get("properties", {}).items()
        if "description" not in field
    ]


def test_every_field_of_the_schema_is_described() -> None:
    assert _undescribed(schema()) == []
