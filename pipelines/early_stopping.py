"""Validation while training: the best weights are kept, and training ends when it no longer gets better."""

from __future__ import annotations

import contextlib
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from eval.files import write_jsonl
from pipelines import heartbeat
from pipelines.batches import Batches
from pipelines.checkpoint import Checkpoint, load_checkpoint, restore_weights, write_checkpoint
from pipelines.ranks import parts_of, whole
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
    best_tokens: int | None = None
    waited: int = 0


class EarlyStopping:
    """Validates an objective in training, if it was asked to, and knows when to stop."""

    def __init__(
        self, objective: Any, validation: Validation | None, folder: Path, accelerator: Accelerator
    ) -> None:
        self.objective, self.validation, self.accelerator = objective, validation, accelerator
        self.best_folder, self.log = folder / "checkpoints" / "best", folder / "validation.jsonl"
        self._state = _State()

    @property
    def stopped(self) -> bool:
        """Whether it has been waited long enough for something better."""
        patience = None if self.validation is None else self.validation.patience
        return patience is not None and self._state.waited >= patience

    def is_due(self, done: int, last: bool) -> bool:
        """Whether to look after `done` steps."""
        return self.validation is not None and (last or done % self.validation.every_steps == 0)

    def validate(self, done: int, tokens: int, micro_tokens: int) -> list[str]:
        """Look, keep the weights if they are the best so far, maybe stop; what there is to say."""
        validation, state = self.validation, self._state
        assert validation is not None
        found = validation_measures(self.objective, validation, micro_tokens, self.accelerator)
        self._write({"step": done, "tokens": tokens, **found})
        value = found[validation.metric]
        if self._better(value):
            self._state = _State(value, done, tokens)
            weights = whole(dict(self.objective.named_parameters()))
            if self.accelerator.is_main_process:
                write_checkpoint(self.best_folder, done, weights, {}, {})
            return []
        state.waited += 1
        if not self.stopped:
            return []
        best = f"{validation.metric} on validation was best after {state.best_step}"
        return [f"stopped early after {done} steps: {best}"]

    def finish(self, done: int, steps: int, tokens: int) -> dict[str, Any]:
        """Put the best weights back; the facts of it. Empty where nothing was validated.

        `step` and `tokens` are those that the weights saw, `trained_…` all that were spent.
        """
        state = self._state
        if self.validation is None or state.best is None:
            return {}
        self.accelerator.wait_for_everyone()
        restore_weights(load_checkpoint(self.best_folder), self.objective)
        return {
            "step": state.best_step,
            "trained_steps": done,
            "tokens": state.best_tokens,
            "trained_tokens": tokens,
            "stopped_early": done < steps,
            "best_validation": {"metric": self.validation.metric, "value": state.best},
        }

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise InputError where the best weights that a checkpoint speaks of are not there whole."""
        if self.validation is not None and checkpoint.facts["stopping"]["best_step"] is not None:
            load_checkpoint(self.best_folder)

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
    objective: Any, validation: Validation, micro_tokens: int, accelerator: Accelerator | None = None
) -> dict[str, float]:
    """Means of the objective's measures over the validation batches, without dropout; alike on every rank.

    Batches go through the model in parts of at most `micro_tokens` padded tokens, as in training. With an
    accelerator they are shared among its ranks and computed in its precision.
    """
    device = next(objective.parameters()).device
    rank, world = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    autocast = contextlib.nullcontext if accelerator is None else accelerator.autocast
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    was_training = objective.training
    objective.eval()
    try:
        for step in range(validation.steps):
            heartbeat.beat()
            for part, counts in parts_of(validation.batches.batch(step), micro_tokens, rank, world):
                moved = {name: value.to(device) for name, value in part.items()}
                with torch.no_grad(), autocast():
                    found = objective.measures(moved)
                for name, (total, count) in found.items():
                    sums[name][0] += total * counts
                    sums[name][1] += count * counts
    finally:
        objective.train(was_training)
    totals = torch.tensor(list(sums.values()), dtype=torch.float64, device=device)  # (measures, 2)
    if accelerator is not None and world > 1:
        totals = accelerator.reduce(totals, reduction="sum")
    return {name: total / count for name, (total, count) in zip(sums, totals.tolist(), strict=True)}
