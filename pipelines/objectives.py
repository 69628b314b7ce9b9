"""Objectives: a batch in, (sum of nats, count) out, so that no value depends on batch size or padding."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from pipelines.batches import Batch
from pipelines.fused_loss import head_nats


class NextToken(torch.nn.Module):
    """Nats of each scored next token: causal LM and, with the source ignored, conditional generation."""

    def __init__(self, model: Any, head_dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.head_dtype = head_dtype

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        states = self.model.transformer(
            input_ids=batch["input_ids"], use_cache=False
        ).last_hidden_state  # (B, T, d)
        return head_nats(states, self.model.lm_head.weight, batch["targets"], self.head_dtype)


class Classes(torch.nn.Module):
    """Classification by the last unpadded token's state, as GPT2ForSequenceClassification does."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        states = self.model.transformer(
            input_ids=batch["input_ids"], use_cache=False
        ).last_hidden_state  # (B, T, d)
        rows = torch.arange(len(states), device=states.device)
        logits = self.model.score(states[rows, batch["lengths"] - 1]).float()  # (B, classes)
        nats = functional.cross_entropy(logits, batch["targets"], reduction="sum")
        return nats, torch.tensor(len(logits), device=logits.device)


def objective(name: str, model: Any, head_dtype: torch.dtype) -> torch.nn.Module:
    """The module that makes nats of a batch: `causal-lm`, `conditional-generation`, `classification`."""
    if name == "classification":
        return Classes(model)
    assert name in ("causal-lm", "conditional-generation"), name
    return NextToken(model, head_dtype)
