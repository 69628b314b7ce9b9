"""The trainings of a plan as a machine meets them: their steps, memory and seconds on named hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.estimate import (
    GUESSED_ROWS,
    SCORED,
    START_SECONDS,
    finetuning_flops_per_token,
    finetuning_tokens,
)
from pipelines.hardware import Device
from pipelines.ladder import Shape, count_params
from pipelines.layout import Layout
from pipelines.memory import Work
from pipelines.optim import decay_start
from pipelines.plan import Plan, Stage
from pipelines.store import read_manifest

# Assumed, and never measured on a GPU here: what starting the kernels of a layer takes the processor, on the
# way in and back, eager; and a step's fixed part (batch, clipping, optimiser). Below it a GPU waits.
LAUNCH_S_PER_LAYER = 1.0e-3
LAUNCH_S_PER_STEP = 5.0e-3
RECOMPUTED = 4 / 3  # work with activation checkpointing: a second forward pass (Korthikanti 2022)
OPTIMISER_TOUCHES = 7  # floats read and written a parameter: AdamW reads four, writes three


@dataclass(frozen=True, kw_only=True)
class Load:
    """One stage's training. `rows` of `row_tokens` tokens a step; `tokens` and `flops` are the stage's own:
    what a shorter training of its chain did is not done again. `trials`: learning rates tried. `guessed`:
    whether nothing said how many rows a task has."""

    stage: Stage
    work: Work
    rows: int
    row_tokens: int
    steps: int
    tokens: int
    flops_per_token: int
    trials: int = 1
    guessed: bool = False

    @property
    def flops(self) -> int:
        """Model FLOPs of the stage's own tokens, all trials."""
        return self.flops_per_token * self.tokens * self.trials


def find_loads(plan: Plan, precision: str, run: Path) -> dict[str, Load]:
    """By stage id, every training whose size is known; `precision` is what `auto` comes to, `run` the run's
    folder, whose prepared rows are counted."""
    found: dict[str, Load] = {}
    for stage in plan.stages:
        if stage.settings.get("vocab_size") is None:
            continue
        if stage.kind in ("pretrain", "sweep"):
            found[stage.id] = _pretraining(plan, stage, precision)
        elif stage.kind == "finetune":
            found[stage.id] = _finetuning(stage, precision, _prepared_rows(plan, stage, run))
    return found


def gpu_seconds(load: Load, layout: Layout, device: Device, mfu: float) -> tuple[float, str]:
    """Seconds of a training on GPUs, and what bounds it: `compute`, or the `launches` of small kernels.

    A step takes its share of FLOPs at `mfu` of the peak, or what starting its kernels takes, whichever is
    more; and the optimiser's way through memory. Communication is taken to be hidden.
    """
    peak = device.fp32_tflops if load.work.precision == "fp32" else device.bf16_tflops
    share = -(-load.rows // layout.workers) * load.row_tokens
    work = load.flops_per_token * (RECOMPUTED if layout.checkpointing else 1.0)
    compute = work * share / (peak * 1e12 * mfu)
    again = RECOMPUTED if layout.checkpointing else 1.0
    launches = layout.parts * load.work.shape.n_layer * LAUNCH_S_PER_LAYER * again + LAUNCH_S_PER_STEP
    moved = layout.memory.gradients // 4
    update = OPTIMISER_TOUCHES * 4 * moved / device.bandwidth
    bound = "compute" if compute >= launches else "launches"
    return START_SECONDS + load.trials * load.steps * (max(compute, launches) + update), bound


def _pretraining(plan: Plan, stage: Stage, precision: str) -> Load:
    settings, hyper = stage.settings, stage.settings["hyper"]
    done = 0
    for shorter in (plan.stage(name) for name in stage.inputs if name.startswith("pretrain-")):
        before = shorter.settings["hyper"]
        done = decay_start(before["steps"], before["decay_fraction"])
    steps = hyper["steps"] - done
    work = _work(settings, precision, hyper["batch_tokens"])
    return Load(
        stage=stage,
        work=replace(
            work, optimizer=hyper["optimizer"], momentum=hyper["momentum"], dropout=hyper["dropout"]
        ),
        rows=max(1, hyper["batch_tokens"] // settings["context"]),
        row_tokens=settings["context"],
        steps=steps,
        tokens=steps * hyper["batch_tokens"],
        flops_per_token=settings["flops_per_token"],
    )


def _prepared_rows(plan: Plan, stage: Stage, run: Path) -> int | None:
    """The rows to train on that the run folder has for a fine-tuning; None before they are made."""
    for name in stage.inputs:
        if plan.stage(name).kind == "prepare":
            manifest = read_manifest(run / "stages" / plan.stage(name).folder)
            return None if manifest is None else manifest["facts"]["rows"].get("train")
    return None


def _finetuning(stage: Stage, precision: str, prepared: int | None) -> Load:
    settings = stage.settings
    shape, family = Shape(**settings["shape"]), settings["family"]
    known = [rows for rows in (prepared, settings["max_rows"]) if rows is not None]
    rows = min(known, default=GUESSED_ROWS)
    steps = max(1, math.ceil(rows * settings["epochs"] / settings["batch_size"]))
    work = _work(settings, precision, settings["batch_size"] * settings["max_tokens"])
    return Load(
        stage=stage,
        work=replace(
            work,
            context=settings["max_tokens"],
            optimizer=settings["optimizer"],
            dropout=settings["dropout"],
            trained=_lora_params(shape, family, settings["lora"]),
        ),
        rows=settings["batch_size"],
        row_tokens=settings["max_tokens"],
        steps=steps,
        tokens=finetuning_tokens(settings, rows),
        flops_per_token=finetuning_flops_per_token(settings),
        trials=max(1, len(settings["learning_rates"])),
        guessed=not known,
    )


def _work(settings: dict[str, Any], precision: str, batch_tokens: int) -> Work:
    asked = settings["precision"]
    return Work(
        shape=Shape(**settings["shape"]),
        family=settings["family"],
        vocab_size=settings["vocab_size"],
        context=settings["context"],
        tokens_at_once=batch_tokens,
        precision=precision if asked == "auto" else asked,
        scored_share=SCORED.get(settings["objective"], 0.0),
    )


def _lora_params(shape: Shape, family: str, lora: dict[str, Any] | None) -> int | None:
    """Parameters of low-rank additions to `lora.TARGETS`: r rows and columns of each matrix."""
    if lora is None:
        return None
    d = shape.n_embd
    attention = 4 * d + 2 * d if family == "gpt2" else 3 * 2 * d + 2 * d  # c_attn, c_proj; or query to dense
    return int(lora["r"]) * shape.n_layer * (attention + 5 * d + 5 * d)


def total_params(load: Load) -> int:
    """All parameters of the model."""
    work = load.work
    return count_params(work.shape, work.vocab_size, work.context, work.family)["total"]
