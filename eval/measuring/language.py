"""Measure how surprising running text is, to a causal and to a masked language model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.files import hash_json
from eval.masking import IGNORED, MASKED, REPLACED, SHARE, MaskVocabulary, mask
from eval.measuring.base import Asked, Item, Measurement, forward, num_bytes, num_words
from eval.measuring.passage import passage_of, token_starts
from eval.metrics import metric_by_name
from eval.metrics.base import Array
from eval.model import Model, score_texts
from eval.reading import score_masked
from eval.requests import MaskedRequest, ScoreRequest
from eval.tasks.base import LanguageModelling, Row
from eval.tasks.encoding import begin_id, encode_texts

MASK_SEED = 15  # of the masks of every evaluation: the same tokens are hidden from every model
FEW = 20  # documents, under which the spread is that of their blocks
BLOCK = 1 << 14  # characters of a block: some thousand tokens, long beside what a context holds
_CHUNK = 1 << 20  # tokens of requests held at once: hiding every token in turn makes many


def begin_perplexity(model: Model, task: LanguageModelling, asked: Asked) -> Measurement:
    """Bits per byte and perplexities of whole documents, each after the begin token.

    Errors are over documents; where there are fewer than 20, and no groups, over blocks of 16 K characters of
    them, cut at white space, each token counted where it begins.
    """
    settings = asked.settings
    stride = settings.stride or model.context // 2
    blocks = (
        len(asked.rows) < FEW and model.tokenizer.is_fast and any("group" not in row for row in asked.rows)
    )
    begin = begin_id(model.tokenizer)
    first = next((row["id"] for row in asked.rows), None)

    def answer(rows: Sequence[Row]) -> list[Item]:
        texts = [row["text"] for row in rows]
        ids = encode_texts(model.tokenizer, texts)
        requests = [ScoreRequest([begin, *tokens]) for tokens in ids]
        losses = [
            answer.losses for answer in score_texts(model, requests, stride=stride, limits=asked.limits)
        ]
        starts = [token_starts(model, text) if blocks and len(text) > BLOCK else None for text in texts]
        items = [
            _document(task, row, one, start, settings.token_losses)
            for row, one, start in zip(rows, losses, starts, strict=True)
        ]
        return [
            replace(item, passage=passage_of(model, item.row, one)) if item.row["id"] == first else item
            for item, one in zip(items, losses, strict=True)
        ]

    return Measurement(
        metrics=[metric_by_name(name) for name in task.metrics],
        how=f"{forward(model)}|stride:{stride}|begin:yes" + ("|errors:by-block" if blocks else ""),
        signatures={"token_perplexity": _vocabulary(model)},
        answer=answer,
    )


def begin_masked(model: Model, task: LanguageModelling, asked: Asked) -> Measurement:
    """Nats per hidden token: of a fixed 15 % (`masked_lm_loss`), or of each in turn (`pseudo_perplexity`).

    Documents are cut into [CLS] … [SEP] windows that stand apart; errors by document. Which tokens are hidden
    depends on the row's id and the window only, so other rows and batches change nothing. Pseudo-perplexity
    is exp(nats / tokens) of Salazar 2020, and takes as many forward passes as there are tokens.
    """
    vocabulary = MaskVocabulary.of(model.tokenizer)
    hide = _hide_some if task.asks == "masked" else _hide_each

    def answer(rows: Sequence[Row]) -> list[Item]:
        texts = encode_texts(model.tokenizer, [row["text"] for row in rows])
        nats, tokens = np.zeros(len(rows)), np.zeros(len(rows))
        read = np.zeros(len(rows), dtype=int)
        for chunk in _chunks(_requests(hide, rows, texts, model.context, vocabulary)):
            answers = score_masked(model, [request for _, request in chunk], limits=asked.limits)
            for (row, request), value in zip(chunk, answers, strict=True):
                nats[row] += value
                tokens[row] += len(request.places)
                read[row] += len(request.ids)
        return [
            Item(
                row=row,
                input=row["text"],
                output=None,
                reference=None,
                statistics={name: np.array([nats[i], tokens[i]]) for name in task.metrics},
                tokens=int(read[i]),
            )
            for i, row in enumerate(rows)
        ]

    hidden = "each in turn"
    if task.asks == "masked":
        hidden = f"{SHARE:g} by seed {MASK_SEED}, {MASKED:g} as [MASK], {REPLACED:g} at random"
    return Measurement(
        metrics=[metric_by_name(name) for name in task.metrics],
        how=f"{forward(model)}|windows:apart|hidden:{hidden}{_vocabulary(model)}",
        answer=answer,
    )


def _document(
    task: LanguageModelling, row: Row, losses: Any, starts: Array | None, keep_losses: bool
) -> Item:
    """A document's item: nats over its tokens, words and bytes, in one block or several."""
    text = row["text"]
    ends = [len(text)] if starts is None else _cuts(text)
    at = np.zeros(len(losses), dtype=int)
    if starts is not None:  # some tokenizers say of white space at the end that it begins where the text ends
        at = np.minimum(np.searchsorted(ends, starts, side="right"), len(ends) - 1)
    nats = np.bincount(at, weights=losses.astype(np.float64), minlength=len(ends))
    parts = [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    sizes = np.array([num_bytes(part) for part in parts], dtype=np.float64)
    if "bytes" in row:  # of the text as found, which has been tidied since
        sizes = sizes / sizes.sum() * row["bytes"] if sizes.sum() else np.array([float(row["bytes"])])
    words = np.array([len(part.split()) for part in parts], dtype=np.float64)
    words[-1] += num_words(text) - words.sum()  # what white space at the ends adds
    units = {
        "bits_per_byte": sizes,
        "byte_perplexity": sizes,
        "word_perplexity": words,
        "token_perplexity": np.bincount(at, minlength=len(ends)).astype(np.float64),
    }
    table = {name: np.column_stack([nats, units[name]]) for name in task.metrics}
    return Item(
        row=row,
        input=text,
        output=None,
        reference=None,
        statistics=table if len(ends) > 1 else {name: rows[0] for name, rows in table.items()},
        tokens=len(losses),
        more={"losses": [round(float(loss), 4) for loss in losses]} if keep_losses else {},
    )


def _cuts(text: str) -> list[int]:
    """Where the blocks of a text end: at the first white space after each `BLOCK` characters."""
    ends = []
    place = BLOCK
    while place < len(text):
        while place < len(text) and not text[place].isspace():
            place += 1
        ends.append(place)
        place += BLOCK
    if len(text) - (ends[-1] if ends else 0) < BLOCK // 2 and len(ends) > 1:
        ends.pop()  # a short rest joins the block before it
    return [end for end in ends if end < len(text)] + [len(text)]


Hide = Callable[[list[int], MaskVocabulary, list[int]], Iterator[MaskedRequest]]


def _requests(
    hide: Hide, rows: Sequence[Row], texts: Sequence[list[int]], context: int, vocabulary: MaskVocabulary
) -> Iterator[tuple[int, MaskedRequest]]:
    """Every row's index with each of its requests."""
    room = context - 2
    for index, (row, ids) in enumerate(zip(rows, texts, strict=True)):
        name = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "big")
        for begin in range(0, len(ids), room):
            window = [vocabulary.cls, *ids[begin : begin + room], vocabulary.sep]
            for request in hide(window, vocabulary, [MASK_SEED, name, begin]):
                yield index, request


def _hide_some(window: list[int], vocabulary: MaskVocabulary, seed: list[int]) -> Iterator[MaskedRequest]:
    generator = np.random.default_rng(seed)
    (inputs,), (targets,) = mask(np.array([window]), vocabulary, [generator])
    places = np.flatnonzero(targets != IGNORED)
    if len(places):  # none in a window of unknown words only
        yield MaskedRequest(inputs.tolist(), places.tolist(), targets[places].tolist())


def _hide_each(window: list[int], vocabulary: MaskVocabulary, seed: list[int]) -> Iterator[MaskedRequest]:
    for place in range(1, len(window) - 1):
        ids = [*window[:place], vocabulary.mask, *window[place + 1 :]]
        yield MaskedRequest(ids, [place], [window[place]])


def _chunks(requests: Iterator[tuple[int, MaskedRequest]]) -> Iterator[list[tuple[int, MaskedRequest]]]:
    """Requests in groups that memory holds."""
    chunk: list[tuple[int, MaskedRequest]] = []
    size = 0
    for index, request in requests:
        chunk.append((index, request))
        size += len(request.ids)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _vocabulary(model: Model) -> str:
    """Losses per token of different tokenizers are different metrics."""
    return f"|vocabulary:{hash_json(model.tokenizer.get_vocab())}"
