"""chrF (Popović 2015) as sacreBLEU computes it: F2 over character 1- to 6-grams, white space left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eval.metrics.base import Array, check_pairs


@dataclass(frozen=True)
class Chrf:
    """Statistics are sacreBLEU's own 18 a segment: predicted, reference and shared n-grams of each order."""

    name: str = "chrf"
    is_ratio: bool = False

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 18), one reference an item."""
        check_pairs(predictions, references)
        rows = self._scorer._extract_corpus_statistics(list(predictions), [list(references)])
        return np.array(rows, dtype=np.float64)

    def aggregate(self, sums: Array) -> Array:
        """Corpus chrF, 0 to 100, of each row of sums."""
        return np.apply_along_axis(self._score_sums, -1, np.asarray(sums))

    def signature(self) -> str:
        """sacreBLEU's signature, for one reference an item."""
        self._scorer.num_refs = 1
        return str(self._scorer.get_signature())

    def _score_sums(self, sums: Array) -> float:
        return float(self._scorer._compute_score_from_stats(sums.tolist()).score)

    @cached_property
    def _scorer(self) -> Any:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()
