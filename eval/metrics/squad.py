"""Exact match and word F1 of short answers, as SQuAD's own script scores them (Rajpurkar 2016, 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, RatioMetric, Texts, check_texts

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces: SQuAD's normalisation."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


@dataclass(frozen=True, kw_only=True)
class ExactMatch(RatioMetric):
    """Statistics (whether the answer is one of the references, 1); no reference at all means: no answer.

    `exact` is squad (after its normalisation) or text (of the text as it is, outer white space aside).
    """

    name: str = "exact_match"
    exact: str = "squad"

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, 2): whether any reference is matched, and one."""
        form = normalise if self.exact == "squad" else str.strip
        return _best(lambda one, other: float(form(one) == form(other)), predictions, references)

    def signature(self) -> str:
        """The normalisation."""
        normalised = "squad" if self.exact == "squad" else "no"
        return f"exact_match|normalised:{normalised}|references:best"


@dataclass(frozen=True, kw_only=True)
class AnswerF1(RatioMetric):
    """Statistics (F1 of the words shared with the best reference, 1)."""

    name: str = "f1"

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, 2): the highest F1 against any reference, in 0–1, and one."""
        return _best(_f1, predictions, references)

    def signature(self) -> str:
        """The normalisation."""
        return "f1|normalised:squad|references:best"


def _f1(prediction: str, reference: str) -> float:
    """F1 over the two bags of words; where either is empty, whether both are (SQuAD 2.0's rule)."""
    predicted, true = normalise(prediction).split(), normalise(reference).split()
    if not predicted or not true:
        return float(predicted == true)
    shared = sum((Counter(predicted) & Counter(true)).values())
    return 2 * shared / (len(predicted) + len(true))


def _best(compare: Callable[[str, str], float], predictions: Sequence[str], references: Texts) -> Array:
    lists = check_texts(predictions, references, may_lack=True)
    best = [
        max(compare(prediction, text) for text in texts or [""])
        for prediction, texts in zip(predictions, lists, strict=True)
    ]
    return np.column_stack([best, np.ones(len(best))])
