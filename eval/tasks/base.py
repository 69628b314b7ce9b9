"""The kinds of task: what each asks of a row, and what it wants back from a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from eval.settings import Scoring

Row = Mapping[str, Any]
"""One line of a task's file; every task needs a unique string `id`."""


class Fields(NamedTuple):
    """The fields that a kind's rows have, and those that they may have."""

    fields: tuple[str, ...]
    optional: tuple[str, ...]


# The canonical form of each kind's rows. `group`: items of one group resemble each other (functions of one
# file), so errors are over groups. `subset`: scores are also given for each subset by itself.
KINDS: dict[str, Fields] = {
    "language-modelling": Fields(("id", "text"), ("bytes", "group", "subset")),
    "cloze": Fields(("id", "context", "target"), ("group", "subset")),
    "multiple-choice": Fields(("id", "query", "choices", "answer"), ("group", "subset")),
    "prompted-classification": Fields(("id", "query", "label"), ("group", "subset")),
    "classification": Fields(("id", "text", "label"), ("text_pair", "group", "subset")),
    "multi-label": Fields(("id", "text", "labels"), ("text_pair", "group", "subset")),
    "regression": Fields(("id", "text", "value"), ("text_pair", "group", "subset")),
    "generation": Fields(("id", "source", "target"), ("references", "group", "subset")),
    "span": Fields(("id", "question", "context", "answers"), ("group", "subset")),
    "tagging": Fields(("id", "words", "tags"), ("group", "subset")),
    "bias-pairs": Fields(("id", "more", "less"), ("group", "subset")),
    "toxicity": Fields(("id", "prompt"), ("group", "subset")),
    "memorisation": Fields(("id", "text"), ("group", "subset")),
}

AS_USUAL = Scoring()

_LABELLED = ("accuracy", "f1_macro", "f1_micro", "mcc", "calibration_error", "answer_bits_per_byte")

# What each kind can be scored by (names of `eval.results.METRICS`).
METRICS_OF: dict[str, tuple[str, ...]] = {
    "language-modelling": ("bits_per_byte", "token_perplexity", "word_perplexity", "byte_perplexity"),
    "cloze": ("accuracy", "answer_perplexity", "answer_bits_per_byte"),
    "multiple-choice": ("accuracy", "accuracy_norm", "answer_bits_per_byte"),
    "prompted-classification": _LABELLED,
    "classification": _LABELLED,
    "multi-label": ("f1_micro", "f1_macro"),
    "regression": ("pearson", "spearman"),
    "generation": (
        *("bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "rougeLsum"),
        *("exact_match", "f1", "answer_bits_per_byte"),
    ),
    "span": ("exact_match", "f1", "answer_bits_per_byte"),
    "tagging": ("accuracy", "f1_entity"),
    "bias-pairs": ("stereotype_share",),
    "toxicity": ("toxicity_share",),
    "memorisation": ("memorised_share",),
}
_USUAL = ("accuracy", "f1_macro", "mcc", "calibration_error", "answer_bits_per_byte")


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
    metrics: tuple[str, ...] = METRICS_OF["language-modelling"]


@dataclass(frozen=True, kw_only=True)
class Cloze:
    """Say how a passage goes on: its last word, given all before it (LAMBADA's form, Paperno 2016).

    The target follows the context after a space. Accuracy: whether every token of it was the likeliest.
    """

    name: str
    fields: tuple[str, ...] = KINDS["cloze"].fields
    kind: Literal["cloze"] = "cloze"
    objective: Literal["causal-lm"] = "causal-lm"
    metrics: tuple[str, ...] = METRICS_OF["cloze"]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice:
    """Choose the likeliest of a row's `choices` after its `query`; `answer` is the right one's place, from 0.

    Each choice is scored as the continuation `separator` + choice. `accuracy` compares log-likelihoods,
    `accuracy_norm` those divided by the choice's length in characters, as lm-evaluation-harness does. The
    query is preceded by `shots` solved train rows. Encoders are asked, too: each token of a choice is hidden
    in turn.
    """

    name: str
    separator: str = " "
    shots: int = 0
    fields: tuple[str, ...] = KINDS["multiple-choice"].fields
    kind: Literal["multiple-choice"] = "multiple-choice"
    objective: Literal["any-lm"] = "any-lm"
    metrics: tuple[str, ...] = METRICS_OF["multiple-choice"]


@dataclass(frozen=True, kw_only=True)
class PromptedClassification:
    """Choose the label whose text is the likeliest after the row's `query`: no head, no fine-tuning.

    `verbalizers`: label -> the text that stands for it, in the order of the classes. Otherwise as
    `MultipleChoice`.
    """

    name: str
    verbalizers: tuple[tuple[str, str], ...]
    separator: str = " "
    shots: int = 0
    fields: tuple[str, ...] = KINDS["prompted-classification"].fields
    kind: Literal["prompted-classification"] = "prompted-classification"
    objective: Literal["any-lm"] = "any-lm"
    metrics: tuple[str, ...] = _USUAL


@dataclass(frozen=True, kw_only=True)
class BiasPairs:
    """Of two sentences that differ in the people they are about, which one is likelier (Nangia 2020)?

    `stereotype_share`: how often the one that is `more` stereotyped is; a model that prefers neither has
    one half. Decoders and encoders are both asked.
    """

    name: str
    fields: tuple[str, ...] = KINDS["bias-pairs"].fields
    kind: Literal["bias-pairs"] = "bias-pairs"
    objective: Literal["any-lm"] = "any-lm"
    metrics: tuple[str, ...] = METRICS_OF["bias-pairs"]


@dataclass(frozen=True, kw_only=True)
class Toxicity:
    """Go on from prompts, and have the classifier in the folder `classifier` judge what was written.

    `toxicity_share`: how often its probability for the label `toxic` is one half or more. A classifier that
    gives any number of labels (its config's problem_type) has one for each label by itself.
    """

    name: str
    classifier: str
    toxic: str
    max_new_tokens: int = 20
    fields: tuple[str, ...] = KINDS["toxicity"].fields
    kind: Literal["toxicity"] = "toxicity"
    objective: Literal["causal-lm"] = "causal-lm"
    metrics: tuple[str, ...] = METRICS_OF["toxicity"]


@dataclass(frozen=True, kw_only=True)
class Memorisation:
    """Does a model go on from a training passage's first tokens with its next ones (Carlini 2022)?

    `memorised_share`: how often all of `suffix` tokens greedily follow `prefix` tokens verbatim.
    """

    name: str
    prefix: int = 50
    suffix: int = 50
    fields: tuple[str, ...] = KINDS["memorisation"].fields
    kind: Literal["memorisation"] = "memorisation"
    objective: Literal["causal-lm"] = "causal-lm"
    metrics: tuple[str, ...] = METRICS_OF["memorisation"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Write a text for a source. What the model reads is `source(row)`, cut to fit, then `cue`, never cut.

    A source that is too long keeps its start, or its end, as `keeps` says.
    `target(row)` is what it learns to write after the cue (with its leading space); the reference is
    that text stripped. Writing stops at the end-of-text token, at the first of the `stops`, or after
    `max_new_tokens`. The source is preceded by `shots` solved train rows.
    """

    name: str
    fields: tuple[str, ...]
    source: Callable[[Row], str]
    cue: str
    target: Callable[[Row], str]
    max_new_tokens: int
    stops: tuple[str, ...] = ("\n",)
    keeps: Literal["start", "end"] = "start"
    shots: int = 0
    scoring: Scoring = AS_USUAL
    kind: Literal["generation"] = "generation"
    objective: Literal["conditional-generation"] = "conditional-generation"
    metrics: tuple[str, ...] = ("bleu", "chrf", "rouge1", "rouge2", "rougeL", "answer_bits_per_byte")

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
    metrics: tuple[str, ...] = _USUAL


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


Task = (
    LanguageModelling
    | Cloze
    | MultipleChoice
    | PromptedClassification
    | BiasPairs
    | Toxicity
    | Memorisation
    | Generation
    | Classification
    | MultiLabel
    | Regression
    | Span
    | Tagging
)
