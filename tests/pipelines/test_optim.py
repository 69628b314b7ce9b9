"""Schedules in closed form; which parameters decay."""

import math

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from pipelines.optim import parameter_groups, rate_factor


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    assert [rate_factor(step, 100, 4, "wsd", 0.2) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_wsd_is_flat_then_falls_to_one_last_small_step() -> None:
    assert rate_factor(79, 100, 0, "wsd", 0.2) == 1.0
    assert rate_factor(90, 100, 0, "wsd", 0.2) == pytest.approx(0.5)
    assert rate_factor(99, 100, 0, "wsd", 0.2) == pytest.approx(0.05)


def test_linear_cosine_and_constant() -> None:
    assert rate_factor(50, 100, 0, "linear", 0.2) == pytest.approx(0.5)
    assert rate_factor(25, 100, 0, "cosine", 0.2) == pytest.approx(0.5 * (1 - math.cos(math.pi * 0.75)))
    assert rate_factor(99, 100, 10, "constant", 0.2) == 1.0


def test_matrices_decay_and_tables_norms_and_biases_do_not() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=5, n_layer=1, n_embd=4, n_head=1))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = parameter_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0.0
    assert {names[id(p)] for p in decayed["params"]} == {
        f"transformer.h.0.{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))
