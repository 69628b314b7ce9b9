"""A Hugging Face model scores and writes text: batched by like length, the same for any batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from eval.requests import GenerateRequest, ScoreRequest, TextScore
from eval.windows import Window, batch_by_length, cut_windows

# Logits made at once: 8 MB in float32, which stays in a processor's cache (measured: twice as fast as 64 MB).
_HEAD_VALUES = 1 << 21


@dataclass(frozen=True)
class Model:
    """A loaded model with what it takes to ask it: made by `eval.loading.load_model`.

    `context` is the longest input in tokens, `pad` the id that fills short rows, `dtype` the precision of the
    forward pass ("float32" or "bfloat16", the latter by autocast over float32 weights).
    """

    network: Any
    tokenizer: Any
    context: int
    pad: int
    dtype: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.network.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision asked for, around a forward pass."""
        lower = self.dtype == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=lower)


@torch.inference_mode()
def score_texts(
    model: Model, requests: Sequence[ScoreRequest], *, stride: int, batch_tokens: int
) -> list[TextScore]:
    """Nats of each text's tokens after its first, in strided windows; float64 sums, in the order asked."""
    windows: list[tuple[int, Window]] = []
    for index, request in enumerate(requests):
        cut = cut_windows(len(request.ids), context=model.context, stride=stride)
        windows.extend((index, window) for window in cut)
    nats = [0.0] * len(requests)
    by_window = [0.0] * len(windows)
    lengths = [window.end - window.begin for _, window in windows]
    for batch in batch_by_length(lengths, batch_tokens):
        texts = [(requests[windows[place][0]].ids, windows[place][1]) for place in batch]
        for place, value in zip(batch, _score_windows(model, texts), strict=True):
            by_window[place] = value
    for (index, _), value in zip(windows, by_window, strict=True):  # in text order, whatever the batches were
        nats[index] += value
    return [
        TextScore(nats=total, tokens=len(request.ids) - 1)
        for total, request in zip(nats, requests, strict=True)
    ]


@torch.inference_mode()
def generate(
    model: Model, requests: Sequence[GenerateRequest], *, stops: Sequence[int], batch_tokens: int
) -> list[list[int]]:
    """The most likely tokens after each prompt, up to and with the first of `stops`, in the order asked.

    Prompts are padded on the left with positions counted from their first real token; the key–value cache is
    kept, and a batch ends when all its rows have.
    """
    answers: list[list[int]] = [[] for _ in requests]
    lengths = [len(request.prompt) + request.max_new_tokens for request in requests]
    stop_ids = torch.tensor(sorted(stops), device=model.device)
    for batch in batch_by_length(lengths, batch_tokens):
        written = _continue(model, [requests[index] for index in batch], stop_ids)
        for index, tokens in zip(batch, written, strict=True):
            answers[index] = tokens
    return answers


def pad_right(model: Model, rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """(ids, mask), both (rows, longest): PAD and 0 after each row's end."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [model.pad] * (width - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
    return ids, mask


def _score_windows(model: Model, texts: Sequence[tuple[list[int], Window]]) -> list[float]:
    """Nats of each window's scored tokens. Only the positions scored reach the head."""
    ids, _ = pad_right(model, [text[window.begin : window.end] for text, window in texts])
    with model.autocast():  # no mask: padding follows what it could disturb, and unmasked attention is faster
        hidden = model.network.base_model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, d)
    rows, columns, targets, counts = [], [], [], []
    for row, (text, window) in enumerate(texts):
        scored = range(window.first, window.end + 1)
        rows += [row] * len(scored)
        columns += [token - 1 - window.begin for token in scored]
        targets += text[window.first : window.end + 1]
        counts.append(len(scored))
    device = model.device
    chosen = hidden[torch.tensor(rows, device=device), torch.tensor(columns, device=device)]  # (S, d)
    nats = torch.cat(list(_head_nats(model, chosen, torch.tensor(targets, device=device))))  # (S,)
    return [float(part.sum()) for part in nats.double().split(counts)]


def _head_nats(model: Model, hidden: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Cross-entropy in nats of each position, (S,) in chunks; hidden (S, d), targets (S,)."""
    head = model.network.get_output_embeddings()
    rows = max(1, _HEAD_VALUES // head.out_features)
    for part, target in zip(hidden.split(rows), targets.split(rows), strict=True):
        with model.autocast():
            logits = head(part)  # (rows, V)
        yield functional.cross_entropy(logits.float(), target, reduction="none")


def _continue(model: Model, requests: Sequence[GenerateRequest], stops: Tensor) -> list[list[int]]:
    """Greedy decoding of one batch."""
    ids, mask = _pad_left(model, [request.prompt for request in requests])  # (B, P)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    limits = torch.tensor([request.max_new_tokens for request in requests], device=model.device)
    lengths = torch.zeros_like(limits)  # tokens written, a stop among them
    running = limits > 0
    written: list[Tensor] = []
    cache = None
    while bool(running.any()):
        with model.autocast():
            answer = model.network(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        cache = answer.past_key_values
        token = answer.logits[:, -1].float().argmax(-1)  # (B,)
        lengths += running
        running = running & ~torch.isin(token, stops) & (lengths < limits)
        written.append(token)
        ids = token[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
    tokens = torch.stack(written, dim=1).tolist() if written else [[] for _ in requests]
    return [row[:length] for row, length in zip(tokens, lengths.tolist(), strict=True)]


def _pad_left(model: Model, rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([[model.pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    return ids, mask
