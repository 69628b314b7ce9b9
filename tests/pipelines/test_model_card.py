"""A model's card says what its results say, in the form that hubs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from eval.files import write_json
from eval.results import write_results
from pipelines.model_card import CARD, make_card, write_cards
from pipelines.planned import Plan, Stage, make_stage
from pipelines.recipe_file import LoadedRecipe, load_recipe
from pipelines.store import RunFolder, read_manifest, write_manifest
from tests.scaling_report.synthetic import result

SETTINGS: dict[str, Any] = {
    "family": "gpt2",
    "objective": "causal-lm",
    "rung": "13k",
    "shape": {"n_layer": 1, "n_embd": 32, "n_head": 2},
    "vocab_size": 300,
    "context": 64,
    "tokens": 1000,
    "flops": 10**9,
    "seed": 0,
    "hyper": {"batch_tokens": 512, "optimizer": "adamw"},
}
FACTS = {
    "params": {"total": 20_000, "non_embedding": 12_768, "matmul": 19_000},
    "tokens": 1024,
    "learning_rate": 0.009,
}


def card(tmp_path: Path, *results: Any) -> ModelCard:
    stage = make_stage("pretrain", "13k-s0", SETTINGS)
    manifest = {"settings": SETTINGS, "facts": FACTS, "made": "2026-01-01T00:00:00Z", "key": stage.key}
    text = make_card("tiny", stage, manifest, results, "stepladder run tiny.yaml")
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    return ModelCard.load(path)


def test_the_index_holds_every_result_with_its_error(tmp_path: Path) -> None:
    measured = [result("bits_per_byte", 2.5, stderr=0.1), result("token_perplexity", 80.0, stderr=2.0)]
    loaded = card(tmp_path, *measured)
    found = {entry.metric_type: entry for entry in loaded.data.eval_results}
    for one in measured:
        entry = found[one.metric]
        assert entry.metric_value == one.value
        assert entry.metric_args == {"stderr": one.stderr, "n": one.n, "signature": one.signature}
        assert (entry.dataset_name, entry.dataset_split) == (one.task, one.split)
    assert loaded.data.pipeline_tag == "text-generation"
    assert loaded.data.license is None


def test_what_is_missing_stands_in_the_text_alone(tmp_path: Path) -> None:
    loaded = card(tmp_path, result("bits_per_byte", None))
    assert loaded.data.eval_results is None
    assert "| perplexity | test | bits_per_byte | – |" in loaded.text
    assert "Not measured" in card(tmp_path).text


@pytest.mark.parametrize(
    "told", ["12,768", "1,024", "0.009", "512", "stepladder run tiny.yaml", "AutoModelForCausalLM"]
)
def test_readers_are_told_how_it_was_made(tmp_path: Path, told: str) -> None:
    assert told in card(tmp_path, result("bits_per_byte", 2.5)).text


CORPUS_FACTS = {
    "documents": {"train": 1234},
    "bytes": {"train": 56789},
    "source": "books.txt",
    "fingerprint": "files-0",
    "removed": {"exact duplicate": {"count": 7, "examples": []}},
}
TASK = {"kind": "generation", "cue": "\nTL;DR:", "hub": {"name": "me/papers", "config": "short"}}


@pytest.fixture
def ladder(tmp_path: Path) -> tuple[RunFolder, Plan, LoadedRecipe]:
    """A finished run of a pretrained model and one that was fine-tuned from it, measured and not."""
    corpus = make_stage("prepare-corpus", "corpus", {"hub": "me/books"})
    rows = make_stage("prepare-rows", "papers", {"source": TASK})
    pretrained = make_stage("pretrain", "13k-s0", SETTINGS, corpus)
    tuning = SETTINGS | {
        "objective": "conditional-generation",
        "task": "papers",
        "definition": TASK,
        "max_tokens": 32,
        "epochs": 2.0,
        "max_rows": None,
        "batch_size": 8,
        "learning_rates": [0.001],
    }
    tuned = make_stage("finetune", "13k-s0-papers", tuning, pretrained, rows)
    measured = make_stage("evaluate", "13k-s0-papers", {"task": "papers"}, tuned, rows)
    stages = (corpus, rows, pretrained, tuned, measured)
    run = RunFolder(tmp_path)
    facts: dict[str, dict[str, Any]] = {
        corpus.id: CORPUS_FACTS,
        rows.id: {"task": "papers", "rows": {"train": 99, "test": 11}},
    }
    for stage in stages:
        folder = run.folder(stage)
        folder.mkdir(parents=True)
        if stage.kind in ("pretrain", "finetune"):
            write_json(folder / "model" / "config.json", {})
        if stage is measured:
            write_results(folder / "results.jsonl", [result("bits_per_byte", 2.5, stderr=0.1)])
        write_manifest(stage, folder, facts.get(stage.id, FACTS), 1.0)
    return run, Plan(recipe="tiny", base=tmp_path, stages=stages), load_recipe("smoke")


def model_of(run: RunFolder, plan: Plan, kind: str) -> tuple[Stage, Path]:
    (stage,) = (stage for stage in plan.stages if stage.kind == kind)
    return stage, run.folder(stage) / "model" / CARD


def test_a_runs_cards_say_what_each_model_has_seen_and_scored(
    ladder: tuple[RunFolder, Plan, LoadedRecipe],
) -> None:
    run, plan, _ = ladder
    assert write_cards(*ladder) == 2
    assert write_cards(*ladder) == 0
    before, after = (ModelCard.load(model_of(run, plan, kind)[1]) for kind in ("pretrain", "finetune"))
    assert before.data.eval_results is None
    assert [entry.metric_value for entry in after.data.eval_results] == [2.5]
    for card in (before, after):
        assert "1,234 documents (56,789 bytes of UTF-8) of books.txt" in card.text
        assert "7 exact duplicate" in card.text
    assert before.data.datasets == ["me/books"]
    assert after.data.datasets == ["me/books", "me/papers"]
    assert "99 train, 11 test rows" in after.text
    assert "99 train" not in before.text, "a model has seen no rows that only its successor learnt"
    assert r"source + '\nTL;DR:'" in after.text
    assert "| epochs | 2 |" in after.text


def test_a_card_breaks_no_artefact_and_one_that_somebody_changed_stays(
    ladder: tuple[RunFolder, Plan, LoadedRecipe],
) -> None:
    run, plan, _ = ladder
    write_cards(*ladder)
    stage, path = model_of(run, plan, "finetune")
    assert read_manifest(run.folder(stage)) is not None
    written = path.read_text(encoding="utf-8")
    changed = written.replace("library_name: transformers", "library_name: transformers\nlicense: mit")
    path.write_text(changed, encoding="utf-8")
    evaluation, _ = model_of(run, plan, "evaluate")
    write_results(run.folder(evaluation) / "results.jsonl", [result("bits_per_byte", 2.25, stderr=0.1)])
    write_manifest(evaluation, run.folder(evaluation), FACTS, 1.0)
    assert write_cards(*ladder) == 0
    assert path.read_text(encoding="utf-8") == changed
    path.write_text(written, encoding="utf-8")
    assert write_cards(*ladder) == 1
    assert ModelCard.load(path).data.eval_results[0].metric_value == 2.25
