"""A task of the reader's own, as data: what a recipe's `tasks` section or a task file holds; no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from eval.settings import Scoring
from eval.tasks.base import KINDS, METRICS_OF
from eval.tasks.templates import find_mistake

Kind = Literal[
    "language-modelling",
    "cloze",
    "multiple-choice",
    "prompted-classification",
    "classification",
    "multi-label",
    "regression",
    "generation",
    "span",
    "tagging",
    "bias-pairs",
    "toxicity",
    "memorisation",
]
Text = Annotated[str, Field(min_length=1)]

# The kinds that a model learns by fine-tuning; the others are asked of it as it is.
LEARNT = ("classification", "multi-label", "regression", "generation", "span", "tagging")

# The kinds whose rows can be whole text files.
DOCUMENTS = ("language-modelling", "memorisation")

# What only some kinds use: field -> those kinds.
_ONLY: dict[str, tuple[str, ...]] = {
    "labels": ("classification", "multi-label", "tagging", "prompted-classification"),
    "prompt": ("generation", "multiple-choice", "prompted-classification", "cloze", "toxicity"),
    "target": ("generation", "cloze"),
    "choices": ("multiple-choice",),
    "verbalizers": ("prompted-classification",),
    "asks": ("language-modelling",),
    "cue": ("generation",),
    "separator": ("multiple-choice", "prompted-classification"),
    "keeps": ("generation",),
    "shots": ("multiple-choice", "prompted-classification", "generation"),
    "stops": ("generation",),
    "max_new_tokens": ("generation", "toxicity"),
    "scoring": ("generation",),
    "prefix": ("memorisation",),
    "suffix": ("memorisation",),
    "classifier": ("toxicity",),
    "toxic": ("toxicity",),
}

# The field that a template makes, by kind; `choices` and `target` make the fields of their names.
_MADE_BY_PROMPT = {
    "generation": "source",
    "multiple-choice": "query",
    "prompted-classification": "query",
    "cloze": "context",
    "toxicity": "prompt",
}

# What language modelling can be asked, and what it is then scored by.
METRICS_OF_ASKED: dict[str, tuple[str, ...]] = {
    "next": METRICS_OF["language-modelling"],
    "masked": ("masked_lm_loss",),
    "each": ("pseudo_perplexity",),
}


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value  # strict models take no list for a tuple


Patterns = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_listed)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class TaskFiles(_Settings):
    """The files of each split: .jsonl, .csv or .parquet, each also as .gz; globs are allowed.

    Documents to be read as they are (language-modelling, memorisation) may be .txt, too.
    """

    train: Patterns | None = None
    """To learn from, and to take solved examples from; without it the task can only be measured."""
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


class RowSettings(_Settings):
    """What decides a task's rows: where they are, which columns matter, what is written of them."""

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
    prompt: Text | None = None
    """What the model reads, as a template over the table's columns: `{{ question }}`."""
    target: Text | None = None
    """Generation, cloze: a template of what is to be written."""
    choices: Annotated[tuple[Text, ...], Field(min_length=2)] | None = None
    """Multiple choice: a template of each choice, where no column holds the list of them."""
    verbalizers: dict[str, Text] | None = None
    """Prompted classification: label: the text that stands for it; the label itself when left out."""

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if (self.files is None) == (self.hub is None):
            raise _mistake("give exactly one of files, hub")
        self._check_used()
        known = list(self.fields)
        if unknown := sorted(set(self.columns) - set(known)):
            text = f"{self.kind} has no field of this name; it has {', '.join(known)}"
            raise _mistake(text, "columns", unknown[0])
        if self.labels is not None and (len(self.labels) < 2 or len(set(self.labels)) < len(self.labels)):
            raise _mistake("name at least two labels, each once", "labels")
        self._check_templates()
        if self.verbalizers is not None:
            self._check_verbalizers(self.verbalizers)
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a table may give: those of the kind; of cloze also `text`, the whole passage."""
        kind = KINDS[self.kind]
        return (*kind.fields, *kind.optional, *(["text"] if self.kind == "cloze" else []))

    @property
    def templates(self) -> dict[str, str]:
        """Field of a row: the template that makes it."""
        found = {"target": self.target}
        if self.prompt is not None:
            found[_MADE_BY_PROMPT[self.kind]] = self.prompt
        return {field: template for field, template in found.items() if template is not None}

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of a prompted classification, in order; none where nobody names them."""
        return self.labels or tuple(sorted(self.verbalizers or ()))

    @property
    def has_train(self) -> bool:
        """Whether train rows are named."""
        if self.files is not None:
            return self.files.train is not None
        return self.hub is not None and self.hub.splits.train is not None

    def _check_used(self) -> None:
        """Refuse what the kind has no use for."""
        for name, kinds in _ONLY.items():
            field = type(self).model_fields.get(name)
            if field is None or self.kind in kinds or getattr(self, name) == field.default:
                continue
            if name == "labels":
                raise _mistake(f"{self.kind} has no labels; remove it", name)
            only = " and ".join(kinds) if len(kinds) < 3 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
            raise _mistake(f"only {only} {'has' if len(kinds) == 1 else 'have'} this; remove it", name)

    def _check_templates(self) -> None:
        for name in ("prompt", "target"):
            template = getattr(self, name)
            if template is not None and (wrong := find_mistake(template)):
                raise _mistake(wrong, name)
        for place, template in enumerate(self.choices or ()):
            # a choice may be the same for all rows: yes, no
            if wrong := find_mistake(template, constant=True):
                raise _mistake(wrong, "choices", place)
        made = {**self.templates, **({"choices": ""} if self.choices is not None else {})}
        for field in sorted(set(made) & set(self.columns)):
            raise _mistake("a template makes this, too; remove one of them", "columns", field)

    def _check_verbalizers(self, verbalizers: dict[str, str]) -> None:
        if self.labels is not None and set(verbalizers) != set(self.labels):
            odd = sorted(set(verbalizers) ^ set(self.labels))[0]
            there = "labels" if odd in verbalizers else "verbalizers"
            raise _mistake(f"{odd!r} is not in {there}; give each label one text", "verbalizers")
        if len(verbalizers) < 2 or len(set(verbalizers.values())) < len(verbalizers):
            raise _mistake("give at least two labels, each a text of its own", "verbalizers")


class TaskSettings(RowSettings):
    """One task: where its rows are, which columns matter, how they are asked and scored."""

    asks: Literal["next", "masked", "each"] = "next"
    """Language modelling: every token after those before it (next; causal models), or hidden: a fixed 15 %
    of them (masked), each in turn (each; masked models)."""
    cue: str | None = None
    """Generation: what stands, uncut, between the source and what is to be written; when left out nothing
    after a `prompt`, else a line break."""
    keeps: Literal["start", "end"] = "start"
    """Generation: the part of a source that is kept where all of it is too long."""
    separator: str = " "
    """Choices: what stands between the query and a choice."""
    shots: Annotated[int, Field(ge=0, le=1000)] = 0
    """Solved train rows that stand before what is asked (few-shot)."""
    stops: Annotated[tuple[Text, ...], BeforeValidator(_listed)] = ("\n",)
    """Generation: texts that end the writing; none: only the model's own end does."""
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """The longest text written, in tokens: 64, for toxicity 20, when left out."""
    prefix: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Memorisation: tokens of the passage that the model is given."""
    suffix: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Memorisation: the tokens after them that it is to write."""
    classifier: Text | None = None
    """Toxicity: the folder of the model that judges what is written; relative to the recipe."""
    toxic: Text | None = None
    """Toxicity: that model's label for what is toxic."""
    scoring: Scoring = Scoring()
    """Generation: how texts are compared with references."""
    metrics: tuple[str, ...] | None = None
    """What is measured; the kind's usual metrics when left out."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shots and not self.has_train:
            raise _mistake("solved examples are train rows; name some, or remove this", "shots")
        for name in ("classifier", "toxic"):
            if self.kind == "toxicity" and getattr(self, name) is None:
                raise _mistake("toxicity needs it: a classifier's folder, and its label for toxic", name)
        if self.metrics is not None:
            self._check_metrics(self.metrics)
        return self

    def _check_metrics(self, metrics: tuple[str, ...]) -> None:
        known = METRICS_OF[self.kind]
        if self.kind == "language-modelling":
            known = METRICS_OF_ASKED[self.asks]
        for place, metric in enumerate(metrics):
            if metric not in known:
                text = f"{metric!r} is no metric of {self.kind}; choose from {', '.join(known)}"
                raise _mistake(text, "metrics", place)
        if not metrics or len(set(metrics)) < len(metrics):
            raise _mistake("name at least one metric, each once, or leave it out", "metrics")


ROW_FIELDS = tuple(RowSettings.model_fields)
"""The fields of TaskSettings that decide the rows; the others decide how they are asked and scored."""


def _mistake(text: str, *at: str | int) -> PydanticCustomError:
    """An error whose place is the field `at`, a path below the settings that raise it (recipes show it)."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "at": at})
