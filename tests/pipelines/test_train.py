"""The loop: resumed equals uninterrupted, accumulated equals one batch, branches share a stem; its guards."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import checkpoint
from pipelines.batches import Example, Pairs
from pipelines.early_stopping import Validation
from pipelines.fused_loss import IGNORED
from pipelines.models import DROPOUTS, load_for
from pipelines.objectives import objective
from pipelines.optim import make_optimizer
from pipelines.ranks import make_accelerator
from pipelines.stepping import Stepper
from pipelines.train import Diverged
from tests.pipelines.tiny import (
    CONTEXT,
    VOCABULARY,
    how,
    tiny_data,
    tiny_masked,
    tiny_model,
    train_tiny,
    weights,
)

Resumed = Callable[[str, Any], None]


class _Killed(Exception):
    """Stands for the process's end."""


def _log(folder: Path) -> list[dict[str, Any]]:
    """A log's lines without what a clock decides."""
    timed = ("seconds", "tokens_per_second")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


def _examples(targets: Callable[[int, int], Any]) -> list[Example]:
    """Seventeen rows of 4 to 8 tokens; `targets` of a row's number and length."""
    return [Example(tuple(range(5, 9 + i % 5)), targets(i, 4 + i % 5)) for i in range(17)]


def _pairs(name: str = "conditional-generation", batch_size: int = 4) -> Pairs:
    targets = {
        "conditional-generation": lambda i, n: (IGNORED, IGNORED, *range(7, 5 + n)),
        "classification": lambda i, n: i % 3,
        "multi-label": lambda i, n: (float(i % 2), float(i % 3 == 0), 1.0),
        "regression": lambda i, n: i / 17,
        "span": lambda i, n: (i % 3, n - 1),
        "tagging": lambda i, n: tuple((i + j) % 3 if j else IGNORED for j in range(n)),
    }[name]
    return Pairs(_examples(targets), batch_size, CONTEXT, pad_id=1, seed=1, objective=name)


def _case(name: str, family: str, folder: Path, dropout: float = 0.0) -> tuple[Any, Any]:
    """A model with the objective's head, and its data."""
    base = folder / f"base-{family}"
    if not base.exists():
        tiny_model(family=family).save_pretrained(base)
    labels = ["a", "b", "c"] if name in ("classification", "multi-label", "tagging") else None
    data = {"causal-lm": tiny_data, "masked-lm": tiny_masked}.get(name, lambda: _pairs(name))()
    return load_for(name, base, labels, seed=0, dropout=dropout), data


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the training in the middle of the accumulated step after `step`: one part of it is done."""
    backward = Stepper._backward

    def some_then_die(self: Stepper, batch: Any, at: int, scored: float) -> torch.Tensor:
        if at == step:
            backward(self, {name: value[:1] for name, value in batch.items()}, at, scored)
            raise _Killed
        return backward(self, batch, at, scored)

    monkeypatch.setattr(Stepper, "_backward", some_then_die)


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
        model, data = _case(name, family, tmp_path, dropout)
        return train_tiny(tmp_path / folder, model, name, data=data, micro_tokens=32, **changes)

    whole, facts = run("whole")
    for killed_at in (7, 11):
        with monkeypatch.context() as patch:
            die_at(killed_at, patch)
            with pytest.raises(_Killed):
                run("parts", checkpoint_every_s=0.0)
        assert (tmp_path / "parts" / "checkpoints" / f"step-{killed_at:08d}").is_dir()
    (tmp_path / "parts" / "log.jsonl").open("a").write('{"step": 12, "tok')  # a line the kill cut short
    resumed, resumed_facts = run("parts")

    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key
    assert _log(tmp_path / "whole") == _log(tmp_path / "parts")
    for key in ("tokens", "scored_tokens", "final_loss_nats"):
        assert facts[key] == resumed_facts[key]


def test_dropout_is_on_and_differs_from_step_to_step(tmp_path: Path) -> None:
    model, data = _case("causal-lm", "gpt2", tmp_path, dropout=0.0)
    dropped, _ = _case("causal-lm", "gpt2", tmp_path, dropout=0.5)
    assert all(getattr(dropped.config, name) == 0.5 for name in DROPOUTS["gpt2"])
    plain, _ = train_tiny(tmp_path / "plain", model, data=data)
    other, _ = train_tiny(tmp_path / "other", dropped, data=data)
    assert not torch.equal(weights(plain)["transformer.wte.weight"],
                           weights(other)["transformer.wte.weight"])  # fmt: skip


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


def _weights_after_one_sgd_step(folder: Path, micro_tokens: int) -> dict[str, torch.Tensor]:
    """Plain gradient descent, because Adam's first step hides the size of a gradient."""
    settings = replace(how(learning_rate=1.0), clip=1e9, optimizer="sgd", momentum=0.0, weight_decay=0.0)
    model, _ = train_tiny(
        folder,
        name="conditional-generation",
        data=_pairs(batch_size=17),
        how=replace(settings, steps=1, warmup_steps=0, schedule="constant"),
        micro_tokens=micro_tokens,
    )
    return weights(model)


def test_an_accumulated_step_equals_one_large_batch(tmp_path: Path) -> None:
    """Answers of uneven length in parts of a row or two: the gradient is that of the whole batch."""
    whole = _weights_after_one_sgd_step(tmp_path / "whole", 4096)
    parts = _weights_after_one_sgd_step(tmp_path / "parts", 32)
    start = weights(tiny_model())
    for key, value in whole.items():
        torch.testing.assert_close(parts[key] - start[key], value - start[key], rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(value, start[key]) for key, value in whole.items())


def test_it_learns_a_repeating_text_and_counts_its_tokens(tmp_path: Path) -> None:
    example = Example(tuple(range(2, 14)), tuple(range(2, 14)))
    _, facts = train_tiny(
        tmp_path,
        name="conditional-generation",
        data=Pairs([example] * 4, 4, context=CONTEXT, pad_id=1, seed=0),
        how=how(steps=80),
    )
    assert facts["tokens"] == 80 * 4 * 12
    assert facts["scored_tokens"] == 80 * 4 * 11
    assert facts["final_loss_nats"] < 0.1 < math.log(VOCABULARY)


def test_divergence_is_reported_with_its_step_and_the_last_good_state(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.transformer.wte.weight[3] = float("nan")
    with pytest.raises(Diverged, match=r"step 1 of 12: loss nan nats.*batch 0.*lower the learning rate"):
        train_tiny(tmp_path / "first", model)
    with pytest.raises(Diverged, match=r"step \d+ of 12: .*the last good state is .*step-0000"):
        train_tiny(tmp_path / "later", how=how(learning_rate=1e30), checkpoint_every_s=0.0)
    last = checkpoint.load_newest(tmp_path / "later" / "checkpoints")[0]
    assert last is not None
    assert all(bool(torch.isfinite(value).all()) for value in last.model.values())


def test_the_first_bad_step_is_named_though_losses_are_looked_at_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stepping.CHECK_STEPS", {"cpu": 5, "cuda": 5})
    backward = Stepper._backward

    def bad_at_two(self: Stepper, batch: Any, at: int, scored: float) -> torch.Tensor:
        return backward(self, batch, at, scored) * (float("nan") if at == 2 else 1.0)

    monkeypatch.setattr(Stepper, "_backward", bad_at_two)
    with pytest.raises(Diverged, match=r"step 3 of 12"):
        train_tiny(tmp_path, log_every_tokens=10**9)


def test_a_loss_no_better_than_guessing_is_divergence(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="no better than guessing"):
        train_tiny(tmp_path, highest_loss_nats=0.5)


def test_out_of_memory_makes_smaller_parts_of_the_same_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = Stepper._backward
    told: list[int] = []
    warned: list[str] = []

    def small_memory(self: Stepper, batch: Any, at: int, scored: float) -> torch.Tensor:
        if self.micro_tokens > 32:
            backward(self, {name: value[:1] for name, value in batch.items()}, at, scored)  # a part fits
            raise torch.OutOfMemoryError("too much")
        return backward(self, batch, at, scored)

    small, _ = train_tiny(tmp_path / "small", micro_tokens=32)
    monkeypatch.setattr(Stepper, "_backward", small_memory)
    halved, _ = train_tiny(
        tmp_path / "halved", micro_tokens=64, on_micro_change=told.append, on_warning=warned.append
    )
    assert told == [32]
    assert "32" in warned[0]
    for key, value in weights(small).items():
        assert torch.equal(value, weights(halved)[key]), key


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
    assert _log(tmp_path / "branch") == _log(tmp_path / "alone")
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
        with pytest.raises(_Killed):
            run("parts")
    resumed, resumed_facts = run("parts")
    assert resumed_facts["best_validation"] == facts["best_validation"]
    assert (tmp_path / "parts" / "validation.jsonl").read_text() == (
        tmp_path / "whole" / "validation.jsonl"
    ).read_text()
    for key, value in weights(model).items():
        assert torch.equal(value, weights(resumed)[key]), key


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adafactor"])
def test_every_optimiser_resumes_to_the_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(how(learning_rate=1e-3), optimizer=name)
    whole, _ = train_tiny(tmp_path / "whole", how=settings)
    with monkeypatch.context() as patch:
        die_at(7, patch)
        with pytest.raises(_Killed):
            train_tiny(tmp_path / "parts", how=settings, checkpoint_every_s=0.0)
    resumed, _ = train_tiny(tmp_path / "parts", how=settings)
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train_tiny(tmp_path, checkpoint_every_s=0.0)
    found = checkpoint.load_newest(tmp_path / "checkpoints")[0]
    assert found is not None
    other = objective("masked-lm", tiny_model(family="bert"), torch.float32)
    optimizer = make_optimizer(other, how())
    with pytest.raises(ValueError, match="another model"):
        checkpoint.restore(found, other, optimizer)


def test_utilisation_is_flops_over_the_machines_peak(tmp_path: Path) -> None:
    _, facts = train_tiny(tmp_path, flops_per_token=100.0, peak_flops=1e6)
    assert facts["flops_utilisation"] == pytest.approx(facts["tokens_per_second"] * 100 / 1e6, rel=0.01)


def test_a_processor_refuses_what_only_gpus_do() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for changes, said in (
        ({"sharding": "fsdp"}, "fsdp needs GPUs"),
        ({"deepspeed": Path("x")}, "needs GPUs"),
    ):
        with pytest.raises(ValueError, match=said):
            make_accelerator("fp32", **changes)
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        make_accelerator("fp16")
