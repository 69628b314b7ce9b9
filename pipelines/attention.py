"""Attention in query blocks, for training on a processor.

Torch's flash kernel there spends three times as long on the way back. Queries are cut into blocks of `BLOCK`;
under a causal mask block i looks only at keys up to its own end, so that 3/8 of the score matrix is never
built (at context 256), and what is built stays in the cache. The function is that of
`torch.nn.functional.scaled_dot_product_attention`; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

CAUSAL, BIDIRECTIONAL = "causal_blocks", "bidirectional_blocks"
BLOCK = 64
Tensor = torch.Tensor


@lru_cache(maxsize=32)
def _causal_bias(queries: int, keys: int, dtype: torch.dtype) -> Tensor:
    """(queries, keys): 0 where the last `queries` positions of `keys` may look, -inf where they may not."""
    allowed = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    return torch.zeros(queries, keys, dtype=dtype).masked_fill_(~allowed, float("-inf"))


def _blocks(length: int, causal: bool) -> list[tuple[int, int, int]]:
    """(first query, end of queries, end of keys) of each block."""
    starts = range(0, length, BLOCK)
    ends = [min(start + BLOCK, length) for start in starts]
    return [(start, end, end if causal else length) for start, end in zip(starts, ends, strict=True)]


def _forward(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, list[Tensor]]:
    """softmax(scale · q kᵀ + bias) v of (N, T, D) tensors, and the softmax of each block for the way back.

    bias: (N, 1, T), or None: causal.
    """
    output, weights = torch.empty_like(q), []
    for start, end, keys in _blocks(q.shape[1], bias is None):
        added = _causal_bias(end - start, keys, q.dtype) if bias is None else bias
        scores = torch.baddbmm(added, q[:, start:end], k[:, :keys].transpose(1, 2), alpha=scale)
        weights.append(torch.softmax(scores, dim=-1))  # (N, block, keys)
        output[:, start:end] = torch.bmm(weights[-1], v[:, :keys])
    return output, weights


def _backward(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: list[Tensor], scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    causal = weights[0].shape[2] < q.shape[1] or len(weights) == 1
    grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for (start, end, keys), weight in zip(_blocks(q.shape[1], causal), weights, strict=True):
        grad = grad_output[:, start:end]
        grad_v[:, :keys] += torch.bmm(weight.transpose(1, 2), grad)
        grad_weight = torch.bmm(grad, v[:, :keys].transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_weight, weight, -1, weight.dtype).mul_(scale)
        grad_q[:, start:end] = torch.bmm(grad_scores, k[:, :keys])
        grad_k[:, :keys] += torch.bmm(grad_scores.transpose(1, 2), q[:, start:end])
    return grad_q, grad_k, grad_v


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
        output, weights = _forward(q, k, v, bias, scale)
        ctx.save_for_backward(q, k, v, *weights)
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *weights = ctx.saved_tensors
        return *_backward(grads[0], q, k, v, weights, ctx.scale), None, None


# The same two ways as operators, for torch.compile: traced block by block they take it five times as long to
# compile, and run no faster for it.
@torch.library.custom_op("stepladder::attention_blocks", mutates_args=())
def _forward_op(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> list[Tensor]:
    output, weights = _forward(q, k, v, bias, scale)
    return [output, *weights]


@_forward_op.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> list[Tensor]:
    count, length, _ = q.shape
    blocks = _blocks(length, bias is None)
    return [torch.empty_like(q), *(q.new_empty(count, end - start, keys) for start, end, keys in blocks)]


@torch.library.custom_op("stepladder::attention_blocks_backward", mutates_args=())
def _backward_op(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: list[Tensor], scale: float
) -> list[Tensor]:
    return list(_backward(grad_output, q, k, v, weights, scale))


@_backward_op.register_fake
def _(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: list[Tensor], scale: float
) -> list[Tensor]:
    return [torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    q, k, v, _, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, *output[1:])


def _back(ctx: Any, grads: list[Tensor]) -> tuple[Tensor | None, ...]:
    q, k, v, *weights = ctx.saved_tensors
    return *_backward_op(grads[0].contiguous(), q, k, v, weights, ctx.scale), None, None


_forward_op.register_autograd(_back, setup_context=_keep)


def causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal attention of (B, H, T, D) queries, keys and values; returns (B, H, T, D)."""
    return _attend(query, key, value, None, scale)


def bidirectional_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, allowed: Tensor | None = None
) -> Tensor:
    """Attention of all (B, H, T, D) queries to all keys, or to those where `allowed` (B, T) is true."""
    batch, heads, length, _ = query.shape
    bias = torch.zeros(batch, heads, 1, length, dtype=query.dtype, device=query.device)
    if allowed is not None:
        bias = bias.masked_fill(~allowed.bool()[:, None, None, :], float("-inf"))
    return _attend(query, key, value, bias.view(batch * heads, 1, length), scale)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    batch, heads, length, size = query.shape
    q, k, v = (x.reshape(batch * heads, length, size) for x in (query, key, value))  # (B·H, T, D)
    if torch.compiler.is_compiling():
        out: Tensor = _forward_op(q, k, v, bias, scale)[0]
    else:
        out = _Blocks.apply(q, k, v, bias, scale)
    return out.view(query.shape)


def _for_transformers(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it; with dropout on the weights, torch's own."""
    causal = bool(getattr(module, "is_causal", False))
    if dropout > 0.0:
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, mask, dropout=dropout, scaling=scaling, is_causal=causal
        )
        return out
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if causal:
        return causal_attention(query, key, value, scale).transpose(1, 2), None
    return bidirectional_attention(query, key, value, scale, attention_mask).transpose(1, 2), None


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """Right-padded causal batches need no mask: padding comes after all that is scored."""


def _padding_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """(B, T), true where a token is; None where nothing is padded."""
    if attention_mask is None or bool(attention_mask.all()):
        return None
    return attention_mask


def register(causal: bool) -> str:
    """Make the kernel known to transformers; returns the name to give as `attn_implementation`."""
    name = CAUSAL if causal else BIDIRECTIONAL
    AttentionInterface.register(name, _for_transformers)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, _no_mask if causal else _padding_mask)
    return name
