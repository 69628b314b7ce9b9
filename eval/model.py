"""A Hugging Face model scores text: batched by like length, the same for any batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eval.batching import BatchLimits, run_batches
from eval.files import InputError
from eval.requests import ScoreRequest, TextScore
from eval.windows import cut_windows

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

    @property
    def fills_gaps(self) -> bool:
        """Whether it reads both ways and guesses hidden tokens, rather than writes from left to right."""
        config = self.network.config
        return fills_gaps(config.model_type, getattr(config, "is_decoder", False))

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision asked for, around a forward pass."""
        lower = self.dtype == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=lower)

    def takes(self, argument: str) -> bool:
        """Whether the network's forward pass knows an argument of this name."""
        return argument in self._arguments

    def states(self, **inputs: Any) -> tuple[Tensor, Any]:
        """What `logits` turns into logits, (B, T, d), and the key–value cache where one was asked for."""
        with self.autocast():
            if self._plain_head:
                answer = self.network.base_model(**inputs)
                return answer.last_hidden_state, answer.get("past_key_values")
            answer = self.network(**inputs)
            return answer.logits, answer.get("past_key_values")

    def logits(self, states: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks of float32 logits, (rows, V), of states (S, d), each with its part of the `targets` (S,)."""
        head: Any = self.network.get_output_embeddings() if self._plain_head else torch.nn.Identity()
        rows = max(1, _HEAD_VALUES // (head.out_features if self._plain_head else states.shape[-1]))
        for part, target in zip(states.split(rows), targets.split(rows), strict=True):
            with self.autocast():
                logits = head(part)
            yield logits.float(), target

    @cached_property
    def _arguments(self) -> frozenset[str]:
        return frozenset(signature(self.network.forward).parameters)

    @cached_property
    def _plain_head(self) -> bool:
        """Whether logits are nothing but the output layer on the last states, which a forward pass shows.

        Some models scale or bend them (Gemma 2). The same operations give the same bits.
        """
        head = self.network.get_output_embeddings()
        if not isinstance(head, torch.nn.Linear):
            return False
        ids = torch.tensor([[0, 1]], device=self.device)
        with torch.inference_mode():
            states = self.network.base_model(input_ids=ids).last_hidden_state
            return torch.equal(head(states), self.network(input_ids=ids).logits)


def fills_gaps(model_type: str, is_decoder: bool) -> bool:
    """Whether models of this type guess hidden tokens, as BERT does, where they are not set to write."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not is_decoder


def check_finite(values: Tensor) -> Tensor:
    """The values; `InputError` where one is not finite: NaN compares with nothing, and would win or lose."""
    if not bool(values.isfinite().all()):
        raise InputError(
            "the model gives NaN or infinity; its weights are broken, or too large for its dtype"
        )
    return values


@torch.inference_mode()
def score_texts(
    model: Model, requests: Sequence[ScoreRequest], *, stride: int, limits: BatchLimits
) -> list[TextScore]:
    """Nats of each text's tokens after its first, each once, in strided windows; in the order asked.

    With `stride` the model's context, windows are those of lm-evaluation-harness (`loglikelihood_rolling`).
    """
    texts = [np.asarray(request.ids, dtype=np.int64) for request in requests]
    losses = [np.zeros(max(0, len(text) - 1), dtype=np.float32) for text in texts]
    windows = [
        (index, window)
        for index, text in enumerate(texts)
        for window in cut_windows(len(text), context=model.context, stride=stride)
    ]

    def answer(batch: list[int]) -> None:
        chosen = [windows[place] for place in batch]
        inputs = [texts[index][window.begin : window.end] for index, window in chosen]
        scored = [window.end + 1 - window.first for _, window in chosen]
        targets = [texts[index][window.first : window.end + 1] for index, window in chosen]
        columns = [np.arange(window.first - 1, window.end) - window.begin for _, window in chosen]
        nats = _score_rows(model, inputs, columns, targets)
        for (index, window), part in zip(chosen, np.split(nats, np.cumsum(scored)[:-1]), strict=True):
            losses[index][window.first - 1 : window.end] = part

    run_batches([window.end - window.begin for _, window in windows], limits, answer, model.device)
    return [TextScore(values) for values in losses]


def pad_rows(
    model: Model, rows: Sequence[Sequence[int] | np.ndarray], *, left: bool = False
) -> tuple[Tensor, Tensor]:
    """(ids, mask), both (rows, longest): PAD and 0 after each row's end, or before its beginning."""
    lengths = np.array([len(row) for row in rows])
    columns = np.arange(lengths.max())
    mask = columns >= (lengths.max() - lengths)[:, None] if left else columns < lengths[:, None]
    ids = np.full(mask.shape, model.pad, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return to_device(model, ids), to_device(model, mask.astype(np.int64))


def to_device(model: Model, values: np.ndarray) -> Tensor:
    """A tensor of `values` where the model is."""
    return torch.from_numpy(values).to(model.device)


def gather(model: Model, states: Tensor, columns: Sequence[np.ndarray]) -> Tensor:
    """The states (S, d) at each row's `columns`, one row after the other; states (B, T, d)."""
    rows = np.repeat(np.arange(len(columns)), [len(part) for part in columns])
    return states[to_device(model, rows), to_device(model, np.concatenate(columns))]


def _score_rows(
    model: Model, rows: Sequence[np.ndarray], columns: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> np.ndarray:
    """Nats (S,) of `targets` at each row's `columns`. Only those positions reach the head."""
    ids, _ = pad_rows(model, rows)  # no mask: padding follows what it could disturb, and is faster without
    states, _ = model.states(input_ids=ids, use_cache=False)
    chosen = gather(model, states, columns)
    wanted = to_device(model, np.concatenate(targets))
    parts = [
        functional.cross_entropy(logits, target, reduction="none")
        for logits, target in model.logits(chosen, wanted)
    ]
    return check_finite(torch.cat(parts)).cpu().numpy()
