"""ROUGE (Lin 2004) as Google's rouge_score computes it: the mean over items of each item's F-measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from eval.metrics.base import Array, Texts, all_references, check_pairs


@dataclass(frozen=True)
class Rouge:
    """One of rouge1, rouge2 and rougeL; statistics (F-measure, 1). Porter's stemmer is on unless told.

    Of several references the one with the highest ROUGE-1 counts, the first among equals, for all three
    (Cachola 2020); the signature says so. `num_refs`: references an item has, -1 for different numbers.
    """

    name: str
    is_ratio: bool = True
    stemmer: bool = True
    num_refs: int = 1

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, 2): the item's F-measure in 0–1, and one."""
        check_pairs(predictions, references)
        pairs = zip(all_references(references), predictions, strict=True)
        measures = [self._measure(texts, prediction) for texts, prediction in pairs]
        return np.column_stack([measures, np.ones(len(measures))])

    def aggregate(self, sums: Array) -> Array:
        """Sum of F-measures over items."""
        return np.asarray(sums[..., 0] / sums[..., 1])

    def signature(self) -> str:
        """Name, stemmer, version, and how one of several references is chosen."""
        how = f"{self.name}|stemmer:{'yes' if self.stemmer else 'no'}|rouge_score:{version('rouge-score')}"
        return how if self.num_refs == 1 else f"{how}|references:best-by-rouge1"

    def _measure(self, references: list[str], prediction: str) -> float:
        scores = [self._scorer.score(reference, prediction) for reference in references]
        best = max(scores, key=lambda score: score["rouge1"].fmeasure) if len(scores) > 1 else scores[0]
        return float(best[self.name].fmeasure)

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        wanted = [self.name] if self.num_refs == 1 else sorted({"rouge1", self.name})
        return RougeScorer(wanted, tokenizer=_tokenizer(self.stemmer))


@lru_cache(maxsize=2)
def _tokenizer(stemmer: bool) -> Any:
    """rouge_score's own tokenizer, remembering: all ROUGEs and the baseline read the same references."""
    from rouge_score.tokenizers import DefaultTokenizer

    tokenizer = DefaultTokenizer(stemmer)
    tokenizer.tokenize = lru_cache(maxsize=1 << 14)(tokenizer.tokenize)
    return tokenizer
