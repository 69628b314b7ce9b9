"""Parameter groups, the optimisers, and learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.files import InputError

if TYPE_CHECKING:
    import torch

EPSILON = 1e-8  # AdamW's and RMSprop's, torch's default


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How a stage's weights move: the optimiser's settings, and the learning rate over `steps` steps.

    `momentum` is SGD's and RMSprop's; the betas are AdamW's. `mup_multiple`: see `pipelines.mup`; 1 is off.
    """

    learning_rate: float
    steps: int
    warmup_steps: int
    schedule: str
    decay_fraction: float
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    optimizer: str = "adamw"
    momentum: float = 0.9
    mup_multiple: float = 1.0

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, from 0."""
        factor = rate_factor(step, self.steps, self.warmup_steps, self.schedule, self.decay_fraction)
        return self.learning_rate * factor

    @property
    def annealed(self) -> bool:
        """Whether the learning rate ends near zero; a loss before that is not a final one."""
        return self.schedule != "constant"


def optimisation(settings: Mapping[str, Any]) -> Optimisation:
    """From a stage's settings, which may give the warm-up in steps, or in tokens beside `batch_tokens`."""
    chosen = {name: settings[name] for name in Optimisation.__dataclass_fields__ if name in settings}
    if "warmup_steps" not in chosen:
        chosen["warmup_steps"] = round(settings["warmup_tokens"] / settings["batch_tokens"])
    return Optimisation(**chosen)


def rate_factor(step: int, steps: int, warmup_steps: int, schedule: str, decay_fraction: float) -> float:
    """Learning rate of step `step` (from 0) as a share of the peak.

    Linear warm-up over `warmup_steps`, then `constant`; `linear` or `cosine` down to zero; or `wsd` (warm-up,
    stable, decay): flat until the last `decay_fraction` of the steps, then linear to zero (Hu et al. 2024,
    MiniCPM).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        decay_steps = max(1, round(decay_fraction * steps))
        return min(1.0, (steps - step) / decay_steps)
    left = (steps - step) / max(1, steps - warmup_steps)
    if schedule == "linear":
        return left
    assert schedule == "cosine", schedule
    return 0.5 * (1.0 - math.cos(math.pi * left))


def decay_start(steps: int, decay_fraction: float) -> int:
    """Steps of a `wsd` run after which a longer run of the same warm-up can go on from its state.

    All of them were taken at the rate the longer run has there; only what comes later differs. A longer run
    begins to decay there or later itself, never before.
    """
    return steps - max(1, round(decay_fraction * steps))


def parameter_groups(model: torch.nn.Module, how: Optimisation) -> list[dict[str, Any]]:
    """Matrices, which decay; embeddings, gains and biases, which do not (OLMo-core's model ladder).

    Under mup some of either move at a share of the learning rate, `rate_share` of their group. Their decay,
    which torch multiplies with the rate, is divided by it: weights decay as fast at every width, as with
    MuAdamW of Yang 2022's package.
    """
    import torch

    from pipelines.mup import rate_shares

    tables = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }  # the tied head is the token table, so it does not decay either
    shares = rate_shares(model, how.mup_multiple)
    groups: dict[tuple[bool, float], list[torch.nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and id(parameter) not in tables
            groups.setdefault((decays, shares.get(id(parameter), 1.0)), []).append(parameter)
    return [
        {"params": members, "weight_decay": how.weight_decay / share if decays else 0.0, "rate_share": share}
        for (decays, share), members in groups.items()
    ]


def make_optimizer(model: torch.nn.Module, how: Optimisation) -> torch.optim.Optimizer:
    """The optimiser that `how` names, in torch's fastest form for it; `set_rate` sets its learning rates.

    AdamW is Loshchilov and Hutter's (2019). SGD and RMSprop add weight decay to the gradient. Adafactor's
    (Shazeer and Stern 2018) learning rate is relative: a parameter moves by that share of its root mean
    square, at most by 1/sqrt(step) of it.
    """
    import torch

    groups = parameter_groups(model, how)
    rate = how.learning_rate
    if how.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=(how.beta1, how.beta2), eps=EPSILON, fused=True)
    if how.optimizer == "sgd":
        # not fused: that form does not take sharded parameters
        return torch.optim.SGD(groups, lr=rate, momentum=how.momentum, foreach=True)
    if how.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, momentum=how.momentum, eps=EPSILON, foreach=True)
    assert how.optimizer == "adafactor", how.optimizer
    return torch.optim.Adafactor(groups, lr=rate, foreach=True)


def set_rate(optimizer: torch.optim.Optimizer, how: Optimisation, step: int) -> None:
    """The learning rates of step `step` (from 0), in every group."""
    rate = how.rate(step)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state, flat: `<parameter's index>.<name>`, such as `3.exp_avg`."""
    import torch

    return {
        f"{index}.{name}": torch.as_tensor(value).contiguous()
        for index, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state[parameter].items()
        if value is not None
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put a state from `optimizer_tensors` into an optimiser of the same parameters, made the same way.

    Raises InputError for the state of another model.
    """
    parameters = _parameters(optimizer)
    for parameter in parameters:
        optimizer.state[parameter].clear()
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise InputError(
                f"optimiser state {key!r} belongs to no parameter; the checkpoint is another model's"
            )
        parameter = parameters[int(index)]
        # torch keeps its step counts where it made them, on the processor, unless the optimiser is fused
        place = parameter.device if name != "step" or optimizer.defaults.get("fused") else value.device
        optimizer.state[parameter][name] = sharded_as(parameter, value.clone().to(place))


def sharded_as(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A whole weight or moment as its parameter lies over the ranks, where that is sharded."""
    mesh = getattr(parameter, "device_mesh", None)  # of a DTensor; importing that takes a second
    if mesh is None or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    return distribute_tensor(value, mesh, parameter.placements)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
