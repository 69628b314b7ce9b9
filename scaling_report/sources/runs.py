"""A table, columns and conditions -> the numbers that one fit may see, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.files import InputError
from scaling_report.sources.conditions import Condition, cell_number, is_nothing, parse_condition, positive
from scaling_report.sources.repeats import drop_repeats
from scaling_report.sources.table import ANNEALED, Table
from scaling_report.sources.units import check_units, is_flops, unit_of

_LISTED = 5  # rows, or values, that are named

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """What a fit sees. `inputs` by the law's names, `y` and `others` (by column): all (n,), above zero.

    `left_out` counts the rows that it does not see, `notes` says what is odd about those that it does.
    `provenance` says where the numbers come from, JSON.
    """

    inputs: Mapping[str, Array]
    y: Array
    others: Mapping[str, Array]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    unit: str | None
    provenance: Mapping[str, Any]


def select_runs(
    table: Table,
    inputs: Mapping[str, str],
    y: str,
    where: Sequence[str] = (),
    others: Sequence[str] = (),
) -> Runs:
    """The runs of a table that `where` wants: `inputs` (name -> column), `y`, `others`, columns of numbers.

    Raises `InputError` for columns that are not there, text where numbers belong, numbers not above zero,
    rows of several kinds, one run with two values, and counts that must be in another unit.
    """
    tests = [parse_condition(one) for one in where]
    wanted = tuple(dict.fromkeys((*inputs.values(), y, *others)))
    if twice := [name for name, column in inputs.items() if column == y]:
        raise InputError(f"y: {y!r} is the column of {twice[0]} too; a law needs one beside its inputs")
    table.check_columns((*wanted, *(test.column for test in tests)))
    chosen, empty, left_out = _filter(table, y, tests)
    chosen, unannealed = _annealed(table, chosen, tests)
    left_out += unannealed
    _one_kind(table, chosen, y)
    numbers: dict[int, dict[str, float]] = {}
    for number in chosen:
        read = _numbers(table, number, wanted)
        if read is None:
            empty.append(number)
        else:
            numbers[number] = read
    if empty:
        left_out.append(f"{_rows(len(empty))} without a number ({_named(table, sorted(empty))})")
    chosen, repeats = drop_repeats(table, list(numbers), list(inputs.values()), y)
    if repeats:
        told = ", ".join(repeats[:_LISTED]) + (", …" if len(repeats) > _LISTED else "")
        left_out.append(f"{_rows(len(repeats))} already in the table ({told})")
    if not chosen:
        why = f" ({'; '.join(left_out)})" if left_out else ""
        raise InputError(f"{table.name}: no rows to fit{why}; give some, or another --where")
    columns = {column: np.array([numbers[number][column] for number in chosen]) for column in wanted}
    held = {name: columns[column] for name, column in inputs.items()}
    odd = check_units(table.name, inputs, {**held, "y": columns[y]}, y, _flops(table, chosen))
    return Runs(
        inputs=held,
        y=columns[y],
        others={column: columns[column] for column in others},
        left_out=tuple(left_out),
        notes=(*_unknown_annealing(table, chosen), *odd),
        unit=unit_of(y),
        provenance={
            "table": table.name,
            "sha256": table.fingerprint,
            "x": dict(inputs),
            "y": y,
            "where": list(where),
            "rows": len(chosen),
            "left_out": list(left_out),
        },
    )


def _filter(table: Table, y: str, tests: Sequence[Condition]) -> tuple[list[int], list[int], list[str]]:
    """Rows that all tests want, rows where a test found nothing to compare, and how many were not wanted."""
    chosen: list[int] = []
    empty: list[int] = []
    unwanted = 0
    for number, row in enumerate(table.rows):
        if table.sparse and y not in row:
            continue
        place = f"{table.name}: {table.places[number]}"
        found = [test.holds(row.get(test.column), f"{place}: {test.column}") for test in tests]
        if False in found:
            unwanted += 1
        elif None in found:
            empty.append(number)
        else:
            chosen.append(number)
    return chosen, empty, [f"{_rows(unwanted)} by --where"] if unwanted else []


def _annealed(table: Table, chosen: Sequence[int], tests: Sequence[Condition]) -> tuple[list[int], list[str]]:
    """The rows whose learning rate had decayed, or is not known to have not; all where a test asks for it."""
    if any(test.column == ANNEALED for test in tests):
        return list(chosen), []
    kept = [number for number in chosen if not _is_false(table.rows[number].get(ANNEALED))]
    dropped = len(chosen) - len(kept)
    return kept, [
        f"{_rows(dropped)} whose learning rate had not decayed (--where {ANNEALED}=false fits them)"
    ] * bool(dropped)


def _unknown_annealing(table: Table, chosen: Sequence[int]) -> list[str]:
    """A note on runs that end without it being known how, in tables that otherwise say."""
    unknown = [
        number
        for number in chosen
        if ANNEALED in table.rows[number] and is_nothing(table.rows[number][ANNEALED])
    ]
    if not unknown:
        return []
    return [f"{table.name}: whether the learning rate had decayed is not known of {_rows(len(unknown))}"]


def _is_false(cell: Any) -> bool:
    return str(cell).strip().lower() in ("false", "0", "no")


def _one_kind(table: Table, chosen: Sequence[int], y: str) -> None:
    """Raise `InputError` where rows of several kinds would stand in one fit."""
    for kind in table.kinds:
        column = kind.format(y=y) if "{y}" in kind else kind
        found: dict[str, int] = {}
        for number in chosen:
            cell = table.rows[number].get(column)
            value = "null" if is_nothing(cell) else str(cell)
            found[value] = found.get(value, 0) + 1
        if len(found) > 1:
            several = [f"{value!r} ({_rows(many)})" for value, many in list(found.items())[:_LISTED]]
            more = ", …" if len(found) > _LISTED else ""
            raise InputError(
                f"{table.name}: {y} is of several kinds: {column} is {', '.join(several)}{more}; "
                f"choose with --where '{column}={next(iter(found))}'"
            )


def _numbers(table: Table, number: int, wanted: Sequence[str]) -> dict[str, float] | None:
    """A row's numbers, above zero; None where one is missing."""
    row, place = table.rows[number], f"{table.name}: {table.places[number]}"
    read = {column: cell_number(row.get(column), f"{place}: {column}") for column in wanted}
    if any(math.isnan(value) for value in read.values()):
        return None
    mend = ": mend or leave out the row"
    return {column: positive(value, f"{place}: {column}", mend) for column, value in read.items()}


def _flops(table: Table, chosen: Sequence[int]) -> Array | None:
    """The runs' FLOPs (n,), NaN where a row has none, or None where no column is named for them."""
    column = next((one for one in table.columns if is_flops(one)), None)
    if column is None:
        return None
    return np.array([_number_or_nan(table.rows[number].get(column)) for number in chosen])


def _number_or_nan(cell: Any) -> float:
    try:
        return cell_number(cell, "")
    except InputError:
        return math.nan


def _named(table: Table, numbers: Sequence[int]) -> str:
    places = [table.places[number] for number in numbers[:_LISTED]]
    if all(place.startswith("row ") for place in places):
        words = "row" if len(numbers) == 1 else "rows"
        told = f"{words} {', '.join(place.removeprefix('row ') for place in places)}"
    else:
        told = "; ".join(places)
    return told + (", …" if len(numbers) > _LISTED else "")


def _rows(many: int) -> str:
    return f"{many} {'row' if many == 1 else 'rows'}"
