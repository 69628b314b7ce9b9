"""The same run twice: counted once where both agree, an error where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from eval.files import InputError
from scaling_report.sources.conditions import is_nothing
from scaling_report.sources.table import Table

_LISTED = 3  # columns that two rows differ in


def drop_repeats(
    table: Table, chosen: Sequence[int], inputs: Sequence[str], y: str
) -> tuple[list[int], list[str]]:
    """The rows (by number) that are runs of their own, and where each of the others stands already.

    Two rows are one run where the inputs and every column of `table.identity` are the same. Where nothing
    tells runs apart, the same inputs are repeats of a run (other seeds) and all are kept. Raises
    `InputError` where one run has two values of `y`.
    """
    first: dict[tuple[object, ...], int] = {}
    kept: list[int] = []
    repeats: list[str] = []
    for number in chosen:
        row = table.rows[number]
        named = [row.get(column) for column in table.identity]
        if all(is_nothing(one) for one in named):
            kept.append(number)
            continue
        key = (*(float(row[column]) for column in inputs), *map(str, named))
        other = first.setdefault(key, number)
        if other == number:
            kept.append(number)
        elif float(table.rows[other][y]) == float(row[y]):
            repeats.append(f"{table.places[number]} as {table.places[other]}")
        else:
            raise InputError(_disagree(table, other, number, y))
    return kept, repeats


def _disagree(table: Table, one: int, other: int, y: str) -> str:
    first, second = table.rows[one], table.rows[other]
    run = ", ".join(f"{column}={first[column]}" for column in table.identity if column in first)
    apart = [
        column
        for column in first
        if not column.startswith(y) and str(first[column]) != str(second.get(column, first[column]))
    ]
    hint = f" (they differ in {', '.join(apart[:_LISTED])})" if apart else ""
    where = f"choose with --where '{apart[0]}={first[apart[0]]}'" if apart else "remove one"
    return (
        f"{table.name}: {table.places[one]} and {table.places[other]} are one run ({run}) with {y} "
        f"{first[y]} and {second[y]}{hint}; {where}"
    )
