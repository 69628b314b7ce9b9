"""Validation while training: the best weights are kept, and training ends when it no longer gets better."""

from __future__ import annotations

import contextlib
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from eval.files import write_jsonl
from pipelines.batches import Batches
from pipelines.checkpoint import load_checkpoint, restore_weights, write_checkpoint
from pipelines.ranks import whole
from pipelines.training_log import whole_lines

BETTER_HIGH = ("accuracy", "f1_micro")


@dataclass(frozen=True)
class Validation:
    """What is looked at while training: the first `steps` batches, every `every_steps` steps and at the end.

    metric: a name of `Objective.measures`. patience: looks without a better one until training ends.
    """

    batches: Batches
    steps: int
    every_steps: int = 1
    metric: str = "loss"
    patience: int | None = None


@dataclass
class _State:
    best: float | None = None
    best_step: int | None = None
    waited: int = 0


class EarlyStopping:
    """Validates an objective in training, if it was asked to, and knows when to stop."""

    def __init__(
        self, objective: Any, validation: Validation | None, folder: Path, accelerator: Accelerator
    ) -> None:
        self.objective, self.validation, self.accelerator = objective, validation, accelerator
        self.best_folder, self.log = folder / "checkpoints" / "best", folder / "validation.jsonl"
        self._state = _State()
        self.stopped = False

    def is_due(self, done: int, last: bool) -> bool:
        """Whether to look after `done` steps."""
        return self.validation is not None and (last or done % self.validation.every_steps == 0)

    def validate(self, done: int, tokens: int) -> list[str]:
        """Look, keep the weights if they are the best so far, maybe stop; what there is to say."""
        validation, state = self.validation, self._state
        assert validation is not None
        found = validation_measures(self.objective, validation, self.accelerator.autocast)
        self._write({"step": done, "tokens": tokens, **found})
        value = found[validation.metric]
        if self._better(value):
            state.best, state.best_step, state.waited = value, done, 0
            weights = whole(dict(self.objective.named_parameters()))
            if self.accelerator.is_main_process:
                write_checkpoint(self.best_folder, done, weights, {}, {})
            return []
        state.waited += 1
        if validation.patience is None or state.waited < validation.patience:
            return []
        self.stopped = True
        best = f"{validation.metric} on validation was best after {state.best_step}"
        return [f"stopped early after {done} steps: {best}"]

    def finish(self, done: int, steps: int) -> dict[str, Any]:
        """Put the best weights back; the facts of it. Empty where nothing was validated."""
        state = self._state
        if self.validation is None or state.best is None:
            return {}
        self.accelerator.wait_for_everyone()
        restore_weights(load_checkpoint(self.best_folder), self.objective)
        return {
            "step": state.best_step,
            "trained_steps": done,
            "stopped_early": done < steps,
            "best_validation": {"metric": self.validation.metric, "value": state.best},
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self._state)

    def load(self, state: dict[str, Any] | None, step: int) -> None:
        """Go on from a checkpoint's state after `step` steps; what was seen later comes again."""
        if self.validation is None:
            return
        self._state = _State(**(state or {}))
        if self.accelerator.is_main_process:
            write_jsonl(self.log, [line for line in whole_lines(self.log) if line["step"] <= step])

    def _better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        best = self._state.best
        if best is None:
            return True
        assert self.validation is not None
        return value > best if self.validation.metric in BETTER_HIGH else value < best

    def _write(self, line: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def validation_measures(
    objective: Any, validation: Validation, autocast: Callable[[], Any] = contextlib.nullcontext
) -> dict[str, float]:
    """Means of the objective's measures over the validation batches, without dropout; alike on every rank."""
    device = next(objective.parameters()).device
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    was_training = objective.training
    objective.eval()
    try:
        for step in range(validation.steps):
            batch = validation.batches.batch(step)
            moved = {name: value.to(device) for name, value in batch.items()}
            with torch.no_grad(), autocast():
                for name, (total, count) in objective.measures(moved).items():
                    sums[name][0] += total
                    sums[name][1] += count
    finally:
        objective.train(was_training)
    return {name: total / count for name, (total, count) in sums.items()}
