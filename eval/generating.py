"""A Hugging Face decoder writes: greedily, from a cache, and without waiting for texts that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from eval.batching import BatchLimits, run_batches
from eval.model import Model, check_finite, pad_rows
from eval.requests import GenerateRequest

_KEPT = 0.75  # rows that have ended leave when so few of a batch still run: leaving copies the cache
_SPARE = 64  # tokens of room made at a time
# Tokens of a batch on a processor where nobody says how many: a step reads one of each row, so rows may be
# many (measured: 4096 take a quarter longer).
_CPU_TOKENS = 16384


@torch.inference_mode()
def generate(
    model: Model, requests: Sequence[GenerateRequest], *, stops: Sequence[int], limits: BatchLimits
) -> list[list[int]]:
    """The most likely tokens after each prompt, up to and with the first of `stops`, in the order asked.

    Prompts are padded on the left with positions counted from their first real token; the key–value cache is
    kept, and rows that have ended leave it. Models that keep a state instead (Mamba) would take padding into
    it: they write one text at a time.
    """
    if not model.takes("past_key_values"):
        limits = replace(limits, rows=1)
    if limits.tokens is None and model.device.type == "cpu":
        limits = replace(limits, tokens=_CPU_TOKENS)
    answers: list[list[int]] = [[] for _ in requests]
    stop_ids = torch.tensor(sorted(stops), dtype=torch.int64, device=model.device)

    def answer(batch: list[int]) -> None:
        written = _Batch(model, [requests[index] for index in batch], stop_ids).write()
        for index, tokens in zip(batch, written, strict=True):
            answers[index] = tokens

    lengths = [len(request.prompt) + request.max_new_tokens for request in requests]
    run_batches(lengths, limits, answer, model.device)
    return answers


class _Batch:
    """Greedy decoding of one batch: `rows` of it are still being written, the others have ended."""

    def __init__(self, model: Model, requests: Sequence[GenerateRequest], stops: Tensor) -> None:
        self.model, self.stops = model, stops
        device = model.device
        self.limits = torch.tensor([request.max_new_tokens for request in requests], device=device)
        self.lengths = torch.zeros_like(self.limits)  # tokens written, a stop among them
        self.rows = torch.arange(len(requests), device=device)
        self.written = torch.zeros(len(requests), int(self.limits.max()), dtype=torch.int64, device=device)
        self.ids, mask = pad_rows(model, [request.prompt for request in requests], left=True)  # (B, P)
        self.positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self.mask = None if bool(mask.all()) else mask  # without padding none is needed, which is faster
        self.cache: Any = None

    def write(self) -> list[list[int]]:
        running = self.limits > 0  # of self.rows
        step = 0
        while bool(running.any()):
            if step == 0 or int(running.sum()) <= _KEPT * len(running):
                running = self._leave(running)
            token = self._next_tokens()
            self.written[self.rows, step] = token
            self.lengths[self.rows] += running
            step += 1
            running = running & ~torch.isin(token, self.stops) & (self.limits[self.rows] > step)
            self._feed(token)
        counts = self.lengths.tolist()
        return [row[:count] for row, count in zip(self.written.tolist(), counts, strict=True)]

    def _next_tokens(self) -> Tensor:
        """The likeliest token of each row, (rows,)."""
        inputs: dict[str, Any] = {"input_ids": self.ids, "attention_mask": self.mask, "use_cache": True}
        optional = {"position_ids": self.positions, "logits_to_keep": 1}
        inputs |= {name: value for name, value in optional.items() if self.model.takes(name)}
        if self.cache is None:
            self.cache = _growing_cache(self.model.network.config)
        inputs["past_key_values" if self.model.takes("past_key_values") else "cache_params"] = self.cache
        with self.model.autocast():
            answer = self.model.network(**inputs)
        highest, token = answer.logits[:, -1].float().max(-1)
        check_finite(highest)
        return cast(Tensor, token)

    def _feed(self, token: Tensor) -> None:
        self.ids = token[:, None]
        self.positions = self.positions[:, -1:] + 1
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)

    def _leave(self, running: Tensor) -> Tensor:
        """Take out the rows that have ended; the rest are all running."""
        if bool(running.all()):
            return running
        kept = running.nonzero()[:, 0]
        self.rows, self.ids, self.positions = self.rows[kept], self.ids[kept], self.positions[kept]
        if self.mask is not None:
            self.mask = self.mask[kept]
        if self.cache is not None:
            self.cache.reorder_cache(kept)  # not batch_select_indices: layers that keep a state lack it
        return running[kept]


class _GrowingLayer(DynamicLayer):
    """A layer's keys and values, with room made ahead: `DynamicLayer` copies all of them at every step."""

    room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, (B, heads, length, d) each, with the new ones after the old."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self.room is None or self.room[0].shape[-2] < end:
            self.room = _make_room(key_states, end), _make_room(value_states, end)
            if self.keys is not None and self.values is not None and start:
                self.room[0][:, :, :start], self.room[1][:, :, :start] = self.keys, self.values
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.room[0][:, :, start:end], self.room[1][:, :, start:end] = key_states, value_states
        self.keys, self.values = self.room[0][:, :, :end], self.room[1][:, :, :end]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Any) -> None:
        """Keep the rows `beam_idx`, in this order."""
        super().reorder_cache(beam_idx)
        self.room = None


def _make_room(states: Tensor, length: int) -> Tensor:
    batch, heads, _, width = states.shape
    return states.new_empty(batch, heads, length + _SPARE, width)


def _growing_cache(config: Any) -> DynamicCache:
    """The cache that transformers would make; layers that keep everything (others may slide) grow in room."""
    cache = DynamicCache(config=config)
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
