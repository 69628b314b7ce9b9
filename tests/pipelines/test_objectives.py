"""Objectives against transformers' own losses and gradients in float32, over batches that are padded."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    GPT2Config,
)

from pipelines.batches import Batch, Example, Pairs
from pipelines.fast import tune_for_training
from pipelines.fused_loss import IGNORED
from pipelines.objectives import objective
from tests.pipelines.tiny import CONTEXT, PAD, VOCABULARY, tiny_data, tiny_masked, tiny_model

HEADS: dict[str, Any] = {
    "conditional-generation": AutoModelForCausalLM,
    "classification": AutoModelForSequenceClassification,
    "multi-label": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "span": AutoModelForQuestionAnswering,
    "tagging": AutoModelForTokenClassification,
}
PROBLEMS = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
OUTPUTS = {"classification": 3, "multi-label": 4, "regression": 1, "span": 2, "tagging": 5}
ROWS = ((9, 8, 7), (9, 8, 7, 6, 5, 4), (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21))
TARGETS: dict[str, tuple[Any, ...]] = {
    "conditional-generation": ((IGNORED, 8, 7), (*[IGNORED] * 4, 5, 4), (*[IGNORED] * 3, *range(14, 22))),
    "classification": (2, 0, 1),
    "multi-label": ((1.0, 0.0, 0.0, 1.0), (0.0,) * 4, (1.0,) * 4),
    "regression": (0.5, -1.5, 2.0),
    "span": ((0, 0), (2, 4), (1, 10)),
    "tagging": ((IGNORED, 4, IGNORED), (IGNORED, 0, 1, IGNORED, 2, IGNORED), (*[IGNORED] * 10, 3)),
}
CASES = [("gpt2", name) for name in TARGETS] + [
    ("bert", name) for name in TARGETS if name != "conditional-generation"
]


def _model(family: str, name: str) -> Any:
    torch.manual_seed(0)
    more: dict[str, Any] = {"pad_token_id": PAD, "classifier_dropout": 0.0, "initializer_range": 0.3}
    if name in OUTPUTS:
        more |= {"num_labels": OUTPUTS[name], "problem_type": PROBLEMS.get(name)}
    if family == "gpt2":
        shape = {"n_positions": CONTEXT, "n_layer": 2, "n_embd": 16, "n_head": 2}
        drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config: Any = GPT2Config(vocab_size=VOCABULARY, **shape, **drop, **more)
    else:
        shape = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
        drop = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
        config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **shape, **drop, **more)
    return HEADS[name].from_config(config).train()


def _batch(family: str, name: str, rows: slice = slice(None)) -> Batch:
    types = [(0,) * (len(ids) // 2) + (1,) * (len(ids) - len(ids) // 2) for ids in ROWS]
    examples = [
        Example(ids, target, kind if family == "bert" else ())
        for ids, target, kind in zip(ROWS, TARGETS[name], types, strict=True)
    ][rows]
    return Pairs(examples, len(examples), context=CONTEXT, pad_id=PAD, seed=0, objective=name).batch(0)


def _theirs(model: Any, name: str, batch: Batch) -> torch.Tensor:
    """transformers' own loss of the batch."""
    mask = (torch.arange(batch["input_ids"].shape[1]) < batch["lengths"][:, None]).long()
    given: dict[str, Any] = {"input_ids": batch["input_ids"], "attention_mask": mask}
    if "types" in batch:
        given["token_type_ids"] = batch["types"]
    targets = batch["targets"]
    if name == "span":
        given |= {"start_positions": targets[:, 0], "end_positions": targets[:, 1]}
    elif name == "conditional-generation":  # it shifts labels itself
        given["labels"] = functional.pad(targets, (1, 0), value=IGNORED)[:, :-1]
    else:
        given["labels"] = targets
    return model(**given).loss


def _same_gradients(ours: Any, theirs: Any) -> None:
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        theirs_grad = expected[name]
        # float32 sums in another order: rounding is of the size of a tensor's largest entries, not of each
        close = 1e-5 * float(theirs_grad.abs().max())
        torch.testing.assert_close(parameter.grad, theirs_grad, rtol=1e-4, atol=max(close, 1e-6))


@pytest.mark.parametrize(("family", "name"), CASES)
def test_loss_and_gradients_are_transformers_own(family: str, name: str) -> None:
    # transformers counts padding among a span's answers, so there it gets rows without any
    batch = _batch(family, name, slice(1, 2) if name == "span" else slice(None))
    if name == "span":
        batch = {key: value[:, :6] if value.ndim == 2 else value for key, value in batch.items()}
    theirs = _model(family, name)
    ours = tune_for_training(copy.deepcopy(theirs), on_cpu=True)
    expected = _theirs(theirs, name, batch)
    expected.backward()

    module = objective(name, ours, torch.float32)
    loss = module(batch) / module.count(batch)
    loss.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    _same_gradients(ours, theirs)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_batch_costs_what_its_rows_cost_alone_without_padding(family: str, name: str) -> None:
    module = objective(name, tune_for_training(_model(family, name), on_cpu=True), torch.float32)
    together = _batch(family, name)
    nats, count = 0.0, 0.0
    for row, ids in enumerate(ROWS):
        alone = {
            key: value[:, : len(ids)] if value.ndim == 2 and len(value[0]) == CONTEXT else value
            for key, value in _batch(family, name, slice(row, row + 1)).items()
        }
        nats, count = nats + float(module(alone).detach()), count + module.count(alone)
    assert module.count(together) == count
    assert float(module(together).detach()) == pytest.approx(nats, rel=1e-5)


def test_a_causal_step_is_transformers_own() -> None:
    batch = tiny_data().batch(0)
    theirs, ours = tiny_model(), tune_for_training(tiny_model(), on_cpu=True)
    labels = functional.pad(batch["targets"], (1, 0), value=IGNORED)[:, :-1]  # it shifts them itself
    expected = theirs(input_ids=batch["input_ids"], labels=labels).loss
    expected.backward()
    cut = {
        name: value[:, :-1] for name, value in batch.items()
    }  # it drops the last position, which has no label
    module = objective("causal-lm", ours, torch.float32)
    assert module.count(cut) == 4 * (CONTEXT - 1)
    loss = module(cut) / module.count(cut)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    _same_gradients(ours, theirs)


@pytest.mark.parametrize("padded", [False, True])
def test_a_masked_step_is_transformers_own(padded: bool) -> None:
    batch = dict(tiny_masked().batch(0))
    mask = None
    if padded:
        batch["lengths"] = torch.tensor([16, 9, 12, 5])
        mask = (torch.arange(CONTEXT) < batch["lengths"][:, None]).long()
        batch["targets"] = batch["targets"].masked_fill(mask == 0, IGNORED)
    theirs = tiny_model(family="bert")
    ours = tune_for_training(tiny_model(family="bert"), on_cpu=True)
    expected = theirs(input_ids=batch["input_ids"], attention_mask=mask, labels=batch["targets"]).loss
    expected.backward()
    module = objective("masked-lm", ours, torch.float32)
    loss = module(batch) / module.count(batch)
    loss.backward()
    assert module.count(batch) == float((batch["targets"] != IGNORED).sum())
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    _same_gradients(ours, theirs)


@pytest.mark.parametrize(("family", "name"), [("gpt2", "causal-lm"), ("bert", "masked-lm")])
def test_activation_checkpointing_changes_no_gradient(family: str, name: str) -> None:
    batch = {"gpt2": tiny_data, "bert": tiny_masked}[family]().batch(0)
    models = [tune_for_training(tiny_model(family=family).train(), on_cpu=True) for _ in range(2)]
    models[1].gradient_checkpointing_enable()
    for model in models:
        objective(name, model, torch.float32)(batch).backward()
    _same_gradients(*models)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_class_weights_and_smoothing_are_torchs(family: str) -> None:
    weights, batch, model = (
        [0.5, 2.0, 3.0],
        _batch(family, "classification"),
        _model(family, "classification"),
    )
    module = objective(
        "classification",
        tune_for_training(copy.deepcopy(model), on_cpu=True),
        torch.float32,
        label_smoothing=0.1,
        class_weights=weights,
    )
    mask = (torch.arange(batch["input_ids"].shape[1]) < batch["lengths"][:, None]).long()
    logits = model(batch["input_ids"], attention_mask=mask, token_type_ids=batch.get("types")).logits
    expected = functional.cross_entropy(
        logits, batch["targets"], weight=torch.tensor(weights), label_smoothing=0.1
    )
    torch.testing.assert_close(module(batch) / module.count(batch), expected, rtol=1e-5, atol=1e-6)
    plain = functional.cross_entropy(logits, batch["targets"], weight=torch.tensor(weights))
    nats, count = module.measures(batch)["loss"]
    assert nats / count == pytest.approx(float(plain.detach()), rel=1e-5)  # smoothing is training's


def test_tokens_are_smoothed_as_torch_does() -> None:
    model, batch = tiny_model(), tiny_data().batch(0)
    expected = functional.cross_entropy(
        model(input_ids=batch["input_ids"]).logits.flatten(0, 1),
        batch["targets"].flatten(),
        label_smoothing=0.2,
    )
    module = objective("causal-lm", tune_for_training(model, on_cpu=True), torch.float32, label_smoothing=0.2)
    torch.testing.assert_close(module(batch) / module.count(batch), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "measure", "share"),
    [("classification", "accuracy", 2 / 3), ("span", "accuracy", 2 / 3), ("tagging", "accuracy", 4 / 5),
     ("multi-label", "f1_micro", 2 * 5 / (5 + 6))],
)  # fmt: skip
def test_measures_count_what_is_right(name: str, measure: str, share: float) -> None:
    """A module that answers as it is told: all right but one."""
    batch = _batch("bert", name)
    targets = batch["targets"]
    order = [int(length) for length in batch["lengths"]]  # rows come in an order of their own
    wrong = order.index(6)
    if name == "classification":
        logits = functional.one_hot(targets.clone().index_fill(0, torch.tensor([wrong]), 1), 3) * 9.0
    elif name == "multi-label":
        logits = torch.where(targets > 0, 9.0, -9.0)
        logits[order.index(11), 0] = -9.0
    elif name == "span":
        logits = functional.one_hot(targets, CONTEXT).transpose(1, 2) * 9.0
        logits[wrong, :, 0] = logits[wrong, :, 0].roll(1)
    else:
        logits = functional.one_hot(targets.clamp(min=0), 5) * 9.0
        logits[wrong, 1] = logits[wrong, 1].roll(1)
    module = objective(name, _model("bert", name), torch.float32)
    module.logits = lambda batch: logits
    measured = module.measures(batch)
    assert measured[measure][0] / measured[measure][1] == pytest.approx(share)
    assert measured["loss"][0] > 1.0  # the one that is wrong


@pytest.mark.parametrize(("family", "name"), CASES)
def test_the_measured_loss_is_the_trained_one(family: str, name: str) -> None:
    module, batch = objective(name, _model(family, name), torch.float32), _batch(family, name)
    nats, count = module.measures(batch)["loss"]
    assert nats == pytest.approx(float(module(batch).detach()))
    assert count == module.count(batch)
