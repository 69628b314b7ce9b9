"""Scores of a kept evaluation computed again from its items alone, without the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.evaluations import Kept, read_kept
from eval.files import InputError
from eval.measuring.base import Item, Measurement
from eval.metrics import Score, metric_by_name
from eval.results import Result
from eval.tally import Tally

_BATCH = 1024  # items read at a time


def rescore(folder: Path, *, bootstrap: int | None = None, seed: int | None = None) -> list[Result]:
    """The model's results on all items and on every subset, with values and errors from items.jsonl.gz.

    With the replicates and the seed that it was made with they are the stored ones; other ones give other
    errors. Results on clean items are not among them, for items do not say which ones are clean. Raises
    `InputError` for a folder without a finished evaluation, and for a metric whose statistics are not kept.
    """
    kept = read_kept(Path(folder))
    if kept is None:
        raise InputError(f"{folder}: no finished evaluation in it; name one of evals/<model>/")
    told = kept.manifest["told"]
    draw: dict[str, int] = {
        "replicates": bootstrap or told["settings"]["bootstrap"],
        "seed": told.get("seed", 0) if seed is None else seed,
    }
    stored = [result for result in kept.results if result.family != "baseline"]
    whole = [result for result in stored if result.task == kept.manifest["task"]]
    tally = _tally(kept, [result.metric for result in whole])
    found = _with(whole, tally.scores(**draw))
    for name in tally.subsets:
        part = [result for result in stored if result.task == f"{kept.manifest['task']}/{name}"]
        found += _with(part, tally.scores(**draw, chosen=tally.in_subset(name)))
    return found


def _tally(kept: Kept, metrics: Sequence[str]) -> Tally:
    tally = Tally(Measurement(metrics=[metric_by_name(name) for name in metrics], how="", answer=_no_model))
    for items in _batches(kept):
        for item in items:
            absent = [name for name in metrics if name not in item["statistics"]]
            if absent and "failed" not in item:
                raise InputError(f"{kept.folder}: its items hold no statistics of {absent[0]}")
        tally.add([_item(item) for item in items])
    return tally


def _batches(kept: Kept) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in kept.items():
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _item(kept: Mapping[str, Any]) -> Item:
    return Item(
        row={name: kept[name] for name in ("id", "group", "subset") if name in kept},
        input="",
        output=None,
        reference=None,
        statistics={name: np.asarray(one, dtype=np.float64) for name, one in kept["statistics"].items()},
        failed=kept.get("failed"),
    )


def _with(stored: Sequence[Result], scores: Sequence[Score]) -> list[Result]:
    """The stored records with new values and errors."""
    by_metric = {score.metric: score for score in scores}
    return [
        dataclasses.replace(
            result,
            value=by_metric[result.metric].value if result.value is not None else None,
            stderr=by_metric[result.metric].stderr if result.stderr is not None else None,
        )
        for result in stored
    ]


def _no_model(rows: object) -> list[Item]:
    raise AssertionError("items are there already")
