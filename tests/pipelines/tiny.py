"""A model, data and settings small enough to train in a blink; shared by the training tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.batches import Batches, PackedWindows
from pipelines.ladder import Shape
from pipelines.models import build_gpt2, tune_for_training
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.train import Run, make_accelerator, train

VOCABULARY, CONTEXT = 50, 16


def tiny_model(seed: int = 0) -> Any:
    torch.set_num_threads(1)
    return build_gpt2(Shape(2, 16, 2), VOCABULARY, CONTEXT, eos_id=0, pad_id=1, seed=seed)


def tiny_data(batch_size: int = 4) -> PackedWindows:
    stream = np.random.default_rng(0).integers(0, VOCABULARY, 2000).astype(np.uint16)
    return PackedWindows(stream, CONTEXT, batch_size, seed=7)


def how(steps: int = 12, learning_rate: float = 1e-2) -> Optimisation:
    return Optimisation(
        learning_rate=learning_rate,
        steps=steps,
        warmup_steps=2,
        schedule="wsd",
        decay_fraction=0.5,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
    )


def make_run(folder: Path, data: Batches | None = None, **changes: Any) -> Run:
    settings: dict[str, Any] = {
        "batches": data or tiny_data(),
        "how": how(),
        "log_every_tokens": None,
        "folder": folder,
        "checkpoint_every_s": 1e9,
        "on_progress": lambda progress: None,
        "on_warning": lambda text: None,
        "highest_loss_nats": 1e9,
    }
    return Run(**(settings | changes))


def train_tiny(
    folder: Path, model: Any = None, name: str = "causal-lm", **changes: Any
) -> tuple[Any, dict[str, Any]]:
    """Train; returns the model and the facts."""
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny_model() if model is None else model
    accelerator = make_accelerator("fp32")
    facts = train(
        objective(name, tune_for_training(model, on_cpu=True), torch.float32),
        make_run(folder, **changes),
        accelerator,
    )
    return model, facts


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}
