"""References with which nothing can be compared, refused before a model is asked anything."""

from __future__ import annotations

from collections.abc import Sequence

from eval.files import InputError
from eval.metrics.base import ItemMetric, TextMetric, Texts, all_references


def refuse_empty(metrics: Sequence[ItemMetric], references: Texts, ids: Sequence[str]) -> None:
    """`InputError` for a reference without any token under one of the `metrics` that compare tokens.

    Such an item could only score 0, whatever was written. A model that writes nothing is another matter: an
    empty prediction is an output, and scores as one.
    """
    comparing = [(metric.name, metric) for metric in metrics if isinstance(metric, TextMetric)]
    for name, texts in zip(ids, all_references(references), strict=True):
        for text in texts:
            for metric, tokenizer in comparing:
                if tokenizer.tokens(text):
                    continue
                if not text.strip():
                    raise InputError(
                        f"item {name!r}: a reference is empty; give a text, or leave the item out"
                    )
                shown = text if len(text) <= 40 else text[:37] + "..."
                raise InputError(
                    f"item {name!r}: {metric} finds nothing to count in the reference {shown!r}; set scoring: "
                    "{tokenize: char} (or zh, intl) for a language without spaces or with other letters"
                )
