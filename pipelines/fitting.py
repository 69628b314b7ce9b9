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
from scaling_report import two_step
from scaling_report.inputs import MEANINGS
from scaling_report.judge import Judgement, judge
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES

_TRIAD = ("n", "d", "c")  # two of them give the third
_INPUTS_OF: Mapping[str, tuple[str, ...]] = {
    **{name: law.inputs for name, law in LAWS.items()},
    two_step.NAME: two_step.INPUTS,
}
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
    via: str | None = None,
    error: str | None = None,
    **how: Any,
) -> tuple[Judgement | two_step.TwoStep, list[str]]:
    """The judgement of `scaling_report.judge.judge` on a file's columns, and what of it was left out.

    `via` names the column of the task's loss, which the law two-step goes through; `error` that of y's
    standard errors.

    Raises `InputError` for names that are not known, columns that are not there, text where numbers belong,
    and numbers that are not above zero.
    """
    _known(law, _INPUTS_OF, "--law")
    _known(how["loss"], LOSSES, "--loss")
    columns = _unique([*(_input(one, law) for one in x), *_via(via, law)], "--x")
    points = [_point(one, law, columns) for one in predict]
    rows, left_out = _read(table, (*columns.values(), y), where, error)
    values = {name: np.array([row[column] for row in rows]) for name, column in columns.items()}
    measured = np.array([row[y] for row in rows])
    if law == two_step.NAME:
        if error is not None:
            raise InputError(f"--error: {law} does not weigh runs; leave it out")
        return two_step.judge_two_step(values, measured, predict=points, **how), left_out
    errors = None if error is None else np.array([row[error] for row in rows])
    return judge(law, values, measured, error=errors, predict=points, **how), left_out


def _via(column: str | None, law: str) -> list[tuple[str, str]]:
    if law == two_step.NAME and column is None:
        raise InputError(
            f"{law}: needs the task's loss, which the accuracy is a function of; name it with --via COLUMN"
        )
    if law != two_step.NAME and column is not None:
        raise InputError(f"--via: {law} goes through no loss; leave it out, or fit two-step")
    return [] if column is None else [("l", column)]


def _usable(law: str) -> tuple[str, ...]:
    """What may be named: the law's inputs, and n, d and c, where two of them give one."""
    inputs = _INPUTS_OF[law]
    if law == two_step.NAME:
        return _TRIAD
    return (*_TRIAD, *(name for name in inputs if name not in _TRIAD)) if {*_TRIAD} & {*inputs} else inputs


def _input(given: str, law: str) -> tuple[str, str]:
    """INPUT=COLUMN; of a law of one input the column alone will do."""
    inputs = _INPUTS_OF[law]
    if len(inputs) == 1 and "=" not in given:
        return inputs[0], given
    name, column = parse_pair(given, "--x")
    if inputs != ("x",) and name not in _usable(law):
        choices = ", ".join(f"{one} ({MEANINGS[one]})" for one in _usable(law))
        raise InputError(f"--x: {name!r} is no input of {law}; choose from {choices}")
    return name, column


def _point(given: str, law: str, columns: Mapping[str, str]) -> dict[str, float]:
    """Where a run is to be predicted: the inputs by name, of n, d and c any two."""
    pairs = _unique([parse_pair(one, "--predict") for one in given.split(",")], "--predict")
    known = tuple(columns) if _INPUTS_OF[law] == ("x",) else _usable(law)
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
    table: Path, columns: Sequence[str], where: Sequence[str], error: str | None = None
) -> tuple[list[dict[str, float]], list[str]]:
    """The wanted rows' numbers by column, and in words the rows that have none."""
    if file_kind(table) not in TABLES:
        raise InputError(f"{table}: none of {', '.join(TABLES)} (or .gz); convert it")
    tests = [_condition(one) for one in where]
    columns = (*columns, *([error] if error else []))
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
