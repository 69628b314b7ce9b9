"""A task of the reader's own, as data: what a recipe's `tasks` section holds, checked; no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from eval.tasks.base import KINDS, METRICS_OF

Kind = Literal["classification", "multi-label", "regression", "generation", "span", "tagging"]
Text = Annotated[str, Field(min_length=1)]


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value  # strict models take no list for a tuple


Patterns = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_listed)]

# The fields of TaskSettings that decide the rows; the others decide how they are asked and scored.
ROW_FIELDS = ("kind", "files", "hub", "columns", "labels")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class TaskFiles(_Settings):
    """The files of each split: .jsonl, .csv or .parquet, each also as .gz; globs are allowed."""

    train: Patterns | None = None
    """To learn from; without it the task can be measured, not fine-tuned on."""
    validation: Patterns | None = None
    """To choose by; cut from the train rows when left out."""
    test: Patterns
    """To be measured on."""


class HubSplits(_Settings):
    """What the splits are called on the hub."""

    train: Text | None = "train"
    """To learn from; null where there is none."""
    validation: Text | None = "validation"
    """To choose by; null cuts it from the train rows."""
    test: Text = "test"
    """To be measured on; `validation` where the hub withholds the test's labels."""


class TaskHub(_Settings):
    """A data set of the Hugging Face hub."""

    name: Text
    """Its name, such as `nyu-mll/glue`."""
    config: str | None = None
    """Its configuration, such as `sst2`."""
    revision: str | None = None
    """Its commit, tag or branch."""
    splits: HubSplits = HubSplits()
    """What its splits are called."""


class TaskSettings(_Settings):
    """One task: where its rows are, which columns matter, how they are asked and scored."""

    kind: Kind
    """What a row asks for."""
    files: TaskFiles | None = None
    """The rows, from files; relative to the recipe."""
    hub: TaskHub | None = None
    """The rows, from the hub."""
    columns: Annotated[dict[str, Text], Field(default_factory=dict)]
    """Field: the column it is read from, where the names differ; `a.b` reads b inside of a."""
    labels: tuple[Text, ...] | None = None
    """The names of whole-number labels, from 0 on."""
    cue: str = "\n"
    """Generation: what stands between the source and what is to be written."""
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Generation: the longest text written, in tokens."""
    metrics: tuple[str, ...] | None = None
    """What is measured; the kind's usual metrics when left out."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.files is None) == (self.hub is None):
            raise _mistake("give exactly one of files, hub")
        known = KINDS[self.kind].fields
        if unknown := sorted(set(self.columns) - {*known, *KINDS[self.kind].optional}):
            fields = ", ".join((*known, *KINDS[self.kind].optional))
            raise _mistake(f"{self.kind} has no field of this name; it has {fields}", "columns", unknown[0])
        if self.labels is not None:
            self._check_labels()
        if self.kind != "generation":
            for name in ("cue", "max_new_tokens"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise _mistake("only generation has this; remove it", name)
        if self.metrics is not None:
            self._check_metrics(self.metrics)
        return self

    def _check_labels(self) -> None:
        assert self.labels is not None
        if self.kind not in ("classification", "multi-label", "tagging"):
            raise _mistake(f"{self.kind} has no labels; remove it", "labels")
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise _mistake("name at least two labels, each once", "labels")

    def _check_metrics(self, metrics: tuple[str, ...]) -> None:
        known = METRICS_OF[self.kind]
        for place, metric in enumerate(metrics):
            if metric not in known:
                text = f"{metric!r} is no metric of {self.kind}; choose from {', '.join(known)}"
                raise _mistake(text, "metrics", place)
        if not metrics or len(set(metrics)) < len(metrics):
            raise _mistake("name at least one metric, each once, or leave it out", "metrics")


def _mistake(text: str, *at: str | int) -> PydanticCustomError:
    """An error whose place is the field `at`, a path below the settings that raise it (recipes show it)."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "at": at})
