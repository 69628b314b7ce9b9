"""Rows by column name, with what must not be mixed among them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError

ANNEALED = "annealed"  # the column that says whether a run's learning rate had decayed
KINDS = ("metric", "task", "split", "objective", "stage", "tokenizer", "signature", "unit")
RUN_NAMES = ("run", "run_id", "run_name", "id", "seed")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows, and `places`, which say where each comes from.

    `kinds` are the columns whose value must be one in all rows of a fit; `{y}` in a name stands for the
    fitted column. `identity` are those that tell runs apart, none where nothing does. `sparse`: a row that
    lacks a column measured something else, and is no row without a number.
    """

    name: str
    rows: Sequence[Row]
    places: Sequence[str]
    kinds: tuple[str, ...]
    identity: tuple[str, ...]
    fingerprint: str
    sparse: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that any row has, in the order of their first appearance."""
        there: dict[str, None] = {}
        for row in self.rows:
            there.update(dict.fromkeys(row))
        return tuple(there)

    def check_columns(self, wanted: Sequence[str]) -> None:
        """Raise `InputError` for the first of `wanted` that no row has, naming those that are there."""
        if not self.rows:
            raise InputError(f"{self.name}: has no rows; give it a row for every run")
        there = self.columns
        for name in wanted:
            if not isinstance(name, str):
                raise InputError(f"{self.name}: {name!r} is no column's name; there are {', '.join(there)}")
            if name not in there:
                near = difflib.get_close_matches(name, there, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise InputError(
                    f"{self.name}: has no column {name!r}; {hint}there are {', '.join(there) or 'none'}"
                )


def plain_table(name: str, rows: Sequence[Row], fingerprint: str) -> Table:
    """A table whose columns are its maker's: those of well-known names say what is not to be mixed."""
    found = {str(column).lower(): column for row in rows[:1] for column in row}
    return Table(
        name=name,
        rows=rows,
        places=[f"row {number}" for number in range(1, len(rows) + 1)],
        kinds=tuple(found[kind] for kind in KINDS if kind in found),
        identity=tuple(found[one] for one in RUN_NAMES if one in found),
        fingerprint=fingerprint,
    )
