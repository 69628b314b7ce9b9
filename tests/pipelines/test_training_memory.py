"""Memory in closed form, beside what torch's allocator held in real steps and what papers print."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines import layout, memory
from pipelines.ladder import Shape
from pipelines.memory import Work, count_memory, optimiser_bytes, sharded

SMALL = Work(shape=Shape(12, 768, 12), family="gpt2", vocab_size=50_257, context=1024, tokens_at_once=1024)


def _settings(family: str, shape: Shape, **changes: Any) -> dict[str, Any]:
    """A pretraining stage's settings, as the steps of `probe_worker` want them."""
    hyper = {
        "learning_rate": 1e-3, "steps": 10, "warmup_steps": 1, "schedule": "wsd", "decay_fraction": 0.2,
        "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "clip": 1.0, "dropout": 0.0, "batch_tokens": 1024,
        "optimizer": "adamw", "momentum": 0.9,
    }  # fmt: skip
    own = {name: changes.pop(name) for name in tuple(changes) if name in hyper}
    return {
        "family": family,
        "objective": "causal-lm" if family == "gpt2" else "masked-lm",
        "shape": vars(shape),
        "vocab_size": 2048,
        "context": 128,
        "precision": "fp32",
        "threads": 1,
        "hyper": hyper | own,
    } | changes


def _held(settings: dict[str, Any]) -> int:
    """The most bytes of tensors at once in a real step: weights, state and what the step allocated."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from pipelines.probe_worker import make_steps

    step, _, _ = make_steps(settings)
    step(0)  # makes the optimiser's state
    tensors = _alive(step)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step(1)
    events = sorted(
        (event.start_ns(), event.nbytes())
        for event in seen.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    now = most = 0
    for _, size in events:
        now += size
        most = max(most, now)
    assert torch.get_num_threads() == 1
    return tensors + most


def _alive(step: Any) -> int:
    """Weights and optimiser's state of the stepper that `step` closes over."""
    stepper = next(
        cell.cell_contents for cell in step.__closure__ if hasattr(cell.cell_contents, "optimizer")
    )
    state = stepper.optimizer.optimizer.state.values()
    values = [*stepper.objective.parameters(), *(value for each in state for value in each.values())]
    return sum(value.numel() * value.element_size() for value in values if value is not None)


@pytest.mark.parametrize(
    ("family", "shape", "changes"),
    [
        ("gpt2", Shape(2, 64, 4), {}),
        ("gpt2", Shape(4, 128, 4), {"micro_tokens": 512}),
        ("gpt2", Shape(4, 128, 4), {"checkpointing": True}),
        ("gpt2", Shape(2, 128, 4), {"optimizer": "sgd", "vocab_size": 4096, "micro_tokens": 256}),
        ("gpt2", Shape(2, 64, 2), {"precision": "bf16", "batch_tokens": 256, "vocab_size": 512}),
        ("gpt2", Shape(4, 128, 4), {"dropout": 0.1}),
        ("bert", Shape(4, 128, 4), {}),
        ("bert", Shape(4, 128, 4), {"checkpointing": True}),
    ],
)
def test_predicted_memory_is_near_what_a_real_step_holds(
    family: str, shape: Shape, changes: dict[str, Any]
) -> None:
    settings = _settings(family, shape, **changes)
    at_once = min(settings.get("micro_tokens", 4096), settings["hyper"]["batch_tokens"])
    predicted = count_memory(
        Work(
            shape=shape,
            family=family,
            vocab_size=settings["vocab_size"],
            context=128,
            tokens_at_once=at_once,
            optimizer=settings["hyper"]["optimizer"],
            precision=settings["precision"],
            dropout=settings["hyper"]["dropout"],
            checkpointing=settings.get("checkpointing", False),
            fused_attention=False,
            scored_share=1.0 if family == "gpt2" else 0.15,
        )
    ).peak
    assert 0.85 < predicted / _held(settings) < 1.3


def test_states_are_sixteen_bytes_a_parameter_as_in_zeros_paper() -> None:
    """Rajbhandari 2020: 16 bytes a parameter with Adam; a 1.5B GPT-2 has 24 GB of states."""
    assert count_memory(SMALL).states == 16 * 124_439_808
    xl = replace(SMALL, shape=Shape(48, 1600, 25))
    assert count_memory(xl).states == pytest.approx(24e9, rel=0.05)


def test_activations_are_korthikantis_less_his_masks_and_scores_more_our_residuals() -> None:
    """Korthikanti 2022, eq. 1 without 5as/h: 34sbh a layer at 16 bits, of which 2 are dropout's masks; our
    two norms read float32, 4sbh more than his."""
    low = replace(SMALL, precision="bf16", tokens_at_once=1)
    one, two = (count_memory(replace(low, shape=Shape(layers, 768, 12))).activations for layers in (12, 24))
    a_layer = (two - one) / 12
    assert a_layer == pytest.approx((34 - 2 + 4) * 768, rel=0.01)
    dropped = [
        count_memory(replace(low, shape=Shape(layers, 768, 12), dropout=0.1)).activations
        for layers in (12, 24)
    ]
    assert (dropped[1] - dropped[0]) / 12 - a_layer == pytest.approx(2 * 768)


def test_softmax_is_kept_where_attention_is_not_fused() -> None:
    """His 5as/h has two copies at 16 bits and a mask of a byte; ours is one in float32, half of it causal."""
    plain, fused = (
        count_memory(replace(SMALL, fused_attention=fused, tokens_at_once=1)).activations
        for fused in (False, True)
    )
    assert plain - fused == pytest.approx(12 * 12 * 4 * (1024 / 2), rel=0.1)
    both_ways = replace(SMALL, family="bert", fused_attention=False, tokens_at_once=1)
    more = (
        count_memory(both_ways).activations
        - count_memory(replace(both_ways, fused_attention=True)).activations
    )
    assert more == pytest.approx(12 * 12 * 4 * 1024, rel=0.1)


def test_activations_grow_with_what_goes_through_at_once_and_states_do_not() -> None:
    one, four = (count_memory(replace(SMALL, tokens_at_once=tokens)) for tokens in (1024, 4096))
    assert four.activations == 4 * one.activations
    assert four.states == one.states


def test_sharding_divides_states_and_puts_a_block_together() -> None:
    whole, parts = count_memory(SMALL), sharded(SMALL, 8)
    assert parts.states == pytest.approx(whole.states / 8, rel=0.01)
    assert parts.gathered > 4 * (50_257 * 768 + 12 * 768**2)
    assert parts.activations == whole.activations


def test_sharding_leaves_autocasts_copies_of_all_blocks_on_each_device() -> None:
    """Twelve blocks of 12·768² + 13·768 parameters, two bytes each, however many devices."""
    for devices in (2, 64):
        low = sharded(replace(SMALL, precision="bf16"), devices)
        full = sharded(SMALL, devices)
        assert low.gathered - full.gathered == 2 * 12 * (12 * 768**2 + 13 * 768)
        assert low.states == full.states


@pytest.mark.parametrize(
    ("optimizer", "momentum", "copies"),
    [("adamw", 0.9, 2), ("sgd", 0.9, 1), ("sgd", 0.0, 0), ("rmsprop", 0.9, 2), ("rmsprop", 0.0, 1)],
)
def test_optimisers_keep_so_many_copies(optimizer: str, momentum: float, copies: int) -> None:
    work = replace(SMALL, optimizer=optimizer, momentum=momentum)
    assert optimiser_bytes(work, 1000) == 4 * copies * 1000


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "adafactor"])
@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_optimisers_state_is_what_torch_keeps(family: str, optimizer: str) -> None:
    from pipelines.probe_worker import make_steps

    settings = _settings(family, Shape(2, 32, 2), optimizer=optimizer, vocab_size=300, batch_tokens=256)
    step, _, _ = make_steps(settings)
    step(0)
    stepper = next(
        cell.cell_contents for cell in step.__closure__ if hasattr(cell.cell_contents, "optimizer")
    )
    state = stepper.optimizer.optimizer.state.values()
    kept = sum(
        value.numel() for each in state for value in each.values() if value is not None and value.numel() > 1
    )
    params = sum(value.numel() for value in stepper.objective.parameters())
    work = Work(
        shape=Shape(2, 32, 2),
        family=family,
        vocab_size=300,
        context=128,
        tokens_at_once=128,
        optimizer=optimizer,
    )
    # a classifier's pooler apart, and rows and columns of a few vectors
    assert optimiser_bytes(work, params) / 4 == pytest.approx(kept, rel=0.05)


def test_the_constants_are_those_that_training_uses() -> None:
    from pipelines import attention, fused_loss, micro_batch

    assert memory.CPU_BLOCK == attention.BLOCK
    assert memory.CHUNK_LOGITS == fused_loss.CHUNK_LOGITS
    assert layout.CPU_TOKENS == micro_batch.CPU_TOKENS
