"""Killed and resumed equals uninterrupted, to the bit; branches share a stem; the best weights are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import checkpoint
from pipelines.early_stopping import Validation
from pipelines.objectives import objective
from pipelines.optim import make_optimizer
from pipelines.stepping import Stepper
from tests.pipelines.cases import Killed, case, die_at, log_of
from tests.pipelines.tiny import (
    CONTEXT,
    VOCABULARY,
    how,
    tiny_data,
    tiny_model,
    train_tiny,
    weights,
)

CASES = [
    ("causal-lm", "gpt2", 0.0),
    ("causal-lm", "gpt2", 0.1),
    ("conditional-generation", "gpt2", 0.0),
    ("classification", "gpt2", 0.0),
    ("masked-lm", "bert", 0.1),
    ("classification", "bert", 0.1),
    ("multi-label", "bert", 0.0),
    ("regression", "bert", 0.0),
    ("span", "bert", 0.0),
    ("tagging", "bert", 0.0),
]


@pytest.mark.parametrize(("name", "family", "dropout"), CASES)
def test_resumed_equals_uninterrupted_to_the_bit(
    name: str, family: str, dropout: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str, **changes: Any) -> tuple[Any, dict[str, Any]]:
        model, data = case(name, family, tmp_path, dropout)
        return train_tiny(tmp_path / folder, model, name, data=data, micro_tokens=32, **changes)

    whole, facts = run("whole")
    for killed_at in (7, 11):
        with monkeypatch.context() as patch:
            die_at(killed_at, patch)
            with pytest.raises(Killed):
                run("parts", checkpoint_every_s=0.0)
        assert (tmp_path / "parts" / "checkpoints" / f"step-{killed_at:08d}").is_dir()
    (tmp_path / "parts" / "log.jsonl").open("a").write('{"step": 12, "tok')  # a line the kill cut short
    resumed, resumed_facts = run("parts")

    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")
    for key in ("tokens", "scored_tokens", "final_loss_nats"):
        assert facts[key] == resumed_facts[key]


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adafactor"])
def test_every_optimiser_resumes_to_the_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(how(learning_rate=1e-3), optimizer=name)
    whole, _ = train_tiny(tmp_path / "whole", how=settings)
    with monkeypatch.context() as patch:
        die_at(7, patch)
        with pytest.raises(Killed):
            train_tiny(tmp_path / "parts", how=settings, checkpoint_every_s=0.0)
    resumed, _ = train_tiny(tmp_path / "parts", how=settings)
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_a_broken_checkpoint_is_set_aside_and_the_one_before_used(tmp_path: Path) -> None:
    whole, _ = train_tiny(tmp_path / "whole")
    train_tiny(tmp_path / "parts", checkpoint_every_s=0.0)
    newest = sorted((tmp_path / "parts" / "checkpoints").glob("step-*"))[-1]
    damaged = bytearray((newest / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (newest / "model.safetensors").write_bytes(damaged)

    warnings: list[str] = []
    resumed, _ = train_tiny(tmp_path / "parts", on_warning=warnings.append)

    (warning,) = warnings
    assert str(newest) in warning
    assert "hash" in warning
    assert newest.with_name(f"broken-{newest.name}").is_dir()
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    train_tiny(tmp_path, checkpoint_every_s=0.0)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000010", "step-00000011"]
    assert len(kept) == checkpoint.KEPT


def test_a_longer_training_goes_on_from_a_shorter_ones_stable_state(tmp_path: Path) -> None:
    """Branches of one stable run are what trainings of their own would have been."""
    short, long = replace(how(8), warmup_steps=2), replace(how(16), warmup_steps=2)
    train_tiny(tmp_path / "short", how=short, keep_at=4)
    stem = checkpoint.load_checkpoint(tmp_path / "short" / "stable")
    assert stem.step == 4
    branch, facts = train_tiny(tmp_path / "branch", how=long, start=tmp_path / "short" / "stable")
    alone, alone_facts = train_tiny(tmp_path / "alone", how=long)
    for key, value in weights(alone).items():
        assert torch.equal(value, weights(branch)[key]), key
    assert log_of(tmp_path / "branch") == log_of(tmp_path / "alone")
    assert facts["tokens"] == alone_facts["tokens"]
    assert facts["start_tokens"] == 4 * 4 * CONTEXT


def test_training_stops_when_validation_gets_no_better_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On random text a model only learns the training windows by heart: validation soon gets worse."""
    stream = np.random.default_rng(1).integers(5, VOCABULARY, 200).astype(np.uint16)
    seen = replace(tiny_data(), stream=stream)
    watched = Validation(replace(tiny_data(), seed=3), steps=4, every_steps=5, metric="loss", patience=2)
    warned: list[str] = []

    def run(folder: str) -> tuple[Any, dict[str, Any]]:
        return train_tiny(
            tmp_path / folder, data=seen, how=how(200), validation=watched, on_warning=warned.append,
            checkpoint_every_s=0.0,
        )  # fmt: skip

    model, facts = run("whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "validation.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["loss"])
    assert facts["stopped_early"] is True
    assert (facts["step"], facts["trained_steps"]) == (best["step"], lines[-1]["step"])
    assert lines[-1]["step"] == best["step"] + 2 * 5
    assert str(best["step"]) in warned[0]

    with monkeypatch.context() as patch:
        die_at(best["step"] + 7, patch)
        with pytest.raises(Killed):
            run("parts")
    resumed, resumed_facts = run("parts")
    assert resumed_facts["best_validation"] == facts["best_validation"]
    assert (tmp_path / "parts" / "validation.jsonl").read_text() == (
        tmp_path / "whole" / "validation.jsonl"
    ).read_text()
    for key, value in weights(model).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train_tiny(tmp_path, checkpoint_every_s=0.0)
    found = checkpoint.load_newest(tmp_path / "checkpoints")[0]
    assert found is not None
    other = objective("masked-lm", tiny_model(family="bert"), torch.float32)
    optimizer = make_optimizer(other, how())
    with pytest.raises(ValueError, match="another model"):
        checkpoint.restore(found, other, optimizer)


def test_a_training_that_stopped_early_stays_stopped_when_resumed(tmp_path: Path) -> None:
    """The checkpoint after the stop is there, the manifest is not: a kill came between."""
    seen = replace(
        tiny_data(), stream=np.random.default_rng(1).integers(5, VOCABULARY, 200).astype(np.uint16)
    )
    watched = Validation(replace(tiny_data(), seed=3), steps=4, every_steps=5, metric="loss", patience=2)
    asked: dict[str, Any] = {"data": seen, "how": how(200), "validation": watched, "checkpoint_every_s": 0.0}
    model, facts = train_tiny(tmp_path, **asked)
    assert facts["stopped_early"] is True
    resumed, again = train_tiny(tmp_path, **asked)
    timed = ("seconds", "tokens_per_second")
    assert {k: v for k, v in facts.items() if k not in timed} == {
        k: v for k, v in again.items() if k not in timed
    }
    assert facts["tokens"] == facts["step"] * 4 * CONTEXT < facts["trained_tokens"]
    for key, value in weights(model).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_an_attempt_without_a_checkpoint_leaves_no_lines_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Validation(replace(tiny_data(), seed=3), steps=1, every_steps=2)
    with monkeypatch.context() as patch:
        die_at(7, patch)
        with pytest.raises(Killed):
            train_tiny(tmp_path, validation=watched)
    train_tiny(tmp_path, validation=watched)
    lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8, 10, 12]


def test_broken_best_weights_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Validation(replace(tiny_data(), seed=3), steps=1, every_steps=2)
    whole, facts = train_tiny(tmp_path / "whole", validation=watched)
    with monkeypatch.context() as patch:
        die_at(11, patch)
        with pytest.raises(Killed):
            train_tiny(tmp_path / "parts", validation=watched, checkpoint_every_s=0.0)
    (tmp_path / "parts" / "checkpoints" / "best" / "model.safetensors").write_bytes(b"no longer")
    warned: list[str] = []
    resumed, again = train_tiny(tmp_path / "parts", validation=watched, on_warning=warned.append)
    assert "best" in warned[0]
    assert again["best_validation"] == facts["best_validation"]
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_a_log_with_a_step_that_fp16_left_out_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stepper, "first_bad", lambda self: None)
    monkeypatch.setattr(Stepper, "final_loss", lambda self: 1.0)
    take = Stepper.take_interval
    monkeypatch.setattr(Stepper, "take_interval", lambda self: (take(self)[0], float("inf")))
    with monkeypatch.context() as patch:
        die_at(7, patch)
        with pytest.raises(Killed):
            train_tiny(tmp_path, checkpoint_every_s=0.0)
    train_tiny(tmp_path)
    assert {line["gradient_norm"] for line in log_of(tmp_path)} == {None}
