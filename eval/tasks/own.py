"""From settings to a task of the reader's own, whose rows have the canonical fields of their kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.files import InputError
from eval.tasks.base import (
    KINDS,
    BiasPairs,
    Classification,
    Cloze,
    Generation,
    LanguageModelling,
    Memorisation,
    MultiLabel,
    MultipleChoice,
    PromptedClassification,
    Regression,
    Row,
    Span,
    Tagging,
    Task,
    Toxicity,
)
from eval.tasks.settings import METRICS_OF_ASKED, TaskSettings

_WRITTEN = 64  # tokens, where the settings do not say


def make_task(name: str, settings: TaskSettings, base: Path | None = None) -> Task:
    """The task of that name as the settings describe it; equal settings make equal tasks.

    `base` is the folder that a classifier's is relative to. Raises `InputError` for a prompted classification
    whose labels are named nowhere.
    """
    task = _MAKERS[settings.kind]
    more: dict[str, Any] = {} if settings.metrics is None else {"metrics": settings.metrics}
    if settings.kind == "toxicity":
        more["classifier"] = _place(settings.classifier, base)
    return task(name, settings, more)


def _plain(kind: Callable[..., Task], *given: str) -> Callable[[str, TaskSettings, dict[str, Any]], Task]:
    """What makes a kind whose fields are settings of the same names."""

    def make(name: str, settings: TaskSettings, more: dict[str, Any]) -> Task:
        values = {field: getattr(settings, field) for field in given}
        return kind(
            name=name, **{field: value for field, value in values.items() if value is not None} | more
        )

    return make


def _language_modelling(name: str, settings: TaskSettings, more: dict[str, Any]) -> Task:
    return LanguageModelling(
        name=name,
        fields=KINDS["language-modelling"].fields,
        objective="causal-lm" if settings.asks == "next" else "masked-lm",
        asks=settings.asks,
        **{"metrics": METRICS_OF_ASKED[settings.asks]} | more,
    )


def _prompted(name: str, settings: TaskSettings, more: dict[str, Any]) -> Task:
    if not settings.classes:
        raise InputError(f"{name}: names neither labels nor verbalizers; name the labels to choose from")
    texts = settings.verbalizers or {}
    return PromptedClassification(
        name=name,
        verbalizers=tuple((label, texts.get(label, label)) for label in settings.classes),
        separator=settings.separator,
        shots=settings.shots,
        **more,
    )


def _classification(name: str, settings: TaskSettings, more: dict[str, Any]) -> Task:
    return Classification(name=name, fields=KINDS["classification"].fields, text=_text, label=_label, **more)


def _generation(name: str, settings: TaskSettings, more: dict[str, Any]) -> Task:
    one_line = "\n" in settings.stops
    usual_cue = "\n" if settings.prompt is None else ""
    return Generation(
        name=name,
        fields=KINDS["generation"].fields,
        # a prompt is asked as it is written
        source=_source if settings.prompt is None else _whole_source,
        cue=usual_cue if settings.cue is None else settings.cue,
        target=_target_line if one_line else _target,
        max_new_tokens=settings.max_new_tokens or _WRITTEN,
        stops=settings.stops,
        keeps=settings.keeps,
        shots=settings.shots,
        scoring=settings.scoring,
        **more,
    )


_MAKERS: dict[str, Callable[[str, TaskSettings, dict[str, Any]], Task]] = {
    "language-modelling": _language_modelling,
    "cloze": _plain(Cloze),
    "multiple-choice": _plain(MultipleChoice, "separator", "shots"),
    "prompted-classification": _prompted,
    "classification": _classification,
    "multi-label": _plain(MultiLabel),
    "regression": _plain(Regression),
    "generation": _generation,
    "span": _plain(Span),
    "tagging": _plain(Tagging),
    "bias-pairs": _plain(BiasPairs),
    "toxicity": _plain(Toxicity, "toxic", "max_new_tokens"),
    "memorisation": _plain(Memorisation, "prefix", "suffix"),
}


def _place(classifier: str | None, base: Path | None) -> str:
    assert classifier is not None, "settings of toxicity name one"
    return classifier if base is None else str(base / Path(classifier).expanduser())


def _text(row: Row) -> str:
    return str(row["text"])


def _label(row: Row) -> str:
    return str(row["label"])


def _source(row: Row) -> str:
    return str(row["source"]).strip()


def _whole_source(row: Row) -> str:
    return str(row["source"])


def _target_line(row: Row) -> str:
    """On one line, after a space, which byte-level tokenizers keep in the first word's token."""
    return " " + " ".join(str(row["target"]).split())


def _target(row: Row) -> str:
    return " " + str(row["target"]).strip()
