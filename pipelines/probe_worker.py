"""A few optimiser steps of a rung on tokens drawn at random, as training does them: for speed and memory.

Run as a module by `probe`: takes a list of rungs as JSON, says `ready` for each, waits for a line, trains for
some seconds and answers with a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 4.0
LEAST_STEPS = 3
PARTS = 4  # of `CPU_TOKENS` tokens, the most of a step
SPECIALS = 5  # ids that stand for no text: padding, and what frames and masks it


def main() -> None:
    """Measure each rung named on the command line; `{"tokens_per_second", "steps", "precision"}` a line."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the processor is what is measured
    sys.stdout, said = sys.stderr, sys.stdout  # libraries talk
    for settings in json.loads(sys.argv[1]):
        step, tokens, precision = make_steps(settings)
        for number in range(2):
            step(number)
        print("ready", file=said, flush=True)
        sys.stdin.readline()
        began, steps = time.perf_counter(), 0
        while steps < LEAST_STEPS or time.perf_counter() - began < SECONDS:
            step(steps + 2)
            steps += 1
        speed = steps * tokens / (time.perf_counter() - began)
        answer = {"tokens_per_second": speed, "steps": steps, "precision": precision}
        print(json.dumps(answer), file=said, flush=True)


def make_steps(settings: Mapping[str, Any]) -> tuple[Any, int, str]:
    """(function of a step's number that trains it, tokens a step, precision) for a pretraining's settings.

    Beside those of a stage: `threads`; `micro_tokens` and `checkpointing` where they are not the defaults.
    """
    import torch

    from pipelines.fast import tune_for_training
    from pipelines.ladder import Shape
    from pipelines.micro_batch import CPU_TOKENS
    from pipelines.models import SpecialIds, build_model
    from pipelines.objectives import objective
    from pipelines.optim import make_optimizer, optimisation
    from pipelines.ranks import make_accelerator, prepare, share_of
    from pipelines.stepping import Stepper
    from pipelines.train import Run
    from pipelines.training_setup import DTYPES, native_precision

    torch.set_num_threads(settings["threads"])
    asked, hyper = settings["precision"], settings["hyper"]
    precision = native_precision() if asked == "auto" else asked
    accelerator = make_accelerator(precision)
    causal = settings["objective"] == "causal-lm"
    model = build_model(
        settings["family"],
        Shape(**settings["shape"]),
        vocab_size=settings["vocab_size"],
        context=settings["context"],
        special=SpecialIds(0, 0, 1) if causal else SpecialIds(2, 3, 1),
        seed=0,
        dropout=hyper["dropout"],
    )
    tune_for_training(model, on_cpu=True)
    if settings.get("checkpointing"):
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    module = objective(settings["objective"], model, DTYPES[precision], label_smoothing=0.0)
    module.train()
    how = optimisation(hyper)
    prepared, optimizer = prepare(accelerator, module, make_optimizer(module, how), how.clip)
    # of a large batch as many parts as tell: all of it would take a processor minutes a step
    rows = max(1, min(hyper["batch_tokens"], PARTS * CPU_TOKENS) // settings["context"])
    batches = random_batches(causal, settings["vocab_size"], settings["context"], rows)
    run = Run(
        batches=batches,
        how=how,
        folder=Path("nowhere"),
        log_every_tokens=None,
        checkpoint_every_s=1e9,
        on_progress=lambda progress: None,
        on_warning=lambda text: None,
        highest_loss_nats=1e9,
        micro_tokens=settings.get("micro_tokens") or CPU_TOKENS,
    )
    stepper = Stepper(module, prepared, prepared, optimizer, run, accelerator)

    def step(number: int) -> None:
        stepper.step(share_of(batches, module, 0, 1, number), number)
        stepper.first_bad()

    return step, rows * settings["context"], precision


def random_batches(causal: bool, vocab_size: int, context: int, rows: int) -> Any:
    """Batches of tokens drawn evenly from the vocabulary: of no meaning, and of the real thing's size."""
    import numpy as np

    from eval.masking import MaskVocabulary
    from pipelines.batches import MaskedWindows, PackedWindows

    drawn = np.random.default_rng(0).integers(SPECIALS, vocab_size, 8 * rows * context + 1)
    stream = drawn.astype(np.uint16 if vocab_size <= 2**16 else np.uint32)
    if causal:
        return PackedWindows(stream, context, rows, 0)
    ids = np.arange(vocab_size)
    ordinary = ids >= SPECIALS
    vocabulary = MaskVocabulary(2, 3, 4, ordinary, np.zeros(vocab_size, dtype=bool), ids[ordinary])
    return MaskedWindows(stream, context, rows, 0, vocabulary)


if __name__ == "__main__":
    main()
