"""Sweep small rungs' learning rates at the quickstart's budget: the table behind `small-ladder`.

    python benchmarks/learning_rate_sweep.py RUN_FOLDER [--shapes 1x32 2x64 5x128] [--rates 1e-3 ...]
    [--batch-tokens 4096]

RUN_FOLDER is a run that has prepared its tokens. Each row trains from scratch, cosine-free, on the recipe's
schedule, and is scored by its validation loss in nats a token.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from pipelines.batches import PackedWindows, open_tokens
from pipelines.fused_loss import IGNORED
from pipelines.ladder import Shape, count_non_embedding, parse_shape
from pipelines.models import build_gpt2, tune_for_training
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.train import Diverged, Run, make_accelerator, train

CONTEXT = 256


def validation_nats(module: torch.nn.Module, stream: np.ndarray, windows: int) -> float:
    """Mean nats a token over the first windows of the validation stream."""
    rows = stream[: windows * CONTEXT + 1].astype(np.int64)
    ids = torch.from_numpy(rows[:-1].reshape(windows, CONTEXT))
    targets = torch.from_numpy(rows[1:].reshape(windows, CONTEXT))
    assert IGNORED < 0
    total = 0.0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, windows, 16):
            part = {"input_ids": ids[start : start + 16], "targets": targets[start : start + 16]}
            total += float(module(part)[0])
    return total / (windows * CONTEXT)


def measure(
    tokens: Path,
    shape: Shape,
    rate: float,
    batch_tokens: int,
    budget: float,
    beta2: float,
    warmup: float,
    decay: float,
    seed: int,
) -> float | None:
    """Validation loss after training; None when it diverged."""
    tokenizer = AutoTokenizer.from_pretrained(tokens / "tokenizer")
    model = build_gpt2(shape, len(tokenizer), CONTEXT, tokenizer.eos_token_id, tokenizer.pad_token_id, seed)
    steps = round(budget / batch_tokens)
    how = Optimisation(
        learning_rate=rate,
        steps=steps,
        warmup_steps=round(warmup * steps),
        schedule="wsd",
        decay_fraction=decay,
        weight_decay=0.1,
        beta1=0.9,
        beta2=beta2,
        clip=1.0,
    )
    accelerator = make_accelerator("bf16")
    module = objective("causal-lm", tune_for_training(model, on_cpu=True), torch.bfloat16)
    data = PackedWindows(open_tokens(tokens / "train.npy"), CONTEXT, batch_tokens // CONTEXT, seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            batches=data,
            how=how,
            folder=Path(folder),
            log_every_tokens=None,
            checkpoint_every_s=1e9,
            on_progress=lambda progress: None,
            on_warning=print,
            highest_loss_nats=1e9,
        )
        try:
            train(module, run, accelerator)
        except Diverged:
            return None
    stream = open_tokens(tokens / "validation.npy")
    return validation_nats(module, stream, min(256, (len(stream) - 1) // CONTEXT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["1x32", "2x64", "5x128"])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3])
    parser.add_argument("--batch-tokens", nargs="+", type=int, default=[4096])
    parser.add_argument("--budget", type=float, default=1e6)
    parser.add_argument("--head-size", type=int, default=32)
    parser.add_argument("--beta2", type=float, default=0.95)
    parser.add_argument("--warmup", type=float, default=0.1)
    parser.add_argument("--decay", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (tokens,) = options.run.glob("stages/prepare-tokens-*")
    print("shape  non_embedding  batch_tokens  learning_rate  validation_nats", flush=True)
    for text in options.shapes:
        shape = parse_shape(text, options.head_size)
        for batch_tokens in options.batch_tokens:
            for rate in options.rates:
                loss = measure(
                    tokens,
                    shape,
                    rate,
                    batch_tokens,
                    options.budget,
                    options.beta2,
                    options.warmup,
                    options.decay,
                    options.seed,
                )
                shown = "diverged" if loss is None else f"{loss:.4f}"
                print(
                    f"{text:6} {count_non_embedding(shape):13,} {batch_tokens:13,} {rate:14.4g}  {shown}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
