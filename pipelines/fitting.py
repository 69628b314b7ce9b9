"""`stepladder fit`: what a shell gives for columns and places -> a judged law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError
from pipelines.cli_fit import parse_pair
from scaling_report import two_step
from scaling_report.inputs import MEANINGS, TRIAD, find_name, find_place
from scaling_report.judgement import Judgement
from scaling_report.library import INPUTS_OF, fit
from scaling_report.losses import LOSSES
from scaling_report.sources.conditions import positive, read_number

_OPTIONS = tuple(f"{name}:" for name in ("bootstrap", "holdout", "level", "predict", "seed", "x", "y"))


def judge_table(
    table: Path,
    *,
    law: str,
    x: Sequence[str],
    y: str,
    predict: Sequence[str] = (),
    **how: Any,
) -> Judgement | two_step.TwoStep:
    """The judgement of `scaling_report.fit` on a table, its columns and places as the shell gives them.

    Raises `InputError` for names that are not known and places that are none, and as that does.
    """
    find_name(law, INPUTS_OF, "--law")
    find_name(how["loss"], LOSSES, "--loss")
    columns = unique_pairs([read_input(one, law) for one in x], "--x")
    points = [_point(one, law, columns) for one in predict]
    try:
        return fit(law, table, x=columns or None, y=y, predict=points, **how)
    except InputError as error:
        if str(error).startswith(_OPTIONS):
            raise InputError(f"--{error}") from error
        raise


def _usable(law: str) -> tuple[str, ...]:
    """What may be named: the law's inputs, and n, d and c, where two of them give one."""
    inputs = INPUTS_OF[law]
    if law == two_step.NAME:
        return TRIAD
    return (*TRIAD, *(name for name in inputs if name not in TRIAD)) if {*TRIAD} & {*inputs} else inputs


def read_input(given: str, law: str) -> tuple[str, str]:
    """INPUT=COLUMN; of a law of one input the column alone will do, and the input alone is its own column."""
    inputs = INPUTS_OF[law]
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
    """Where a run is to be predicted: the inputs by name or by column, of n, d and c any two."""
    curve = INPUTS_OF[law] == ("x",)
    known = tuple(columns) if curve else _usable(law)
    names = {column: name for name, column in columns.items()} | {name: name for name in known}
    if curve and len(columns) == 1:
        names = {"x": known[0]} | names
    parsed = [parse_pair(one, "--predict") for one in given.split(",")]
    if strange := [name for name, _ in parsed if name not in names and (columns or not curve)]:
        choices = ", ".join(dict.fromkeys(names))
        raise InputError(f"--predict: {strange[0]!r} is no input here; choose from {choices}")
    pairs = unique_pairs([(names.get(name, name), value) for name, value in parsed], "--predict")
    place = {
        name: positive(read_number(value, f"--predict {name}"), f"--predict {name}")
        for name, value in pairs.items()
    }
    arrays = {name: np.array([value]) for name, value in place.items()}
    find_place(two_step.STEPS[0] if law == two_step.NAME else law, arrays, f"--predict {given}")
    return place


def unique_pairs(pairs: Sequence[tuple[str, str]], option: str) -> dict[str, str]:
    """The pairs by name. Raises `InputError` for a name that is given twice."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{option}: {twice[0]} is given twice; leave one out")
    return dict(pairs)
