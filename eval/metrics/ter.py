"""TER (Snover 2006) as sacreBLEU computes it: edits and shifts over the references' words, in points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eval.metrics.sacre import SacreMetric


@dataclass(frozen=True)
class Ter(SacreMetric):
    """Two statistics a segment: edits to the nearest reference, and the references' mean length."""

    name: str = "ter"

    def _make_scorer(self) -> Any:
        from sacrebleu.metrics.ter import TER

        return TER()
