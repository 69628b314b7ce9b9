"""Measure the tags of words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from eval.baselines import majority_label
from eval.measuring.base import Asked, Baseline, Measured, forward, label_names
from eval.metrics import metric_by_name
from eval.metrics.f1_entity import marks_entities
from eval.model import Model
from eval.reading import read_tokens
from eval.requests import ReadRequest
from eval.tasks.base import Row, Tagging
from eval.tasks.encoding import encode_tags


def measure_tagging(model: Model, task: Tagging, asked: Asked) -> Measured:
    """Accuracy over words, and entity F1 where the tags mark entities (B-, I-, …); every word counts.

    The baseline gives each word its most frequent training tag, an unknown word the most frequent of all.
    """
    rows, train = asked.rows, asked.train
    references = [list(row["tags"]) for row in rows]
    there = {tag for tags in references for tag in tags}
    names = label_names(model, {tag for row in train for tag in row["tags"]}, there, asked.data, "tag")
    encoded = encode_tags(task, model.tokenizer, rows, names, model.context)
    requests = [ReadRequest(part.ids, part.types) for part in encoded]
    logits = read_tokens(model, requests, batch_tokens=asked.settings.batch_tokens)
    outputs: list[list[str]] = [[] for _ in rows]
    for part, answer in zip(encoded, logits, strict=True):
        outputs[part.row] += [names[index] for index in answer[part.places].argmax(-1).tolist()]

    wanted = [name for name in task.metrics if name != "f1_entity" or marks_entities(names)]
    metrics = [metric_by_name(name, per_word=True) for name in wanted]
    scores, statistics = asked.score_all(metrics, outputs, references, forward(model))
    baselines = []
    if train:
        usual, _ = asked.score_all(metrics, _by_word(train, rows), references, "each word's usual train tag")
        baselines = [Baseline("usual-tag", usual)]
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "tags": tags, "output": output}
            | {name: table[i].tolist() for name, table in statistics.items()}
            for i, (row, tags, output) in enumerate(zip(rows, references, outputs, strict=True))
        ],
        samples=asked.samples(
            [" ".join(row["words"]) for row in rows],
            [" ".join(tags) for tags in references],
            [" ".join(tags) for tags in outputs],
        ),
        baselines=baselines,
    )


def _by_word(train: Sequence[Row], rows: Sequence[Row]) -> list[list[str]]:
    """The most frequent train tag of every word of `rows`."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for word, tag in zip(row["words"], row["tags"], strict=True):
            seen[word][tag] += 1
    usual = {word: min(tags, key=lambda tag: (-tags[tag], tag)) for word, tags in seen.items()}
    other = majority_label([tag for row in train for tag in row["tags"]])
    return [[usual.get(word, other) for word in row["words"]] for row in rows]
