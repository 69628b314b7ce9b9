"""`stepladder fit`: a table's columns as numbers, the rows that are wanted, then the judgement."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError
from pipelines.cli_fit import parse_pair
from scaling_report.judge import Judgement, judge
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES
from scaling_report.sources import open_table, select_runs
from scaling_report.sources.conditions import positive, read_number

_INPUTS = ("n", "d", "c")


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
    runs = select_runs(open_table(table), columns, y, where)
    found = judge(law, runs.inputs, runs.y, predict=points, **how)
    return found, [*runs.left_out, *runs.notes]


def _input(given: str, law: str) -> tuple[str, str]:
    """INPUT=COLUMN; of a law of one input the column alone will do, and the input alone is its own column."""
    curve = LAWS[law].inputs == ("x",)
    if curve and "=" not in given:
        return "x", given
    if given in _INPUTS:
        return given, given
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
        name: positive(read_number(value, f"--predict {name}"), f"--predict {name}")
        for name, value in pairs.items()
    }


def _unique(pairs: Sequence[tuple[str, str]], option: str) -> dict[str, str]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{option}: {twice[0]} is given twice; leave one out")
    return dict(pairs)


def _known(name: str, table: Mapping[str, Any], option: str) -> None:
    if name not in table:
        near = difflib.get_close_matches(name, list(table), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{option}: {name!r} is not known; {hint}there are {', '.join(table)}")
