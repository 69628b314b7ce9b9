"""Why the parameters of a fit are not pinned down by its data, in sentences."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from scaling_report.collinear import COLLINEAR
from scaling_report.fits import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.shapes import CHANGES, find_hidden
from scaling_report.uncertainty import Bootstrap
from scaling_report.wording import count

ILL_CONDITIONED = 1e4  # of the scaled derivatives: the data hardly tell parameters apart
WIDE = 100.0  # times its lower end is an interval's upper end where the order of magnitude is open
WIDE_SHARE = 0.5  # of what lies between zero and one
_SHARES = ("eps", "a", "b")  # parameters of laws of shares that are shares, or differences of them


def find_doubts(found: FitResult, x: Array, boot: Bootstrap | None, level: float) -> list[str]:
    """A sentence for each reason; nothing where the parameters are identified and the solver arrived."""
    law = LAWS[found.law]
    said = _of_inputs(law.inputs, np.atleast_2d(x)) if {"n", "d"} <= set(law.inputs) else []
    if found.sizes < law.sizes_needed:
        parameters = count(len(law.parameters), "parameter")
        said.append(f"Not identified: {parameters} and {count(found.sizes, 'distinct size')}.")
    hidden = find_hidden(found, np.atleast_2d(x))
    said += [f"Not identified: {reason}" for reason in dict.fromkeys(hidden.values())]
    for name in found.at_bound:
        if name not in hidden:
            said.append(
                f"Not identified: {name} ended at the edge of what is allowed, "
                f"{significant(found.parameters[name])}."
            )
    if boot is not None:
        said += _of_refits(found, boot, level, hidden)
    if not said and found.condition is not None and not found.condition < ILL_CONDITIONED:
        said.append(
            f"Not identified: the data hardly tell the parameters apart (condition {found.condition:.0f})."
        )
    if not found.converged:
        said.append("The solver did not arrive: take none of these numbers for the optimum.")
    return said


def _of_inputs(names: tuple[str, ...], x: Array) -> list[str]:
    """Size or data that do not vary, or only together."""
    if still := [name for name, row in zip(names[:2], x[:2], strict=True) if np.ptp(np.log(row)) == 0]:
        return [f"Not identified: {still[0]} is the same in all runs, so nothing shows what it does."]
    if few := [name for name, row in zip(names[:2], x[:2], strict=True) if np.unique(row).size < 3]:
        return [
            f"Not identified: {few[0]} has two values only, so a floor and an exponent cannot be told apart."
        ]
    together = float(np.corrcoef(np.log(x[:2]))[0, 1])
    if abs(together) <= COLLINEAR:
        return []
    return [
        f"Not identified: {names[0]} and {names[1]} go together (correlation of their logarithms "
        f"{together:.3f}), so their terms cannot be told apart; vary one at a fixed other."
    ]


def _of_refits(found: FitResult, boot: Bootstrap, level: float, told: Collection[str]) -> list[str]:
    """Parameters whose intervals reach their bounds, or leave their order of magnitude open."""
    said = []
    shares = LAWS[found.law].of_shares
    at_bound, intervals = boot.share_at_bound(), boot.interval(level)
    for name, (low, high) in intervals.items():
        if name in found.at_bound or name in told:
            continue
        if at_bound[name] > (1 - level) / 2:
            said.append(f"Not identified: the interval of {name} reaches the edge of what is allowed.")
        elif name in CHANGES and low <= 0 <= high:
            said.append(
                f"Not identified: the interval of {name} includes zero, so no break is seen; try power-floor."
            )
        elif (low > 0 and high > WIDE * low) or (shares and name in _SHARES and high - low > WIDE_SHARE):
            ends = f"{significant(low, 2)} to {significant(high, 2)}"
            said.append(f"Not identified: {name} may be anything from {ends}.")
    return said
