"""References with which nothing can be compared, refused before a model is asked anything."""

from __future__ import annotations

from collections.abc import Sequence

from eval.files import InputError
from eval.metrics.base import ItemMetric, TextMetric, Texts


def refuse_empty(metrics: Sequence[ItemMetric], references: Texts, ids: Sequence[str]) -> None:
    """`InputError` for a reference without any token under one of the `metrics` that compare tokens.

    Such an item could only score 0, whatever was written. A model that writes nothing is another matter: an
    empty prediction is an output, and scores as one. Without such metrics nothing is refused.
    """
    comparing = [(metric.name, metric) for metric in metrics if isinstance(metric, TextMetric)]
    if not comparing:
        return
    for name, given in zip(ids, references, strict=True):
        texts = [given] if isinstance(given, str) else given
        if not texts:
            raise InputError(f"item {name!r} has no reference; give it at least one")
        for text in texts:
            for metric, tokenizer in comparing:
                if not tokenizer.tokens(text):
                    raise InputError(f"item {name!r}: {_complaint(metric, text)}")


def _complaint(metric: str, text: str) -> str:
    if not text.strip():
        return "a reference is empty; give a text, or leave the item out"
    shown = text if len(text) <= 40 else text[:37] + "..."
    return (
        f"{metric} finds nothing to count in the reference {shown!r}; set scoring: {{tokenize: char}} "
        "(or zh, intl) for languages without spaces or with other letters"
    )
