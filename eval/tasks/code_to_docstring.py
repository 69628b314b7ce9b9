"""Code to docstring: read a Python function, write the first sentence of its docstring."""

from __future__ import annotations

from eval.tasks.base import Generation, Row


def _source(row: Row) -> str:
    return str(row["source"]).rstrip()


def _target(row: Row) -> str:
    """The sentence on one line, after a space, which byte-level tokenizers keep in the first word's token."""
    return " " + " ".join(str(row["target"]).split())


CODE_TO_DOCSTRING = Generation(
    name="code-to-docstring",
    fields=("id", "source", "target"),
    source=_source,
    cue="\n# docstring:",
    target=_target,
    max_new_tokens=32,
)
