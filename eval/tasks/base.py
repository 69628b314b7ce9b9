"""The three kinds of task: what each asks of a row, and what it wants back from a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
"""One line of a task's file; every task needs a unique string `id`."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelling:
    """Score running text: how surprised is the model by every token of every document?"""

    name: str
    fields: tuple[str, ...]
    kind: Literal["language-modelling"] = "language-modelling"
    objective: Literal["causal-lm"] = "causal-lm"
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
        """The text a prediction is compared with."""
        return self.target(row).strip()


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Choose a label for a text; the labels are those of the training rows, sorted."""

    name: str
    fields: tuple[str, ...]
    text: Callable[[Row], str]
    label: Callable[[Row], str]
    kind: Literal["classification"] = "classification"
    objective: Literal["classification"] = "classification"
    metrics: tuple[str, ...] = ("accuracy", "f1_macro")


Task = LanguageModelling | Generation | Classification
