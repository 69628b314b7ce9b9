"""Few-shot: solved train rows that stand before what is asked, drawn once, the same for every item."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from eval.files import InputError, hash_json
from eval.tasks.base import Generation, MultipleChoice, PromptedClassification, Row

Shown = MultipleChoice | PromptedClassification | Generation

_AFTER = "\n\n"  # a blank line ends each example


class FewShots:
    """The examples of a task. `few_shots` draws them."""

    def __init__(self, task: Shown, drawn: dict[str, list[tuple[str, Row]]]) -> None:
        """`drawn`: by label, (place in the draw, row), in that order; one more than ever needed of each."""
        self._task = task
        self._drawn = drawn
        self._asked = {asked(row) for rows in drawn.values() for _, row in rows}
        self._usual = self._write(None) if task.shots else ""

    @property
    def told(self) -> str:
        """The part of a signature that says how many examples there are and, by a hash, which may be."""
        drawn = [_solve(self._task, row) for rows in self._drawn.values() for _, row in rows]
        return f"shots:{self._task.shots}" + (f"-{hash_json(drawn)[:8]}" if drawn else "")

    def prefix(self, row: Row) -> str:
        """The solved examples before an item, each followed by a blank line; "" for a task without shots.

        An example that asks what the item asks gives way to the next one drawn. Raises `InputError` when
        there is no next one.
        """
        if not self._task.shots:
            return ""
        key = asked(row)
        return self._write(key) if key in self._asked else self._usual

    def _write(self, without: str | None) -> str:
        left = [[one for one in rows if asked(one[1]) != without] for rows in self._drawn.values()]
        chosen = _take_evenly(left, self._task.shots)
        if len(chosen) < self._task.shots:
            raise _too_few(self._task, len(chosen))
        # in the order of the draw: labels in turn would be a pattern to go on with
        return "".join(_solve(self._task, row) + _AFTER for _, row in sorted(chosen, key=lambda one: one[0]))


def few_shots(task: Shown, train: Iterable[Row], seed: int = 0) -> FewShots:
    """Draw `task.shots` of the train rows, by a hash of the seed and of what they ask.

    So the same rows are drawn whatever their order, and of rows that ask the same one. A prompted
    classification's are drawn so that the labels are as even as can be. The rows pass once; memory holds one
    more of each label than there are shots. Raises `InputError` when there are too few.
    """
    lowest: defaultdict[str, dict[str, Row]] = defaultdict(dict)  # label -> place in the draw -> row
    for row in train if task.shots else ():
        rows = lowest[row["label"] if isinstance(task, PromptedClassification) else ""]
        place = hashlib.sha256(f"{seed}\n{asked(row)}".encode()).hexdigest()
        rows[place] = min(rows.get(place, row), row, key=lambda one: _solve(task, one))
        if len(rows) > task.shots + 1:
            del rows[max(rows)]
    if (there := sum(map(len, lowest.values()))) < task.shots:
        raise _too_few(task, there)
    return FewShots(task, {label: sorted(rows.items()) for label, rows in sorted(lowest.items())})


def asked(row: Row) -> str:
    """What a row asks, without its answer: rows that agree in it are one question."""
    fields = ("query", "choices") if "query" in row else ("source",)
    return json.dumps([row[field] for field in fields if field in row])


def _take_evenly(rows: Sequence[Sequence[tuple[str, Row]]], count: int) -> list[tuple[str, Row]]:
    """`count` of the rows, one of each label in turn; those that are drawn first come first."""
    turns = [(turn, place, row) for members in rows for turn, (place, row) in enumerate(members)]
    turns.sort(key=lambda one: one[:2])
    return [(place, row) for _, place, row in turns[:count]]


def _solve(task: Shown, row: Row) -> str:
    """A row with its answer, as the model would have it before what it is asked."""
    if isinstance(task, MultipleChoice):
        return f"{row['query']}{task.separator}{row['choices'][row['answer']]}"
    if isinstance(task, PromptedClassification):
        return f"{row['query']}{task.separator}{dict(task.verbalizers)[row['label']]}"
    return task.prompt(row) + task.target(row)


def _too_few(task: Shown, there: int) -> InputError:
    return InputError(
        f"{task.name}: {task.shots} solved examples are wanted, and {there} different train rows can be "
        "used; add train rows, or lower shots"
    )
