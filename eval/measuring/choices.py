"""Measure which continuation of a text is the likeliest: choices, labels in words, a passage's last word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.continuing import score_continuations
from eval.measuring.base import Asked, Item, Measurement, begins, forward, num_bytes, wording
from eval.measuring.labelled import Labelled, choose_label, label_statistics, majority
from eval.metrics import ItemMetric, metric_by_name
from eval.model import Model
from eval.requests import ContinuationRequest
from eval.tasks.base import Cloze, MultipleChoice, PromptedClassification, Row
from eval.tasks.continuations import Continuations, encode_continuations
from eval.tasks.shots import few_shots


@dataclass(frozen=True)
class _Scored:
    """A row's continuations with their nats, and whether greedy writing would give them."""

    encoded: Continuations
    nats: np.ndarray
    greedy: list[bool]

    @property
    def tokens(self) -> int:
        return len(self.encoded.context) + sum(map(len, self.encoded.continuations))


def begin_choices(model: Model, task: MultipleChoice, asked: Asked) -> Measurement:
    """The likeliest of a row's choices; the baseline is what guessing gets, one over their number."""
    shots = few_shots(task, asked.read("train") if task.shots else [])

    def answer(rows: Sequence[Row]) -> list[Item]:
        queries = [shots.prefix(row) + row["query"] for row in rows]
        texts = [[task.separator + choice for choice in row["choices"]] for row in rows]
        found = _score(model, asked, queries, texts)
        return [
            _choice(task, row, query, after, one)
            for row, query, after, one in zip(rows, queries, texts, found, strict=True)
        ]

    def guess(rows: Sequence[Row]) -> list[Item]:
        return [
            Item(
                row=row,
                input="",
                output=None,
                reference=None,
                statistics=dict.fromkeys(guessed, _chance(row)),
            )
            for row in rows
        ]

    metrics = [metric_by_name(name) for name in task.metrics]
    guessed = [name for name in task.metrics if name in ("accuracy", "accuracy_norm")]
    chance = Measurement(
        metrics=[metric_by_name(name) for name in guessed], how="one over the choices", answer=guess
    )
    return Measurement(
        metrics=metrics,
        how=f"choices:likeliest|{_likelihood(model)}|{shots.told}|{wording(task)}|{begins(asked)}|{forward(model)}",
        answer=answer,
        baselines=[("chance", chance)] if guessed else [],
    )


def begin_prompted(model: Model, task: PromptedClassification, asked: Asked) -> Measurement:
    """The label whose text is the likeliest; the baseline says the most frequent label of the train rows."""
    train = asked.read("train")
    shots = few_shots(task, train if task.shots else [])
    labels = [label for label, _ in task.verbalizers]
    after = [task.separator + text for _, text in task.verbalizers]
    metrics = [metric_by_name(name, labels) for name in task.metrics]

    def answer(rows: Sequence[Row]) -> list[Item]:
        queries = [shots.prefix(row) + row["query"] for row in rows]
        found = _score(model, asked, queries, [after] * len(rows))
        sizes = dict(zip(labels, map(num_bytes, after), strict=True))
        return [
            _failed(row, query, row["label"], one)
            if isinstance(one, str)
            else _labelled(metrics, row, query, one, choose_label(labels, -one.nats, one.nats), sizes)
            for row, query, one in zip(rows, queries, found, strict=True)
        ]

    return Measurement(
        metrics=metrics,
        how=f"label:likeliest|{_likelihood(model)}|{shots.told}|{wording(task)}|{begins(asked)}|{forward(model)}",
        answer=answer,
        labels=labels,
        baselines=majority(metrics, [row["label"] for row in train], lambda row: row["label"]),
    )


def _labelled(
    metrics: Sequence[ItemMetric],
    row: Row,
    query: str,
    one: _Scored,
    output: Labelled,
    sizes: dict[str, int],
) -> Item:
    return Item(
        row=row,
        input=query,
        output=output.label,
        reference=row["label"],
        statistics=label_statistics(metrics, output, row["label"], sizes),
        tokens=one.tokens,
        cut=one.encoded.cut,
        more={"probabilities": output.rounded()},
    )


def begin_cloze(model: Model, task: Cloze, asked: Asked) -> Measurement:
    """A passage's last word: its likelihood, and whether greedy writing would have found it."""
    metrics = [metric_by_name(name) for name in task.metrics]

    def answer(rows: Sequence[Row]) -> list[Item]:
        after = [" " + row["target"] for row in rows]
        found = _score(model, asked, [row["context"] for row in rows], [[text] for text in after])
        return [
            _failed(row, row["context"], row["target"], one)
            if isinstance(one, str)
            else Item(
                row=row,
                input=row["context"],
                output=row["target"] if one.greedy[0] else None,
                reference=row["target"],
                statistics={
                    name: values
                    for name, values in {
                        "accuracy": np.array([float(one.greedy[0]), 1.0]),
                        "answer_perplexity": np.array([one.nats[0], 1.0]),
                        "answer_bits_per_byte": np.array([one.nats[0], num_bytes(text)]),
                    }.items()
                    if name in task.metrics
                },
                tokens=one.tokens,
                cut=one.encoded.cut,
            )
            for row, text, one in zip(rows, after, found, strict=True)
        ]

    return Measurement(metrics=metrics, how=f"cloze|{begins(asked)}|{forward(model)}", answer=answer)


def _likelihood(model: Model) -> str:
    """The part of a signature that says what of a continuation is multiplied."""
    return "likelihood:each-hidden" if model.fills_gaps else "likelihood:next"


def _score(
    model: Model, asked: Asked, queries: Sequence[str], texts: Sequence[Sequence[str]]
) -> list[_Scored | str]:
    """Every row's continuations scored; why not, of a row that the model cannot be asked."""
    encoded = encode_continuations(
        model.tokenizer,
        queries,
        texts,
        model.context,
        begin=asked.settings.begin,
        encoder=model.fills_gaps,
    )
    fits = [one for one in encoded if one.failed is None]
    requests = [ContinuationRequest(one.context, one.continuations) for one in fits]
    scores = iter(score_continuations(model, requests, limits=asked.limits))
    found: list[_Scored | str] = []
    for one in encoded:
        if one.failed is not None:
            found.append(one.failed)
            continue
        answers = next(scores)
        found.append(_Scored(one, np.array([a.nats for a in answers]), [a.greedy for a in answers]))
    return found


def _choice(task: MultipleChoice, row: Row, query: str, after: Sequence[str], one: _Scored | str) -> Item:
    right = row["answer"]
    if isinstance(one, str):
        return _failed(row, query, row["choices"][right], one)
    lengths = np.array([max(1, len(choice)) for choice in row["choices"]])
    chosen, chosen_norm = int(one.nats.argmin()), int((one.nats / lengths).argmin())
    statistics = {
        "accuracy": np.array([float(chosen == right), 1.0]),
        "accuracy_norm": np.array([float(chosen_norm == right), 1.0]),
        "answer_bits_per_byte": np.array([one.nats[right], num_bytes(after[right])]),
    }
    return Item(
        row=row,
        input=query,
        output=row["choices"][chosen],
        reference=row["choices"][right],
        statistics={name: statistics[name] for name in task.metrics},
        tokens=one.tokens,
        cut=one.encoded.cut,
        more={"choices": row["choices"], "nats": [round(value, 5) for value in one.nats.tolist()]},
    )


def _chance(row: Row) -> np.ndarray:
    return np.array([1 / len(row["choices"]), 1.0])


def _failed(row: Row, query: str, reference: str, reason: str) -> Item:
    return Item(row=row, input=query, output=None, reference=reference, failed=reason)
