"""Measure the tags of words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from eval.baselines import majority_label
from eval.labels import output_names
from eval.measuring.base import Asked, Item, Measurement, forward, rows_of
from eval.metrics import ItemMetric, metric_by_name
from eval.metrics.f1_entity import marks_entities
from eval.model import Model
from eval.reading import read_tokens
from eval.requests import ReadRequest
from eval.tasks.base import Row, Tagging
from eval.tasks.encoding import encode_tags


def begin_tagging(model: Model, task: Tagging, asked: Asked) -> Measurement:
    """Accuracy over words, and entity F1 where the tags mark entities (B-, I-, …); every word counts.

    The baseline gives each word its most frequent training tag, an unknown word the most frequent of all.
    """
    train = asked.read("train")
    names = output_names(model.network.config.id2label)
    wanted = [name for name in task.metrics if name != "f1_entity" or marks_entities(names)]
    metrics = [metric_by_name(name, per_word=True) for name in wanted]

    def answer(rows: Sequence[Row]) -> list[Item]:
        encoded = encode_tags(task, model.tokenizer, rows, names, model.context)
        requests = [ReadRequest(part.ids, part.types) for part in encoded]
        logits = read_tokens(model, requests, limits=asked.limits)
        outputs: list[list[str]] = [[] for _ in rows]
        tokens = [0] * len(rows)
        for part, found in zip(encoded, logits, strict=True):
            outputs[part.row] += [names[index] for index in found[part.places].argmax(-1).tolist()]
            tokens[part.row] += len(part.ids)
        return _items(metrics, rows, outputs, tokens)

    baselines = []
    if train:
        usual = _usual_tags(train)
        how = "each word's usual train tag"
        baselines = [
            (
                "usual-tag",
                Measurement(metrics=metrics, how=how, answer=lambda rows: _by_word(metrics, usual, rows)),
            )
        ]
    return Measurement(metrics=metrics, how=forward(model), answer=answer, baselines=baselines)


def _items(
    metrics: Sequence[ItemMetric], rows: Sequence[Row], outputs: Sequence[list[str]], tokens: Sequence[int]
) -> list[Item]:
    statistics = rows_of(metrics, outputs, [list(row["tags"]) for row in rows])
    return [
        Item(
            row=row,
            input=" ".join(row["words"]),
            output=output,
            reference=list(row["tags"]),
            statistics=found,
            tokens=count,
        )
        for row, output, found, count in zip(rows, outputs, statistics, tokens, strict=True)
    ]


def _by_word(metrics: Sequence[ItemMetric], usual: Callable[[str], str], rows: Sequence[Row]) -> list[Item]:
    return _items(metrics, rows, [[usual(word) for word in row["words"]] for row in rows], [0] * len(rows))


def _usual_tags(train: Sequence[Row]) -> Callable[[str], str]:
    """What gives a word its most frequent train tag."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for word, tag in zip(row["words"], row["tags"], strict=True):
            seen[word][tag] += 1
    usual = {word: min(tags, key=lambda tag: (-tags[tag], tag)) for word, tags in seen.items()}
    other = majority_label([tag for row in train for tag in row["tags"]])
    return lambda word: usual.get(word, other)
