"""The output head and its cross-entropy in one pass, a chunk of positions at a time.

Logits of all positions at once are the largest tensor of a small model (16 x 256 x 2,048 in float32: 34 MB)
and cross-entropy walks over them five times. Here a chunk's logits stay in the cache, and its gradient is
formed while they are there, in the manner of Hsu et al. 2024 (Liger kernels). Positions that are not scored
never reach the head.
"""

from __future__ import annotations

from typing import Any

import torch

IGNORED = -100
# Logits at a time: 8 MB of float32 for a processor's cache; on a GPU enough to keep it busy (512 MB).
CHUNK_LOGITS = {"cpu": 2**21, "cuda": 2**27}


class _HeadNats(torch.autograd.Function):
    """Sum of cross-entropies over positions; gradients are made on the way forward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        dtype: torch.dtype,
        smoothing: float,
    ) -> torch.Tensor:
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        grad_hidden, grad_weight = torch.empty_like(low_hidden), torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        nats = torch.zeros((), dtype=torch.float64, device=hidden.device)
        step = _chunk(len(weight), hidden.device)
        for start in range(0, len(targets), step):
            part, target = low_hidden[start : start + step], targets[start : start + step, None]
            logits = (part @ low_weight.T).float()  # (chunk, V)
            if bias is not None:
                logits += bias
            part_nats, grad_logits = _cross_entropy(logits, target, smoothing)
            nats += part_nats
            low_grad = grad_logits.to(dtype)
            grad_hidden[start : start + step] = low_grad @ low_weight
            grad_weight += low_grad.T @ part
            if grad_bias is not None:
                grad_bias += grad_logits.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.hidden_dtype = hidden.dtype
        return nats.float()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scaled_bias = None if grad_bias is None else grad_bias * grads[0]
        hidden = grad_hidden.to(ctx.hidden_dtype) * grads[0]
        return hidden, grad_weight * grads[0], scaled_bias, None, None, None


def _chunk(vocabulary: int, device: torch.device) -> int:
    """Positions at a time; at least so many that the matrix products stay efficient."""
    return max(64, CHUNK_LOGITS.get(device.type, CHUNK_LOGITS["cuda"]) // vocabulary)


def _cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed nats of (chunk, V) logits, which are overwritten by their gradient, also returned."""
    logits -= logits.amax(dim=-1, keepdim=True)
    wanted = (1.0 - smoothing) * logits.gather(1, target)
    if smoothing:
        wanted += smoothing * logits.mean(dim=-1, keepdim=True)
    odds = logits.exp_()
    total = odds.sum(dim=-1, keepdim=True)
    nats = (total.log() - wanted).sum()
    grad = odds.div_(total)
    if smoothing:
        grad -= smoothing / logits.shape[-1]
    grad.scatter_add_(1, target, torch.full_like(total, smoothing - 1.0))
    return nats, grad


@torch.compiler.disable  # torch.compile would trace the chunks one by one, to run them no faster
def head_nats(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    *,
    bias: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    every: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy in nats, summed over the scored positions, and how many they are.

    hidden: (B, T, d) or (N, d); weight: (V, d), the output head; targets: (B, T) or (N,) token ids, `IGNORED`
    where nothing is scored; dtype: what the matrix products run in (sums stay in float32 or better); bias:
    (V,), the head's, where it has one; label_smoothing: the share of the target that is spread evenly over
    the vocabulary, as in `torch.nn.functional.cross_entropy`; every: whether all positions are known to be
    scored, so that a GPU need not be waited for to find out.
    """
    flat = targets.reshape(-1)
    states = hidden.reshape(-1, hidden.shape[-1])
    scored = flat != IGNORED
    if not every and not bool(scored.all()):
        states, flat = states[scored], flat[scored]
    out: torch.Tensor = _HeadNats.apply(states, weight, bias, flat, dtype, label_smoothing)
    return out, scored.sum()
