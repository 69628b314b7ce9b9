"""Low-rank additions: what is trained, and that the merged model is the wrapped one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from eval.files import InputError
from pipelines.batches import Batch, Example, Pairs
from pipelines.fast import tune_for_training
from pipelines.lora import merge_lora, wrap_lora
from pipelines.models import load_for
from pipelines.objectives import objective
from tests.pipelines.tiny import CONTEXT, PAD, tiny_data, tiny_model, weights

SETTINGS = {"r": 4, "alpha": 8.0, "dropout": 0.0}


def _classes() -> Batch:
    examples = [Example((9, 8, 7), 2), Example((9, 8, 7, 6, 5), 0), Example((5, 6), 1)]
    return Pairs(examples, 3, CONTEXT, PAD, seed=0, objective="classification").batch(0)


def _case(family: str, folder: Path) -> tuple[Any, str, Batch]:
    if family == "gpt2-writes":
        return tiny_model(), "causal-lm", tiny_data().batch(0)
    tiny_model(family=family).save_pretrained(folder)
    model = load_for("classification", folder, ["a", "b", "c"], seed=0)
    return model, "classification", _classes()


@pytest.mark.parametrize("family", ["gpt2-writes", "gpt2", "bert"])
def test_additions_and_a_new_head_move_and_the_merged_model_answers_alike(
    family: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    plain, name, batch = _case(family, tmp_path / "plain")
    before = weights(plain)
    module = objective(
        name, tune_for_training(wrap_lora(plain, **SETTINGS), on_cpu=True), torch.float32
    ).train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.03)
    losses = []
    for _ in range(4):
        loss = module(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]

    wrapped = float(module(batch).detach())
    merged = merge_lora(module.model)
    assert float(objective(name, merged, torch.float32)(batch).detach()) == pytest.approx(wrapped, rel=1e-5)

    after = weights(merged)
    assert after.keys() == before.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    parts = ("attn.", "mlp.", "attention.", "intermediate.", "output.", "pooler.", "score.", "classifier.")
    assert moved
    assert all(any(part in key for part in parts) for key in moved)
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM if name == "causal-lm" else AutoModelForSequenceClassification
    loaded = again.from_pretrained(tmp_path / "merged")
    assert float(objective(name, loaded, torch.float32)(batch).detach()) == pytest.approx(wrapped, rel=1e-5)


def test_few_weights_are_trained() -> None:
    pytest.importorskip("peft")
    model = wrap_lora(tiny_model(), **SETTINGS)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    d, rank = 16, SETTINGS["r"]
    # of each block's four matrices, (in + out) · rank: 1 to 3, 1 to 1, 1 to 4 and 4 to 1 widths
    assert trained == 2 * rank * d * ((1 + 3) + (1 + 1) + (1 + 4) + (4 + 1))


def test_without_peft_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'stepladder\[lora\]'"):
        wrap_lora(tiny_model(), **SETTINGS)
