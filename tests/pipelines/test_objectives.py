"""Objectives against transformers' own losses and gradients, in float32."""

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from pipelines.batches import Example, Pairs
from pipelines.fused_loss import IGNORED
from pipelines.models import tune_for_training
from pipelines.objectives import objective
from tests.pipelines.tiny import CONTEXT, VOCABULARY, tiny_data, tiny_model


def _gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_a_causal_step_equals_transformers_loss_and_gradients() -> None:
    batch = tiny_data().batch(0)
    theirs = tiny_model()
    # transformers shifts labels itself, so it is given the window with its last target at the end
    ids = torch.cat([batch["input_ids"], batch["targets"][:, -1:]], dim=1)[:, 1:]
    loss = theirs(input_ids=ids, labels=ids).loss
    loss.backward()

    ours = tune_for_training(tiny_model(), on_cpu=True)
    nats, count = objective("causal-lm", ours, torch.float32)(
        {"input_ids": ids[:, :-1], "targets": ids[:, 1:]}
    )
    (nats / count).backward()

    assert int(count) == 4 * (CONTEXT - 1)
    torch.testing.assert_close(nats / count, loss, rtol=1e-5, atol=1e-6)
    expected = _gradients(theirs)
    for name, gradient in _gradients(ours).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_a_padded_answer_costs_what_it_costs_alone() -> None:
    examples = [
        Example((5, 6, 7, 8), (IGNORED, IGNORED, 7, 8)),
        Example(tuple(range(2, 14)), (IGNORED,) * 9 + (11, 12, 13)),
    ]
    module = objective("conditional-generation", tune_for_training(tiny_model(), on_cpu=True), torch.float32)
    together, count = module(Pairs(examples, 2, context=CONTEXT, pad_id=1, seed=0).batch(0))
    alone = [module(Pairs([example], 1, context=CONTEXT, pad_id=1, seed=0).batch(0)) for example in examples]
    assert int(count) == 5
    assert float(together.detach()) == pytest.approx(sum(float(nats.detach()) for nats, _ in alone), rel=1e-5)


def test_classification_equals_transformers_padding_and_all() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_layer=1,
        n_embd=8,
        n_head=2,
        num_labels=3,
        pad_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2ForSequenceClassification(config)
    batch = Pairs(
        [Example((9, 8, 7), 2), Example((9, 8, 7, 6, 5), 0)], 2, context=CONTEXT, pad_id=1, seed=0
    ).batch(0)
    mask = (torch.arange(batch["input_ids"].shape[1]) < batch["lengths"][:, None]).long()
    expected = model(input_ids=batch["input_ids"], attention_mask=mask, labels=batch["targets"]).loss
    nats, count = objective("classification", tune_for_training(model, on_cpu=True), torch.float32)(batch)
    assert int(count) == 2
    torch.testing.assert_close(nats / 2, expected, rtol=1e-5, atol=1e-6)
