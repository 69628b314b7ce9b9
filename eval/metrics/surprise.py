"""Bits per byte, perplexities and mean losses: readings of one sum of nats over one sum of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.base import Array, RatioMetric

LN2 = float(np.log(2.0))

UNITS = {
    "bits_per_byte": "utf8-byte",
    "token_perplexity": "token",
    "word_perplexity": "white-space-word",
    "byte_perplexity": "utf8-byte",
    "masked_lm_loss": "hidden-token",
    "pseudo_perplexity": "hidden-token",
    "answer_perplexity": "answer",
    "answer_bits_per_byte": "utf8-byte",
}
"""What the nats of each metric are divided by. An answer's perplexity is that of all its tokens together, as
lm-evaluation-harness reports LAMBADA's (units of one).
"""


@dataclass(frozen=True, kw_only=True)
class Surprise(RatioMetric):
    """Statistics (nats, units), one row an item or several (blocks of a long document, each drawn by itself).

    The value is exp(nats / units) for perplexities, nats / (ln 2 · units) for bits, nats / units for losses,
    each of sums; the error is the ratio's, carried through that function by its slope (delta method).
    """

    def statistics(
        self, predictions: Sequence[float] | NDArray[np.float64], references: Sequence[float] | Array
    ) -> Array:
        """(rows, 2) from the nats and the units of each row; `ValueError` where there is no unit at all."""
        nats, units = np.asarray(predictions, np.float64), np.asarray(references, np.float64)
        if nats.shape != units.shape or nats.ndim != 1:
            raise ValueError(
                f"{self.name}: nats {nats.shape} for units {units.shape}; give one of each a row"
            )
        if not (units >= 0).all() or not units.sum() > 0:
            raise ValueError(f"{self.name}: no {self._unit} to divide by; give texts that have some")
        return np.column_stack([nats, units])

    def reading(self, ratio: Array) -> Array:
        """The value at so many nats a unit."""
        if self._is_perplexity:
            return np.asarray(np.exp(ratio))
        return ratio / LN2 if self._is_bits else ratio

    def slope(self, ratio: float) -> float:
        """The derivative of `reading`."""
        if self._is_perplexity:
            return float(np.exp(ratio))
        return 1 / LN2 if self._is_bits else 1.0

    def signature(self) -> str:
        """What is divided by."""
        return f"{self.name}|per:{self._unit}"

    @property
    def _unit(self) -> str:
        return UNITS[self.name]

    @property
    def _is_perplexity(self) -> bool:
        return self.name.endswith("perplexity")

    @property
    def _is_bits(self) -> bool:
        return self.name.endswith("bits_per_byte")
