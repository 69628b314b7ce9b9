"""From settings to a task of the reader's own, whose rows have the canonical fields of their kind."""

from __future__ import annotations

from typing import Any

from eval.tasks.base import (
    KINDS,
    Classification,
    Generation,
    MultiLabel,
    Regression,
    Row,
    Span,
    Tagging,
    Task,
)
from eval.tasks.settings import TaskSettings

_PLAIN = {"multi-label": MultiLabel, "regression": Regression, "span": Span, "tagging": Tagging}


def make_task(name: str, settings: TaskSettings) -> Task:
    """The task of that name as the settings describe it; equal settings make equal tasks."""
    metrics = settings.metrics
    more: dict[str, Any] = {} if metrics is None else {"metrics": metrics}
    if settings.kind == "classification":
        fields = KINDS["classification"].fields
        return Classification(name=name, fields=fields, text=_text, label=_label, **more)
    if settings.kind == "generation":
        return Generation(
            name=name,
            fields=KINDS["generation"].fields,
            source=_source,
            cue=settings.cue,
            target=_target,
            max_new_tokens=settings.max_new_tokens,
            **more,
        )
    return _PLAIN[settings.kind](name=name, **more)


def _text(row: Row) -> str:
    return str(row["text"])


def _label(row: Row) -> str:
    return str(row["label"])


def _source(row: Row) -> str:
    return str(row["source"]).strip()


def _target(row: Row) -> str:
    """On one line, after a space, which byte-level tokenizers keep in the first word's token."""
    return " " + " ".join(str(row["target"]).split())
