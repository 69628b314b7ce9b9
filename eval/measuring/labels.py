"""Measure labels of whole texts: one label, any number of them, or a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.baselines import majority_label
from eval.measuring.base import Asked, Baseline, Measured, forward, label_names
from eval.metrics import ItemMetric, metric_by_name
from eval.model import Model
from eval.reading import read_texts
from eval.requests import ReadRequest
from eval.tasks.base import Classification, MultiLabel, Regression, Row
from eval.tasks.encoding import encode_for_label


def measure_classification(model: Model, task: Classification, asked: Asked) -> Measured:
    """Predicted against true labels; the baseline says the most frequent training label always."""
    rows = asked.rows
    train_labels = [task.label(row) for row in asked.train]
    references = [task.label(row) for row in rows]
    names = label_names(model, set(train_labels), set(references), asked.data)
    outputs = [names[index] for index in _logits(model, task, asked).argmax(-1)]

    metrics = [metric_by_name(name, sorted(names)) for name in task.metrics]
    scores, _ = asked.score_all(metrics, outputs, references, forward(model))
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "label": label, "output": output}
            for row, label, output in zip(rows, references, outputs, strict=True)
        ],
        samples=asked.samples([_read(task, row) for row in rows], references, outputs),
        baselines=_constant("majority-class", asked, metrics, train_labels, references),
    )


def measure_multi_label(model: Model, task: MultiLabel, asked: Asked) -> Measured:
    """Predicted against true sets of labels: a label is predicted where its logit is above 0 (one half).

    The baseline says the most frequent training label of every text.
    """
    rows = asked.rows
    train_labels = [label for row in asked.train for label in row["labels"]]
    references = [list(row["labels"]) for row in rows]
    there = {label for row in references for label in row}
    names = label_names(model, set(train_labels), there, asked.data)
    chosen = _logits(model, task, asked) > 0
    outputs = [sorted(names[index] for index in np.flatnonzero(row)) for row in chosen]

    metrics = [metric_by_name(name, sorted(names)) for name in task.metrics]
    scores, _ = asked.score_all(metrics, outputs, references, f"threshold:0.5|{forward(model)}")
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "labels": reference, "output": output}
            for row, reference, output in zip(rows, references, outputs, strict=True)
        ],
        samples=asked.samples(
            [_read(task, row) for row in rows],
            [", ".join(reference) for reference in references],
            [", ".join(output) for output in outputs],
        ),
        baselines=_constant("most-frequent-label", asked, metrics, train_labels, references),
    )


def measure_regression(model: Model, task: Regression, asked: Asked) -> Measured:
    """Correlations of predicted and true numbers; a constant, the usual baseline, has none."""
    rows = asked.rows
    outputs = _logits(model, task, asked)[:, 0].tolist()
    references = [float(row["value"]) for row in rows]
    metrics = [metric_by_name(name) for name in task.metrics]
    scores, _ = asked.score_all(metrics, outputs, references, forward(model))
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "value": true, "output": output}
            for row, true, output in zip(rows, references, outputs, strict=True)
        ],
        samples=asked.samples(
            [_read(task, row) for row in rows],
            [f"{value:g}" for value in references],
            [f"{value:.4g}" for value in outputs],
        ),
    )


def _constant(
    name: str, asked: Asked, metrics: Sequence[ItemMetric], train: Sequence[str], references: Sequence[Any]
) -> list[Baseline]:
    """The most frequent label of the train rows under everything; nothing without train rows."""
    if not train:
        return []
    constant = [majority_label(train)] * len(references)
    always, _ = asked.score_all(metrics, constant, references, "always the most frequent train label")
    return [Baseline(name, always)]


def _logits(model: Model, task: Classification | MultiLabel | Regression, asked: Asked) -> np.ndarray:
    """(rows, outputs), float64."""
    encoded = encode_for_label(task, model.tokenizer, asked.rows, model.context)
    requests = [ReadRequest(text.ids, text.types) for text in encoded]
    logits = read_texts(model, requests, batch_tokens=asked.settings.batch_tokens)
    return np.asarray(logits.double().numpy())


def _read(task: Classification | MultiLabel | Regression, row: Row) -> str:
    text = task.text(row) if isinstance(task, Classification) else str(row["text"])
    return f"{text}\n{row['text_pair']}" if "text_pair" in row else text
