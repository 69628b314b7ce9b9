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
CHUNK = 512  # positions; 512 x 2,048 float32 is 4 MB


class _HeadNats(torch.autograd.Function):
    """Sum of -ln softmax(hidden · weightᵀ)[target] over positions; gradients are made on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        grad_hidden, grad_weight = torch.empty_like(low_hidden), torch.zeros_like(weight)
        nats = torch.zeros((), dtype=torch.float64, device=hidden.device)
        for start in range(0, len(targets), CHUNK):
            part, target = low_hidden[start : start + CHUNK], targets[start : start + CHUNK, None]
            logits = (part @ low_weight.T).float()  # (chunk, V)
            logits -= logits.amax(dim=-1, keepdim=True)
            at_target = logits.gather(1, target)
            odds = logits.exp_()
            total = odds.sum(dim=-1, keepdim=True)
            nats += (total.log() - at_target).sum()
            grad_logits = odds.div_(total)
            grad_logits.scatter_add_(1, target, torch.full_like(at_target, -1.0))
            low_grad = grad_logits.to(dtype)
            grad_hidden[start : start + CHUNK] = low_grad @ low_weight
            grad_weight += low_grad.T @ part
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.hidden_dtype = hidden.dtype
        return nats.float()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden.to(ctx.hidden_dtype) * grads[0], grad_weight * grads[0], None, None


def head_nats(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy in nats, summed over the scored positions, and how many they are.

    hidden: (B, T, d); weight: (V, d), the output head; targets: (B, T) token ids, `IGNORED` where nothing is
    scored; dtype: what the matrix products run in (sums stay in float32 or better).
    """
    flat = targets.reshape(-1)
    states = hidden.reshape(-1, hidden.shape[-1])
    scored = flat != IGNORED
    if not bool(scored.all()):
        states, flat = states[scored], flat[scored]
    out: torch.Tensor = _HeadNats.apply(states, weight, flat, dtype)
    return out, scored.sum()
