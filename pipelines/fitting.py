"""`stepladder fit`: a table's columns as numbers, the rows that are wanted, then the judgement."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError
from pipelines.cli_fit import parse_pair
from scaling_report import two_step
from scaling_report.inputs import MEANINGS
from scaling_report.judge import Judgement, judge
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES
from scaling_report.sources import open_table, select_runs
from scaling_report.sources.conditions import positive, read_number

_TRIAD = ("n", "d", "c")  # two of them give the third
_INPUTS_OF: Mapping[str, tuple[str, ...]] = {
    **{name: law.inputs for name, law in LAWS.items()},
    two_step.NAME: two_step.INPUTS,
}


def judge_table(
    table: Path,
    *,
    law: str,
    x: Sequence[str],
    y: str,
    where: Sequence[str] = (),
    predict: Sequence[str] = (),
    via: str | None = None,
    **how: Any,
) -> tuple[Judgement | two_step.TwoStep, list[str]]:
    """The judgement of `scaling_report.judge.judge` on a file's columns, and what of it was left out.

    `via` names the column of the task's loss, which the law two-step goes through.

    Raises `InputError` for names that are not known, columns that are not there, text where numbers belong,
    and numbers that are not above zero.
    """
    _known(law, _INPUTS_OF, "--law")
    _known(how["loss"], LOSSES, "--loss")
    columns = _unique([*(_input(one, law) for one in x), *_via(via, law)], "--x")
    points = [_point(one, law, columns) for one in predict]
    runs = select_runs(open_table(table), columns, y, where)
    left_out = [*runs.left_out, *runs.notes]
    if law == two_step.NAME:
        return two_step.judge_two_step(runs.inputs, runs.y, predict=points, **how), left_out
    return judge(law, runs.inputs, runs.y, predict=points, **how), left_out


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
    """INPUT=COLUMN; of a law of one input the column alone will do, and the input alone is its own column."""
    inputs = _INPUTS_OF[law]
    if len(inputs) == 1 and "=" not in given:
        return inputs[0], given
    if given in _usable(law):
        return given, given
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
