"""Measure labels of whole texts, given by a trained head: one label, any number of them, or a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.baselines import majority_label
from eval.labels import output_names
from eval.measuring.base import Asked, Item, Measurement, forward, num_bytes, rows_of
from eval.measuring.labelled import choose_label, constant, label_statistics, majority
from eval.metrics import metric_by_name
from eval.model import Model
from eval.reading import read_texts
from eval.requests import ReadRequest
from eval.tasks.base import Classification, MultiLabel, Regression, Row
from eval.tasks.encoding import Encoded, encode_for_label


def begin_classification(model: Model, task: Classification, asked: Asked) -> Measurement:
    """Predicted against true labels; the baseline says the most frequent training label always."""
    train = [task.label(row) for row in asked.read("train")]
    names = output_names(model.network.config.id2label)
    sizes = {name: num_bytes(name) for name in names}
    metrics = [metric_by_name(name, sorted(names)) for name in task.metrics]

    def answer(rows: Sequence[Row]) -> list[Item]:
        encoded, logits = _read(model, task, asked, rows)
        outputs = [choose_label(names, scores) for scores in logits]
        return [
            Item(
                row=row,
                input=_shown(task, row),
                output=output.label,
                reference=task.label(row),
                statistics=label_statistics(metrics, output, task.label(row), sizes),
                tokens=len(one.ids),
                cut=one.cut,
                more={"probabilities": output.rounded()},
            )
            for row, output, one in zip(rows, outputs, encoded, strict=True)
        ]

    return Measurement(
        metrics=metrics,
        how=forward(model),
        answer=answer,
        labels=sorted(names),
        baselines=majority(metrics, train, task.label),
    )


def begin_multi_label(model: Model, task: MultiLabel, asked: Asked) -> Measurement:
    """Predicted against true sets of labels: a label is predicted where its logit is above 0 (one half).

    The baseline says the most frequent training label of every text.
    """
    train = [label for row in asked.read("train") for label in row["labels"]]
    names = output_names(model.network.config.id2label)
    metrics = [metric_by_name(name, sorted(names)) for name in task.metrics]

    def answer(rows: Sequence[Row]) -> list[Item]:
        encoded, logits = _read(model, task, asked, rows)
        outputs = [sorted(names[index] for index in np.flatnonzero(scores > 0)) for scores in logits]
        references = [list(row["labels"]) for row in rows]
        statistics = rows_of(metrics, outputs, references)
        return [
            Item(
                row=row,
                input=_shown(task, row),
                output=output,
                reference=reference,
                statistics=found,
                tokens=len(one.ids),
                cut=one.cut,
            )
            for row, output, reference, found, one in zip(
                rows, outputs, references, statistics, encoded, strict=True
            )
        ]

    baselines = []
    if train:
        always = constant(metrics, [majority_label(train)], lambda row: list(row["labels"]))
        how = "always the most frequent train label"
        baselines = [("most-frequent-label", Measurement(metrics=metrics, how=how, answer=always))]
    how = f"threshold:0.5|{forward(model)}"
    return Measurement(metrics=metrics, how=how, answer=answer, baselines=baselines)


def begin_regression(model: Model, task: Regression, asked: Asked) -> Measurement:
    """Correlations of predicted and true numbers; a constant, the usual baseline, has none."""
    metrics = [metric_by_name(name) for name in task.metrics]

    def answer(rows: Sequence[Row]) -> list[Item]:
        encoded, logits = _read(model, task, asked, rows)
        references = [float(row["value"]) for row in rows]
        outputs = logits[:, 0].tolist()
        statistics = rows_of(metrics, outputs, references)
        return [
            Item(
                row=row,
                input=_shown(task, row),
                output=output,
                reference=reference,
                statistics=found,
                tokens=len(one.ids),
                cut=one.cut,
            )
            for row, output, reference, found, one in zip(
                rows, outputs, references, statistics, encoded, strict=True
            )
        ]

    return Measurement(metrics=metrics, how=forward(model), answer=answer)


def _read(
    model: Model, task: Classification | MultiLabel | Regression, asked: Asked, rows: Sequence[Row]
) -> tuple[list[Encoded], np.ndarray]:
    """What the model reads of each row, and what its head says: (rows, outputs), float64."""
    encoded = encode_for_label(task, model.tokenizer, rows, model.context)
    requests = [ReadRequest(text.ids, text.types) for text in encoded]
    logits = read_texts(model, requests, limits=asked.limits)
    return encoded, np.asarray(logits.double().numpy())


def _shown(task: Classification | MultiLabel | Regression, row: Row) -> str:
    text = task.text(row) if isinstance(task, Classification) else str(row["text"])
    return f"{text}\n{row['text_pair']}" if "text_pair" in row else text
