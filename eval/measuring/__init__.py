"""Ask a model what a task asks, and score the answers: one function for each kind of task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eval.measuring.base import Asked, Item, Measurement
from eval.measuring.choices import begin_choices, begin_cloze, begin_prompted
from eval.measuring.generation import begin_generation
from eval.measuring.labels import begin_classification, begin_multi_label, begin_regression
from eval.measuring.language import begin_masked, begin_perplexity
from eval.measuring.memorisation import begin_memorisation
from eval.measuring.pairs import begin_pairs
from eval.measuring.spans import begin_span
from eval.measuring.tags import begin_tagging
from eval.measuring.toxicity import begin_toxicity
from eval.model import Model

__all__ = ["Asked", "Item", "Measurement", "begin"]

_KINDS: dict[str, Callable[[Model, Any, Asked], Measurement]] = {
    "cloze": begin_cloze,
    "multiple-choice": begin_choices,
    "prompted-classification": begin_prompted,
    "bias-pairs": begin_pairs,
    "toxicity": begin_toxicity,
    "memorisation": begin_memorisation,
    "generation": begin_generation,
    "classification": begin_classification,
    "multi-label": begin_multi_label,
    "regression": begin_regression,
    "span": begin_span,
    "tagging": begin_tagging,
}


def begin(model: Model, asked: Asked) -> Measurement:
    """How the model will be measured on what is asked. Raises `InputError` where it cannot be."""
    task = asked.task
    if task.kind == "language-modelling":
        return (begin_perplexity if task.asks == "next" else begin_masked)(model, task, asked)
    return _KINDS[task.kind](model, task, asked)
