"""Measure how surprising running text is, to a causal and to a masked language model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from eval.files import InputError, hash_json
from eval.masking import IGNORED, MASKED, REPLACED, SHARE, MaskVocabulary, mask
from eval.measuring.base import Asked, Measured, forward
from eval.metrics import Score
from eval.metrics.surprise import Estimate, bits_per_byte, mean_loss, perplexity
from eval.model import Model, score_texts
from eval.reading import score_masked
from eval.requests import MaskedRequest, ScoreRequest
from eval.tasks.base import LanguageModelling, Row
from eval.tasks.encoding import begin_id, encode_texts

MASK_SEED = 15  # of the masks of every evaluation: the same tokens are hidden from every model
_CHUNK = 1 << 20  # tokens of requests held at once: hiding every token in turn makes many


def measure_perplexity(model: Model, task: LanguageModelling, asked: Asked) -> Measured:
    """Bits per byte and perplexities of whole documents, each after the begin token; errors by document."""
    rows, settings = asked.rows, asked.settings
    stride = settings.stride or model.context // 2
    if stride > model.context:
        raise InputError(f"eval.stride: {stride} is more than the context, {model.context} tokens; lower it")
    begin = begin_id(model.tokenizer)
    texts = encode_texts(model.tokenizer, [row["text"] for row in rows])
    requests = [ScoreRequest([begin, *ids]) for ids in texts]
    answers = score_texts(model, requests, stride=stride, batch_tokens=settings.batch_tokens)
    nats = np.array([answer.nats for answer in answers])
    tokens = np.array([answer.tokens for answer in answers], dtype=np.float64)
    num_bytes = np.array([_bytes(row) for row in rows], dtype=np.float64)
    if not num_bytes.sum():
        raise InputError(f"{task.name}: all {len(rows)} documents are empty; give some text")

    how = f"{forward(model)}|stride:{stride}|begin:yes"
    estimates = {
        "bits_per_byte": (bits_per_byte(nats, num_bytes), how),
        "token_perplexity": (perplexity(nats, tokens), how + _vocabulary(model)),
        "byte_perplexity": (perplexity(nats, num_bytes), how),
    }
    items = [
        {"id": row["id"], "nats": answer.nats, "tokens": answer.tokens, "bytes": int(size)}
        for row, answer, size in zip(rows, answers, num_bytes, strict=True)
    ]
    return Measured([_over_documents(name, *estimates[name], len(rows)) for name in task.metrics], items)


def measure_masked(model: Model, task: LanguageModelling, asked: Asked) -> Measured:
    """Nats per hidden token: of a fixed 15 % (`masked_lm_loss`), or of each in turn (`pseudo_perplexity`).

    Documents are cut into [CLS] … [SEP] windows that stand apart; errors by document. Which tokens are hidden
    depends on the row's id and the window only, so other rows and batches change nothing. Pseudo-perplexity
    is exp(nats / tokens) of Salazar 2020, and takes as many forward passes as there are tokens.
    """
    rows = asked.rows
    vocabulary = MaskVocabulary.of(model.tokenizer)
    texts = encode_texts(model.tokenizer, [row["text"] for row in rows])
    hide = _hide_some if task.asks == "masked" else _hide_each
    nats, tokens = np.zeros(len(rows)), np.zeros(len(rows))
    for chunk in _chunks(_requests(hide, rows, texts, model.context, vocabulary)):
        answers = score_masked(
            model, [request for _, request in chunk], batch_tokens=asked.settings.batch_tokens
        )
        for (row, request), value in zip(chunk, answers, strict=True):
            nats[row] += value
            tokens[row] += len(request.places)
    if not tokens.sum():
        raise InputError(f"{task.name}: all {len(rows)} documents are empty; give some text")

    hidden = "each in turn"
    if task.asks == "masked":
        hidden = f"{SHARE:g} by seed {MASK_SEED}, {MASKED:g} as [MASK], {REPLACED:g} at random"
    how = f"{forward(model)}|windows:apart|hidden:{hidden}{_vocabulary(model)}"
    estimates = {"masked_lm_loss": mean_loss, "pseudo_perplexity": perplexity}
    scores = [_over_documents(name, estimates[name](nats, tokens), how, len(rows)) for name in task.metrics]
    return Measured(
        scores,
        [
            {"id": row["id"], "nats": float(value), "tokens": int(count)}
            for row, value, count in zip(rows, nats, tokens, strict=True)
        ],
    )


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


def _over_documents(metric: str, estimate: Estimate, signature: str, documents: int) -> Score:
    reason = "one document has no spread" if estimate.stderr is None else None
    return Score(metric, estimate.value, estimate.stderr, documents, signature, reason)


def _vocabulary(model: Model) -> str:
    """Losses per token of different tokenizers are different metrics."""
    return f"|vocabulary:{hash_json(model.tokenizer.get_vocab())}"


def _bytes(row: Row) -> int:
    """UTF-8 bytes of the document as found: the row's own count where it has one."""
    return int(row["bytes"]) if "bytes" in row else len(row["text"].encode("utf-8"))
