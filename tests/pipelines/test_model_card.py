"""A model's card says what its results say, in the form that hubs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pipelines.model_card import make_card
from pipelines.planned import make_stage
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
