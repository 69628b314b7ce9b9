"""Inputs of a product that say nothing the others do not, and what is fitted without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling_report.inputs import FLOPS_PER_TOKEN
from scaling_report.laws import LAWS, PRODUCTS, Array
from scaling_report.wording import listed

COLLINEAR = 0.99  # correlation of logarithms from which inputs are one variable
_EXACT = 1e-6  # relative, of C = 6·N·D


@dataclass(frozen=True)
class Reduced:
    """The law that is left, the rows of x that it is of, and in words why the others went."""

    law: str
    rows: tuple[int, ...]
    dropped: tuple[str, ...]  # exponents
    sentences: tuple[str, ...]


def reduce_product(law: str, x: Array) -> Reduced:
    """Drop of a product's inputs those that the ones before them give, and those that never vary.

    x holds one row an input. Of anything but a product nothing is dropped.
    """
    inputs = LAWS[law].inputs
    whole = Reduced(law, tuple(range(len(inputs))), (), ())
    if PRODUCTS.get(inputs) is not LAWS[law] or len(inputs) == 1:
        return whole
    logs = np.log(x)
    kept: list[int] = []
    reasons: dict[int, str] = {}
    for place, row in enumerate(logs):
        reason = _why(inputs, x, logs, kept, place) if np.ptp(row) > 0 else ""
        if np.ptp(row) == 0:
            reason = f"{inputs[place].upper()} is the same in all runs"
        if reason:
            reasons[place] = reason
        else:
            kept.append(place)
    if not reasons or not kept:
        return whole
    found = PRODUCTS[tuple(inputs[place] for place in kept)]
    exponents = LAWS[law].parameters[1:]
    said = [
        f"Not identified: {reason}, so its exponent {exponents[place]} cannot be told apart."
        for place, reason in reasons.items()
    ]
    gone = listed([inputs[place].upper() for place in reasons])
    verb = "was" if len(reasons) == 1 else "were"
    said.append(f"{gone} {verb} dropped: what is fitted is {found.formula}.")
    return Reduced(found.name, tuple(kept), tuple(exponents[place] for place in reasons), tuple(said))


def _why(inputs: tuple[str, ...], x: Array, logs: Array, kept: list[int], place: int) -> str:
    """Why the input at `place` says nothing beside those kept; "" where it does."""
    if not kept:
        return ""
    together = _correlation(logs[kept], logs[place])
    if together <= COLLINEAR:
        return ""
    name = inputs[place].upper()
    told = f"correlation of logarithms {together:.3f}"
    by_name = dict(zip(inputs, x, strict=True))
    if inputs[place] == "c" and {"n", "d"} <= by_name.keys():
        product = FLOPS_PER_TOKEN * by_name["n"] * by_name["d"]
        exact = np.abs(by_name["c"] / product - 1).max() < _EXACT
        return f"C is {'' if exact else 'nearly '}6·N·D in every row ({told})"
    others = listed([inputs[one].upper() for one in kept])
    return f"{name} goes together with {others} ({told})"


def _correlation(of: Array, row: Array) -> float:
    """The multiple correlation of `row` (n,) with the rows of `of`."""
    design = np.vstack([np.ones(row.size), of]).T
    left = row - design @ np.linalg.lstsq(design, row, rcond=None)[0]
    spread = row - row.mean()
    return float(np.sqrt(max(1 - (left @ left) / (spread @ spread), 0.0)))
