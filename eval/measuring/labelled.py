"""One label of several, chosen by probability: its statistics, and what the most frequent label is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.baselines import majority_label
from eval.measuring.base import Answer, Item, Measurement, rows_of
from eval.metrics import ItemMetric
from eval.tasks.base import Row

_OF_LABELS = ("accuracy", "f1_macro", "f1_micro", "mcc")  # those that need no probabilities


@dataclass(frozen=True)
class Labelled:
    """A label chosen by its probability; `probabilities` and `nats` are those of every label."""

    label: str
    probabilities: dict[str, float]
    nats: dict[str, float]

    def rounded(self) -> dict[str, float]:
        """The probabilities as they are kept."""
        return {label: round(value, 6) for label, value in self.probabilities.items()}


def choose_label(labels: Sequence[str], scores: np.ndarray, nats: np.ndarray | None = None) -> Labelled:
    """The best of `labels` by their `scores` (labels,), logits or log-likelihoods: probabilities by softmax.

    `nats`: how surprising each label's text is, where that is not the logarithm of its probability.
    """
    logs = scores - scores.max()
    logs = logs - np.log(np.exp(logs).sum())
    shares, nats = np.exp(logs), -logs if nats is None else nats
    return Labelled(
        labels[int(scores.argmax())],
        dict(zip(labels, shares.tolist(), strict=True)),
        dict(zip(labels, nats.tolist(), strict=True)),
    )


def label_statistics(
    metrics: Sequence[ItemMetric], output: Labelled, reference: str, sizes: dict[str, int]
) -> dict[str, np.ndarray]:
    """The statistics of a chosen label; `sizes`: bytes of each label's text."""
    found = {}
    for metric in metrics:
        if metric.name == "calibration_error":
            confidence, right = output.probabilities[output.label], output.label == reference
            found[metric.name] = metric.statistics([confidence], [right])[0]
        elif metric.name == "answer_bits_per_byte":
            found[metric.name] = np.array([output.nats[reference], sizes[reference]])
        else:
            found[metric.name] = metric.statistics([output.label], [reference])[0]
    return found


def majority(
    metrics: Sequence[ItemMetric], train: Sequence[str], true: Callable[[Row], str]
) -> list[tuple[str, Measurement]]:
    """The most frequent of the `train` labels under everything; nothing without train labels."""
    chosen = [metric for metric in metrics if metric.name in _OF_LABELS]
    if not train or not chosen:
        return []
    answer = constant(chosen, majority_label(train), true)
    how = "always the most frequent train label"
    return [("majority-class", Measurement(metrics=chosen, how=how, answer=answer))]


def constant(metrics: Sequence[ItemMetric], output: Any, true: Callable[[Row], Any]) -> Answer:
    """The same output for every row."""

    def answer(rows: Sequence[Row]) -> list[Item]:
        references = [true(row) for row in rows]
        statistics = rows_of(metrics, [output] * len(rows), references)
        return [
            Item(row=row, input="", output=output, reference=reference, statistics=table)
            for row, reference, table in zip(rows, references, statistics, strict=True)
        ]

    return answer
