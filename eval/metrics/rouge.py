"""ROUGE (Lin 2004) as Google's rouge_score computes it: the mean over items of each item's F-measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from eval.metrics.base import Array, check_pairs


@dataclass(frozen=True)
class Rouge:
    """One of rouge1, rouge2 and rougeL; statistics (F-measure, 1). Porter's stemmer is on unless told."""

    name: str
    is_ratio: bool = True
    stemmer: bool = True

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 2): the item's F-measure in 0–1, and one."""
        check_pairs(predictions, references)
        pairs = zip(references, predictions, strict=True)
        measures = [self._scorer.score(target, text)[self.name].fmeasure for target, text in pairs]
        return np.column_stack([measures, np.ones(len(measures))])

    def aggregate(self, sums: Array) -> Array:
        """Sum of F-measures over items."""
        return np.asarray(sums[..., 0] / sums[..., 1])

    def signature(self) -> str:
        """Name, stemmer and version."""
        return f"{self.name}|stemmer:{'yes' if self.stemmer else 'no'}|rouge_score:{version('rouge-score')}"

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer([self.name], tokenizer=_tokenizer(self.stemmer))


@lru_cache(maxsize=2)
def _tokenizer(stemmer: bool) -> Any:
    """rouge_score's own tokenizer, remembering: all ROUGEs and the baseline read the same references."""
    from rouge_score.tokenizers import DefaultTokenizer

    tokenizer = DefaultTokenizer(stemmer)
    tokenizer.tokenize = lru_cache(maxsize=1 << 14)(tokenizer.tokenize)
    return tokenizer
