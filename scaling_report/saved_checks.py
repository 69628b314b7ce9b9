"""Whether a law that was read from a file is whole: all that its formula takes, and finite numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_report.inputs import find_name
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES

if TYPE_CHECKING:
    from scaling_report.laws import Array
    from scaling_report.saved import FittedLaw


def numbers(value: Any, *shape: int | None) -> Array:
    """A value of JSON as finite numbers of that shape (None: any length). Raises `ValueError`."""
    found = np.array(value, dtype=float)
    wanted = found.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, found.shape, strict=True)
    )
    if not wanted or not np.isfinite(found).all():
        raise ValueError(f"numbers of shape {shape} are wanted, not {value!s:.40}")
    return found


def check_whole(law: FittedLaw) -> None:
    """Raise `ValueError` for a law that could not be predicted with, `InputError` for names not known."""
    find_name(law.law, LAWS, "law")
    find_name(law.asked, LAWS, "law")
    find_name(law.loss, LOSSES, "loss")
    fitted, asked = LAWS[law.law], LAWS[law.asked]
    if tuple(law.parameters) != fitted.parameters:
        raise ValueError(f"{law.law} has the parameters {', '.join(fitted.parameters)}")
    count = len(fitted.parameters)
    numbers(list(law.parameters.values()), count)
    numbers(law.domain, len(fitted.inputs), 2)
    if len(law.inputs) != len(asked.inputs) or not _are_names(law.inputs):
        raise ValueError(f"{law.asked} is of {', '.join(asked.inputs)}")
    if not all(isinstance(row, int) and 0 <= row < len(asked.inputs) for row in law.rows):
        raise ValueError("rows are numbers of inputs")
    if len(law.rows) != len(fitted.inputs):
        raise ValueError(f"{law.law} is of {len(fitted.inputs)} inputs")
    if not (_is_number(law.level) and 0 < law.level < 1):
        raise ValueError(f"level: {law.level!r:.40} is no share")
    target = (law.target.ceiling, law.target.floor, law.target.chance)
    if not all(one is None or _is_number(one) for one in target):
        raise ValueError("the target's ends are numbers")
    if law.covariance is not None:
        numbers(law.covariance, count, count)
    if law.refits is not None:
        refits = numbers(law.refits.solutions.parameters, None, count)
        if not len(refits):
            raise ValueError("there are no refits")
        numbers(law.refits.inflation, len(refits))
        scatter = law.refits.scatter
        if not all(
            _is_number(one) for one in (scatter.between_rungs, scatter.between_seeds or 0.0, scatter.dof)
        ):
            raise ValueError("the scatter is of numbers")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _are_names(names: Sequence[Any]) -> bool:
    return all(isinstance(name, str) for name in names)
