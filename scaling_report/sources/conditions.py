"""`COLUMN<NUMBER` and its kin: which rows are wanted."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.files import InputError

NOTHING = ("", "nan", "null", "none", "na", "n/a", "<na>")
_WHERE = re.compile(r"^(?P<column>.+?)\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>.+)$")
_ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """One test of one column. Orders want numbers on both sides; = and != also compare text."""

    column: str
    sign: str
    value: str

    def holds(self, cell: Any, where: str) -> bool | None:
        """Whether a row is wanted; None where an order is asked of a cell that holds nothing."""
        if self.sign in _ORDERS:
            number = cell_number(cell, where)
            return None if math.isnan(number) else _ORDERS[self.sign](number, float(self.value))
        return _same(cell, self.value) is (self.sign != "!=")


def parse_condition(given: str) -> Condition:
    """Raises `InputError` for what is no condition, and for an order that has no number."""
    match = _WHERE.match(given.strip())
    if match is None:
        raise InputError(f"--where: {given!r}; COLUMN=VALUE is wanted (or !=, <, >, <=, >=)")
    if match["sign"] in _ORDERS:
        read_number(match["value"], "--where")
    return Condition(match["column"], match["sign"], match["value"].strip())


def is_nothing(cell: Any) -> bool:
    """Whether a cell holds no value."""
    return cell is None or str(cell).strip().lower() in NOTHING


def cell_number(cell: Any, where: str) -> float:
    """A cell's number; NaN for nothing. Raises `InputError`, beginning with `where`, for text."""
    return math.nan if is_nothing(cell) else read_number(cell, where)


def read_number(value: Any, where: str) -> float:
    """Raises `InputError`, beginning with `where`, for what is no number."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {value!r} is no number; write one") from error


def positive(value: float, where: str, hint: str = "") -> float:
    """Raises `InputError`, from `where` to `hint`, for what has no logarithm."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{where}: {value:g}; laws need finite numbers above zero{hint}")
    return value


def _same(cell: Any, value: str) -> bool:
    if is_nothing(cell) or is_nothing(value):
        return is_nothing(cell) and is_nothing(value)
    try:
        if not isinstance(cell, bool):
            return float(cell) == float(value)
    except (TypeError, ValueError):
        pass
    text = str(cell).strip()
    return text == value or (isinstance(cell, bool) and text.lower() == value.lower())
