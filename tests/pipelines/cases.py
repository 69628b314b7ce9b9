"""Trainings of every objective, small enough to do twice, and a way to be killed in the middle of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.batches import Example, Pairs
from pipelines.fused_loss import IGNORED
from pipelines.models import load_for
from pipelines.ranks import Share
from pipelines.stepping import Stepper
from tests.pipelines.tiny import (
    CONTEXT,
    tiny_data,
    tiny_masked,
    tiny_model,
)


class Killed(Exception):
    """Stands for the process's end."""


def log_of(folder: Path) -> list[dict[str, Any]]:
    """A log's lines without what a clock decides."""
    timed = ("seconds", "tokens_per_second")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


def _examples(targets: Callable[[int, int], Any]) -> list[Example]:
    """Seventeen rows of 4 to 8 tokens; `targets` of a row's number and length."""
    return [Example(tuple(range(5, 9 + i % 5)), targets(i, 4 + i % 5)) for i in range(17)]


def pairs(name: str = "conditional-generation", batch_size: int = 4) -> Pairs:
    targets = {
        "conditional-generation": lambda i, n: (IGNORED, IGNORED, *range(7, 5 + n)),
        "classification": lambda i, n: i % 3,
        "multi-label": lambda i, n: (float(i % 2), float(i % 3 == 0), 1.0),
        "regression": lambda i, n: i / 17,
        "span": lambda i, n: (i % 3, n - 1),
        "tagging": lambda i, n: tuple((i + j) % 3 if j else IGNORED for j in range(n)),
    }[name]
    return Pairs(_examples(targets), batch_size, CONTEXT, pad_id=1, seed=1, objective=name)


def case(name: str, family: str, folder: Path, dropout: float = 0.0) -> tuple[Any, Any]:
    """A model with the objective's head, and its data."""
    base = folder / f"base-{family}"
    if not base.exists():
        tiny_model(family=family).save_pretrained(base)
    labels = ["a", "b", "c"] if name in ("classification", "multi-label", "tagging") else None
    data = {"causal-lm": tiny_data, "masked-lm": tiny_masked}.get(name, lambda: pairs(name))()
    return load_for(name, base, labels, seed=0, dropout=dropout), data


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the training in the middle of the accumulated step after `step`: one part of it is done."""
    backward = Stepper._backward

    def some_then_die(self: Stepper, share: Share, at: int, scored: float) -> torch.Tensor:
        if at == step:
            first = {name: value[:1] for name, value in share.batch.items()}
            backward(self, Share(first, 1, 1, scored), at, scored)
            raise Killed
        return backward(self, share, at, scored)

    monkeypatch.setattr(Stepper, "_backward", some_then_die)
