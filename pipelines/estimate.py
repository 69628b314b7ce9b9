"""Rough time, memory and disk of a stage before it runs; a guide for planning, never an input of one.

Calibrated on transformers' GPT-2 in bf16 on two server cores (context 256, batch 16, vocabulary 2048): 47k, 26k and 12k
tokens/s for 2x64, 4x128 and 6x256. At these sizes time goes into moving activations, so a token costs its logits and
its layers' widths, and FLOPs bind only later.
"""

from __future__ import annotations

import os

from pipelines.ladder import Shape

_CALIBRATED_CORES = 2
_SECONDS_PER_LOGIT = 7.6e-9
_SECONDS_PER_LAYER_WIDTH = 44e-9
_FLOPS_PER_SECOND = 8e11
_START_SECONDS = 3.0  # a process that imports torch and loads a model

_BYTES_PER_PARAM = 16  # fp32 weight, gradient, two AdamW moments
_ACTIVATIONS_PER_LAYER_WIDTH = 20  # fp32 values kept for the backward pass, a token and unit of width (about; with MLP)
_COPIES_OF_LOGITS = 3
_PROCESS_BYTES = 450 * 2**20  # Python with torch and transformers imported
_SAVED_COPIES = 4  # the model, and a checkpoint's weights with two moments


def usable_cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def training_seconds(shape: Shape, vocab_size: int, tokens: float, flops_per_token: float, cores: int) -> float:
    """Seconds to train `tokens` tokens with all cores busy."""
    moving = vocab_size * _SECONDS_PER_LOGIT + shape.n_layer * shape.n_embd * _SECONDS_PER_LAYER_WIDTH
    token_seconds = max(moving, flops_per_token / _FLOPS_PER_SECOND)
    return _START_SECONDS + tokens * token_seconds * _CALIBRATED_CORES / cores


def training_bytes(shape: Shape, vocab_size: int, params_total: int, tokens_at_once: int) -> int:
    """Peak memory of a training process in bytes."""
    kept = _ACTIVATIONS_PER_LAYER_WIDTH * shape.n_layer * shape.n_embd + _COPIES_OF_LOGITS * vocab_size
    return _PROCESS_BYTES + _BYTES_PER_PARAM * params_total + 4 * tokens_at_once * kept


def saved_bytes(params_total: int) -> int:
    """Disk of a trained model and its last checkpoint in bytes."""
    return _SAVED_COPIES * 4 * params_total
