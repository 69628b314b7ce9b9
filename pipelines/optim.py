"""Parameter groups, the optimiser, and learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How a stage's weights move: AdamW's settings, and the learning rate over `steps` optimiser steps."""

    learning_rate: float
    steps: int
    warmup_steps: int
    schedule: str
    decay_fraction: float
    weight_decay: float
    beta1: float
    beta2: float
    clip: float

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, from 0."""
        factor = rate_factor(step, self.steps, self.warmup_steps, self.schedule, self.decay_fraction)
        return self.learning_rate * factor

    @property
    def annealed(self) -> bool:
        """Whether the learning rate ends near zero; a loss before that is not a final one."""
        return self.schedule != "constant"


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


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Matrices, which decay; embeddings, gains and biases, which do not (OLMo-core's model ladder)."""
    import torch

    tables = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }  # the tied head is the token table, so it does not decay either
    decayed: list[torch.nn.Parameter] = []
    kept: list[torch.nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if parameter.ndim >= 2 and id(parameter) not in tables else kept).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def make_adamw(model: torch.nn.Module, how: Optimisation) -> torch.optim.AdamW:
    """AdamW, fused, with the given betas and decay; the loop sets the learning rate at every step."""
    import torch

    groups = parameter_groups(model, how.weight_decay)
    return torch.optim.AdamW(groups, lr=how.learning_rate, betas=(how.beta1, how.beta2), eps=1e-8, fused=True)
