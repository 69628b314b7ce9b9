"""Code completion: read a source file up to a line, write that line."""

from __future__ import annotations

from eval.settings import Scoring
from eval.tasks.base import KINDS, Generation, Row


def _source(row: Row) -> str:
    """As it is, to the line break before the line that is asked for."""
    return str(row["source"])


def _target(row: Row) -> str:
    """With its indentation, which is part of what is to be written."""
    return str(row["target"]).rstrip()


CODE_COMPLETION = Generation(
    name="code-completion",
    fields=KINDS["generation"].fields,
    source=_source,
    cue="",
    target=_target,
    max_new_tokens=48,
    keeps="end",  # the lines just before say most about the next one
    scoring=Scoring(exact="text"),
    metrics=("exact_match", "answer_bits_per_byte"),
)
