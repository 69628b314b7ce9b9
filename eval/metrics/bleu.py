"""BLEU (Papineni 2002) as sacreBLEU computes it (Post 2018): cased, exponential smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.metrics.base import Array, safe_divide
from eval.metrics.sacre import SacreMetric

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

# sacreBLEU's name of what `Scoring.tokenize` asks.
TOKENIZERS = {"words": "13a", "intl": "intl", "zh": "zh", "char": "char"}


@dataclass(frozen=True, kw_only=True)
class Bleu(SacreMetric):
    """Ten statistics a segment: both lengths, matches and totals of 1- to 4-grams.

    `tokenize` is one of `TOKENIZERS`.
    """

    name: str = "bleu"
    tokenize: str = "words"

    def aggregate(self, sums: Array) -> Array:
        """The corpus score, in points: brevity penalty times the geometric mean of the four precisions.

        An order without a match gets 1 / (2^k · total), k counting such orders so far (Chen 2014's method 3,
        sacreBLEU's `exp`); without any match, or any n-gram of an order, the score is 0.
        """
        sums = np.asarray(sums, dtype=np.float64)
        written, wanted = sums[..., 0], sums[..., 1]
        right, total = sums[..., 2:6], sums[..., 6:10]
        smoothed = np.where(right > 0, right, 0.5 ** np.cumsum(right == 0, axis=-1))
        scored = np.asarray((right > 0).any(axis=-1) & (total > 0).all(axis=-1))
        precisions = np.where(scored[..., None], safe_divide(smoothed, total), 1.0)
        brevity = np.exp(np.minimum(0.0, 1 - safe_divide(wanted, written)))
        return np.asarray(np.where(scored, 100 * brevity * np.exp(np.log(precisions).mean(axis=-1)), 0.0))

    def _make_scorer(self) -> BLEU:
        return make_bleu(self.tokenize)


def make_bleu(tokenize: str) -> Any:
    """sacreBLEU's BLEU, that counts what `tokenize` says."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=TOKENIZERS[tokenize], force=True)  # `force` only silences advice about " ." endings
