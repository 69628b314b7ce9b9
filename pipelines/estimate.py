"""Rough time, memory and disk of a stage before it runs; a guide for planning, never an input of one.

Calibrated on this package's own training in bf16 on busy server cores, one thread a rung (context 256,
vocabulary 2048): 17, 25, 47 and 106 microseconds a token for 1x48, 2x64, 2x144 and 2x208.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape, count_params

_CORE_SECONDS_PER_TOKEN = 6e-6
_CORE_FLOPS_PER_SECOND = 1.2e11
_START_SECONDS = 1.0  # load a model, save it; workers keep their libraries loaded
_GUESSED_ROWS = 3000  # of a downstream task, while its rows are not made
_ROW_FILL = 0.6  # of a row's token limit, on average
_FIXED_SECONDS = {
    "prepare-corpus": 6.0,
    "prepare-tokens": 8.0,
    "prepare-rows": 2.0,
    "fetch": 3.0,
    "tune": 0.1,
    "evaluate": 1.5,
}

_PROCESS_BYTES = 450 * 2**20  # Python with torch and transformers imported
_BYTES_PER_PARAM = 16  # fp32 weight, gradient, two AdamW moments
_VALUES_PER_LAYER_WIDTH = 20  # kept for the backward pass, a token
_COPIES_OF_LOGITS = 3
_SAVED_COPIES = 7  # the model, and weights with two moments of a checkpoint and of the stable state


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
        rows = min(settings["max_rows"] or _GUESSED_ROWS, _GUESSED_ROWS)
        tokens = rows * settings["epochs"] * settings["max_tokens"] * _ROW_FILL
        at_once = settings["batch_size"] * settings["max_tokens"]
    shape, vocab_size, context = Shape(**settings["shape"]), settings["vocab_size"], settings["context"]
    family = settings["family"]
    params = count_params(shape, vocab_size, context, family)["total"]
    flops = training_flops_per_token(shape, vocab_size, context, family)
    kept = _VALUES_PER_LAYER_WIDTH * shape.n_layer * shape.n_embd + _COPIES_OF_LOGITS * vocab_size  # a token
    core_seconds = _CORE_SECONDS_PER_TOKEN + flops / _CORE_FLOPS_PER_SECOND
    return Costs(
        seconds_estimate=_START_SECONDS + tokens * core_seconds / cores,
        memory_bytes=_PROCESS_BYTES + _BYTES_PER_PARAM * params + 4 * at_once * kept,
        disk_bytes=_SAVED_COPIES * 4 * params,
    )
