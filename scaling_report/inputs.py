"""What a law is a function of, from a table's columns; which runs are large, and what is far from them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.laws import LAWS, Array

FLOPS_PER_TOKEN = (
    6.0  # C = 6·N·D, Kaplan et al. 2020: what turns two of size, data and compute into the third
)
MEANINGS: Mapping[str, str] = {
    "n": "parameters",
    "d": "tokens",
    "c": "FLOPs",
    "u": "unique tokens",
    "l": "loss",
}
TRIAD = ("n", "d", "c")  # of parameters, tokens and FLOPs two give the third


def find_inputs(law: str, columns: Mapping[str, Array]) -> Array:
    """The law's x from the columns, (n,) or one row an input. Raises `InputError` for too few or many."""
    inputs = LAWS[law].inputs
    if inputs == ("x",):
        if len(columns) != 1:
            raise InputError(f"{law}: is of one input, {len(columns)} are given; name one with --x")
        return np.asarray(next(iter(columns.values())), dtype=float)
    given = complete(law, inputs, columns)
    return given["l"] if inputs == ("l",) else np.stack([given[name] for name in inputs])


def find_place(law: str, at: Mapping[str, Any], where: str = "predict") -> Array:
    """As `find_inputs`, of a place that is asked for: `InputError` begins with `where`."""
    inputs = LAWS[law].inputs
    if inputs == ("x",):
        if len(at) != 1:
            raise InputError(f"{where}: {', '.join(at) or 'nothing'} is given; {law} is of one input")
    else:
        reachable = {*at, *(TRIAD if len({*at} & {*TRIAD}) > 1 else ())}
        known = all(name in inputs or name in TRIAD for name in at)
        if known and (missing := [name for name in inputs if name not in reachable]):
            form = ",".join(f"{name}=…" for name in inputs)
            raise InputError(f"{where}: {missing[0]} ({MEANINGS[missing[0]]}) is missing; write {form}")
    return find_inputs(law, at)


def complete(law: str, inputs: Sequence[str], columns: Mapping[str, Array]) -> dict[str, Array]:
    """The columns and, of n, d and c, the one that two others give, by C = 6·N·D."""
    given = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
    told = ", ".join(given) or "nothing"
    if strange := [name for name in given if name not in inputs and name not in TRIAD]:
        raise InputError(f"{law}: {strange[0]} is given, which it is no function of; leave it out")
    there = [name for name in TRIAD if name in given]
    if len(there) == 3 and "c" not in inputs:
        raise InputError(f"{law}: {told} are given; two of n, d and c=FLOPs give the third: leave one out")
    with np.errstate(all="ignore"):
        if {"n", "d"} <= given.keys():
            given.setdefault("c", FLOPS_PER_TOKEN * given["n"] * given["d"])
        elif {"n", "c"} <= given.keys():
            given["d"] = given["c"] / (FLOPS_PER_TOKEN * given["n"])
        elif {"d", "c"} <= given.keys():
            given["n"] = given["c"] / (FLOPS_PER_TOKEN * given["d"])
    for name, values in given.items():
        if name not in columns and not (np.isfinite(values) & (values > 0)).all():
            raise InputError(f"{law}: {told} give {name} beyond what a number holds; give other values")
    if missing := [name for name in inputs if name not in given]:
        verb = "is" if len(columns) < 2 else "are"
        third = " (of n, d and c=FLOPs two will do)" if missing[0] in TRIAD else ""
        raise InputError(
            f"{law}: needs {missing[0]} ({MEANINGS[missing[0]]}), and {told} {verb} given; name its column "
            f"with --x {missing[0]}=COLUMN{third}"
        )
    return given


def order_by_size(law: str, places: Array) -> np.ndarray:
    """Numbers of the places (k,), rows by input, the largest last: by N·D, or by the loss, falling."""
    inputs = LAWS[law].inputs
    if inputs == ("l",):
        return np.argsort(-places[0], kind="stable")
    counted = [row for name, row in zip(inputs, places, strict=True) if name in ("n", "d")]
    return np.argsort(np.prod(counted or places, axis=0), kind="stable")


def times_beyond(law: str, x: Array, place: Array) -> float:
    """How far a place (inputs,) is from what was measured, rows by input: one at its edge.

    Of sizes it is their ratio; of losses, which vary little, one and the distance over half their span.
    """
    rows = np.atleast_2d(x)
    if LAWS[law].inputs == ("l",):
        low, high = float(rows.min()), float(rows.max())
        beyond = max(low - float(place[0]), float(place[0]) - high)
        return 1 + 2 * beyond / max(high - low, 1e-300)
    with np.errstate(over="ignore"):
        return float(np.maximum(place / rows.max(axis=1), rows.min(axis=1) / place).max())


def is_count(value: Any, least: int = 0) -> bool:
    """Whether a value is a whole number of at least so much."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def read_numbers(name: str, values: Any) -> Array:
    """A number or a list of them, (k,), of what is asked for. Raises `InputError` for anything else."""
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(f"predict: {name} is {values!r}; give a number, or a list of them") from error
    if numbers.ndim > 1 or not numbers.size:
        raise InputError(f"predict: {name} is of shape {numbers.shape}; give a number, or a list of them")
    return numbers


def find_name(name: str, known: Mapping[str, Any], where: str) -> None:
    """Raise `InputError`, beginning with `where`, for a name that is not `known`."""
    if not isinstance(name, str):
        raise InputError(f"{where}: {name!r} is no name; there are {', '.join(known)}")
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{where}: {name!r} is not known; {hint}there are {', '.join(known)}")
