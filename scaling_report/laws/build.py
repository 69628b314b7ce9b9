"""A law from its formula, bounds and start grid: derivatives, starts and units come from those.

    LAW = build_law(
        "exponential", exponential, "y = a·e^(-b·x)", "…",
        [Parameter("a", logarithm=True, unit=lambda p, x, y: y),
         Parameter("b", 0.01, 10, grid=np.geomspace(0.03, 3, 20), unit=lambda p, x, y: 1 / x[0])],
    )

The formula must also take complex numbers, by which it is differentiated: of what depends on a parameter no
abs, no maximum, and comparisons of real parts alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.laws.law import LOG, SMALLEST_SHARE, Array, Law, Link

SEGMENTS = 6  # the best point of each contiguous part of the grid becomes a start
_STEP = 1e-30  # imaginary: nothing is subtracted, so nothing cancels
_SWEEPS = 12  # of coordinate descent, for coefficients within their bounds

Unit = Callable[[Mapping[str, Array], Array, float], Array]
Grid = Mapping[str, Array] | Callable[[Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a formula on data over their geometric means.

    `low` and `high` bound it there; with `logarithm` the solver works with its logarithm. `grid` holds its
    starts; without any, the formula is linear in it and least squares give it. `unit(parameters, x0, y0)` is
    what it is multiplied by in the data's own units; none where it is a pure number.
    """

    name: str
    low: float = -np.inf
    high: float = np.inf
    grid: Array | Sequence[float] = ()
    logarithm: bool = False
    unit: Unit | None = None


def build_law(
    name: str,
    curve: Callable[..., Array],
    formula: str,
    source: str,
    parameters: Sequence[Parameter],
    *,
    inputs: tuple[str, ...] = ("x",),
    link: Link = LOG,
    grid: Grid | None = None,
    scaled_as: tuple[int, ...] | None = None,
    starts: Callable[[Array, Array, Array], Array] | None = None,
    patience: int = 1,
) -> Law:
    """The law of `curve(*inputs, *parameters)`. `grid` replaces the product of the parameters' own grids."""
    names = tuple(one.name for one in parameters)
    logs = np.array([one.logarithm for one in parameters])
    own_grid = (
        grid if grid is not None else cross({one.name: one.grid for one in parameters if len(one.grid)})
    )

    def values(theta: Array) -> Array:
        return np.where(logs, np.exp(np.where(logs, theta, 0)), theta)

    def log_curve(theta: Array, u: Array) -> Array:
        columns = np.moveaxis(values(theta)[..., None, :], -1, 0)
        with np.errstate(all="ignore"):  # outside the law's domain it is no number, which the solver sees
            return link.to(curve(*(u if len(inputs) > 1 else (u,)), *columns))

    def natural(theta: Array, x0: Array, y0: float) -> Array:
        found = dict(zip(names, np.moveaxis(values(theta), -1, 0), strict=True))
        scales = np.atleast_1d(x0)
        return np.stack(
            [found[one.name] * (one.unit(found, scales, y0) if one.unit else 1.0) for one in parameters],
            axis=-1,
        )

    low = np.array([max(one.low, SMALLEST_SHARE) if one.logarithm else one.low for one in parameters])
    high = np.array([one.high for one in parameters])

    def own_starts(u: Array, v: Array, weights: Array) -> Array:
        points = own_grid(u) if callable(own_grid) else own_grid
        found = project(curve, names, points, u, v, weights, low, high, link)
        return np.where(logs, np.log(np.where(logs, found, 1)), found)

    with np.errstate(invalid="ignore"):
        bounds = [np.where(logs, np.log(np.where(logs, ends, 1)), ends) for ends in (low, high)]
    return Law(
        name=name,
        formula=formula,
        source=source,
        parameters=names,
        lower=bounds[0],
        upper=bounds[1],
        curve=curve,
        log_curve=log_curve,
        log_jacobian=differentiate(log_curve),
        starts=starts or own_starts,
        natural=natural,
        inputs=inputs,
        link=link,
        scaled_as=scaled_as,
        patience=patience,
    )


def differentiate(log_curve: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """d log_curve / d theta (..., n, P), exact to rounding: the complex step (Squire & Trapp 1998)."""

    def jacobian(theta: Array, u: Array) -> Array:
        steps = theta[..., None, :] + 1j * _STEP * np.eye(theta.shape[-1])  # (..., P, P)
        slopes: Array = log_curve(steps, u).imag / _STEP
        return slopes.swapaxes(-1, -2)

    return jacobian


def cross(grids: Mapping[str, Array | Sequence[float]]) -> dict[str, Array]:
    """Every combination of the values, a column (G,) a name."""
    points = np.array(list(itertools.product(*grids.values())), dtype=float)
    return dict(zip(grids, points.T, strict=True))


def project(
    curve: Callable[..., Array],
    names: Sequence[str],
    points: Mapping[str, Array],
    u: Array,
    v: Array,
    weights: Array,
    low: Array,
    high: Array,
    link: Link,
) -> Array:
    """Starts (R, SEGMENTS, P) by variable projection (Golub & Pereyra 1973), in the formula's parameters.

    For every point of the grid the parameters that it lacks, in which the curve is linear, are found within
    their bounds by least squares of residuals over the link's slope, so nearly of the link itself; the best
    point of each segment is kept. Where it lacks none, the least squares are of the link.
    """
    rows = u if u.ndim > 1 else (u,)
    size = len(next(iter(points.values())))
    free = [place for place, name in enumerate(names) if name not in points]
    held = [points[name][:, None] if name in points else np.zeros((size, 1)) for name in names]
    if free:
        shapes = np.stack(
            [
                curve(*rows, *(np.ones((size, 1)) if i == one else held[i] for i in range(len(names))))
                for one in free
            ],
            axis=1,
        )  # (G, K, n)
        coefficients, loss = _solve(shapes, v, weights / link.slope(link.to(v)) ** 2, low[free], high[free])
    else:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            there = link.to(curve(*rows, *held))  # (G, n)
        usable = np.asarray(np.isfinite(there).all(axis=-1))
        there = np.where(usable[:, None], there, 0.0)
        loss = weights @ (there**2).T - 2 * (weights * link.to(v)) @ there.T  # (R, G), less a constant
        loss[:, ~usable] = np.inf
        coefficients = np.empty((len(v), size, 0))
    segments = np.array_split(np.arange(size), min(SEGMENTS, size))
    best = np.stack([part[loss[:, part].argmin(axis=-1)] for part in segments], axis=-1)  # (R, S)
    chosen = np.take_along_axis(coefficients, best[..., None], axis=1)
    columns = [
        chosen[..., free.index(place)] if place in free else points[name][best]
        for place, name in enumerate(names)
    ]
    return np.clip(np.stack(columns, axis=-1), low, high)


def _solve(shapes: Array, v: Array, weights: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Coefficients (R, G, K) within bounds, and their losses (R, G) less a constant."""
    width = shapes.shape[1]
    usable = np.asarray(np.isfinite(shapes).all(axis=(1, 2)))
    shapes = np.where(usable[:, None, None], shapes, 1.0)
    lengths = np.maximum(np.sqrt((shapes**2).mean(axis=-1)), 1e-100)  # (G, K)
    shapes = shapes / lengths[..., None]
    products = shapes[:, :, None] * shapes[:, None]
    normal = np.einsum("rn,gijn->rgij", weights, products, optimize=True)
    wanted = np.einsum("rn,gin->rgi", weights * v, shapes, optimize=True)
    ridge = 1e-10 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(width)
    low, high = low * lengths, high * lengths
    found = np.clip(np.linalg.solve(normal + ridge, wanted[..., None])[..., 0], low, high)
    for _ in range(_SWEEPS):
        for one in range(width):
            rest = (
                wanted[..., one]
                - (normal[..., one, :] * found).sum(-1)
                + normal[..., one, one] * found[..., one]
            )
            found[..., one] = np.clip(
                rest / np.maximum(normal[..., one, one], 1e-300), low[:, one], high[:, one]
            )
    loss = ((normal @ found[..., None])[..., 0] * found).sum(-1) - 2 * (wanted * found).sum(-1)
    loss[:, ~usable] = np.inf
    return found / lengths, loss
