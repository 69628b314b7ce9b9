"""The metrics as Hugging Face `evaluate` modules, for those who know that interface; nothing is fetched.

    faces.load("bleu").compute(predictions=[...], references=[...])  ->  {"bleu": ..., "signature": ...}

Imports `evaluate` and `datasets`, which take a second or two; the evaluation itself does not use this module.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np

from eval.metrics import correlation, metric_by_name
from eval.metrics.base import count_references

_TEXT = datasets.Value("string")
_TEXTS = datasets.Sequence(_TEXT)
_WRITTEN = ("bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "exact_match", "f1")
_LABELLED = ("accuracy", "f1_macro")

# What a prediction and a reference are: of the first form that fits the values given.
_FORMS: dict[str, list[tuple[Any, Any]]] = {
    **{name: [(_TEXT, _TEXTS), (_TEXT, _TEXT)] for name in _WRITTEN},
    **{name: [(_TEXT, _TEXT), (_TEXTS, _TEXTS)] for name in _LABELLED},
    "f1_micro": [(_TEXTS, _TEXTS)],
    "f1_entity": [(_TEXTS, _TEXTS)],
    **{name: [(datasets.Value("float64"), datasets.Value("float64"))] for name in correlation.NAMES},
}
NAMES = tuple(_FORMS)


class Face(evaluate.Metric):
    """A metric of this package behind `evaluate.Metric`: statistics, their sum, the aggregate."""

    def __init__(self, name: str) -> None:
        super().__init__(config_name=name, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self.config_name}, corpus level, as stepladder computes it",
            citation="",
            inputs_description="predictions and references: one an item, texts also against several",
            features=[
                datasets.Features({"predictions": one, "references": other})
                for one, other in _FORMS[self.config_name]
            ],
        )

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
        name = self.config_name
        if name in correlation.NAMES:
            value = correlation.measure(name, np.array(predictions), np.array(references))
            return {name: value, "signature": name}
        if name in _WRITTEN:
            metric = metric_by_name(name, num_refs=count_references(references))
        else:
            sets = not isinstance(predictions[0], str)
            members = [item if sets else [item] for item in (*predictions, *references)]
            metric = metric_by_name(name, sorted({one for item in members for one in item}), per_word=sets)
        total = metric.aggregate(metric.statistics(predictions, references).sum(axis=0))
        return {metric.name: float(total), "signature": metric.signature()}


def load(name: str) -> Face:
    """The face of one of `NAMES`; `ValueError` lists them otherwise."""
    if name not in NAMES:
        raise ValueError(f"metric {name!r} has no face; the names are {', '.join(NAMES)}")
    return Face(name)
