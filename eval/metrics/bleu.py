"""BLEU (Papineni 2002) as sacreBLEU computes it (Post 2018): 13a tokens, cased, exponential smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eval.metrics.sacre import SacreMetric


@dataclass(frozen=True)
class Bleu(SacreMetric):
    """Ten statistics a segment: both lengths, matches and totals of 1- to 4-grams."""

    name: str = "bleu"

    def _make_scorer(self) -> Any:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(force=True)  # `force` only silences advice about texts that end in " ."
