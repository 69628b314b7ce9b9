"""The metrics as Hugging Face `evaluate` modules, for those who know that interface; nothing is fetched.

    faces.load("bleu").compute(predictions=[...], references=[...])  ->  {"bleu": ..., "signature": ...}

Imports `evaluate` and `datasets`, which take a second or two; the evaluation itself does not use this module.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from eval.metrics import metric_by_name
from eval.metrics.base import ItemMetric, count_references
from eval.metrics.rouge import NAMES as ROUGES
from eval.metrics.surprise import UNITS
from eval.settings import Scoring

_TEXT = datasets.Value("string")
_TEXTS = datasets.Sequence(_TEXT)
_WHOLE = datasets.Value("int64")
_NUMBER = datasets.Value("float64")
_TRUTH = datasets.Value("bool")
_WRITTEN = ("bleu", "chrf", "ter", *ROUGES, "exact_match", "f1")
_CLASSED = ("accuracy", "accuracy_norm", "f1_macro", "f1_micro", "mcc", "f1_entity")
_SHARES = ("stereotype_share", "toxicity_share", "memorised_share")
_LABEL: list[tuple[Any, ...]] = [(_TEXT, _TEXT), (_WHOLE, _WHOLE)]
_SETS: list[tuple[Any, ...]] = [(_TEXTS, _TEXTS)]

# What a prediction and a reference are: of the first form that fits what is given. Shares have no reference.
_FORMS: dict[str, list[tuple[Any, ...]]] = {
    **{name: [(_TEXT, _TEXTS), (_TEXT, _TEXT)] for name in _WRITTEN},
    **dict.fromkeys(("accuracy", "f1_macro", "f1_micro"), _LABEL + _SETS),
    "accuracy_norm": _LABEL,
    "mcc": _LABEL,
    "f1_entity": _SETS,
    "calibration_error": [(_NUMBER, _TRUTH)],
    **{name: [(_NUMBER, _NUMBER)] for name in ("pearson", "spearman", *UNITS)},
    **{name: [(_TRUTH,)] for name in _SHARES},
}
NAMES = tuple(_FORMS)


class Face(evaluate.Metric):
    """A metric of this package behind `evaluate.Metric`: the value of all items, and its signature."""

    def __init__(self, name: str, scoring: Scoring, **evaluates: Any) -> None:
        # One process needs no files; several meet in those of `cache_dir`.
        in_memory = evaluates.get("num_process", 1) == 1
        super().__init__(config_name=name, **({"keep_in_memory": in_memory} | evaluates))
        self._scoring = scoring

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self.config_name}, corpus level, as stepladder computes it",
            citation="",
            inputs_description="predictions and references: one an item, texts also against several",
            features=[
                datasets.Features(dict(zip(("predictions", "references"), form, strict=False)))
                for form in _FORMS[self.config_name]
            ],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **more: Any) -> None:
        """As `evaluate` has it; a batch may be empty."""
        empty = [given is not None and not len(given) for given in (predictions, references)]
        if empty == [True, True]:
            return
        super().add_batch(predictions=predictions, references=references, **more)

    def _finalize(self) -> None:
        if self.writer is None and self.num_process == 1:
            raise ValueError(f"{self.config_name}: no predictions; give at least one")
        super()._finalize()

    def _compute(self, predictions: list[Any], references: list[Any] | None = None) -> dict[str, Any]:
        if isinstance(predictions[0], int) and not isinstance(predictions[0], bool):
            predictions, references = list(map(str, predictions)), list(map(str, references or []))
        metric = self._metric(predictions, references or [])
        value = metric.value(metric.statistics(predictions, references or []))
        return {metric.name: value, "signature": metric.signature()}

    def _metric(self, predictions: list[Any], references: list[Any]) -> ItemMetric:
        name = self.config_name
        if name in _WRITTEN:
            return metric_by_name(name, num_refs=count_references(references), scoring=self._scoring)
        if name not in _CLASSED:
            return metric_by_name(name)
        sets = isinstance(predictions[0], list)
        members = [item if sets else [item] for item in (*predictions, *references)]
        return metric_by_name(name, sorted({one for item in members for one in item}), per_word=sets)


def load(name: str, *, scoring: Scoring | None = None, **evaluates: Any) -> Face:
    """The face of one of `NAMES`; `ValueError` lists them otherwise.

    `scoring` says how texts are compared; what else is given goes to `evaluate.Metric` (num_process,
    process_id, experiment_id, cache_dir, …). Of several processes the first computes, the others get None.
    """
    if name not in NAMES:
        raise ValueError(f"metric {name!r} has no face; the names are {', '.join(NAMES)}")
    return Face(name, scoring or Scoring(), **evaluates)
