"""What a law's shape must show in the data for its parameters to be seen: breaks, repeats, both bends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scaling_report.fits import FitResult
from scaling_report.laws import Array, best_size
from scaling_report.notation import significant

CHANGES = ("c1", "c2")  # of the exponent at each break: zero where there is none
_OF_REPEATS = ("RD", "RN")
_SIZES_BESIDE = 2  # on either side of a break: fewer show no slope there
_LEAST_REPEATED = 0.01  # repeats, below which data were seen once
_LEAST_STEP = 1e-6  # of accuracy
_LEAST_DECAY = 0.5  # e-foldings of an exponential over the data: below, it is a straight line


def find_hidden(found: FitResult, x: Array) -> dict[str, str]:
    """By parameter, why the data (one row an input) cannot show it: sentences without "Not identified"."""
    rule = _RULES.get(found.law)
    return rule(found.parameters, x) if rule else {}


def find_absent(found: FitResult, x: Array) -> tuple[str, ...]:
    """The parameters that play no part in the curve at the data: what a fit says of them is its start."""
    return tuple(name for name in find_hidden(found, x) if name in _OF_REPEATS)


def _repeated(p: Mapping[str, float], x: Array) -> dict[str, str]:
    n, d, u = x
    once = np.minimum(u, d)
    hidden = {}
    most = float((d / once - 1).max())
    if most < _LEAST_REPEATED:
        hidden["RD"] = (
            "no run sees its data again (d is at most u in every run), so nothing shows RD, what repeats are "
            "worth; the other parameters are chinchilla's."
        )
    best = best_size(once, *(np.array(p[name]) for name in ("A", "B", "alpha", "beta")))
    if float((n / best).max()) < 1 + _LEAST_REPEATED:
        hidden["RN"] = (
            "no run has more parameters than are best for its unique tokens, so nothing shows RN, what those "
            "beyond are worth."
        )
    return hidden


def _broken(p: Mapping[str, float], x: Array) -> dict[str, str]:
    sizes = np.unique(x[0])
    hidden: dict[str, str] = {}
    for one in range(1, sum(name.startswith("d") for name in p) + 1):
        place = p[f"d{one}"]
        beside = min(int((sizes < place).sum()), int((sizes > place).sum()))
        if beside >= _SIZES_BESIDE:
            continue
        where = "outside the data" if beside == 0 else "at the edge of the data"
        ends = f"{significant(float(sizes[0]), 3)} to {significant(float(sizes[-1]), 3)}"
        reason = (
            f"the break d{one} = {significant(place, 3)} lies {where} ({ends}), which show no bend there; "
            "try power-floor."
        )
        hidden |= dict.fromkeys((f"c{one}", f"d{one}", f"f{one}"), reason)
    return hidden


def _sigmoid(p: Mapping[str, float], x: Array) -> dict[str, str]:
    low, high = float(x.min()), float(x.max())
    if abs(p["a"]) < _LEAST_STEP:
        return dict.fromkeys(("k", "x0"), "accuracy does not move with loss, so nothing shows k and x0.")
    if low < p["x0"] < high:
        return {}
    end = ("b + a", "high") if p["x0"] >= high else ("b", "low")
    return dict.fromkeys(
        ("a", "b", "x0"),
        f"the middle x0 = {significant(p['x0'], 3)} lies outside the losses that were measured "
        f"({significant(low, 3)} to {significant(high, 3)}), so nothing shows where the curve ends at "
        f"{end[1]} loss, {end[0]}.",
    )


def _error_decay(p: Mapping[str, float], x: Array) -> dict[str, str]:
    folds = p["gamma"] * float(np.ptp(x))
    if folds >= _LEAST_DECAY:
        return {}
    return dict.fromkeys(
        ("eps", "k", "gamma"),
        f"the error hardly bends over the losses that were measured ({significant(folds, 2)} e-foldings), so "
        "nothing shows where it ends, eps.",
    )


_RULES: Mapping[str, Callable[[Mapping[str, float], Array], dict[str, str]]] = {
    "repeated": _repeated,
    "bnsl": _broken,
    "bnsl-2": _broken,
    "sigmoid": _sigmoid,
    "error-decay": _error_decay,
}
