"""Rows of code-to-docstring: a function's source without its docstring, and the docstring's first sentence.

The source keeps its comments and has at most 1,200 characters. Left out are docstrings whose first
sentence says too little to be scored (under three words), too much (over 160 characters), or is a
signature or an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines.source_functions import Function

LONGEST_SOURCE = 1200  # characters
LONGEST_TARGET = 160
FEWEST_WORDS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^a-z\s])|(?<=[.!?][\"')])\s+(?=[^a-z\s])")
_NOT_PROSE = re.compile(r"->|>>>|^\W|^[\w.]+\(.*\)|:\w+:|[|_=~-]{4}")

Row = dict[str, str]


def docstring_rows(functions: Iterable[Function]) -> list[Row]:
    """Rows `{"id", "group", "source", "target"}` of the functions that have a usable docstring."""
    rows = []
    for function in functions:
        target = first_sentence(function.docstring)
        if function.bare is not None and len(function.bare) <= LONGEST_SOURCE and _usable(target):
            row = {"id": function.id, "group": function.file, "source": function.bare, "target": target}
            rows.append(row)
    return rows


def first_sentence(docstring: str) -> str:
    """The first sentence of the first paragraph, on one line; "" for an empty docstring."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph, maxsplit=1)[0]


def _usable(sentence: str) -> bool:
    words = len(sentence.split())
    return words >= FEWEST_WORDS and len(sentence) <= LONGEST_TARGET and not _NOT_PROSE.search(sentence)
