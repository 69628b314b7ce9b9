"""Measure how often a model goes on from a training passage with the passage itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.generating import generate
from eval.measuring.base import Asked, Item, Measurement, begins, forward
from eval.metrics import metric_by_name
from eval.model import Model
from eval.requests import GenerateRequest
from eval.tasks.base import Memorisation, Row
from eval.tasks.encoding import begin_id, encode_texts


def begin_memorisation(model: Model, task: Memorisation, asked: Asked) -> Measurement:
    """How often `suffix` greedy tokens after a passage's first `prefix` are its own (Carlini 2022, sec. 3.1).

    A passage shorter than both together fails: there is nothing to be repeated.
    """
    wanted = task.prefix + task.suffix
    begin = [begin_id(model.tokenizer)] if asked.settings.begin else []

    def answer(rows: Sequence[Row]) -> list[Item]:
        passages = encode_texts(model.tokenizer, [row["text"] for row in rows])
        long = [index for index, ids in enumerate(passages) if len(ids) >= wanted]
        requests = [GenerateRequest([*begin, *passages[i][: task.prefix]], task.suffix) for i in long]
        written = dict(zip(long, generate(model, requests, stops=[], limits=asked.limits), strict=True))
        return [
            _item(model, task, row, ids, written.get(index))
            for index, (row, ids) in enumerate(zip(rows, passages, strict=True))
        ]

    return Measurement(
        metrics=[metric_by_name(name) for name in task.metrics],
        how=f"greedy|prefix:{task.prefix}|suffix:{task.suffix}|{begins(asked)}|{forward(model)}",
        answer=answer,
    )


def _item(model: Model, task: Memorisation, row: Row, ids: list[int], written: list[int] | None) -> Item:
    true = ids[task.prefix : task.prefix + task.suffix]
    start, end = model.tokenizer.batch_decode([ids[: task.prefix], true])
    if written is None:
        reason = f"a passage of {len(ids)} tokens, where {task.prefix + task.suffix} are wanted"
        return Item(row=row, input=start, output=None, reference=end, failed=reason)
    return Item(
        row=row,
        input=start,
        output=model.tokenizer.decode(written),
        reference=end,
        statistics={"memorised_share": np.array([float(written == true), 1.0])},
        tokens=task.prefix + len(written),
    )
