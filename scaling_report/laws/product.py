"""The product of powers of size, data and compute, and what is left of it where some go together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from scaling_report.laws.law import EXPONENT_MAX, Array, Law

_EXPONENTS = {"n": "b", "d": "c", "c": "d"}  # of each input, as the law is taught


def product(*inputs_and_parameters: Array) -> Array:
    """y = a·N^b·D^c·C^d, called with N, D, C, a, b, c, d, or with fewer inputs and exponents.

    Widely taught. Where C = 6·N·D, C says nothing that N and D do not.
    """
    inputs = len(inputs_and_parameters) // 2
    curve = inputs_and_parameters[inputs]
    for one, exponent in zip(
        inputs_and_parameters[:inputs], inputs_and_parameters[inputs + 1 :], strict=True
    ):
        curve = curve * one**exponent
    return curve


def _design(u: Array) -> Array:
    logs = np.log(np.atleast_2d(u))
    return np.concatenate([np.ones((1, logs.shape[-1])), logs]).T  # (n, P)


def _log_curve(theta: Array, u: Array) -> Array:
    return theta @ _design(u).T


def _log_jacobian(theta: Array, u: Array) -> Array:
    design = _design(u)
    return np.broadcast_to(design, (*theta.shape[:-1], *design.shape)).copy()


def _starts(u: Array, v: Array, weights: Array) -> Array:
    """The weighted log-linear least squares: one start is enough, the problem is convex."""
    design = _design(u)
    normal = np.einsum("rn,ni,nj->rij", weights, design, design, optimize=True)
    wanted = (weights * np.log(v)) @ design
    return (np.linalg.pinv(normal, hermitian=True) @ wanted[..., None])[..., 0][:, None, :]


def _natural(theta: Array, x0: Array | float, y0: float) -> Array:
    log_scale = theta[..., 0] + np.log(y0) - theta[..., 1:] @ np.log(np.atleast_1d(x0))
    return np.concatenate([np.exp(log_scale)[..., None], theta[..., 1:]], axis=-1)


def _product_of(inputs: tuple[str, ...]) -> Law:
    powers = "".join(f"·{name.upper()}^{_EXPONENTS[name]}" for name in inputs)
    edge = np.full(len(inputs), EXPONENT_MAX)
    whole = len(inputs) == len(_EXPONENTS)
    return Law(
        name="product" if whole else "product-" + "".join(inputs),
        formula=f"y = a{powers}",
        source="widely taught",
        parameters=("a", *(_EXPONENTS[name] for name in inputs)),
        lower=np.concatenate([[-np.inf], -edge]),
        upper=np.concatenate([[np.inf], edge]),
        curve=product,
        log_curve=_log_curve,
        log_jacobian=_log_jacobian,
        starts=_starts,
        natural=_natural,
        inputs=inputs,
    )


PRODUCTS: Mapping[tuple[str, ...], Law] = {
    inputs: _product_of(inputs) for width in (3, 2, 1) for inputs in itertools.combinations(_EXPONENTS, width)
}
"""By the inputs that are left."""
