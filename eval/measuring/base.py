"""What measuring any kind of task leaves, and the steps that several kinds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.files import InputError
from eval.metrics import ItemMetric, Score, score
from eval.model import Model
from eval.settings import EvalSettings
from eval.tasks.base import Row, Task
from eval.tasks.rows import choose_evenly, has_rows, read_rows


@dataclass(frozen=True)
class Baseline:
    """What needs no model, scored like one: its name and its scores."""

    name: str
    scores: list[Score]


@dataclass(frozen=True)
class Measured:
    """What was found: scores over all items, statistics of each item, samples to look at."""

    scores: list[Score]
    items: list[dict[str, Any]]
    samples: list[dict[str, str]] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What is measured on what, and how. `data` is the task's folder, whose other splits make baselines."""

    task: Task
    rows: Sequence[Row]
    data: Path
    settings: EvalSettings
    seed: int

    @property
    def train(self) -> list[Row]:
        """The train rows, for baselines; none where the folder has none."""
        return read_rows(self.task, self.data, "train") if has_rows(self.data, "train") else []

    @property
    def groups(self) -> list[str] | None:
        """The rows' `group` names; None where rows have none, and so are taken for independent."""
        rows = self.rows
        return [str(row["group"]) for row in rows] if all("group" in row for row in rows) else None

    def score_all(
        self, metrics: Sequence[ItemMetric], outputs: Sequence[Any], references: Sequence[Any], how: str
    ) -> tuple[list[Score], dict[str, Any]]:
        """Every metric's score, with `how` the outputs came about in its signature; its item statistics."""
        statistics = {metric.name: metric.statistics(outputs, references) for metric in metrics}
        scores = [
            score(
                metric,
                statistics[metric.name],
                groups=self.groups,
                replicates=self.settings.bootstrap,
                seed=self.seed,
            ).signed(how)
            for metric in metrics
        ]
        return scores, statistics

    def samples(
        self, read: Sequence[str], references: Sequence[str], outputs: Sequence[str]
    ) -> list[dict[str, str]]:
        """Some items, evenly spaced over the file: neighbours often come from one source file."""
        items = [
            {"id": row["id"], "prompt": prompt, "reference": reference, "output": output}
            for row, prompt, reference, output in zip(self.rows, read, references, outputs, strict=True)
        ]
        return choose_evenly(items, self.settings.samples)


def forward(model: Model) -> str:
    """The part of a signature that every forward pass has."""
    return f"context:{model.context}|dtype:{model.dtype}"


def label_names(
    model: Model, train: set[str], measured: set[str], data: Path, what: str = "label"
) -> list[str]:
    """The model's own name of each output, checked against the task's labels.

    Those are the labels of the train rows; without train rows the model's own. Raises `InputError` for a
    label measured that is none of them, and for a model that knows others.
    """
    named = {int(index): str(name) for index, name in model.network.config.id2label.items()}
    names = [named[index] for index in sorted(named)]
    labels = sorted(train or set(names))
    if unknown := sorted(measured - set(labels)):
        where = "train; add rows or remove it" if train else f"the model's {', '.join(labels)}"
        raise InputError(f"{data}: {what} {unknown[0]!r} is not in {where}")
    if sorted(names) != labels:
        raise InputError(
            f"config.json: id2label has {', '.join(sorted(names))} where the task's labels are "
            f"{', '.join(labels)}; fine-tune with id2label set to them"
        )
    return names
