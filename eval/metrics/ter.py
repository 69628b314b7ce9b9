"""TER (Snover 2006) as sacreBLEU computes it: edits and shifts over the references' words, in points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics.base import Array, safe_divide
from eval.metrics.sacre import SacreMetric


@dataclass(frozen=True, kw_only=True)
class Ter(SacreMetric):
    """Two statistics a segment: edits to the nearest reference, and the references' mean length.

    Words are split at white space. With `tokenize` zh or char, sacreBLEU's normalisation with Asian support
    sets Chinese characters and punctuation apart; it has none that sets the letters of other scripts apart.
    """

    name: str = "ter"
    tokenize: str = "words"

    def aggregate(self, sums: Array) -> Array:
        """100 * edits / reference words; where there are none, 100 for any edits and 0 for none."""
        edits, words = np.asarray(sums, dtype=np.float64)[..., 0], np.asarray(sums)[..., 1]
        return 100 * np.where(words > 0, safe_divide(edits, words), edits > 0)

    def _make_scorer(self) -> Any:
        from sacrebleu.metrics.ter import TER

        asian = self.tokenize in ("zh", "char")
        return TER(normalized=asian, asian_support=asian)
