"""Sweep small rungs' learning rates: the table behind `small-ladder`, and whether `mup` carries a rate.

    python benchmarks/learning_rate_sweep.py RUN_FOLDER [--shapes 1x32 2x64 5x128] [--rates 1e-3 ...]
    [--batch-tokens 4096] [--mup-base-width 32]

RUN_FOLDER is a run that has prepared its tokens. Each row trains from scratch on warm-up, stable, decay, and
is scored by its validation loss in nats a token. With a base width the rates are mup's, the same for every
width where the best of them is the same in every shape's rows.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from pipelines.batches import PackedWindows
from pipelines.early_stopping import Validation, validation_measures
from pipelines.fast import tune_for_training
from pipelines.ladder import Shape, count_non_embedding, parse_shape
from pipelines.micro_batch import CPU_TOKENS
from pipelines.models import SpecialIds, build_model
from pipelines.mup import scale_model
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.ranks import make_accelerator
from pipelines.token_shards import open_tokens
from pipelines.train import Diverged, Run, train

CONTEXT = 256
VALIDATION_WINDOWS = 256


def measure(
    options: argparse.Namespace, tokens: Path, shape: Shape, rate: float, batch_tokens: int
) -> float | None:
    """Validation loss, in nats a token, after training; None when it diverged."""
    steps = round(options.budget / batch_tokens)
    multiple = shape.n_embd / options.mup_base_width if options.mup_base_width else 1.0
    how = Optimisation(
        learning_rate=rate,
        steps=steps,
        warmup_steps=round(options.warmup * steps),
        schedule="wsd",
        decay_fraction=options.decay,
        weight_decay=0.1,
        beta1=0.9,
        beta2=options.beta2,
        clip=1.0,
        optimizer=options.optimizer,
        mup_multiple=multiple,
    )
    module = make_module(tokens, shape, multiple, options.seed)
    accelerator = make_accelerator("bf16")
    rows = batch_tokens // CONTEXT
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            batches=PackedWindows(open_tokens(tokens, "train"), CONTEXT, rows, options.seed),
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
    held_out = PackedWindows(open_tokens(tokens, "validation"), CONTEXT, 16, seed=0)
    windows = min(VALIDATION_WINDOWS, held_out.unique_tokens // CONTEXT)
    return validation_measures(module, Validation(held_out, max(1, windows // 16)), CPU_TOKENS)["loss"]


def make_module(tokens: Path, shape: Shape, multiple: float, seed: int) -> Any:
    """A new GPT-2 with its objective, as a run's pretraining stage would make them."""
    tokenizer = AutoTokenizer.from_pretrained(tokens / "tokenizer")
    model = build_model(
        "gpt2",
        shape,
        vocab_size=len(tokenizer),
        context=CONTEXT,
        special=SpecialIds.of(tokenizer),
        seed=seed,
    )
    tune_for_training(scale_model(model, multiple), on_cpu=not torch.cuda.is_available())
    return objective("causal-lm", model, torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["1x32", "2x64", "5x128"])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3])
    parser.add_argument("--batch-tokens", nargs="+", type=int, default=[4096])
    parser.add_argument("--budget", type=float, default=1e6)
    parser.add_argument("--head-size", type=int, default=32)
    parser.add_argument("--optimizer", choices=["adamw", "sgd", "rmsprop", "adafactor"], default="adamw")
    parser.add_argument("--mup-base-width", type=int, help="rates are mup's; without it, plain ones")
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
                loss = measure(options, tokens, shape, rate, batch_tokens)
                shown = "diverged" if loss is None else f"{loss:.4f}"
                row = f"{text:6} {count_non_embedding(shape):13,} {batch_tokens:13,} {rate:14.4g}  {shown}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
