"""F1 of entities in tagged words, as conlleval and seqeval count them (Tjong Kim Sang 2000): exact spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.base import Array, RatioMetric, SumMetric, check_pairs, safe_divide

Entity = tuple[str, int, int]
_PREFIXES = ("B", "I", "E", "S")


@dataclass(frozen=True, kw_only=True)
class EntityF1(SumMetric):
    """Statistics are entities hit, predicted, true: an entity is hit when type, first and last word agree."""

    name: str = "f1_entity"

    def statistics(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Array:
        """(items, 3) from the tags of each item's words."""
        check_pairs(predictions, references)
        rows = []
        for predicted_tags, true_tags in zip(predictions, references, strict=True):
            predicted, true = find_entities(predicted_tags), find_entities(true_tags)
            rows.append([len(predicted & true), len(predicted), len(true)])
        return np.array(rows, dtype=np.float64)

    def aggregate(self, sums: Array) -> Array:
        """2 * hits / (predicted + true): micro F1; 0 where there are neither."""
        sums = np.asarray(sums, dtype=np.float64)
        return safe_divide(2 * sums[..., 0], sums[..., 1] + sums[..., 2])

    def signature(self) -> str:
        """How tags become entities, and how classes are averaged."""
        return "f1_entity|entities:conlleval|average:micro"


@dataclass(frozen=True, kw_only=True)
class TagAccuracy(RatioMetric):
    """Statistics are words tagged right, and words; the error is over items, whose words hang together."""

    name: str = "accuracy"

    def statistics(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Array:
        """(items, 2) from the tags of each item's words."""
        check_pairs(predictions, references)
        rows = []
        for predicted, true in zip(predictions, references, strict=True):
            rows.append([sum(a == b for a, b in zip(predicted, true, strict=True)), len(true)])
        return np.array(rows, dtype=np.float64)

    def signature(self) -> str:
        """What is counted."""
        return "accuracy|per:word"


def marks_entities(tags: Sequence[str]) -> bool:
    """Whether tags are of the kind that marks entities: O, and B-, I-, E- or S- before a type."""
    others = [tag for tag in tags if tag != "O"]
    return bool(others) and all(tag[0] in _PREFIXES and (len(tag) == 1 or tag[1] == "-") for tag in others)


def find_entities(tags: Sequence[str]) -> set[Entity]:
    """(type, first word, last word) of every entity: conlleval's lenient reading of IOB1, IOB2 and IOBES.

    An entity begins at B or S, after an entity's E or S, where O is left, and where the type changes; an I
    without a B before it is an entity.
    """
    found: set[Entity] = set()
    mark, kind, first = "O", "", 0
    for place, tag in enumerate([*tags, "O"]):
        new_mark, _, new_kind = tag.partition("-")
        if mark != "O" and (new_mark in ("O", "B", "S") or mark in ("E", "S") or new_kind != kind):
            found.add((kind, first, place - 1))
        if new_mark != "O" and (new_mark in ("B", "S") or mark in ("O", "E", "S") or new_kind != kind):
            first = place
        mark, kind = new_mark, new_kind
    return found
