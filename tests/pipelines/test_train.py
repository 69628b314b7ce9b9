"""The loop: resumed equals uninterrupted, accumulated equals one batch, divergence is caught."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines import checkpoint, train
from pipelines.batches import Example, Pairs
from pipelines.fused_loss import IGNORED
from pipelines.fast import tune_for_training
from pipelines.models import load_for
from pipelines.objectives import objective
from pipelines.ranks import make_accelerator
from pipelines.train import Diverged
from tests.pipelines.tiny import CONTEXT, VOCABULARY, how, make_run, tiny_model, train_tiny, weights


class _Killed(Exception):
    """Stands for the process's end."""


def _log(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def _pairs(batch_size: int = 4) -> Pairs:
    examples = [
        Example(tuple(range(2, 6 + i % 5)), (IGNORED, IGNORED, *range(4, 6 + i % 5))) for i in range(17)
    ]
    return Pairs(examples, batch_size, context=CONTEXT, pad_id=1, seed=1)


def _classes() -> Pairs:
    return Pairs(
        [Example(tuple(range(2, 6 + i % 5)), i % 3) for i in range(17)], 4, context=CONTEXT, pad_id=1, seed=1
    )


@pytest.mark.parametrize("name", ["causal-lm", "conditional-generation", "classification"])
@pytest.mark.parametrize("killed_at", [1, 7, 11])
def test_resumed_equals_uninterrupted_to_the_bit(name, killed_at, tmp_path, monkeypatch) -> None:
    def model():
        if name != "classification":
            return tiny_model()
        tiny_model().save_pretrained(tmp_path / "base")
        return load_for(name, tmp_path / "base", ["a", "b", "c"], seed=0)

    data = {"causal-lm": None, "conditional-generation": _pairs(), "classification": _classes()}[name]
    whole, facts = train_tiny(tmp_path / "whole", model(), name, data=data)

    save, saved = train._save, []

    def save_then_die(run, done, *rest) -> None:
        save(run, done, *rest)
        saved.append(done)
        if done == killed_at:
            raise _Killed

    monkeypatch.setattr(train, "_save", save_then_die)
    with pytest.raises(_Killed):
        train_tiny(tmp_path / "parts", model(), name, data=data, checkpoint_every_s=0.0)
    monkeypatch.setattr(train, "_save", save)
    (tmp_path / "parts" / "log.jsonl").open("a").write('{"step": 12, "tok')  # a line the kill cut short
    resumed, resumed_facts = train_tiny(tmp_path / "parts", model(), name, data=data)

    assert saved[-1] == killed_at
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[key]), key
    assert _log(tmp_path / "whole") == _log(tmp_path / "parts")
    for key in ("tokens", "scored_tokens", "final_loss_nats"):
        assert facts[key] == resumed_facts[key]


def test_a_broken_checkpoint_is_set_aside_and_the_one_before_used(tmp_path, monkeypatch) -> None:
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


def test_only_the_last_checkpoints_are_kept(tmp_path) -> None:
    train_tiny(tmp_path, checkpoint_every_s=0.0)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000010", "step-00000011"]
    assert len(kept) == checkpoint.KEPT


def _weights_after_one_sgd_step(folder: Path) -> dict[str, torch.Tensor]:
    """Plain gradient descent, because Adam's first step hides the size of a gradient."""
    module = objective("conditional-generation", tune_for_training(tiny_model(), on_cpu=True), torch.float32)
    accelerator = make_accelerator("fp32")
    prepared, optimizer = accelerator.prepare(module, torch.optim.SGD(module.parameters()))
    run = make_run(folder, _pairs(batch_size=17), how=replace(how(learning_rate=1.0), clip=1e9))
    train._step(prepared, optimizer, run, accelerator, step=2)
    return weights(module)


def test_an_accumulated_step_equals_one_large_batch(tmp_path, monkeypatch) -> None:
    """Answers of uneven length in parts of two rows: the gradient is that of the whole batch."""
    whole = _weights_after_one_sgd_step(tmp_path)
    monkeypatch.setattr(train, "MICRO_TOKENS", 16)
    parts = _weights_after_one_sgd_step(tmp_path)
    start = weights(objective("conditional-generation", tiny_model(), torch.float32))
    for key, value in whole.items():
        torch.testing.assert_close(parts[key] - start[key], value - start[key], rtol=1e-3, atol=1e-6)


def test_it_learns_a_repeating_text_and_counts_its_tokens(tmp_path) -> None:
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


def test_divergence_is_reported_with_its_step(tmp_path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.transformer.wte.weight[3] = float("nan")
    with pytest.raises(Diverged, match=r"step 1 of 12: loss nan nats.*lower training.learning_rate"):
        train_tiny(tmp_path, model)


def test_a_loss_no_better_than_guessing_is_divergence(tmp_path) -> None:
    with pytest.raises(Diverged, match="no better than guessing"):
        train_tiny(tmp_path, highest_loss_nats=0.5)
