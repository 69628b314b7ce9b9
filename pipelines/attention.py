"""Causal attention in query blocks, for training on a processor.

Torch's flash kernel there spends three times as long on the way back. Queries are cut into blocks of `BLOCK`;
block i looks only at keys up to its own end, so that 3/8 of the score matrix is never built (at context 256),
and what is built stays in the cache. The function is that of
`torch.nn.functional.scaled_dot_product_attention(..., is_causal=True)`; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

NAME = "causal_blocks"
BLOCK = 64


@lru_cache(maxsize=32)
def _causal_bias(queries: int, keys: int, dtype: torch.dtype) -> torch.Tensor:
    """(queries, keys): 0 where the last `queries` positions of `keys` may look, -inf where they may not."""
    allowed = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    return torch.zeros(queries, keys, dtype=dtype).masked_fill_(~allowed, float("-inf"))


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


class _CausalBlocks(torch.autograd.Function):
    """softmax(scale · q kᵀ + causal bias) v, with the softmax kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        batch, heads, length, size = query.shape
        q, k, v = (x.reshape(batch * heads, length, size) for x in (query, key, value))  # (B·H, T, D)
        output = torch.empty_like(q)
        weights = []
        for start, end in _blocks(length):
            bias = _causal_bias(end - start, end, q.dtype)
            scores = torch.baddbmm(bias, q[:, start:end], k[:, :end].transpose(1, 2), alpha=scale)
            weights.append(torch.softmax(scores, dim=-1))  # (B·H, block, end)
            output[:, start:end] = torch.bmm(weights[-1], v[:, :end])
        ctx.save_for_backward(q, k, v, *weights)
        ctx.scale, ctx.shape = scale, query.shape
        return output.view(query.shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, *weights = ctx.saved_tensors
        grad_output = grads[0].reshape(q.shape)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (start, end), weight in zip(_blocks(q.shape[1]), weights, strict=True):
            grad = grad_output[:, start:end]
            grad_v[:, :end] += torch.bmm(weight.transpose(1, 2), grad)
            grad_weight = torch.bmm(grad, v[:, :end].transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weight, weight, -1, weight.dtype).mul_(ctx.scale)
            grad_q[:, start:end] = torch.bmm(grad_scores, k[:, :end])
            grad_k[:, :end] += torch.bmm(grad_scores.transpose(1, 2), q[:, start:end])
        return grad_q.view(ctx.shape), grad_k.view(ctx.shape), grad_v.view(ctx.shape), None


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Causal attention of (B, H, T, D) queries, keys and values; returns (B, H, T, D)."""
    out: torch.Tensor = _CausalBlocks.apply(query, key, value, scale)
    return out


def _for_transformers(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    # Right-padded causal batches need no mask: padding comes after all that is scored. Anything else is not
    # ours.
    assert attention_mask is None, "causal_blocks knows no mask but the causal one"
    assert dropout == 0.0, "causal_blocks has no dropout"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return causal_attention(query, key, value, scale).transpose(1, 2), None


def register() -> str:
    """Make the kernel known to transformers; returns the name to give as `attn_implementation`."""
    AttentionInterface.register(NAME, _for_transformers)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, lambda *args, **kwargs: None)
    return NAME
