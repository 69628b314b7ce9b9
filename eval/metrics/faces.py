"""The metrics as Hugging Face `evaluate` modules, for those who know that interface; nothing is fetched.

    faces.load("bleu").compute(predictions=[...], references=[...])  ->  {"bleu": ..., "signature": ...}

Imports `evaluate` and `datasets`, which take a second or two; the evaluation itself does not use this module.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from eval.metrics import metric_by_name

NAMES = ("accuracy", "f1_macro", "bleu", "chrf", "rouge1", "rouge2", "rougeL")


class Face(evaluate.Metric):
    """A metric of this package behind `evaluate.Metric`: statistics, their sum, the aggregate."""

    def __init__(self, name: str) -> None:
        super().__init__(config_name=name, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=f"{self.config_name}, corpus level, as stepladder computes it",
            citation="",
            inputs_description="predictions and references: one text (or label) each an item",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        labels = sorted({*predictions, *references})
        metric = metric_by_name(self.config_name, labels)
        value = metric.aggregate(metric.statistics(predictions, references).sum(axis=0))
        return {metric.name: float(value), "signature": metric.signature()}


def load(name: str) -> Face:
    """The face of one of `NAMES`; `ValueError` lists them otherwise."""
    if name not in NAMES:
        raise ValueError(f"metric {name!r} has no face; the names are {', '.join(NAMES)}")
    return Face(name)
