"""Measure labels of whole texts: one label, any number of them, or a number."""

from __future__ import annotations

import numpy as np

from eval.baselines import majority_label
from eval.measuring.base import Asked, Baseline, Measured, forward, label_names, require_known
from eval.metrics import Score, metric_by_name
from eval.metrics.correlation import correlate
from eval.model import Model
from eval.reading import read_texts
from eval.requests import ReadRequest
from eval.tasks.base import Classification, MultiLabel, Regression, Row
from eval.tasks.encoding import encode_for_label
from eval.tasks.rows import read_rows


def measure_classification(model: Model, task: Classification, asked: Asked) -> Measured:
    """Predicted against true labels; the baseline says the most frequent training label always."""
    rows = asked.rows
    train_labels = [task.label(row) for row in read_rows(task, asked.data, "train")]
    labels = sorted(set(train_labels))
    references = [task.label(row) for row in rows]
    require_known(set(references), labels, asked.data)
    names = label_names(model, labels)
    outputs = [names[index] for index in _logits(model, task, asked).argmax(-1)]

    metrics = [metric_by_name(name, labels) for name in task.metrics]
    scores, _ = asked.score_all(metrics, outputs, references, forward(model))
    constant = [majority_label(train_labels)] * len(rows)
    always, _ = asked.score_all(metrics, constant, references, "always the most frequent train label")
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "label": label, "output": output}
            for row, label, output in zip(rows, references, outputs, strict=True)
        ],
        samples=asked.samples([_read(task, row) for row in rows], references, outputs),
        baselines=[Baseline("majority-class", always)],
    )


def measure_multi_label(model: Model, task: MultiLabel, asked: Asked) -> Measured:
    """Predicted against true sets of labels: a label is predicted where its logit is above 0 (one half).

    The baseline says the most frequent training label of every text.
    """
    rows = asked.rows
    train_labels = [label for row in read_rows(task, asked.data, "train") for label in row["labels"]]
    labels = sorted(set(train_labels))
    references = [list(row["labels"]) for row in rows]
    require_known({label for row in references for label in row}, labels, asked.data)
    names = label_names(model, labels)
    chosen = _logits(model, task, asked) > 0
    outputs = [sorted(names[index] for index in np.flatnonzero(row)) for row in chosen]

    metrics = [metric_by_name(name, labels) for name in task.metrics]
    scores, _ = asked.score_all(metrics, outputs, references, f"threshold:0.5|{forward(model)}")
    constant = [[majority_label(train_labels)]] * len(rows)
    always, _ = asked.score_all(metrics, constant, references, "always the most frequent train label")
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
        baselines=[Baseline("most-frequent-label", always)],
    )


def measure_regression(model: Model, task: Regression, asked: Asked) -> Measured:
    """Correlations of predicted and true numbers; a constant, the usual baseline, has none."""
    rows = asked.rows
    outputs = _logits(model, task, asked)[:, 0]
    references = np.array([float(row["value"]) for row in rows])
    scores = []
    for name in task.metrics:
        found = correlate(
            name,
            outputs,
            references,
            groups=asked.groups,
            replicates=asked.settings.bootstrap,
            seed=asked.seed,
        )
        how = f"{name}|errors:bootstrap{'-by-group' if asked.groups else ''}|{forward(model)}"
        scores.append(Score(name, found.value, found.stderr, len(rows), how, found.reason))
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "value": true, "output": output}
            for row, true, output in zip(rows, references.tolist(), outputs.tolist(), strict=True)
        ],
        samples=asked.samples(
            [_read(task, row) for row in rows],
            [f"{value:g}" for value in references],
            [f"{value:.4g}" for value in outputs],
        ),
    )


def _logits(model: Model, task: Classification | MultiLabel | Regression, asked: Asked) -> np.ndarray:
    """(rows, outputs), float64."""
    encoded = encode_for_label(task, model.tokenizer, asked.rows, model.context)
    requests = [ReadRequest(text.ids, text.types) for text in encoded]
    logits = read_texts(model, requests, batch_tokens=asked.settings.batch_tokens)
    return np.asarray(logits.double().numpy())


def _read(task: Classification | MultiLabel | Regression, row: Row) -> str:
    text = task.text(row) if isinstance(task, Classification) else str(row["text"])
    return f"{text}\n{row['text_pair']}" if "text_pair" in row else text
