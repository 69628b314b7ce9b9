"""Metrics, one a file, each as per-item statistics and an aggregate of their sum.

`metric_by_name` holds the table of those computed from texts or labels; `score` gives value and error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.metrics.accuracy import Accuracy
from eval.metrics.base import Array, ItemMetric
from eval.metrics.bleu import Bleu
from eval.metrics.chrf import Chrf
from eval.metrics.f1_entity import EntityF1, TagAccuracy
from eval.metrics.f1_labels import F1Macro, F1Micro
from eval.metrics.rouge import Rouge
from eval.metrics.squad import AnswerF1, ExactMatch
from eval.metrics.ter import Ter
from eval.uncertainty import bootstrap_stderr, ratio_stderr, sum_groups

__all__ = ["Array", "ItemMetric", "Score", "metric_by_name", "score"]


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
    name: str, labels: Sequence[str] = (), *, num_refs: int = 1, per_word: bool = False
) -> ItemMetric:
    """The metric of that name; `KeyError` for other names.

    `labels` (the classes, sorted) are f1_macro's and f1_micro's; `num_refs`, the references an item has (-1:
    different numbers), is for texts; with `per_word` accuracy is that of tagged words.
    """
    metrics: dict[str, ItemMetric] = {
        "accuracy": TagAccuracy() if per_word else Accuracy(),
        "f1_macro": F1Macro(tuple(labels)),
        "f1_micro": F1Micro(tuple(labels)),
        "f1_entity": EntityF1(),
        "bleu": Bleu(num_refs=num_refs),
        "chrf": Chrf(num_refs=num_refs),
        "ter": Ter(num_refs=num_refs),
        "rouge1": Rouge("rouge1", num_refs=num_refs),
        "rouge2": Rouge("rouge2", num_refs=num_refs),
        "rougeL": Rouge("rougeL", num_refs=num_refs),
        "exact_match": ExactMatch(),
        "f1": AnswerF1(),
    }
    return metrics[name]


def score(
    metric: ItemMetric,
    statistics: Array,
    *,
    groups: Sequence[str] | None = None,
    replicates: int,
    seed: int,
) -> Score:
    """Aggregate per-item `statistics` (items, k) into a value and its standard error.

    The error is the ratio estimator's where the metric is a ratio of two sums, else the bootstrap's: over
    items, or over `groups` of them (one name an item) that depend on each other; the signature then says so.
    """
    n = len(statistics)
    value = float(metric.aggregate(statistics.sum(axis=0)))
    signature = metric.signature()
    if groups is not None:
        statistics = sum_groups(statistics, groups)
        signature += "|errors:by-group"
    if len(statistics) < 2:
        reason = "one item has no spread" if groups is None else "one group has no spread"
        return Score(metric.name, value, None, n, signature, reason)
    if metric.is_ratio:
        stderr = ratio_stderr(statistics[:, 0], statistics[:, 1])
    else:
        stderr = bootstrap_stderr(metric.aggregate, statistics, replicates=replicates, seed=seed)
    return Score(metric.name, value, stderr, n, signature)
