"""Rows of code-completion: a function up to a line in the middle of its body, and that line.

The docstring is left out, so that the line is code; lines that say too little to be told from chance (a
bracket, `else:`, a comment) are passed over for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines.source_functions import Function

FEWEST_LINES = 4
LONGEST_SOURCE = 1200  # characters
LONGEST_TARGET = 100
FEWEST_NAMES = 2  # words in the line: `return x`, `count += one`
_WORD = re.compile(r"[A-Za-z_]\w*")

Row = dict[str, str]


def completion_rows(functions: Iterable[Function]) -> list[Row]:
    """Rows `{"id", "group", "source", "target"}` of the functions that have a usable line."""
    rows = []
    for function in functions:
        # with a docstring that cannot be cut out cleanly there is no telling code from it
        text = function.bare if function.docstring else function.source
        cut = text and _cut(text)
        if cut:
            rows.append({"id": function.id, "group": function.file, "source": cut[0], "target": cut[1]})
    return rows


def _cut(text: str) -> tuple[str, str] | None:
    """(all before the first usable line of the second half, that line)."""
    lines = text.rstrip("\n").split("\n")
    for number in range(max(len(lines) // 2, 1), len(lines) if len(lines) >= FEWEST_LINES else 0):
        source = "\n".join(lines[:number]) + "\n"
        if _usable(lines[number]) and len(source) <= LONGEST_SOURCE:
            return source, lines[number]
    return None


def _usable(line: str) -> bool:
    code = line.strip()
    return (
        len(code) <= LONGEST_TARGET
        and not code.startswith(("#", '"', "'"))
        and len(_WORD.findall(code)) >= FEWEST_NAMES
    )
