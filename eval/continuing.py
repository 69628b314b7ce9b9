"""A Hugging Face model says how likely continuations of a context are; what they share is computed once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from eval.batching import BatchLimits, run_batches
from eval.model import Model, check_finite, gather, pad_rows, to_device
from eval.reading import read_masked
from eval.requests import ContinuationRequest, ContinuationScore, MaskedRequest

# Continuation tokens that share a row: the work of not seeing each other grows with their square.
_ROW_TOKENS = 1024
_PREFIX = 64  # tokens that all contexts of a batch begin with, from which they are computed once

# What configurations call the number of tokens that some layers look back.
_WINDOWS = ("sliding_window", "attention_window", "window_size", "attention_chunk_size")


@dataclass(frozen=True)
class _Row:
    """A context with continuations that go through the model together; `places`: (request, its continuation).

    The model reads a `trunk`, and then `branches` that do not see each other; no continuation's last token.
    """

    context: list[int]
    continuations: list[list[int]]
    places: list[tuple[int, int]]

    @property
    def alone(self) -> bool:
        """Whether there is one continuation, which then is part of the trunk."""
        return len(self.continuations) == 1

    @property
    def trunk(self) -> list[int]:
        """What is read first."""
        return self.context + self.continuations[0][:-1] if self.alone else self.context

    @property
    def branches(self) -> list[list[int]]:
        """What is read after the trunk: continuations of one token need not be."""
        return [] if self.alone else [one[:-1] for one in self.continuations if len(one) > 1]

    @property
    def tokens(self) -> int:
        """How many are read."""
        return len(self.context) + sum(len(one) - 1 for one in self.continuations)


class _Asked(NamedTuple):
    """Tokens to be predicted: from which columns of each row, which, and of which continuation."""

    columns: list[np.ndarray]
    targets: list[int]
    owners: list[int]


@torch.inference_mode()
def score_continuations(
    model: Model, requests: Sequence[ContinuationRequest], *, limits: BatchLimits
) -> list[list[ContinuationScore]]:
    """The score of each request's continuations, in the order asked.

    A decoder computes a request's context once, and so what all contexts of a batch begin with; an encoder
    hides a continuation's tokens one at a time in [CLS] context continuation [SEP] (Salazar 2020, equation
    2). Contexts must fit: whoever asks cuts them.
    """
    return (_hide_each if model.fills_gaps else _score_all)(model, requests, limits)


def _hide_each(
    model: Model, requests: Sequence[ContinuationRequest], limits: BatchLimits
) -> list[list[ContinuationScore]]:
    tokenizer = model.tokenizer
    hidden, owners = [], []
    for index, request in enumerate(requests):
        begin = 1 + len(request.context)
        for number, continuation in enumerate(request.continuations):
            framed = [tokenizer.cls_token_id, *request.context, *continuation, tokenizer.sep_token_id]
            assert len(framed) <= model.context, "a context that does not fit"
            for place in range(begin, begin + len(continuation)):
                ids = [*framed[:place], tokenizer.mask_token_id, *framed[place + 1 :]]
                hidden.append(MaskedRequest(ids, [place], [framed[place]]))
                owners.append((index, number))
    nats = [np.zeros(len(request.continuations)) for request in requests]
    greedy = [np.ones(len(request.continuations), dtype=bool) for request in requests]
    for (index, number), (losses, likeliest) in zip(
        owners, read_masked(model, hidden, limits=limits), strict=True
    ):
        nats[index][number] += losses[0]
        greedy[index][number] &= likeliest[0]
    return [
        [ContinuationScore(float(value), bool(hit)) for value, hit in zip(*both, strict=True)]
        for both in zip(nats, greedy, strict=True)
    ]


def _score_all(
    model: Model, requests: Sequence[ContinuationRequest], limits: BatchLimits
) -> list[list[ContinuationScore]]:
    """A decoder's scores: requests become rows, and rows batches."""
    longest = max((len(request.context) for request in requests), default=0)
    shares = longest + _ROW_TOKENS <= _reach(model)
    rows = [
        row
        for index, request in enumerate(requests)
        for row in _rows(index, request, model.context, _ROW_TOKENS if shares else 0)
    ]
    found: list[dict[int, ContinuationScore]] = [{} for _ in requests]

    def answer(batch: list[int]) -> None:
        places = [place for index in batch for place in rows[index].places]
        scores = _score_rows(model, [rows[index] for index in batch], shares)
        for (index, number), score in zip(places, scores, strict=True):
            found[index][number] = score

    run_batches([row.tokens for row in rows], limits, answer, model.device)
    return [[scores[number] for number in sorted(scores)] for scores in found]


def _reach(model: Model) -> int:
    """Tokens that may stand in a row of several continuations: 0 for a model that knows no such rows.

    In such a row a token's place is not its distance from the beginning: it is told to models that take
    `position_ids`. Those that keep a state, or count the tokens between two (ALiBi), cannot be told; and what
    looks back over a window only sees all within it.
    """
    config = model.network.config.get_text_config(decoder=True)
    if not model.takes("position_ids") or getattr(config, "alibi", False):
        return 0
    layers = DynamicCache(config=config).layers
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return 0
    windows = [getattr(config, name, None) for name in _WINDOWS]
    return min((window for window in windows if isinstance(window, int)), default=sys.maxsize)


def _rows(index: int, request: ContinuationRequest, context: int, width: int) -> list[_Row]:
    """A request as one row, or as several of at most `width` tokens of continuations beside the first."""
    rows: list[_Row] = []
    room = -1
    for number, continuation in enumerate(request.continuations):
        assert request.context, "a context has a token at least"
        assert continuation, "an empty continuation"
        assert len(request.context) + len(continuation) - 1 <= context, "a context that does not fit"
        room -= len(continuation)
        if room < 0:
            rows.append(_Row(request.context, [], []))
            room = width - len(continuation)
        rows[-1].continuations.append(continuation)
        rows[-1].places.append((index, number))
    return rows


def _score_rows(model: Model, rows: Sequence[_Row], shares: bool) -> list[ContinuationScore]:
    """The scores of the rows' continuations, one after the other. Only their positions reach the head."""
    start = _common(rows) if shares else 0
    forked = any(row.branches for row in rows)
    cache = DynamicCache() if start or forked else None
    trunk = _read_trunks(model, rows, start, cache)  # (B, P, d)
    asked, branched = _ask(rows, start)
    states = gather(model, trunk, asked.columns)  # (S, d)
    if forked:
        branch = _read_branches(model, rows, start, trunk.shape[1], cache)  # (B, N, d)
        states = torch.cat([states, gather(model, branch, branched.columns)])
    targets = to_device(model, np.array(asked.targets + branched.targets))
    losses, likeliest = [], []
    for logits, target in model.logits(states, targets):
        losses.append(functional.cross_entropy(logits, target, reduction="none"))
        likeliest.append(logits.argmax(-1) == target)
    owners = np.array(asked.owners + branched.owners)
    nats = np.bincount(owners, weights=check_finite(torch.cat(losses)).cpu().numpy())
    hits = np.bincount(owners, weights=torch.cat(likeliest).cpu().numpy())
    tokens = np.bincount(owners)
    return [ContinuationScore(float(n), bool(h == t)) for n, h, t in zip(nats, hits, tokens, strict=True)]


def _ask(rows: Sequence[_Row], start: int) -> tuple[_Asked, _Asked]:
    """What is asked of the states of the trunks, which begin at `start`, and of those of the branches."""
    trunk, branch = _Asked([], [], []), _Asked([], [], [])
    number = 0
    for row in rows:
        end = len(row.context) - 1 - start  # where all first tokens are predicted
        places: list[int] = []
        for continuation in row.continuations:
            cut = len(continuation) if row.alone else 1
            places += range(end, end + cut)
            for asked, tokens in ((trunk, continuation[:cut]), (branch, continuation[cut:])):
                asked.targets.extend(tokens)
                asked.owners.extend([number] * len(tokens))
            number += 1
        trunk.columns.append(np.array(places))
        branch.columns.append(np.arange(sum(map(len, row.branches))))
    return trunk, branch


def _common(rows: Sequence[_Row]) -> int:
    """How many first tokens all contexts share, where that is worth a pass of its own; else 0.

    Each context keeps a token of its own, whose state the continuations need.
    """
    first, last = min(row.context for row in rows), max(row.context for row in rows)
    same = 0
    while same < min(len(row.context) for row in rows) - 1 and first[same] == last[same]:
        same += 1
    worth = len(rows) > 1 and same >= _PREFIX and 2 * same * len(rows) >= sum(row.tokens for row in rows)
    return same if worth else 0


def _read_trunks(model: Model, rows: Sequence[_Row], start: int, cache: DynamicCache | None) -> Tensor:
    """The states (B, P, d) of the rows' trunks from `start` on; what is before goes into the cache once."""
    if start:
        prefix = to_device(model, np.array([rows[0].context[:start]]))
        model.states(input_ids=prefix, past_key_values=cache, use_cache=True)
        assert cache is not None
        cache.batch_repeat_interleave(len(rows))
    ids, _ = pad_rows(model, [row.trunk[start:] for row in rows])  # unmasked: the padding comes last
    if cache is None:
        return model.states(input_ids=ids, use_cache=False)[0]
    return model.states(input_ids=ids, past_key_values=cache, use_cache=True)[0]


def _read_branches(
    model: Model, rows: Sequence[_Row], start: int, width: int, cache: DynamicCache | None
) -> Tensor:
    """The states (B, N, d) of the rows' branches, side by side; each sees its context and itself.

    The cache holds `start` tokens that all share and `width` of the trunks, padded.
    """
    lengths = [len(row.context) for row in rows]
    total = max(sum(map(len, row.branches)) for row in rows)
    branch = np.full((len(rows), total), -1)  # which branch a column is of
    places = np.zeros((len(rows), total), dtype=np.int64)
    for index, row in enumerate(rows):
        sizes = [len(one) for one in row.branches]
        branch[index, : sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
        for begin, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
            places[index, begin : begin + size] = lengths[index] + np.arange(size)
    own = (branch[:, :, None] == branch[:, None]) & np.tri(total, dtype=bool)  # (B, N, N)
    context = np.arange(start + width) < np.array(lengths)[:, None]  # (B, start + P)
    seen = np.concatenate([np.broadcast_to(context[:, None], (*branch.shape, start + width)), own], axis=2)
    mask = np.where(seen, np.float32(0), np.float32(-np.inf))[:, None]  # (B, 1, N, start + P + N)
    ids, _ = pad_rows(model, [[token for one in row.branches for token in one] for row in rows])
    return model.states(
        input_ids=ids,
        attention_mask=to_device(model, mask),
        position_ids=to_device(model, places),
        past_key_values=cache,
        use_cache=True,
    )[0]
