"""Rough time, memory and disk of a stage before it runs; a guide for planning, never an input of one.

Time is a fixed part and a part that grows with FLOPs, a token and core, either measured on this machine
(`stepladder plan --probe`, kept in the cache folder) or built in: this package's own training in bf16 on busy
server cores, one thread a rung (context 256, vocabulary 2048): 17, 25, 47 and 106 microseconds a token for
1x48, 2x64, 2x144 and 2x208.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.environment import cache_folder, cpu_name, native_bf16
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape, count_params
from pipelines.layout import CPU_TOKENS
from pipelines.memory import CPU_PROCESS_BYTES, Work, count_memory

START_SECONDS = 1.0  # load a model, save it; workers keep their libraries loaded
GUESSED_ROWS = 3000  # of a downstream task, while its rows are not made and no `max_rows` says how many
ROW_FILL = 0.6  # of a row's token limit, on average
# Share of the positions that reach a head of the vocabulary's size; 15 % are masked (Devlin 2018). Other
# objectives have a head of a few labels.
SCORED = {"causal-lm": 1.0, "conditional-generation": 1.0, "masked-lm": 0.15}
FEW_LABELS = 4
_FIXED_SECONDS = {
    "prepare-corpus": 6.0,
    "prepare-tokens": 8.0,
    "prepare-rows": 2.0,
    "fetch": 3.0,
    "tune": 0.1,
    "evaluate": 1.5,
}
_SAVED_COPIES = 7  # the model, and weights with two moments of a checkpoint and of the stable state


@dataclass(frozen=True)
class Calibration:
    """What training takes a core of this machine: seconds a token, and FLOP/s beyond them."""

    seconds_per_token: float
    flops_per_second: float
    source: str


BUILT_IN = Calibration(
    6e-6, 1.2e11, "the built-in calibration, of other processors; `--probe` measures this one (a minute)"
)


def probe_path() -> Path:
    """Where a probe of this processor is kept, by its name and the cores that may be used."""
    name = "".join(c if c.isalnum() else "-" for c in cpu_name())
    return cache_folder() / "probe" / f"{name}-{usable_cores()}-cores.json"


@cache
def calibration() -> Calibration:
    """The kept probe of this processor, else the built-in figures."""
    try:
        kept = json.loads(probe_path().read_text(encoding="utf-8"))
        found = Calibration(
            float(kept["seconds_per_token"]),
            float(kept["flops_per_second"]),
            f"calibrated by a probe of this processor on {str(kept['date'])[:10]}",
        )
    except (OSError, ValueError, TypeError, KeyError):
        return BUILT_IN
    sane = 0 <= found.seconds_per_token < math.inf and 0 < found.flops_per_second < math.inf
    return found if sane else BUILT_IN


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a stage is expected to take; None where it cannot be said before other stages have run."""

    seconds_estimate: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


def usable_cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def estimate_costs(work: str, settings: Mapping[str, Any], cores: int) -> Costs:
    """Costs of a stage that does `work` (a key of `planned.VERSIONS`) with these settings on these cores."""
    if work in _FIXED_SECONDS:
        return Costs(seconds_estimate=_FIXED_SECONDS[work])
    if settings["vocab_size"] is None:
        return Costs()
    if work in ("sweep", "pretrain"):
        tokens, at_once = settings["tokens"], settings["hyper"]["batch_tokens"]
    else:
        tokens = finetuning_tokens(settings, settings["max_rows"] or GUESSED_ROWS)
        at_once = settings["batch_size"] * settings["max_tokens"]
    shape, vocab_size, context = Shape(**settings["shape"]), settings["vocab_size"], settings["context"]
    family, tuned = settings["family"], work == "finetune"
    params = count_params(shape, vocab_size, context, family)["total"]
    flops = (
        finetuning_flops_per_token(settings)
        if tuned
        else training_flops_per_token(shape, vocab_size, context, family)
    )
    speed = calibration()
    core_seconds = speed.seconds_per_token + flops / speed.flops_per_second
    work_now = Work(
        shape=shape,
        family=family,
        vocab_size=vocab_size,
        context=settings["max_tokens"] if tuned else context,
        tokens_at_once=min(at_once, CPU_TOKENS),
        precision="bf16" if native_bf16() else "fp32",
        fused_attention=False,
        scored_share=SCORED.get(settings["objective"], 0.0) if tuned else 1.0,
    )
    return Costs(
        seconds_estimate=START_SECONDS + tokens * core_seconds / cores,
        memory_bytes=CPU_PROCESS_BYTES + count_memory(work_now).peak,
        disk_bytes=_SAVED_COPIES * 4 * params,
    )


def finetuning_tokens(settings: Mapping[str, Any], rows: int) -> int:
    """Tokens that fine-tuning on so many rows processes, all epochs of one learning rate."""
    return round(rows * settings["epochs"] * settings["max_tokens"] * ROW_FILL)


def finetuning_flops_per_token(settings: Mapping[str, Any]) -> int:
    """FLOPs of a token of a task's rows: at their length, and with the head that the task has."""
    outputs = settings["vocab_size"] if settings["objective"] in SCORED else FEW_LABELS
    shape = Shape(**settings["shape"])
    return training_flops_per_token(shape, outputs, settings["max_tokens"], settings["family"])
