"""Predict: one answer a row, in the order of the rows, a few hundred rows at a time.

A row is read as fine-tuning and evaluation read it, so its answer is the one that the model was scored on.
What is longer than the model reads is cut as there (a text loses its end), and the answer says `truncated`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch

from eval.batching import BatchLimits
from eval.files import InputError
from eval.generating import generate
from eval.measuring.spans import best_span
from eval.reading import read_texts, read_tokens
from eval.requests import GenerateRequest, ReadRequest
from eval.tasks.encoding import Encoded, begin_id, encode_for_label, encode_prompts, encode_spans, encode_tags
from eval.tasks.settings import LEARNT
from pipelines.using.inputs import TEXT, InputRow
from pipelines.using.predictor import Predictor

CHUNK = 256  # rows read, answered and written at a time
ENDLESS = 10**9  # tokens: a context that nothing is cut to

# What a prediction needs of a row, and what it takes where it is there.
_NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classification": (("text",), ("text_pair",)),
    "multi-label": (("text",), ("text_pair",)),
    "regression": (("text",), ("text_pair",)),
    "generation": (("source",), ()),
    "span": (("question", "context"), ()),
    "tagging": (("words",), ()),
}
_LINES = ("source", "words")  # what lines of text can stand for, beside text itself

Answer = dict[str, Any]


def predict(predictor: Predictor, rows: Iterable[InputRow], *, batch_tokens: int) -> Iterator[Answer]:
    """One answer a row, in order, whatever the batches are: the fields depend on the kind of task.

    All have `id` (the row's own, else its number from 1) and `truncated`. classification: label,
    probabilities; multi-label: labels, probabilities; regression: value; generation: output; span: answer,
    start, end (characters), score and no_answer_score (sums of two logits); tagging: tags, scores
    (probabilities). Raises InputError for rows without the columns, naming those that are there.
    """
    answer, limits = _ANSWERS[predictor.task.kind], BatchLimits(batch_tokens)
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        read = [_read(row, predictor) for row in chunk]
        for row, values in zip(chunk, answer(predictor, read, limits), strict=True):
            yield {"id": name_row(row, predictor), **values}


def name_row(row: InputRow, predictor: Predictor) -> Any:
    """The row's own id, else its number."""
    column = predictor.columns.column(row, "id")
    return row.number if column is None else row.values[column]


def as_text(value: Any, row: InputRow, field: str) -> str:
    """The value, if it is a text that UTF-8 can hold; else InputError."""
    if not isinstance(value, str):
        raise InputError(f"{row.where}: {field} is {value!r:.60}; a text is wanted")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # bytes of the command line that are no text
        raise InputError(
            f"{row.where}: {field} is {value!r:.60}, which is not UTF-8; write it as UTF-8"
        ) from error
    return value


def _read(row: InputRow, predictor: Predictor) -> dict[str, Any]:
    """The fields of one row that a model of this kind reads."""
    needed, optional = _NEEDS[predictor.task.kind]
    found: dict[str, Any] = {}
    for field in needed:
        value = predictor.columns.find(row, field, *((TEXT,) if field in _LINES else ()))
        found[field] = _words(value, row) if field == "words" else as_text(value, row, field)
    for field in optional:
        if field in predictor.columns.asked or predictor.columns.column(row, field) is not None:
            found[field] = as_text(predictor.columns.find(row, field), row, field)
    return found


def _words(value: Any, row: InputRow) -> list[str]:
    """Words, or a text cut at its white space."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise InputError(f"{row.where}: words is {value!r:.60}; a list of words, or a text, is wanted")
    return words


def _classes(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    logits, cut = _logits(predictor, rows, limits)
    for shares, truncated in zip(logits.softmax(-1).tolist(), cut, strict=True):
        best = max(range(len(shares)), key=shares.__getitem__)
        yield {
            "label": predictor.labels[best],
            "probabilities": _named(predictor.labels, shares),
            "truncated": truncated,
        }


def _label_sets(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    logits, cut = _logits(predictor, rows, limits)
    for values, shares, truncated in zip(logits.tolist(), logits.sigmoid().tolist(), cut, strict=True):
        yield {
            "labels": [label for label, value in zip(predictor.labels, values, strict=True) if value > 0],
            "probabilities": _named(predictor.labels, shares),
            "truncated": truncated,
        }


def _numbers(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    logits, cut = _logits(predictor, rows, limits)
    for value, truncated in zip(logits[:, 0].tolist(), cut, strict=True):
        yield {"value": short(value), "truncated": truncated}


def _texts(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    task, tokenizer = predictor.task, predictor.model.tokenizer
    assert task.kind == "generation"
    prompts = encode_prompts(task, tokenizer, rows, predictor.model.context)
    requests = [GenerateRequest(prompt.ids, task.max_new_tokens) for prompt in prompts]
    written = generate(predictor.model, requests, stops=predictor.stops, limits=limits)
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    for text, prompt in zip(texts, prompts, strict=True):
        yield {"output": first_line(text), "truncated": prompt.cut}


def first_line(text: str) -> str:
    """What a task's answer is: the text before a line break."""
    return text.split("\n", 1)[0].strip()


def _spans(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    task, model = predictor.task, predictor.model
    assert task.kind == "span"
    asked = [{**row, "answers": []} for row in rows]
    windows = encode_spans(task, model.tokenizer, asked, model.context, model.context // 2)
    requests = [ReadRequest(window.ids, window.types) for window in windows]
    by_row: dict[int, list[Answer]] = defaultdict(list)
    none: dict[int, float] = {}
    for window, logits in zip(windows, read_tokens(model, requests, limits=limits), strict=True):
        values = logits.double().numpy()
        score, first, last = best_span(window, values)
        begin, end = window.offsets[first], window.offsets[last]
        if begin is not None and end is not None:  # an empty context has nothing to answer with
            by_row[window.row].append({"score": score, "start": begin[0], "end": end[1]})
        none[window.row] = min(none.get(window.row, float("inf")), float(values[0].sum()))
    for index, row in enumerate(rows):
        best = max(by_row[index], key=lambda one: one["score"], default=None)
        yield _span(row["context"], best, none[index])


def _span(context: str, best: Answer | None, none: float) -> Answer:
    """The answer's text without the space around it, and where it stands; nothing is cut: windows overlap."""
    if best is None:
        return {
            "answer": "",
            "start": None,
            "end": None,
            "score": None,
            "no_answer_score": short(none),
            "truncated": False,
        }
    text = context[best["start"] : best["end"]]
    start = best["start"] + len(text) - len(text.lstrip())
    text = text.strip()
    return {
        "answer": text,
        "start": start,
        "end": start + len(text),
        "score": short(best["score"]),
        "no_answer_score": short(none),
        "truncated": False,
    }


def _tags(predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits) -> Iterator[Answer]:
    task, model, labels = predictor.task, predictor.model, predictor.labels
    assert task.kind == "tagging"
    untagged = [{**row, "tags": [labels[0]] * len(row["words"])} for row in rows]
    parts = encode_tags(task, model.tokenizer, untagged, labels, model.context)
    requests = [ReadRequest(part.ids, part.types) for part in parts]
    tags: list[list[str]] = [[] for _ in rows]
    scores: list[list[float]] = [[] for _ in rows]
    for part, logits in zip(parts, read_tokens(model, requests, limits=limits), strict=True):
        shares, best = logits[part.places].double().softmax(-1).max(-1)
        tags[part.row] += [labels[index] for index in best.tolist()]
        scores[part.row] += [short(share) for share in shares.tolist()]
    for row_tags, row_scores in zip(tags, scores, strict=True):  # a long row is read in parts: nothing is cut
        yield {"tags": row_tags, "scores": row_scores, "truncated": False}


def _logits(
    predictor: Predictor, rows: list[dict[str, Any]], limits: BatchLimits
) -> tuple[torch.Tensor, list[bool]]:
    """(rows, outputs) in float64, and whether each row was cut."""
    limit = predictor.model.context
    encoded = _encode(predictor, rows, limit)
    full = [index for index, text in enumerate(encoded) if len(text.ids) == limit]
    uncut = _encode(predictor, [rows[index] for index in full], ENDLESS) if full else []
    cut = {index for index, text in zip(full, uncut, strict=True) if len(text.ids) > limit}
    requests = [ReadRequest(text.ids, text.types) for text in encoded]
    logits = read_texts(predictor.model, requests, limits=limits)
    return logits.double(), [index in cut for index in range(len(rows))]


def _encode(predictor: Predictor, rows: Sequence[Mapping[str, Any]], limit: int) -> list[Encoded]:
    """Rows as their task frames them; for a model from elsewhere as its own tokenizer does."""
    task, tokenizer = predictor.task, predictor.model.tokenizer
    if predictor.own:
        assert task.kind in ("classification", "multi-label", "regression")
        return encode_for_label(task, tokenizer, rows, limit)
    found = []
    for row in rows:  # one at a time, since some rows may be pairs
        encoded = tokenizer(
            row["text"], row.get("text_pair"), truncation=limit < ENDLESS, max_length=limit, verbose=False
        )
        ids = list(encoded["input_ids"]) or [begin_id(tokenizer)]
        found.append(Encoded(ids, list(encoded.get("token_type_ids") or ())[: len(ids)]))
    return found


def _named(labels: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    return {label: short(share) for label, share in zip(labels, shares, strict=True)}


def short(value: float) -> float:
    """Six digits: more differ from machine to machine."""
    return float(f"{value:.6g}")


_ANSWERS: dict[str, Callable[[Predictor, list[dict[str, Any]], BatchLimits], Iterator[Answer]]] = {
    "classification": _classes,
    "multi-label": _label_sets,
    "regression": _numbers,
    "generation": _texts,
    "span": _spans,
    "tagging": _tags,
}
assert set(_ANSWERS) == set(_NEEDS) == set(LEARNT)
