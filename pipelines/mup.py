"""Maximal update parametrisation (mup): one learning rate for every width, in a plain transformers folder.

Yang 2022 (arXiv 2203.03466, table 8, Adam), for a width that is m times a base width:

    hidden matrices   initial variance as 1 / width; learning rate x 1/m
    embeddings        initial variance and learning rate alike at every width
    logits            x 1/m

The head is the token table here (they are tied), so it cannot have an output matrix's 1/m. The factor stands
in the norm before it instead, whose gain and bias begin at 1/m and move at 1/m of the learning rate: Adam's
steps do not see a gradient's size, so that every step computes what a factor in the model would. Attention's
scale needs nothing: heads are equally wide on every rung, so 1/d and 1/sqrt(d) differ by a constant.

Measured on bytes of tinyshakespeare (2 layers, 150 steps of 1,024, one seed, rates 0.002 to 0.032 by
doubling): the best rate is 0.016 at widths 32, 64 and 128, from a base of 32; without mup it is 0.016,
0.008, 0.004 and, at 256, 0.002. What is saved is the search: tuned one by one the widths 64 and 128 ended
lower than with mup, by 0.02 and 0.11 nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from pipelines.optim import Optimisation


@dataclass(frozen=True)
class _Parts:
    """A model's parameters by what mup does with them; the rest are as in any other model."""

    tables: tuple[torch.nn.Parameter, ...]
    hidden: tuple[torch.nn.Parameter, ...]
    last_norm: tuple[torch.nn.Parameter, ...]
    """Of the norm that the tied head reads; a BERT with another head has none."""


def scale_model(model: Any, multiple: float) -> Any:
    """Give a new language model, GPT-2 or BERT, mup's initial weights, in place; returns it.

    model: drawn at `models.initial_std` of its width, whose variance goes as 1 / width: its hidden matrices
    are as they should be. multiple: its width over the base width; 1 changes nothing. Tables get the base
    width's deviation, the last norm the logits' factor.
    """
    import torch

    parts = _parts(model)
    with torch.no_grad():
        for parameter in parts.tables:
            parameter.mul_(math.sqrt(multiple))
        for parameter in parts.last_norm:
            parameter.div_(multiple)
    return model


def rate_shares(module: torch.nn.Module, multiple: float) -> dict[int, float]:
    """By `id` of a parameter, the share of the learning rate it moves at; those at the whole are left out.

    module: a GPT-2 or BERT with any head, or something around one.
    """
    if multiple == 1.0:
        return {}
    model = next(
        inner for inner in module.modules() if hasattr(inner, "transformer") or hasattr(inner, "bert")
    )
    parts = _parts(model)
    return {id(parameter): 1.0 / multiple for parameter in (*parts.hidden, *parts.last_norm)}


def coordinate_changes(
    model: Any, how: Optimisation, batches: Sequence[torch.Tensor], seen: torch.Tensor
) -> dict[str, float]:
    """How far a few steps move each activation: the coordinate check (Yang 2022, appendix D.1).

    batches: ids (B, T), one a step; seen: ids (B, T) whose activations are compared before and after. Returns
    root mean squares by place: `embeddings`, `block 1`…, `logits`. Under mup none of them grows or dies with
    width.
    """
    from pipelines.optim import make_optimizer, set_rate

    model.train()
    optimizer = make_optimizer(model, how)
    before = _activations(model, seen)
    for step, ids in enumerate(batches):
        set_rate(optimizer, how, step)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = _activations(model, seen)
    return {name: float((after[name] - before[name]).square().mean().sqrt()) for name in before}


def width_slopes(changes: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """By place, the power of the width that its change goes with; `changes` is by width. 0 is flat."""
    import numpy as np

    widths = sorted(changes)
    logs = np.log(widths)
    return {
        name: float(np.polyfit(logs, np.log([changes[width][name] for width in widths]), 1)[0])
        for name in changes[widths[0]]
    }


def _parts(model: Any) -> _Parts:
    if hasattr(model, "transformer"):
        body = model.transformer
        tables = [body.wte, body.wpe]
        blocks, norm = [body.h], body.ln_f
    else:
        body = model.bert
        names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        tables = [getattr(body.embeddings, name) for name in names]
        head = model.cls.predictions.transform if hasattr(model, "cls") else None
        dense = head.dense if head is not None else body.pooler
        blocks = [one for one in (body.encoder.layer, dense) if one is not None]
        norm = head.LayerNorm if head is not None else None
    return _Parts(
        tables=tuple(table.weight for table in tables),
        hidden=tuple(one for block in blocks for one in block.parameters() if one.ndim == 2),
        last_norm=tuple(norm.parameters()) if norm is not None else (),
    )


def _activations(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """By place, what comes out of it: (B, T, d), the logits (B, T, V)."""
    import torch

    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).detach()

        return hook

    if hasattr(model, "transformer"):
        places = [("embeddings", model.transformer.drop), *_numbered(model.transformer.h)]
    else:
        places = [("embeddings", model.bert.embeddings), *_numbered(model.bert.encoder.layer)]
    handles = [module.register_forward_hook(keep(name)) for name, module in places]
    with torch.no_grad():
        found["logits"] = model(input_ids=ids).logits
    for handle in handles:
        handle.remove()
    return found


def _numbered(blocks: Any) -> list[tuple[str, Any]]:
    return [(f"block {number}", block) for number, block in enumerate(blocks, start=1)]
