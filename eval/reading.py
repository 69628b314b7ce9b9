"""A Hugging Face model reads whole texts: labels of texts and of tokens, and tokens that are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from eval.batching import BatchLimits, run_batches
from eval.model import Model, check_finite, pad_rows
from eval.requests import MaskedRequest, ReadRequest


@torch.inference_mode()
def read_texts(model: Model, requests: Sequence[ReadRequest], *, limits: BatchLimits) -> Tensor:
    """The head's outputs for each text: (texts, outputs), float32, on the CPU, in the order asked."""
    found = torch.empty(len(requests), model.network.config.num_labels)

    def answer(batch: list[int]) -> None:
        inputs = _inputs(model, [requests[index] for index in batch])
        with model.autocast():
            logits = model.network(**inputs).logits  # (B, outputs)
        found[batch] = check_finite(logits).float().cpu()

    run_batches([len(request.ids) for request in requests], limits, answer, model.device)
    return found


@torch.inference_mode()
def read_tokens(model: Model, requests: Sequence[ReadRequest], *, limits: BatchLimits) -> list[Tensor]:
    """The head's outputs for each text's tokens: (tokens, outputs) a text, float32, on the CPU.

    A span head's two outputs are its start and its end logit.
    """
    found: list[Tensor] = [torch.empty(0)] * len(requests)

    def answer(batch: list[int]) -> None:
        inputs = _inputs(model, [requests[index] for index in batch])
        with model.autocast():
            heads = model.network(**inputs)
        spans = hasattr(heads, "start_logits")
        logits = torch.stack([heads.start_logits, heads.end_logits], -1) if spans else heads.logits
        for index, row in zip(batch, logits.float().cpu(), strict=True):  # row: (T, outputs)
            found[index] = check_finite(row[: len(requests[index].ids)].clone())

    run_batches([len(request.ids) for request in requests], limits, answer, model.device)
    return found


def score_masked(model: Model, requests: Sequence[MaskedRequest], *, limits: BatchLimits) -> list[float]:
    """Nats of each request's targets, summed, in the order asked."""
    return [float(nats.sum(dtype=np.float64)) for nats, _ in read_masked(model, requests, limits=limits)]


@torch.inference_mode()
def read_masked(
    model: Model, requests: Sequence[MaskedRequest], *, limits: BatchLimits
) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Nats of each request's targets and whether each was the likeliest, (targets,); in the order asked.

    Only their positions reach the head.
    """
    nothing = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.bool_)
    found: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = [nothing] * len(requests)

    def answer(batch: list[int]) -> None:
        chosen = [requests[index] for index in batch]
        ids, mask = pad_rows(model, [request.ids for request in chosen])
        rows = [row for row, request in enumerate(chosen) for _ in request.places]
        places = [place for request in chosen for place in request.places]
        targets = torch.tensor([t for request in chosen for t in request.targets], device=model.device)
        with model.autocast():
            logits = _masked_logits(model.network, ids, mask, rows, places).float()  # (S, V)
        nats = check_finite(functional.cross_entropy(logits, targets, reduction="none")).cpu().numpy()
        likeliest = (logits.argmax(-1) == targets).cpu().numpy()
        ends = np.cumsum([len(request.places) for request in chosen])[:-1]
        parts = zip(np.split(nats, ends), np.split(likeliest, ends), strict=True)
        for index, part in zip(batch, parts, strict=True):
            found[index] = part

    run_batches([len(request.ids) for request in requests], limits, answer, model.device)
    return found


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
    ids, mask = pad_rows(model, [request.ids for request in requests])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(model.network.config, "type_vocab_size", 0) > 1:
        width = ids.shape[1]
        types = [[*request.types, *[0] * (width - len(request.types))] for request in requests]
        inputs["token_type_ids"] = torch.tensor(types, device=model.device)
    return inputs
