"""BLEU (Papineni 2002) as sacreBLEU computes it (Post 2018): 13a tokens, cased, exponential smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eval.metrics.base import Array, check_pairs


@dataclass(frozen=True)
class Bleu:
    """Statistics are sacreBLEU's own ten a segment: both lengths, matches and totals of 1- to 4-grams."""

    name: str = "bleu"
    is_ratio: bool = False

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> Array:
        """(items, 10), one reference an item; sacreBLEU wants a list of texts per reference, not per item."""
        check_pairs(predictions, references)
        # The underscored methods are what sacreBLEU's bootstrap is made of; tests hold them to corpus_score.
        rows = self._scorer._extract_corpus_statistics(list(predictions), [list(references)])
        return np.array(rows, dtype=np.float64)

    def aggregate(self, sums: Array) -> Array:
        """Corpus BLEU, 0 to 100, of each row of sums."""
        return np.apply_along_axis(self._score_sums, -1, np.asarray(sums))

    def signature(self) -> str:
        """sacreBLEU's signature, for one reference an item."""
        self._scorer.num_refs = 1
        return str(self._scorer.get_signature())

    def _score_sums(self, sums: Array) -> float:
        return float(self._scorer._compute_score_from_stats(sums.tolist()).score)

    @cached_property
    def _scorer(self) -> Any:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(force=True)  # `force` only silences advice about texts that end in " ."
