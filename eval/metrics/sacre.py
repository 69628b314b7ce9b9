"""What BLEU, chrF and TER share: sacreBLEU's own statistics of a segment, summed, and its own formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eval.metrics.base import Array, Texts, all_references, check_pairs


@dataclass(frozen=True)
class SacreMetric:
    """A corpus metric of sacreBLEU. `num_refs`: references an item has, -1 for different numbers."""

    name: str
    num_refs: int = 1
    is_ratio: bool = False

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, k): what sacreBLEU counts in a segment against its references (one or several)."""
        check_pairs(predictions, references)
        lists = all_references(references)
        most = max(map(len, lists))
        # sacreBLEU wants a list of texts per reference, not per item; None where an item has no more.
        streams = [[texts[i] if i < len(texts) else None for texts in lists] for i in range(most)]
        # The underscored methods are what sacreBLEU's bootstrap is made of; tests hold them to corpus_score.
        rows = self._scorer._extract_corpus_statistics(list(predictions), streams)
        return np.array(rows, dtype=np.float64)

    def aggregate(self, sums: Array) -> Array:
        """The corpus score, in points, of each row of sums."""
        return np.apply_along_axis(self._score_sums, -1, np.asarray(sums))

    def signature(self) -> str:
        """sacreBLEU's signature, with the number of references."""
        self._scorer.num_refs = self.num_refs
        return str(self._scorer.get_signature())

    def _score_sums(self, sums: Array) -> float:
        return float(self._scorer._compute_score_from_stats(sums.tolist()).score)

    @cached_property
    def _scorer(self) -> Any:
        return self._make_scorer()

    def _make_scorer(self) -> Any:
        raise NotImplementedError
