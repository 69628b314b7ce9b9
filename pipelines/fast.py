"""Faster forms of transformers' own functions for training: what is saved to disk stays theirs."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch

from pipelines import attention

# mallopt's parameters, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**30


def tune_for_training(model: Any, *, on_cpu: bool) -> Any:
    """Swap in faster forms of the same functions, in place; returns the model.

    GPT-2 gets tanh-GELU as one operation. On a processor GPT-2 and BERT get attention in blocks, where it has
    no dropout, and the process keeps the memory it frees.
    """
    family = model.config.model_type
    if family == "gpt2" and model.config.activation_function == "gelu_new":
        for block in model.transformer.h:
            # gelu_new is the tanh approximation written out in six operations; torch has it as one
            block.mlp.act = torch.nn.GELU(approximate="tanh")
    if on_cpu:
        keep_freed_memory()
        dropout = {"gpt2": "attn_pdrop", "bert": "attention_probs_dropout_prob"}.get(family)
        if dropout is not None and getattr(model.config, dropout) == 0.0:
            model.config._attn_implementation = attention.register(causal=family == "gpt2")
    return model


def keep_freed_memory() -> bool:
    """Have the C library keep up to `KEPT_BYTES` that tensors free; False where it is not glibc.

    By default it hands every large block back to the system, which clears it again page by page for the next
    tensor: a tenth to a fifth of a step on two cores. Peak memory stays what it was.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    kept = [library.mallopt(name, KEPT_BYTES) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)]
    return all(kept)
