"""Maximal update parametrisation (mup) for GPT-2: one learning rate for every width.

Yang 2022 (arXiv 2203.03466, table 8, Adam), for a width that is m times a base width:

    hidden matrices   initial variance as 1 / width; learning rate x 1/m
    embeddings        initial variance and learning rate alike at every width
    logits            x 1/m

GPT-2's head is its token table, so it cannot have the 1/m of an output matrix. The factor stands in the
last norm's gain and bias instead, which begin at 1/m and move at 1/m of the learning rate: the same function,
and a plain transformers folder. Attention's scale needs nothing: heads are equally wide on every rung.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def scale_model(model: Any, multiple: float, base_std: float) -> Any:
    """Give a new GPT-2 mup's initial weights, in place; returns it.

    multiple: its width over the base width. base_std: the initial standard deviation of every matrix at the
    base width. Hidden matrices are rescaled to base_std / sqrt(multiple), the tables to base_std.
    """
    import torch

    with torch.no_grad():
        for parameter in _tables(model):
            parameter.mul_(base_std / model.config.initializer_range)
        for parameter in _hidden(model):
            parameter.mul_(base_std / math.sqrt(multiple) / model.config.initializer_range)
        for parameter in _last_norm(model):
            parameter.div_(multiple)
    return model


def rate_shares(model: torch.nn.Module, multiple: float) -> dict[int, float]:
    """By `id` of a parameter, the share of the learning rate it moves at; those at the whole are left out."""
    if multiple == 1.0:
        return {}
    inner = next(module for module in model.modules() if hasattr(module, "transformer"))
    return {id(parameter): 1.0 / multiple for parameter in (*_hidden(inner), *_last_norm(inner))}


def _tables(model: Any) -> list[torch.nn.Parameter]:
    return [model.transformer.wte.weight, model.transformer.wpe.weight]


def _hidden(model: Any) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.transformer.h.parameters() if parameter.ndim == 2]


def _last_norm(model: Any) -> list[torch.nn.Parameter]:
    return list(model.transformer.ln_f.parameters())
