"""Laws of loss: errors and accuracies, which lie between zero and one, as functions of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scaling_report.laws.build import Parameter, build_law, cross
from scaling_report.laws.law import LOG_ODDS, SMALLEST_SHARE, Array

_STEEPEST = 1e3  # over the middle loss of the data
_FARTHEST = 10.0  # middle losses of the data that a sigmoid's middle may lie at


def error_decay(loss: Array, eps: Array, k: Array, gamma: Array) -> Array:
    """Err = eps - k·e^(-gamma·L), L the loss. Gadre et al. 2024 (arXiv:2403.08540)."""
    return eps - k * np.exp(-gamma * loss)


def sigmoid(loss: Array, a: Array, k: Array, x0: Array, b: Array) -> Array:
    """acc = a/(1+e^(-k(L-x0))) + b, L the task's loss. Bhagia et al. 2024 (arXiv:2412.04403), step 2.

    k is above zero, so a is below zero where accuracy falls with loss: from b at low loss to b + a at high.
    """
    return a * (1 + np.tanh(k * (loss - x0) / 2)) / 2 + b


def _between(loss: Array, high_loss: Array, k: Array, x0: Array, low_loss: Array) -> Array:
    """The sigmoid by its values at high loss and at low, each a share."""
    return sigmoid(loss, high_loss - low_loss, k, x0, low_loss)


def _rates(u: Array) -> Mapping[str, Array]:
    return {"gamma": np.geomspace(0.05, 30, 48) / (np.ptp(u) or 1.0)}


def _places(u: Array) -> Mapping[str, Array]:
    span = np.ptp(u) or 1.0
    places = np.maximum(u.min() + span * np.linspace(-0.5, 1.5, 13), 1e-3)
    return cross({"x0": places, "k": np.geomspace(0.7, 40, 10) / span})


ERROR_DECAY = build_law(
    "error-decay",
    error_decay,
    "Err = eps - k·e^(-gamma·L)",
    "Gadre et al. 2024",
    [
        Parameter("eps", SMALLEST_SHARE, 1.0),
        Parameter("k", SMALLEST_SHARE, logarithm=True),
        Parameter("gamma", 0.01, _STEEPEST, logarithm=True, unit=lambda p, x0, y0: 1 / x0[0]),
    ],
    inputs=("l",),
    link=LOG_ODDS,
    grid=_rates,
)

_BETWEEN = build_law(
    "sigmoid",
    _between,
    "acc = a/(1+e^(-k(L-x0))) + b",
    "Bhagia et al. 2024",
    [
        Parameter("high_loss", 0.0, 1.0),
        Parameter("k", 0.01, _STEEPEST, logarithm=True, unit=lambda p, x0, y0: 1 / x0[0]),
        Parameter("x0", 0.0, _FARTHEST, unit=lambda p, x0, y0: x0[0]),
        Parameter("low_loss", 0.0, 1.0),
    ],
    inputs=("l",),
    link=LOG_ODDS,
    grid=_places,
)


def _natural(theta: Array, x0: Array, y0: float) -> Array:
    high_loss, k, middle, low_loss = np.moveaxis(_BETWEEN.natural(theta, x0, y0), -1, 0)
    return np.stack([high_loss - low_loss, k, middle, low_loss], axis=-1)


SIGMOID = replace(_BETWEEN, parameters=("a", "k", "x0", "b"), curve=sigmoid, natural=_natural)
"""Worked with as its values at high and at low loss, so that bounds are those of a share."""
