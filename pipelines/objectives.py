"""Objectives: a batch in, a summed loss and what to divide it by out: no value depends on padding or batches.

What a loss is summed over, and so counted in: scored tokens (`causal-lm`, `conditional-generation`,
`masked-lm`, `tagging`), rows (`classification`, with class weights their sum; `regression`; `span`), labels
of rows (`multi-label`). The mean, sum / count, is the loss of transformers' own models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from pipelines.batches import Batch
from pipelines.fused_loss import IGNORED, head_nats

Tensor = torch.Tensor


class Objective(torch.nn.Module):
    """What a model learns. `model` is a transformers model with the head of the objective."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """The batch's summed loss: nats, for regression squared differences."""
        raise NotImplementedError

    def count(self, batch: Batch) -> float:
        """What a whole step's sum is divided by, from a batch on the processor."""
        return float(len(batch["targets"]))

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, tuple[float, float]]:
        """Sums and counts for validation: `loss`, and `accuracy` where an answer is right or wrong."""
        return {"loss": (float(self(batch)), self.count(batch))}

    def states(self, batch: Batch) -> Tensor:
        """(B, T, d): the last layer's states of the rows."""
        if self.model.config.model_type == "gpt2":  # right-padded and causal: padding is never looked at
            found = self.model.transformer(input_ids=batch["input_ids"], use_cache=False)
        else:
            found = self.model.bert(
                input_ids=batch["input_ids"],
                attention_mask=_attended(batch),
                token_type_ids=batch.get("types"),
            )
        states: Tensor = found.last_hidden_state
        return states


class NextToken(Objective):
    """Nats of each scored next token: causal LM and, with the source ignored, conditional generation."""

    def __init__(self, model: Any, head_dtype: torch.dtype, label_smoothing: float) -> None:
        super().__init__(model)
        self.head_dtype, self.label_smoothing = head_dtype, label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        nats, _ = head_nats(
            self.states(batch),
            self.model.lm_head.weight,
            batch["targets"],
            self.head_dtype,
            label_smoothing=self.label_smoothing,
        )
        return nats

    def count(self, batch: Batch) -> float:
        return _scored(batch)


class MaskedToken(Objective):
    """Nats of each masked token; the head's dense layer is computed where a token is guessed only."""

    def __init__(self, model: Any, head_dtype: torch.dtype, label_smoothing: float) -> None:
        super().__init__(model)
        self.head_dtype, self.label_smoothing = head_dtype, label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        scored = batch["targets"] != IGNORED
        head = self.model.cls.predictions
        nats, _ = head_nats(
            head.transform(self.states(batch)[scored]),  # (scored, d)
            head.decoder.weight,
            batch["targets"][scored],
            self.head_dtype,
            bias=head.decoder.bias,
            label_smoothing=self.label_smoothing,
        )
        return nats

    def count(self, batch: Batch) -> float:
        return _scored(batch)


class Rows(Objective):
    """Whatever has one answer a row: a class, several labels, a number."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, outputs): GPT-2's from the last unpadded token, BERT's from its pooler, as transformers do."""
        states = self.states(batch)
        if self.model.config.model_type == "gpt2":
            rows = torch.arange(len(states), device=states.device)
            logits: Tensor = self.model.score(states[rows, batch["lengths"] - 1])
        else:
            logits = self.model.classifier(self.model.dropout(self.model.bert.pooler(states)))
        return logits.float()


class Classes(Rows):
    """Nats of each row's class, times the class's weight."""

    def __init__(self, model: Any, weights: Sequence[float] | None, label_smoothing: float) -> None:
        super().__init__(model)
        self.label_smoothing = label_smoothing
        self.register_buffer(
            "weights",
            None if weights is None else torch.tensor(weights, dtype=torch.float32),
            persistent=False,
        )

    def forward(self, batch: Batch) -> Tensor:
        return self._nats(self.logits(batch), batch["targets"])

    def count(self, batch: Batch) -> float:
        if self.weights is None:
            return super().count(batch)
        return float(self.weights.cpu()[batch["targets"].cpu()].sum())

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, tuple[float, float]]:
        logits = self.logits(batch)
        right = float((logits.argmax(dim=-1) == batch["targets"]).sum())
        loss = float(self._nats(logits, batch["targets"]))
        return {"loss": (loss, self.count(batch)), "accuracy": (right, float(len(logits)))}

    def _nats(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits,
            targets,
            weight=self.weights,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )


class ManyLabels(Rows):
    """Nats of each label of each row, there or not."""

    def forward(self, batch: Batch) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            self.logits(batch), batch["targets"], reduction="sum"
        )

    def count(self, batch: Batch) -> float:
        return float(batch["targets"].numel())


class Number(Rows):
    """Squared difference of each row's number."""

    def forward(self, batch: Batch) -> Tensor:
        return functional.mse_loss(self.logits(batch).squeeze(-1), batch["targets"], reduction="sum")


class AnswerSpan(Objective):
    """Mean nats of the first and the last token of the answer; padding is never an answer."""

    def forward(self, batch: Batch) -> Tensor:
        logits = self.model.qa_outputs(self.states(batch)).float()  # (B, T, 2)
        places = torch.arange(logits.shape[1], device=logits.device)
        padded = places[None, :] >= batch["lengths"][:, None]
        logits = logits.masked_fill(padded[:, :, None], float("-inf"))
        starts, ends = batch["targets"].unbind(dim=-1)
        first = functional.cross_entropy(logits[..., 0], starts, reduction="sum")
        last = functional.cross_entropy(logits[..., 1], ends, reduction="sum")
        return (first + last) / 2


class Tags(Objective):
    """Nats of the tag of each word's first piece."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, tags)."""
        logits: Tensor = self.model.classifier(self.model.dropout(self.states(batch)))
        return logits.float()

    def forward(self, batch: Batch) -> Tensor:
        return _tag_nats(self.logits(batch), batch["targets"])

    def count(self, batch: Batch) -> float:
        return _scored(batch)

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, tuple[float, float]]:
        logits, targets = self.logits(batch), batch["targets"]
        right = float(((logits.argmax(dim=-1) == targets) & (targets != IGNORED)).sum())
        scored = self.count(batch)
        return {"loss": (float(_tag_nats(logits, targets)), scored), "accuracy": (right, scored)}


def objective(
    name: str,
    model: Any,
    head_dtype: torch.dtype,
    *,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
) -> Objective:
    """The objective of that name around a model with its head; `head_dtype`: of a vocabulary's products."""
    if name in ("causal-lm", "conditional-generation"):
        return NextToken(model, head_dtype, label_smoothing)
    if name == "masked-lm":
        return MaskedToken(model, head_dtype, label_smoothing)
    if name == "classification":
        return Classes(model, class_weights, label_smoothing)
    return {"multi-label": ManyLabels, "regression": Number, "span": AnswerSpan, "tagging": Tags}[name](model)


def _scored(batch: Batch) -> float:
    return float((batch["targets"] != IGNORED).sum())


def _tag_nats(logits: Tensor, targets: Tensor) -> Tensor:
    flat = targets.reshape(-1)
    return functional.cross_entropy(
        logits.reshape(len(flat), -1), flat, ignore_index=IGNORED, reduction="sum"
    )


def _attended(batch: Batch) -> Tensor | None:
    """(B, T): 1 at a row's tokens, 0 at its padding; None where rows are not padded."""
    if "lengths" not in batch:
        return None
    places = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
    return (places[None, :] < batch["lengths"][:, None]).long()
