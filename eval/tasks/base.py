"""The kinds of task: what each asks of a row, and what it wants back from a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Row = Mapping[str, Any]
"""One line of a task's file; every task needs a unique string `id`."""


class Fields(NamedTuple):
    """The fields that a kind's rows have, and those that they may have."""

    fields: tuple[str, ...]
    optional: tuple[str, ...]


# The canonical form of each kind's rows.
KINDS: dict[str, Fields] = {
    "classification": Fields(("id", "text", "label"), ("text_pair", "group")),
    "multi-label": Fields(("id", "text", "labels"), ("text_pair", "group")),
    "regression": Fields(("id", "text", "value"), ("text_pair", "group")),
    "generation": Fields(("id", "source", "target"), ("references", "group")),
    "span": Fields(("id", "question", "context", "answers"), ("group",)),
    "tagging": Fields(("id", "words", "tags"), ("group",)),
}

# What each kind can be scored by (names of `eval.results.METRICS`).
METRICS_OF: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "f1_macro"),
    "multi-label": ("f1_micro", "f1_macro"),
    "regression": ("pearson", "spearman"),
    "generation": ("bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "exact_match", "f1"),
    "span": ("exact_match", "f1"),
    "tagging": ("accuracy", "f1_entity"),
}


@dataclass(frozen=True, kw_only=True)
class LanguageModelling:
    """Score running text: how surprised is the model by the tokens of every document?

    `asks` says which tokens: every one after those before it ("next"), a fixed 15 % of them hidden
    ("masked"), or every one hidden in turn ("each").
    """

    name: str
    fields: tuple[str, ...]
    kind: Literal["language-modelling"] = "language-modelling"
    objective: Literal["causal-lm", "masked-lm"] = "causal-lm"
    asks: Literal["next", "masked", "each"] = "next"
    metrics: tuple[str, ...] = ("bits_per_byte", "token_perplexity", "byte_perplexity")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Write a text for a source. What the model reads is `source(row)`, cut to fit, then `cue`, never cut.

    `target(row)` is what it learns to write after the cue (with its leading space); the reference is
    that text stripped. Writing stops at the end-of-text token, at a line break, or after `max_new_tokens`.
    """

    name: str
    fields: tuple[str, ...]
    source: Callable[[Row], str]
    cue: str
    target: Callable[[Row], str]
    max_new_tokens: int
    kind: Literal["generation"] = "generation"
    objective: Literal["conditional-generation"] = "conditional-generation"
    metrics: tuple[str, ...] = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")

    def prompt(self, row: Row) -> str:
        """What the model reads before it writes, uncut; `eval.tasks.encoding` cuts it to the context."""
        return self.source(row) + self.cue

    def reference(self, row: Row) -> str:
        """The text to be written: what is learnt, and what a prediction is compared with."""
        return self.target(row).strip()

    def references(self, row: Row) -> list[str]:
        """All texts a prediction is compared with: the row's `references` where it has some."""
        return [" ".join(text.split()) for text in row.get("references") or ()] or [self.reference(row)]


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Choose a label for a text, or for a pair; the labels are those of the training rows, sorted."""

    name: str
    fields: tuple[str, ...]
    text: Callable[[Row], str]
    label: Callable[[Row], str]
    kind: Literal["classification"] = "classification"
    objective: Literal["classification"] = "classification"
    metrics: tuple[str, ...] = METRICS_OF["classification"]


@dataclass(frozen=True, kw_only=True)
class MultiLabel:
    """Choose any number of labels for a text or a pair; the labels are those of the training rows, sorted."""

    name: str
    fields: tuple[str, ...] = KINDS["multi-label"].fields
    kind: Literal["multi-label"] = "multi-label"
    objective: Literal["multi-label"] = "multi-label"
    metrics: tuple[str, ...] = METRICS_OF["multi-label"]


@dataclass(frozen=True, kw_only=True)
class Regression:
    """Give a number for a text or a pair."""

    name: str
    fields: tuple[str, ...] = KINDS["regression"].fields
    kind: Literal["regression"] = "regression"
    objective: Literal["regression"] = "regression"
    metrics: tuple[str, ...] = METRICS_OF["regression"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Find the answer to a question in a context; rows without answers are left unanswered."""

    name: str
    fields: tuple[str, ...] = KINDS["span"].fields
    kind: Literal["span"] = "span"
    objective: Literal["span"] = "span"
    metrics: tuple[str, ...] = METRICS_OF["span"]


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """Give every word a tag; the tags are those of the training rows, sorted."""

    name: str
    fields: tuple[str, ...] = KINDS["tagging"].fields
    kind: Literal["tagging"] = "tagging"
    objective: Literal["tagging"] = "tagging"
    metrics: tuple[str, ...] = METRICS_OF["tagging"]


Task = LanguageModelling | Generation | Classification | MultiLabel | Regression | Span | Tagging
