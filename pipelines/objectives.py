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
Measures = dict[str, tuple[float, float]]


class Objective(torch.nn.Module):
    """What a model learns. `model` is a transformers model, GPT-2 or BERT, with the head of the objective."""

    every = False
    """Whether all positions of all batches are scored."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """The batch's summed loss: nats, for regression squared differences."""
        raise NotImplementedError

    def count(self, batch: Batch) -> float:
        """What a whole step's sum is divided by, from a batch on the processor."""
        return float(len(batch["targets"]))

    def measures(self, batch: Batch) -> Measures:
        """Sums and counts for validation, by name; each is a mean of its own, over any number of batches.

        Always `loss`, without label smoothing; `accuracy` where an answer is right or wrong, `f1_micro` for
        sets of labels. Without gradients; dropout is the caller's (`eval()`).
        """
        raise NotImplementedError

    def body(self, batch: Batch) -> Any:
        """The model below its head: `last_hidden_state` (B, T, d), a classifying BERT's `pooler_output`."""
        if self.model.config.model_type == "gpt2":  # right-padded and causal: padding is never looked at
            return self.model.transformer(input_ids=batch["input_ids"], use_cache=False)
        return self.model.bert(
            input_ids=batch["input_ids"],
            attention_mask=_attended(batch),
            token_type_ids=batch.get("types"),
        )


class NextToken(Objective):
    """Nats of each scored next token: with the source ignored, conditional generation."""

    def __init__(self, model: Any, head_dtype: torch.dtype, label_smoothing: float) -> None:
        super().__init__(model)
        self.head_dtype, self.label_smoothing = head_dtype, label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        return self._nats(batch, self.label_smoothing)

    def count(self, batch: Batch) -> float:
        return _scored(batch)

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        return {"loss": (float(self._nats(batch, 0.0)), self.count(batch))}

    def _nats(self, batch: Batch, label_smoothing: float) -> Tensor:
        nats, _ = head_nats(
            self.body(batch).last_hidden_state,
            self.model.lm_head.weight,
            batch["targets"],
            self.head_dtype,
            label_smoothing=label_smoothing,
            every=self.every,
        )
        return nats


class PackedToken(NextToken):
    """Nats of each next token of packed windows, which have no padding: causal LM."""

    every = True

    def count(self, batch: Batch) -> float:
        return float(batch["targets"].numel())


class MaskedToken(NextToken):
    """Nats of each hidden token; the head's own layer is computed at hidden tokens only."""

    def _nats(self, batch: Batch, label_smoothing: float) -> Tensor:
        return self._head(self.body(batch).last_hidden_state, batch["targets"], label_smoothing)

    # how many tokens are hidden differs by batch: compiled, the head would be compiled again for each number
    @torch.compiler.disable
    def _head(self, states: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        hidden = targets != IGNORED
        head = self.model.cls.predictions
        nats, _ = head_nats(
            head.transform(states[hidden]),  # (hidden, d)
            head.decoder.weight,
            targets[hidden],
            self.head_dtype,
            bias=head.decoder.bias,
            label_smoothing=label_smoothing,
            every=True,  # of those that are left
        )
        return nats


class Rows(Objective):
    """Whatever has one answer a row: a class, several labels, a number."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, outputs): GPT-2's from the last unpadded token, BERT's from its pooler, as transformers do."""
        found = self.body(batch)
        if self.model.config.model_type == "gpt2":
            states = found.last_hidden_state
            rows = torch.arange(len(states), device=states.device)
            logits: Tensor = self.model.score(states[rows, batch["lengths"] - 1])
        else:
            logits = self.model.classifier(self.model.dropout(found.pooler_output))
        return logits.float()


class Classes(Rows):
    """Nats of each row's class, times the class's weight."""

    def __init__(self, model: Any, weights: Sequence[float] | None, label_smoothing: float) -> None:
        super().__init__(model)
        self.label_smoothing = label_smoothing
        self.weights: Tensor | None
        self.row_weights = None if weights is None else torch.tensor(weights)  # stays on the processor
        self.register_buffer("weights", self.row_weights, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        return self._nats(self.logits(batch), batch["targets"], self.label_smoothing)

    def count(self, batch: Batch) -> float:
        if self.row_weights is None:
            return super().count(batch)
        return float(self.row_weights[batch["targets"].cpu()].sum())

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        logits, targets = self.logits(batch), batch["targets"]
        right = float((logits.argmax(dim=-1) == targets).sum())
        loss = float(self._nats(logits, targets, 0.0))
        return {"loss": (loss, self.count(batch)), "accuracy": (right, float(len(targets)))}

    def _nats(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(
            logits, targets, weight=self.weights, reduction="sum", label_smoothing=label_smoothing
        )


class ManyLabels(Rows):
    """Nats of each label of each row, there or not."""

    def forward(self, batch: Batch) -> Tensor:
        return _label_nats(self.logits(batch), batch["targets"])

    def count(self, batch: Batch) -> float:
        return float(batch["targets"].numel())

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        logits, targets = self.logits(batch), batch["targets"]
        said, there = logits > 0, targets > 0.5  # a probability above one half
        both = float((said & there).sum())
        loss = float(_label_nats(logits, targets))
        return {
            "loss": (loss, self.count(batch)),
            "f1_micro": (2.0 * both, float(said.sum() + there.sum())),
        }


class Number(Rows):
    """Squared difference of each row's number."""

    def forward(self, batch: Batch) -> Tensor:
        return functional.mse_loss(self.logits(batch).squeeze(-1), batch["targets"], reduction="sum")

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        return {"loss": (float(self(batch)), self.count(batch))}


class AnswerSpan(Objective):
    """Mean nats of the first and the last token of the answer; padding is never an answer."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, 2): of the first token and of the last; -inf at padding, so that none of it is counted."""
        logits: Tensor = self.model.qa_outputs(self.body(batch).last_hidden_state).float()
        attended = _attended(batch)
        return logits if attended is None else logits.masked_fill(attended[:, :, None] == 0, float("-inf"))

    def forward(self, batch: Batch) -> Tensor:
        return _span_nats(self.logits(batch), batch["targets"])

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        logits, targets = self.logits(batch), batch["targets"]
        right = float((logits.argmax(dim=1) == targets).all(dim=1).sum())
        rows = self.count(batch)
        return {"loss": (float(_span_nats(logits, targets)), rows), "accuracy": (right, rows)}


class Tags(Objective):
    """Nats of the tag of each word, at the piece that stands for it."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, tags)."""
        states = self.body(batch).last_hidden_state
        logits: Tensor = self.model.classifier(self.model.dropout(states))
        return logits.float()

    def forward(self, batch: Batch) -> Tensor:
        return _tag_nats(self.logits(batch), batch["targets"])

    def count(self, batch: Batch) -> float:
        return _scored(batch)

    @torch.no_grad()
    def measures(self, batch: Batch) -> Measures:
        logits, targets = self.logits(batch), batch["targets"]
        right = float((logits.argmax(dim=-1) == targets).sum())  # none is IGNORED
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
    """The objective of that name around a model with its head.

    head_dtype: what a vocabulary's matrix products run in. label_smoothing: of tokens and classes.
    class_weights: a number a class, what each of its rows counts.
    """
    assert class_weights is None or name == "classification", name
    if name == "causal-lm":
        return PackedToken(model, head_dtype, label_smoothing)
    if name == "conditional-generation":
        return NextToken(model, head_dtype, label_smoothing)
    if name == "masked-lm":
        return MaskedToken(model, head_dtype, label_smoothing)
    if name == "classification":
        return Classes(model, class_weights, label_smoothing)
    assert label_smoothing == 0.0, name
    return {"multi-label": ManyLabels, "regression": Number, "span": AnswerSpan, "tagging": Tags}[name](model)


def _scored(batch: Batch) -> float:
    return float((batch["targets"] != IGNORED).sum())


def _label_nats(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")


def _span_nats(logits: Tensor, targets: Tensor) -> Tensor:
    first = functional.cross_entropy(logits[..., 0], targets[:, 0], reduction="sum")
    last = functional.cross_entropy(logits[..., 1], targets[:, 1], reduction="sum")
    return (first + last) / 2


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
