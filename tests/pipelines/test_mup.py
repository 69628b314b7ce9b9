"""Mup against a model with the factor in its forward pass, against its table, and by the coordinate check."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from pipelines.models import initial_std
from pipelines.mup import coordinate_changes, rate_shares, scale_model, width_slopes
from pipelines.optim import Optimisation, make_optimizer, set_rate

VOCABULARY, HEAD = 64, 16
WIDTHS = (16, 32, 64, 128, 256)


def make_how(multiple: float, steps: int = 4, rate: float = 1e-3) -> Optimisation:
    return Optimisation(
        learning_rate=rate,
        steps=steps,
        warmup_steps=0,
        schedule="constant",
        decay_fraction=0.2,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        mup_multiple=multiple,
    )


def make_model(family: str, width: int, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    heads, std = width // HEAD, initial_std(width)
    if family == "gpt2":
        names: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        names |= {"n_positions": 16, "n_embd": width, "n_layer": 2, "n_head": heads}
        return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, initializer_range=std, **names))
    names = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    names |= {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": heads}
    names |= {"intermediate_size": 4 * width, "max_position_embeddings": 16}
    return BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, initializer_range=std, **names))


def make_batches(count: int) -> list[torch.Tensor]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, VOCABULARY, (4, 16), generator=generator) for _ in range(count)]


def last_norm(model: Any) -> tuple[Any, str]:
    name = "transformer.ln_f" if hasattr(model, "transformer") else "cls.predictions.transform.LayerNorm"
    return model.get_submodule(name), name


def slopes_of(family: str, mup: bool, shares: bool = True) -> dict[str, float]:
    *batches, seen = make_batches(5)
    changes = {}
    for width in WIDTHS:
        multiple = width / WIDTHS[0] if mup else 1.0
        model = scale_model(make_model(family, width), multiple)
        changes[width] = coordinate_changes(model, make_how(multiple if shares else 1.0), batches, seen)
    return width_slopes(changes)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_under_mup_no_activations_change_grows_or_dies_with_width(family: str) -> None:
    slopes = slopes_of(family, mup=True)
    assert list(slopes) == ["embeddings", "block 1", "block 2", "logits"]
    assert max(abs(slopes["block 1"]), abs(slopes["block 2"])) < 0.15, slopes
    assert max(abs(slopes["embeddings"]), abs(slopes["logits"])) < 0.3, slopes


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_without_mup_changes_grow_with_width(family: str) -> None:
    slopes = slopes_of(family, mup=False)
    assert min(slopes["block 1"], slopes["block 2"], slopes["logits"]) > 0.5, slopes


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_half_of_mup_does_not_pass(family: str) -> None:
    """Without the shares of the learning rate the same check fails: it is not the initial weights alone."""
    slopes = slopes_of(family, mup=True, shares=False)
    assert max(slopes["block 1"], slopes["block 2"]) > 0.3, slopes


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_training_goes_as_with_the_logits_factor_in_the_model(family: str) -> None:
    """Yang 2022 multiplies the logits with 1/m; here the norm before the head holds that factor."""
    multiple, how = 4.0, make_how(4.0, rate=4e-3)
    folded = make_model(family, 64)
    written = copy.deepcopy(folded)
    scale_model(folded, multiple)
    scale_model(written, multiple)
    (norm, name) = last_norm(written)
    with torch.no_grad():
        norm.weight.mul_(multiple)
    norm.register_forward_hook(lambda module, inputs, output: output / multiple)
    *batches, seen = make_batches(5)
    whole = {id(parameter) for parameter in norm.parameters()}
    optimizers = [make_optimizer(folded, how), make_optimizer(written, how)]
    for group in optimizers[1].param_groups:
        if any(id(parameter) in whole for parameter in group["params"]):
            group["rate_share"] = 1.0
    for step, ids in enumerate(batches):
        for model, optimizer in zip((folded, written), optimizers, strict=True):
            set_rate(optimizer, how, step)
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        torch.testing.assert_close(folded(seen).logits, written(seen).logits, rtol=1e-3, atol=1e-5)
    moved = folded.get_parameter(f"{name}.weight") * multiple
    assert float((moved - 1).abs().max().detach()) > 1e-3
    torch.testing.assert_close(moved, norm.weight, rtol=1e-4, atol=1e-6)


def test_rates_and_first_weights_are_those_of_the_table() -> None:
    model = make_model("gpt2", 64)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    scale_model(model, 4.0)
    shares = rate_shares(model, 4.0)
    for name, parameter in model.named_parameters():
        is_hidden = ".h." in name and parameter.ndim == 2
        factor = {"transformer.wte.weight": 2.0, "transformer.wpe.weight": 2.0}.get(name, 1.0)
        factor = 0.25 if "ln_f" in name else factor
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
        assert shares.get(id(parameter)) == (0.25 if is_hidden or "ln_f" in name else None), name


def test_weights_decay_as_fast_at_every_width() -> None:
    how = make_how(4.0)
    for group in make_optimizer(make_model("gpt2", 64), how).param_groups:
        assert group["weight_decay"] * group["rate_share"] in (0.0, how.weight_decay)


def test_the_base_width_is_left_as_it_was() -> None:
    model = make_model("gpt2", 32)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    assert rate_shares(scale_model(model, 1.0), 1.0) == {}
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_a_saved_model_is_a_plain_one(tmp_path: Path) -> None:
    model = scale_model(make_model("gpt2", 64), 2.0).eval()
    model.save_pretrained(tmp_path)
    (ids,) = make_batches(1)
    with torch.no_grad():
        assert torch.equal(
            AutoModelForCausalLM.from_pretrained(tmp_path).eval()(ids).logits, model(ids).logits
        )


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_models_with_a_new_head_keep_their_shares(family: str, tmp_path: Path) -> None:
    """Fine-tuning moves the body as pretraining did, whatever stands on it."""
    make_model(family, 64).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    slow = {names[key] for key in rate_shares(torch.nn.Sequential(model), 4.0)}
    layers = model.transformer.h if family == "gpt2" else model.bert.encoder.layer
    matrices = {names[id(one)] for one in layers.parameters() if one.ndim == 2}
    other = (
        {"transformer.ln_f.weight", "transformer.ln_f.bias"}
        if family == "gpt2"
        else {"bert.pooler.dense.weight"}
    )
    assert slow == matrices | other
