"""A task's rows as training examples: token ids and what is to be learnt at them, for every kind of task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.tasks import get_task, make_task
from eval.tasks.base import Classification, Generation, MultiLabel, Regression, Row, Span, Tagging, Task
from eval.tasks.encoding import encode_for_label, encode_pairs, encode_spans, encode_tags
from eval.tasks.rows import choose_evenly, read_rows
from eval.tasks.settings import TaskSettings
from pipelines.batches import Example
from pipelines.fused_loss import IGNORED
from pipelines.stages import Job

SLACK = 1.5  # a final loss of so many times that of guessing is divergence; fine-tuning starts near guessing


@dataclass(frozen=True)
class Examples:
    """Training examples with what the head needs: its labels (None: the vocabulary), its outputs."""

    members: list[Example]
    labels: list[str] | None
    outputs: int | None
    """Rows of the output head; None for a vocabulary's."""
    highest_loss: float
    """A final loss at or above this is no better than guessing."""
    counts: list[int] | None = None
    """How many of all train rows have each label; None where a row has not just one."""

    def weights(self, wanted: str | dict[str, float] | None) -> list[float] | None:
        """A weight a label: `balanced` (total / (labels · count), over all train rows), as given, or None."""
        if wanted is None:
            return None
        assert self.labels is not None, "the recipe checked that the task has labels"
        assert self.counts is not None
        if isinstance(wanted, dict):
            return [wanted.get(label, 1.0) for label in self.labels]
        return [sum(self.counts) / (len(self.labels) * count) for count in self.counts]


def task_of(settings: dict[str, Any], base: Path) -> Task:
    """The task of a stage's settings: a built-in one, or the recipe's own; `base`: where its files are."""
    definition = settings["definition"]
    if definition is None:
        return get_task(settings["task"])
    return make_task(settings["task"], TaskSettings(**definition), base)


def make_examples(job: Job, tokenizer: Any, split: str) -> Examples:
    """The rows of a split as examples, as evaluation reads them; of the train split at most `max_rows`."""
    settings = job.stage.settings
    task, folder = task_of(settings, job.base), job.input("prepare")
    rows = read_rows(task, folder, split)
    train = rows if split == "train" else read_rows(task, folder, "train")
    if split == "train":
        rows = choose_evenly(rows, settings["max_rows"])
    limit = min(settings["max_tokens"], settings["context"])
    if isinstance(task, Generation):
        pairs = encode_pairs(task, tokenizer, rows, limit)
        members = [
            Example(
                (*pair.prompt, *pair.target),
                (*[IGNORED] * len(pair.prompt), *pair.target),
            )
            for pair in pairs
        ]
        return Examples(members, None, None, SLACK * math.log(len(tokenizer)))
    return _KINDS[type(task)](task, tokenizer, rows, train, limit)


def _classes(task: Any, tokenizer: Any, rows: Sequence[Row], train: Sequence[Row], limit: int) -> Examples:
    counts = Counter(row["label"] for row in train)
    labels = sorted(counts)
    place = {label: index for index, label in enumerate(labels)}
    encoded = encode_for_label(task, tokenizer, rows, limit)
    members = [
        Example(tuple(text.ids), place[row["label"]], tuple(text.types))
        for text, row in zip(encoded, rows, strict=True)
    ]
    highest = SLACK * math.log(len(labels))
    return Examples(members, labels, len(labels), highest, [counts[label] for label in labels])


def _many_labels(
    task: Any, tokenizer: Any, rows: Sequence[Row], train: Sequence[Row], limit: int
) -> Examples:
    labels = sorted({label for row in train for label in row["labels"]})
    encoded = encode_for_label(task, tokenizer, rows, limit)
    members = [
        Example(
            tuple(text.ids),
            tuple(float(label in row["labels"]) for label in labels),
            tuple(text.types),
        )
        for text, row in zip(encoded, rows, strict=True)
    ]
    return Examples(members, labels, len(labels), SLACK * math.log(2))


def _numbers(task: Any, tokenizer: Any, rows: Sequence[Row], train: Sequence[Row], limit: int) -> Examples:
    encoded = encode_for_label(task, tokenizer, rows, limit)
    members = [
        Example(tuple(text.ids), float(row["value"]), tuple(text.types))
        for text, row in zip(encoded, rows, strict=True)
    ]
    values = [float(row["value"]) for row in train]
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / len(values)
    # guessing nothing at all costs the mean square, which an untrained head begins at
    return Examples(members, None, 1, SLACK * (spread + mean**2) + 1e-9)


def _spans(task: Any, tokenizer: Any, rows: Sequence[Row], train: Sequence[Row], limit: int) -> Examples:
    windows = encode_spans(task, tokenizer, rows, limit, stride=limit // 2)
    members = [
        Example(tuple(window.ids), (window.start, window.end), tuple(window.types)) for window in windows
    ]
    return Examples(members, None, 2, SLACK * math.log(limit))


def _tags(task: Any, tokenizer: Any, rows: Sequence[Row], train: Sequence[Row], limit: int) -> Examples:
    labels = sorted({tag for row in train for tag in row["tags"]})
    encoded = encode_tags(task, tokenizer, rows, labels, limit)
    members = [Example(tuple(row.ids), tuple(row.targets), tuple(row.types)) for row in encoded]
    return Examples(members, labels, len(labels), SLACK * math.log(len(labels)))


_KINDS = {
    Classification: _classes,
    MultiLabel: _many_labels,
    Regression: _numbers,
    Span: _spans,
    Tagging: _tags,
}
