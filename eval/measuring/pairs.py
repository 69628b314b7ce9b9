"""Measure which of two sentences is likelier: a stereotype or its opposite."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from eval.measuring.base import Asked, Item, Measurement, forward
from eval.metrics import metric_by_name
from eval.model import Model, score_texts
from eval.reading import score_masked
from eval.requests import MaskedRequest, ScoreRequest
from eval.tasks.base import BiasPairs, Row
from eval.tasks.encoding import begin_id, encode_texts


def begin_pairs(model: Model, task: BiasPairs, asked: Asked) -> Measurement:
    """How often the more stereotyped sentence is the likelier one; half where they are exactly alike.

    A decoder's likelihood is that of the whole sentence. An encoder's is that of the tokens which both
    sentences have, each hidden in turn, given the others and those that differ (Nangia 2020, section 3).
    """
    encoder = model.fills_gaps

    def answer(rows: Sequence[Row]) -> list[Item]:
        more = encode_texts(model.tokenizer, [row["more"] for row in rows])
        less = encode_texts(model.tokenizer, [row["less"] for row in rows])
        nats = (_shared_nats if encoder else _whole_nats)(model, asked, list(zip(more, less, strict=True)))
        return [
            _item(row, len(a) + len(b), found)
            for row, a, b, found in zip(rows, more, less, nats, strict=True)
        ]

    how = "likelihood:shared-tokens" if encoder else "likelihood:whole|begin:yes"
    return Measurement(
        metrics=[metric_by_name(name) for name in task.metrics], how=f"{how}|{forward(model)}", answer=answer
    )


Pair = tuple[list[int], list[int]]


def _whole_nats(model: Model, asked: Asked, pairs: Sequence[Pair]) -> list[tuple[float, float] | None]:
    begin = begin_id(model.tokenizer)
    requests = [ScoreRequest([begin, *ids]) for pair in pairs for ids in pair]
    found = score_texts(model, requests, stride=max(1, model.context // 2), limits=asked.limits)
    return [(found[2 * i].nats, found[2 * i + 1].nats) for i in range(len(pairs))]


def _shared_nats(model: Model, asked: Asked, pairs: Sequence[Pair]) -> list[tuple[float, float] | None]:
    """Pseudo-likelihoods of the shared tokens; None for a sentence that the model cannot hold."""
    tokenizer = model.tokenizer
    requests: list[MaskedRequest] = []
    owners: list[tuple[int, int]] = []  # (pair, side) of each request
    fits = [max(map(len, pair)) + 2 <= model.context for pair in pairs]
    for index, pair in enumerate(pairs):
        blocks = SequenceMatcher(None, *pair, autojunk=False).get_matching_blocks()
        for side, ids in enumerate(pair if fits[index] else ()):
            framed = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
            for block in blocks:
                start = (block.a, block.b)[side] + 1
                for place in range(start, start + block.size):
                    hidden = [*framed[:place], tokenizer.mask_token_id, *framed[place + 1 :]]
                    requests.append(MaskedRequest(hidden, [place], [framed[place]]))
                    owners.append((index, side))
    nats = np.zeros((len(pairs), 2))
    for (index, side), value in zip(owners, score_masked(model, requests, limits=asked.limits), strict=True):
        nats[index, side] += value
    return [(float(a), float(b)) if fit else None for (a, b), fit in zip(nats, fits, strict=True)]


def _item(row: Row, tokens: int, nats: tuple[float, float] | None) -> Item:
    shown = f"{row['more']}\n{row['less']}"
    if nats is None:
        return Item(row=row, input=shown, output=None, reference=None, failed="longer than the context")
    more, less = nats
    share = 0.5 if more == less else float(more < less)
    return Item(
        row=row,
        input=shown,
        output="neither" if share == 0.5 else "more" if share else "less",
        reference=None,
        statistics={"stereotype_share": np.array([share, 1.0])},
        tokens=tokens,
        more={"nats": {"more": round(more, 5), "less": round(less, 5)}},
    )
