"""A Hugging Face model reads whole texts: labels of texts and of tokens, and tokens that are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from eval.model import Model, pad_right
from eval.requests import MaskedRequest, ReadRequest
from eval.windows import batch_by_length


@torch.inference_mode()
def read_texts(model: Model, requests: Sequence[ReadRequest], *, batch_tokens: int) -> Tensor:
    """The head's outputs for each text: (texts, outputs), float32, on the CPU, in the order asked."""
    logits = torch.empty(len(requests), model.network.config.num_labels)
    for batch in batch_by_length([len(request.ids) for request in requests], batch_tokens):
        inputs = _inputs(model, [requests[index] for index in batch])
        with model.autocast():
            answer = model.network(**inputs).logits  # (B, outputs)
        logits[batch] = answer.float().cpu()
    return logits


@torch.inference_mode()
def read_tokens(model: Model, requests: Sequence[ReadRequest], *, batch_tokens: int) -> list[Tensor]:
    """The head's outputs for each text's tokens: (tokens, outputs) a text, float32, on the CPU.

    A span head's two outputs are its start and its end logit.
    """
    found: list[Tensor] = [torch.empty(0)] * len(requests)
    for batch in batch_by_length([len(request.ids) for request in requests], batch_tokens):
        inputs = _inputs(model, [requests[index] for index in batch])
        with model.autocast():
            answer = model.network(**inputs)
        spans = hasattr(answer, "start_logits")
        logits = torch.stack([answer.start_logits, answer.end_logits], -1) if spans else answer.logits
        for index, row in zip(batch, logits.float().cpu(), strict=True):  # row: (T, outputs)
            found[index] = row[: len(requests[index].ids)].clone()
    return found


@torch.inference_mode()
def score_masked(model: Model, requests: Sequence[MaskedRequest], *, batch_tokens: int) -> list[float]:
    """Nats of each request's targets, summed, in the order asked. Only their positions reach the head."""
    nats = [0.0] * len(requests)
    for batch in batch_by_length([len(request.ids) for request in requests], batch_tokens):
        chosen = [requests[index] for index in batch]
        ids, mask = pad_right(model, [request.ids for request in chosen])
        rows = [row for row, request in enumerate(chosen) for _ in request.places]
        places = [place for request in chosen for place in request.places]
        targets = torch.tensor([t for request in chosen for t in request.targets], device=model.device)
        with model.autocast():
            logits = _masked_logits(model.network, ids, mask, rows, places)  # (S, V)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        parts = losses.double().split([len(request.places) for request in chosen])
        for index, part in zip(batch, parts, strict=True):
            nats[index] = float(part.sum())
    return nats


def _masked_logits(
    network: Any, ids: Tensor, mask: Tensor, rows: Sequence[int], places: Sequence[int]
) -> Tensor:
    """Logits (S, V) at S positions; BERT's head, as large as its vocabulary, sees no others."""
    at = (torch.tensor(rows, device=ids.device), torch.tensor(places, device=ids.device))
    if network.config.model_type == "bert":
        hidden = network.bert(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, d)
        logits: Tensor = network.cls(hidden[at])
    else:
        logits = network(input_ids=ids, attention_mask=mask).logits[at]
    return logits


def _inputs(model: Model, requests: Sequence[ReadRequest]) -> dict[str, Tensor]:
    ids, mask = pad_right(model, [request.ids for request in requests])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(model.network.config, "type_vocab_size", 0) > 1:
        width = ids.shape[1]
        types = [[*request.types, *[0] * (width - len(request.types))] for request in requests]
        inputs["token_type_ids"] = torch.tensor(types, device=model.device)
    return inputs
