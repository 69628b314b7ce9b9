"""What BLEU, chrF and TER share: sacreBLEU's own statistics of a segment, and its signature."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eval.metrics.base import Array, SumMetric, TextMetric, Texts, check_texts


@dataclass(frozen=True, kw_only=True)
class SacreMetric(SumMetric, TextMetric):
    """A corpus metric of sacreBLEU. `num_refs`: references an item has, -1 for different numbers."""

    num_refs: int = 1

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, k): what sacreBLEU counts in a segment against its references (one or several)."""
        lists = check_texts(predictions, references)
        most = max(map(len, lists))
        # sacreBLEU wants a list of texts per reference, not per item; None where an item has no more.
        streams = [[texts[i] if i < len(texts) else None for texts in lists] for i in range(most)]
        # The underscored methods are what sacreBLEU's bootstrap is made of; tests hold them to corpus_score.
        rows = self._scorer._extract_corpus_statistics(list(predictions), streams)
        return np.array(rows, dtype=np.float64)

    def tokens(self, text: str) -> list[str]:
        """sacreBLEU's tokens."""
        return list(self._scorer._preprocess_segment(text).split())

    def signature(self) -> str:
        """sacreBLEU's signature, with the number of references."""
        self._scorer.num_refs = self.num_refs
        return str(self._scorer.get_signature())

    @cached_property
    def _scorer(self) -> Any:
        return self._make_scorer()

    @abstractmethod
    def _make_scorer(self) -> Any:
        """sacreBLEU's metric."""
