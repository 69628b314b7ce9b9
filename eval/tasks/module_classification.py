"""Module classification: read a piece of a library, name the module it comes from."""

from __future__ import annotations

from eval.tasks.base import Classification, Row


def _text(row: Row) -> str:
    return str(row["text"])


def _label(row: Row) -> str:
    return str(row["label"])


MODULE_CLASSIFICATION = Classification(
    name="module-classification", fields=("id", "text", "label"), text=_text, label=_label
)
