"""A model, data and settings small enough to train in a blink; shared by the training tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.masking import MaskVocabulary
from pipelines.batches import Batches, MaskedWindows, PackedWindows
from pipelines.fast import tune_for_training
from pipelines.ladder import Shape
from pipelines.models import SpecialIds, build_model
from pipelines.objectives import objective
from pipelines.optim import Optimisation

VOCABULARY, CONTEXT = 50, 16
PAD, CLS, SEP, MASK = 1, 2, 3, 4


class Nothing:
    """In a tokenizer's place."""

    def save_pretrained(self, folder: Path) -> None:
        pass


def tiny_model(seed: int = 0, family: str = "gpt2") -> Any:
    torch.set_num_threads(1)
    begin, end = (0, 0) if family == "gpt2" else (CLS, SEP)
    return build_model(
        family,
        Shape(2, 16, 2),
        vocab_size=VOCABULARY,
        context=CONTEXT,
        special=SpecialIds(begin, end, PAD),
        seed=seed,
    )


def tiny_stream(size: int = 2000) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, size).astype(np.uint16)


def tiny_data(batch_size: int = 4) -> PackedWindows:
    return PackedWindows(tiny_stream(), CONTEXT, batch_size, seed=7)


def tiny_vocabulary() -> MaskVocabulary:
    """Ids 0 to 4 are special; the odd ones from 41 on continue a word."""
    ids = np.arange(VOCABULARY)
    continues = (ids > 40) & (ids % 2 == 1)
    return MaskVocabulary(CLS, SEP, MASK, maskable=ids > 4, continues=continues, ordinary=ids[5:])


def tiny_masked(batch_size: int = 4) -> MaskedWindows:
    return MaskedWindows(tiny_stream(), CONTEXT, batch_size, 7, tiny_vocabulary())


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


def make_run(folder: Path, data: Batches | None = None, **changes: Any) -> Any:
    from pipelines.train import Run

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
    from pipelines.ranks import make_accelerator
    from pipelines.train import train

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


def be_rank(rank: int, port: int) -> None:
    """Make this process what a launcher makes of the `rank`-th of two on one machine."""
    here = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= here | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
