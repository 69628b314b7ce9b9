"""chrF (Popović 2015) as sacreBLEU computes it: F2 over character 1- to 6-grams, white space left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eval.metrics.sacre import SacreMetric


@dataclass(frozen=True)
class Chrf(SacreMetric):
    """18 statistics a segment: predicted, reference and shared n-grams of each order; of several references
    the one that the segment scores best against.
    """

    name: str = "chrf"

    def _make_scorer(self) -> Any:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()
