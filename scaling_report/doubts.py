"""Why the parameters of a fit are not pinned down by its data, in sentences."""

from __future__ import annotations

import numpy as np

from scaling_report.fit import FitResult
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.uncertainty import Bootstrap
from scaling_report.wording import count

COLLINEAR = 0.99  # correlation of ln N and ln D from which they are one variable
ILL_CONDITIONED = 1e4  # of the scaled derivatives: the data hardly tell parameters apart
WIDE = 100.0  # times its lower end is an interval's upper end where the order of magnitude is open


def find_doubts(found: FitResult, x: Array, boot: Bootstrap | None, level: float) -> list[str]:
    """A sentence for each reason; nothing where the parameters are identified and the solver arrived."""
    law = LAWS[found.law]
    said = _of_inputs(law.inputs, np.atleast_2d(x)) if len(law.inputs) > 1 else []
    if found.sizes < law.sizes_needed:
        parameters = count(len(law.parameters), "parameter")
        said.append(f"Not identified: {parameters} and {count(found.sizes, 'distinct size')}.")
    for name in found.at_bound:
        said.append(
            f"Not identified: {name} ended at the edge of what is allowed, "
            f"{significant(found.parameters[name])}."
        )
    if boot is not None:
        said += _of_refits(found, boot, level)
    if not said and found.condition is not None and not found.condition < ILL_CONDITIONED:
        said.append(
            f"Not identified: the data hardly tell the parameters apart (condition {found.condition:.0f})."
        )
    if not found.converged:
        said.append("The solver did not arrive: take none of these numbers for the optimum.")
    return said


def _of_inputs(names: tuple[str, ...], x: Array) -> list[str]:
    """Inputs that do not vary, or only together."""
    if still := [name for name, row in zip(names, x, strict=True) if np.ptp(np.log(row)) == 0]:
        return [f"Not identified: {still[0]} is the same in all runs, so nothing shows what it does."]
    together = float(np.corrcoef(np.log(x))[0, 1])
    if abs(together) <= COLLINEAR:
        return []
    return [
        f"Not identified: {names[0]} and {names[1]} go together (correlation of their logarithms "
        f"{together:.3f}), so their terms cannot be told apart; vary one at a fixed other."
    ]


def _of_refits(found: FitResult, boot: Bootstrap, level: float) -> list[str]:
    """Parameters whose intervals reach their bounds, or leave their order of magnitude open."""
    said = []
    at_bound, intervals = boot.share_at_bound(), boot.interval(level)
    for name, (low, high) in intervals.items():
        if name in found.at_bound:
            continue
        if at_bound[name] > (1 - level) / 2:
            said.append(f"Not identified: the interval of {name} reaches the edge of what is allowed.")
        elif low > 0 and high > WIDE * low:
            ends = f"{significant(low, 2)} to {significant(high, 2)}"
            said.append(f"Not identified: {name} may be anything from {ends}.")
    return said
