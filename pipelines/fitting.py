"""`stepladder fit`: a table's columns as numbers, the rows that are wanted, then the judgement."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError
from eval.printing import count
from eval.tables import TABLES, file_kind, read_table
from pipelines.cli_fit import parse_pair
from scaling_report.judge import Judgement, judge
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES

_INPUTS = ("n", "d", "c")
_WHERE = re.compile(r"^(?P<column>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<number>\S+)$")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_NOTHING = ("", "nan", "null", "none", "na", "n/a")
_LISTED = 5  # rows without a number that are named

Keep = Callable[[Mapping[str, Any], str], bool]


def judge_table(
    table: Path,
    *,
    law: str,
    x: Sequence[str],
    y: str,
    where: Sequence[str] = (),
    predict: Sequence[str] = (),
    **how: Any,
) -> tuple[Judgement, list[str]]:
    """The judgement of `scaling_report.judge.judge` on a file's columns, and what of it was left out.

    Raises `InputError` for names that are not known, columns that are not there, text where numbers belong,
    and numbers that are not above zero.
    """
    _known(law, LAWS, "--law")
    _known(how["loss"], LOSSES, "--loss")
    columns = _unique([_input(one, law) for one in x], "--x")
    points = [_point(one, law, columns) for one in predict]
    rows, left_out = _read(table, (*columns.values(), y), where)
    values = {name: np.array([row[column] for row in rows]) for name, column in columns.items()}
    found = judge(law, values, np.array([row[y] for row in rows]), predict=points, **how)
    return found, left_out


def _input(given: str, law: str) -> tuple[str, str]:
    """INPUT=COLUMN; of a law of one input the column alone will do."""
    curve = LAWS[law].inputs == ("x",)
    if curve and "=" not in given:
        return "x", given
    name, column = parse_pair(given, "--x")
    if not curve and name not in _INPUTS:
        raise InputError(f"--x: {name!r} is no input of {law}; choose from {', '.join(_INPUTS)}")
    return name, column


def _point(given: str, law: str, columns: Mapping[str, str]) -> dict[str, float]:
    """Where a run is to be predicted: n and d (or c), or the one input."""
    pairs = _unique([parse_pair(one, "--predict") for one in given.split(",")], "--predict")
    known = tuple(columns) if LAWS[law].inputs == ("x",) else _INPUTS
    for name in pairs:
        if name not in known:
            raise InputError(f"--predict: {name!r} is no input here; choose from {', '.join(known)}")
    return {
        name: _positive(_number(value, f"--predict {name}"), f"--predict {name}")
        for name, value in pairs.items()
    }


def _unique(pairs: Sequence[tuple[str, str]], option: str) -> dict[str, str]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{option}: {twice[0]} is given twice; leave one out")
    return dict(pairs)


def _read(
    table: Path, columns: Sequence[str], where: Sequence[str]
) -> tuple[list[dict[str, float]], list[str]]:
    """The wanted rows' numbers by column, and in words the rows that have none."""
    if file_kind(table) not in TABLES:
        raise InputError(f"{table}: none of {', '.join(TABLES)} (or .gz); convert it")
    tests = [_condition(one) for one in where]
    wanted = (*columns, *(column for column, _ in tests))
    rows: list[dict[str, float]] = []
    empty: list[str] = []
    there: dict[str, None] = {}  # in JSON Lines a row may lack what others have
    unwanted = 0
    for number, row in enumerate(read_table(table), start=1):
        place = f"{table}: row {number}"
        there |= dict.fromkeys(row)
        read = {name: _cell(row.get(name), f"{place}: {name}") for name in wanted}
        if any(math.isnan(value) for value in read.values()):
            empty.append(str(number))
        elif not all(holds(read[column]) for column, holds in tests):
            unwanted += 1
        else:
            rows.append({name: _positive(read[name], f"{place}: {name}") for name in columns})
    if missing := [name for name in wanted if name not in there]:
        near = difflib.get_close_matches(missing[0], list(there), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{table}: has no column {missing[0]!r}; {hint}there are {', '.join(there)}")
    if not rows:
        raise InputError(f"{table}: no rows to fit; give some, or another --where")
    left_out = [f"{count(unwanted, 'row')} by --where"] if unwanted else []
    if empty:
        named = ", ".join(empty[:_LISTED]) + (", …" if len(empty) > _LISTED else "")
        left_out.append(
            f"{count(len(empty), 'row')} without a number ({'row' if len(empty) == 1 else 'rows'} {named})"
        )
    return rows, left_out


def _condition(given: str) -> tuple[str, Callable[[float], bool]]:
    match = _WHERE.match(given.strip())
    if match is None:
        raise InputError(f"--where: {given!r}; COLUMN<NUMBER is wanted (or >, <=, >=)")
    number = _number(match["number"], "--where")
    compare = _SIGNS[match["sign"]]
    return match["column"], lambda value: compare(value, number)


def _cell(value: Any, where: str) -> float:
    """A number; NaN for nothing."""
    if value is None or str(value).strip().lower() in _NOTHING:
        return math.nan
    return _number(value, where)


def _number(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {value!r} is no number; write one") from error


def _positive(value: float, where: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(
            f"{where}: {value:g}; laws need finite numbers above zero: mend or leave out the row"
        )
    return value


def _known(name: str, table: Mapping[str, Any], option: str) -> None:
    if name not in table:
        near = difflib.get_close_matches(name, list(table), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{option}: {name!r} is not known; {hint}there are {', '.join(table)}")
