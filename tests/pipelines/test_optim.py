"""Schedules in closed form and as transformers has; which parameters decay; states that outlive a file."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from eval.files import InputError
from pipelines.optim import (
    Optimisation,
    decay_start,
    load_optimizer_tensors,
    make_optimizer,
    optimisation,
    optimizer_tensors,
    parameter_groups,
    rate_factor,
    set_rate,
)

OPTIMIZERS = ["adamw", "sgd", "rmsprop", "adafactor"]
PUBLISHED: dict[str, Any] = {
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "constant": lambda optimizer, warmup, steps: get_constant_schedule_with_warmup(optimizer, warmup),
}


def make_how(optimizer: str = "adamw", **changes: Any) -> Optimisation:
    given: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": 0.05,
        "steps": 10,
        "warmup_steps": 2,
        "schedule": "linear",
        "decay_fraction": 0.2,
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "clip": 1.0,
    }
    return Optimisation(**(given | changes))


def make_module(seed: int = 0) -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 3), torch.nn.Tanh())


def take_steps(module: Any, optimizer: Any, how: Optimisation, steps: range) -> None:
    for step in steps:
        ids = torch.arange(step, step + 5) % 7
        set_rate(optimizer, how, step)
        (module(ids) - 0.5).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


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


@pytest.mark.parametrize("schedule", sorted(PUBLISHED))
def test_schedules_after_the_warm_up_are_those_of_transformers(schedule: str) -> None:
    """Ours warms up to the peak in the last step of the warm-up, theirs in the one after; then they agree."""
    steps, warmup = 40, 8
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = PUBLISHED[schedule](optimizer, warmup, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    ours = [rate_factor(step, steps, warmup, schedule, 0.2) for step in range(steps)]
    assert ours[warmup:] == pytest.approx(rates[warmup:])
    assert ours[: warmup - 1] == pytest.approx(rates[1:warmup])


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_a_longer_run_takes_the_same_steps_up_to_a_shorter_ones_branch(fraction: float, warmup: int) -> None:
    branches = [decay_start(steps, fraction) for steps in range(1, 120)]
    assert branches == sorted(branches)
    assert branches[0] >= 0
    for steps, branch in enumerate(branches, start=1):
        for longer in (steps, steps + 1, 3 * steps):
            ours = [rate_factor(step, steps, warmup, "wsd", fraction) for step in range(branch)]
            theirs = [rate_factor(step, longer, warmup, "wsd", fraction) for step in range(branch)]
            assert ours == theirs
            assert all(rate == 1.0 for rate in ours[warmup:])


def test_matrices_decay_and_tables_norms_and_biases_do_not() -> None:
    sizes: dict[str, Any] = {"vocab_size": 11, "n_positions": 5, "n_layer": 1, "n_embd": 4, "n_head": 1}
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **sizes))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = parameter_groups(model, make_how())
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0.0
    assert {names[id(p)] for p in decayed["params"]} == {
        f"transformer.h.0.{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_frozen_parameters_are_left_to_themselves() -> None:
    module = make_module()
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    take_steps(module, make_optimizer(module, make_how()), make_how(), range(3))
    assert torch.equal(module[0].weight, before)


def reference(name: str, parameters: list[Any], how: Optimisation) -> torch.optim.Optimizer:
    """The same optimiser in torch's plain form, one tensor at a time."""
    groups: list[Any] = [
        {"params": [one for one in parameters if one.shape == (3, 4)], "weight_decay": how.weight_decay},
        {"params": [one for one in parameters if one.shape != (3, 4)], "weight_decay": 0.0},
    ]
    plain: dict[str, Any] = {"lr": how.learning_rate, "foreach": False}
    return {
        "adamw": lambda: torch.optim.AdamW(groups, betas=(how.beta1, how.beta2), **plain),
        "sgd": lambda: torch.optim.SGD(groups, momentum=how.momentum, **plain),
        "rmsprop": lambda: torch.optim.RMSprop(groups, momentum=how.momentum, **plain),
        "adafactor": lambda: torch.optim.Adafactor(groups, **plain),
    }[name]()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimiser_moves_weights_as_torchs_plain_form_does(name: str) -> None:
    ours, theirs, how = make_module(), make_module(), make_how(name, schedule="constant", warmup_steps=0)
    start = [one.detach().clone() for one in ours.parameters()]
    take_steps(ours, make_optimizer(ours, how), how, range(4))
    plain = reference(name, list(theirs.parameters()), how)
    for group in plain.param_groups:
        group["rate_share"] = 1.0
    take_steps(theirs, plain, how, range(4))
    for one, other, first in zip(ours.parameters(), theirs.parameters(), start, strict=True):
        torch.testing.assert_close(one, other)
        assert not torch.equal(one, first)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_goes_through_a_file_and_the_next_steps_are_the_same_to_the_bit(
    name: str, tmp_path: Path
) -> None:
    whole, how = make_module(), make_how(name)
    optimizer = make_optimizer(whole, how)
    take_steps(whole, optimizer, how, range(4))
    save_file(optimizer_tensors(optimizer), tmp_path / "optimizer.safetensors")
    resumed = copy.deepcopy(whole)
    again = make_optimizer(resumed, how)
    take_steps(resumed, again, how, range(1))  # some other state, to be replaced
    resumed.load_state_dict(whole.state_dict())
    load_optimizer_tensors(again, load_file(tmp_path / "optimizer.safetensors"))
    before, after = optimizer_tensors(optimizer), optimizer_tensors(again)
    assert before.keys() == after.keys()
    assert len(before) >= len(list(whole.parameters()))
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    take_steps(whole, optimizer, how, range(4, 8))
    take_steps(resumed, again, how, range(4, 8))
    assert all(bool(one.isfinite().all()) for one in whole.parameters())
    assert all(
        torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True)
    )


def test_the_state_loaded_is_a_copy() -> None:
    module, how = make_module(), make_how()
    optimizer = make_optimizer(module, how)
    take_steps(module, optimizer, how, range(2))
    kept = {key: value.clone() for key, value in optimizer_tensors(optimizer).items()}
    taken = {key: value.clone() for key, value in kept.items()}
    load_optimizer_tensors(optimizer, taken)
    take_steps(module, optimizer, how, range(2, 4))
    assert all(torch.equal(value, kept[key]) for key, value in taken.items())


@pytest.mark.parametrize("name", ["adamw", "sgd", "rmsprop"])
def test_sharded_parameters_get_sharded_moments_back(name: str, tmp_path: Path) -> None:
    """As under FSDP: parameters are distributed tensors, checkpoints hold whole ones."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        module, how = make_module(), make_how(name)
        fully_shard(module)
        optimizer = make_optimizer(module, how)
        take_steps(module, optimizer, how, range(3))
        whole = {
            key: value.full_tensor() if isinstance(value, DTensor) else value
            for key, value in optimizer_tensors(optimizer).items()
        }
        whole = {key: value.clone() for key, value in whole.items()}
        take_steps(module, optimizer, how, range(3, 4))
        load_optimizer_tensors(optimizer, whole)
        state = optimizer_tensors(optimizer)
        assert state.keys() == whole.keys()
        assert any(isinstance(value, DTensor) for value in state.values())
        take_steps(module, optimizer, how, range(4, 5))
    finally:
        torch.distributed.destroy_process_group()


def test_another_models_state_is_refused() -> None:
    module = make_module()
    optimizer = make_optimizer(module, make_how())
    with pytest.raises(InputError, match=r"'9\.exp_avg' belongs to no parameter"):
        load_optimizer_tensors(optimizer, {"9.exp_avg": torch.zeros(1)})


def test_a_stages_settings_become_an_optimisation() -> None:
    settings = vars(make_how("sgd", momentum=0.5, mup_multiple=2.0)) | {"dropout": 0.1, "seed": 3}
    assert optimisation(settings) == make_how("sgd", momentum=0.5, mup_multiple=2.0)
    del settings["warmup_steps"]
    assert optimisation(settings | {"warmup_tokens": 5000, "batch_tokens": 2048}).warmup_steps == 2


def test_only_a_constant_rate_does_not_anneal() -> None:
    annealed = {name: make_how(schedule=name).annealed for name in ("wsd", "cosine", "linear", "constant")}
    assert annealed == {"wsd": True, "cosine": True, "linear": True, "constant": False}
