"""The loop: an accumulated step equals one batch, tokens are counted, and its guards speak."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines import checkpoint
from pipelines.batches import Example, Pairs
from pipelines.models import DROPOUTS
from pipelines.ranks import Share, make_accelerator
from pipelines.stepping import SKIPPED_IN_A_ROW, Stepper
from pipelines.train import Diverged
from tests.pipelines.cases import case, pairs
from tests.pipelines.tiny import (
    CONTEXT,
    VOCABULARY,
    how,
    tiny_model,
    train_tiny,
    weights,
)


def test_dropout_is_on_and_differs_from_step_to_step(tmp_path: Path) -> None:
    model, data = case("causal-lm", "gpt2", tmp_path, dropout=0.0)
    dropped, _ = case("causal-lm", "gpt2", tmp_path, dropout=0.5)
    assert all(getattr(dropped.config, name) == 0.5 for name in DROPOUTS["gpt2"])
    plain, _ = train_tiny(tmp_path / "plain", model, data=data)
    other, _ = train_tiny(tmp_path / "other", dropped, data=data)
    assert not torch.equal(weights(plain)["transformer.wte.weight"],
                           weights(other)["transformer.wte.weight"])  # fmt: skip


def _weights_after_one_sgd_step(folder: Path, micro_tokens: int) -> dict[str, torch.Tensor]:
    """Plain gradient descent, because Adam's first step hides the size of a gradient."""
    settings = replace(how(learning_rate=1.0), clip=1e9, optimizer="sgd", momentum=0.0, weight_decay=0.0)
    model, _ = train_tiny(
        folder,
        name="conditional-generation",
        data=pairs(batch_size=17),
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


def test_one_hard_row_at_the_end_is_no_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The final loss is that of the last ten steps, not of a last batch, which may be one row."""
    backward = Stepper._backward
    losses: list[float] = []

    def hard_at_the_end(self: Stepper, batch: Any, at: int, scored: float) -> torch.Tensor:
        nats = backward(self, batch, at, scored) * (3.0 if at == 11 else 1.0)
        losses.append(float(nats) / scored)
        return nats

    monkeypatch.setattr(Stepper, "_backward", hard_at_the_end)
    _, facts = train_tiny(tmp_path, highest_loss_nats=1.5 * math.log(VOCABULARY))
    assert losses[-1] > 1.5 * math.log(VOCABULARY)
    assert facts["final_loss_nats"] == pytest.approx(sum(losses[-10:]) / 10)  # windows score alike


def test_fp16_steps_that_are_left_out_are_noticed_when_none_is_taken_any_more() -> None:
    """A stub of accelerate's scaler: with one, an overflow now and then is how it finds its scale."""
    accelerator: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=1, scaler=object())
    run: Any = SimpleNamespace(micro_tokens=32, how=how(steps=100))
    stepper = Stepper(None, None, None, None, run, accelerator)

    def took(steps: range, norm: float) -> Any:
        loss = torch.tensor(2.0, dtype=torch.float64)
        stepper._seen = [(step, loss, torch.tensor(norm), 1.0) for step in steps]
        return stepper.first_bad()

    assert took(range(SKIPPED_IN_A_ROW - 1), math.inf) is None
    assert took(range(39, 40), 1.0) is None
    assert took(range(40, 60), math.inf) is None
    assert took(range(60, 80), math.inf) == (79, 2.0, math.inf)
    accelerator.scaler = None
    assert took(range(80, 81), math.inf) == (80, 2.0, math.inf)


def test_out_of_memory_makes_smaller_parts_of_the_same_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = Stepper._backward
    told: list[int] = []
    warned: list[str] = []

    def small_memory(self: Stepper, share: Share, at: int, scored: float) -> torch.Tensor:
        if self.micro_tokens > 32:
            first = {name: value[:1] for name, value in share.batch.items()}
            backward(self, Share(first, 1, 1, scored), at, scored)  # a part fits
            raise torch.OutOfMemoryError("too much")
        return backward(self, share, at, scored)

    small, _ = train_tiny(tmp_path / "small", micro_tokens=32)
    monkeypatch.setattr(Stepper, "_backward", small_memory)
    halved, _ = train_tiny(
        tmp_path / "halved", micro_tokens=64, on_micro_change=told.append, on_warning=warned.append
    )
    assert told == [32]
    assert "32" in warned[0]
    for key, value in weights(small).items():
        assert torch.equal(value, weights(halved)[key]), key


def test_utilisation_is_flops_over_the_machines_peak(tmp_path: Path) -> None:
    _, facts = train_tiny(tmp_path, flops_per_token=100.0, peak_flops=1e6)
    assert facts["flops_utilisation"] == pytest.approx(facts["tokens_per_second"] * 100 / 1e6, rel=0.01)


def test_a_processor_refuses_what_only_gpus_do() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="fsdp needs GPUs"):
        make_accelerator("fp32", sharding="fsdp")
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        make_accelerator("fp16")
