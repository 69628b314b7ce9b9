"""Ask a model what a task asks, and score the answers: one function for each kind of task."""

from __future__ import annotations

from eval.measuring.base import Asked, Measured
from eval.measuring.generation import measure_generation
from eval.measuring.labels import measure_classification, measure_multi_label, measure_regression
from eval.measuring.language import measure_masked, measure_perplexity
from eval.measuring.spans import measure_span
from eval.measuring.tags import measure_tagging
from eval.model import Model
from eval.tasks.base import Classification, Generation, LanguageModelling, MultiLabel, Regression, Span

__all__ = ["measure"]


def measure(model: Model, asked: Asked) -> Measured:
    """Measure a model on what is asked."""
    task = asked.task
    if isinstance(task, LanguageModelling):
        return (measure_perplexity if task.asks == "next" else measure_masked)(model, task, asked)
    if isinstance(task, Generation):
        return measure_generation(model, task, asked)
    if isinstance(task, Classification):
        return measure_classification(model, task, asked)
    if isinstance(task, MultiLabel):
        return measure_multi_label(model, task, asked)
    if isinstance(task, Regression):
        return measure_regression(model, task, asked)
    if isinstance(task, Span):
        return measure_span(model, task, asked)
    return measure_tagging(model, task, asked)
