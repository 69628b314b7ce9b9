"""Metrics, one a file, each as per-item statistics and the value of items counted any number of times.

`metric_by_name` holds the table of them; `score` gives value and error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from eval.metrics.accuracy import Accuracy
from eval.metrics.base import Array, ItemMetric
from eval.metrics.bleu import Bleu
from eval.metrics.calibration import CalibrationError
from eval.metrics.chrf import Chrf
from eval.metrics.correlation import Pearson, Spearman
from eval.metrics.empty import refuse_empty
from eval.metrics.f1_entity import EntityF1, TagAccuracy
from eval.metrics.f1_labels import F1Macro, F1Micro
from eval.metrics.mcc import Matthews
from eval.metrics.rouge import NAMES as ROUGES
from eval.metrics.rouge import Rouge
from eval.metrics.share import Share
from eval.metrics.squad import AnswerF1, ExactMatch
from eval.metrics.surprise import UNITS, Surprise
from eval.metrics.ter import Ter
from eval.settings import Scoring
from eval.uncertainty import bootstrap_counts, index_units, sum_units

__all__ = ["Array", "ItemMetric", "Score", "metric_by_name", "refuse_empty", "score"]

AS_USUAL = Scoring()


@dataclass(frozen=True)
class Score:
    """One metric's value over `n` items; `stderr` is None with its `reason` where it cannot be known."""

    metric: str
    value: float
    stderr: float | None
    n: int
    signature: str
    reason: str | None = None

    def signed(self, how: str) -> Score:
        """The same score with `how` its texts came about added to its signature."""
        return replace(self, signature=f"{self.signature}|{how}")


def metric_by_name(
    name: str,
    labels: Sequence[str] = (),
    *,
    num_refs: int = 1,
    per_word: bool = False,
    scoring: Scoring = AS_USUAL,
) -> ItemMetric:
    """The metric of that name; `KeyError` for other names.

    `labels` (the classes, sorted) are f1_macro's, f1_micro's and mcc's; `num_refs`, the references an item
    has (-1: different numbers), and `scoring` are for texts; `per_word` makes accuracy that of tagged words.
    """
    classes, tokenize = tuple(labels), scoring.tokenize
    rouge = partial(
        Rouge,
        tokenize=tokenize,
        stemmer=scoring.stemmer,
        references=scoring.references,
        num_refs=num_refs,
    )
    metrics: dict[str, Callable[[], ItemMetric]] = {
        "accuracy": TagAccuracy if per_word else Accuracy,
        "accuracy_norm": partial(Accuracy, name="accuracy_norm"),
        "mcc": partial(Matthews, labels=classes),
        "calibration_error": CalibrationError,
        "f1_macro": partial(F1Macro, labels=classes),
        "f1_micro": partial(F1Micro, labels=classes),
        "f1_entity": EntityF1,
        "pearson": Pearson,
        "spearman": Spearman,
        "bleu": partial(Bleu, tokenize=tokenize, num_refs=num_refs),
        "chrf": partial(Chrf, num_refs=num_refs),
        "ter": partial(Ter, tokenize=tokenize, num_refs=num_refs),
        **{one: partial(rouge, name=one) for one in ROUGES},
        "exact_match": partial(ExactMatch, exact=scoring.exact),
        "f1": AnswerF1,
        **{
            one: partial(Share, name=one) for one in ("stereotype_share", "toxicity_share", "memorised_share")
        },
        **{one: partial(Surprise, name=one) for one in UNITS},
    }
    return metrics[name]()


def score(
    metric: ItemMetric,
    statistics: Array,
    *,
    groups: Sequence[str] | None = None,
    replicates: int,
    seed: int,
) -> Score:
    """The value of per-item `statistics` (items, k), and its standard error.

    The error is the ratio estimator's where the metric is a function of the ratio of two sums, else the
    bootstrap's: over items, or over `groups` of them (one name an item) that depend on each other; the
    signature then says so.
    """
    units, number = index_units(len(statistics), groups)
    signature = metric.signature() + ("" if groups is None else "|errors:by-group")
    found = Score(metric.name, metric.value(statistics), None, len(statistics), signature)
    if not np.isfinite(found.value):
        return replace(found, reason=metric.undefined)
    if number < 2:
        return replace(found, reason=f"one {'item' if groups is None else 'group'} has no spread")
    closed = metric.closed_stderr(statistics if groups is None else sum_units(statistics, units, number))
    if closed is not None:
        return replace(found, stderr=closed)
    draws = bootstrap_counts(units, number, replicates=replicates, seed=seed)
    values = np.concatenate([metric.values(statistics, counts) for counts in draws])
    values = values[np.isfinite(values)]  # a draw of one item over and over has no correlation
    if len(values) < 2:
        return replace(found, reason="too few items to draw again from")
    return replace(found, stderr=float(np.std(values, ddof=1)))
