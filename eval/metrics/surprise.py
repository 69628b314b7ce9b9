"""Bits per byte, perplexities and mean losses: readings of one sum of nats over documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array
from eval.uncertainty import ratio_stderr

LN2 = float(np.log(2.0))


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error over documents; None when there is but one document."""

    value: float
    stderr: float | None


def bits_per_byte(nats: Array, num_bytes: Array) -> Estimate:
    """nats / (ln 2 · bytes), summed over documents before dividing. Inputs: (documents,)."""
    value, stderr = _ratio(nats, num_bytes)
    return Estimate(value / LN2, None if stderr is None else stderr / LN2)


def perplexity(nats: Array, units: Array) -> Estimate:
    """exp(nats / units), units being tokens or bytes, summed over documents first. Inputs: (documents,).

    The error is the ratio's, carried through exp by its slope (delta method).
    """
    mean, stderr = _ratio(nats, units)
    value = float(np.exp(mean))
    return Estimate(value, None if stderr is None else value * stderr)


def mean_loss(nats: Array, tokens: Array) -> Estimate:
    """nats / tokens, summed over documents before dividing. Inputs: (documents,)."""
    return Estimate(*_ratio(nats, tokens))


def _ratio(nats: Array, units: Array) -> tuple[float, float | None]:
    stderr = ratio_stderr(nats, units) if len(nats) > 1 else None
    return float(nats.sum() / units.sum()), stderr
