"""A model and a task in, Results out: the room's front door."""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eval.files import hash_json
from eval.loading import count_params, find_checkpoint, fingerprint, load_model
from eval.measuring import measure
from eval.measuring.base import Asked
from eval.metrics import Score
from eval.results import METRICS, Origin, Result
from eval.settings import EvalSettings
from eval.tasks import Task, get_task
from eval.tasks.rows import choose_evenly, read_rows

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "sacrebleu", "rouge-score")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation leaves: results (baselines among them), samples to read, every item's statistics."""

    results: list[Result]
    samples: list[dict[str, str]]
    items: list[dict[str, Any]]


@dataclass(frozen=True)
class _Setting:
    """What all results of one evaluation share."""

    task: Task
    split: str
    data_fingerprint: str
    versions: dict[str, str]
    seconds: float


def evaluate(
    model_dir: str | Path,
    task: str | Task,
    data: Path,
    *,
    split: str | None = None,
    origin: Origin | None = None,
    settings: EvalSettings | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a checkpoint (a folder, or a hub name) on one task whose rows are in the folder `data`.

    `task` is a built-in one's name, or a task (`eval.tasks.make_task` makes one from a recipe's settings).
    `split` is the settings' unless given; `origin` is None for a checkpoint from elsewhere; `seed` is the
    bootstrap's. Equal inputs give equal results but for `seconds`. Raises `InputError` for a user's mistakes.
    """
    started = time.perf_counter()
    settings = settings or EvalSettings()
    split = split or settings.split
    task = get_task(task) if isinstance(task, str) else task
    rows = choose_evenly(read_rows(task, Path(data), split), settings.max_items)
    folder = find_checkpoint(model_dir)
    model = load_model(folder, task, settings)
    found = measure(model, Asked(task, rows, Path(data), settings, seed))
    setting = _Setting(task, split, hash_json(rows), _versions(), round(time.perf_counter() - started, 3))

    known = origin or _foreign_origin(model.network, task, _name(model_dir))
    if known.model_fingerprint is None:
        known = dataclasses.replace(known, model_fingerprint=fingerprint(folder))
    absent = "not given by the run" if origin else "a checkpoint from elsewhere does not say"
    results = [_result(score, setting, known, absent) for score in found.scores]
    for baseline in found.baselines:
        nobody = Origin(
            run=known.run, stage="evaluate", family="baseline", objective=known.objective, rung=baseline.name
        )
        results += [_result(score, setting, nobody, "a baseline has no model") for score in baseline.scores]
    return Evaluation(results=results, samples=found.samples, items=found.items)


def _name(model_dir: str | Path) -> str:
    """A hub name as it is; of a folder its own name, or the one above where that is only `model`."""
    folder = Path(model_dir)
    if not folder.is_dir():
        return str(model_dir)
    whole = folder.resolve()
    return whole.parent.name if whole.name == "model" else whole.name


def _foreign_origin(network: Any, task: Task, name: str) -> Origin:
    """What a checkpoint tells by itself; its name, as it was asked for, stands for a rung's."""
    return Origin(
        stage="evaluate",
        family=str(network.config.model_type),
        objective=task.objective,
        rung=name,
        params=count_params(network),
    )


def _result(score: Score, setting: _Setting, origin: Origin, absent: str) -> Result:
    """One score as a record; whatever is not known is null with its reason."""
    meaning = METRICS[score.metric]
    fields: dict[str, Any] = {field.name: getattr(origin, field.name) for field in dataclasses.fields(origin)}
    missing = {name: absent for name, value in fields.items() if value is None}
    value, stderr = _finite(score.value), _finite(score.stderr)
    if value is None:
        missing["value"] = f"not finite: {score.value}"
    if stderr is None:
        missing["stderr"] = score.reason or f"not finite: {score.stderr}"
    for bound in ("floor", "ceiling"):
        if getattr(meaning, bound) is None:
            missing[bound] = "unbounded"
    return Result(
        **(fields | {"stage": origin.stage or "evaluate"}),
        task=setting.task.name,
        split=setting.split,
        metric=score.metric,
        value=value,
        stderr=stderr,
        n=score.n,
        higher_is_better=meaning.higher_is_better,
        floor=meaning.floor,
        ceiling=meaning.ceiling,
        signature=score.signature,
        data_fingerprint=setting.data_fingerprint,
        versions=setting.versions,
        seconds=setting.seconds,
        missing={name: reason for name, reason in missing.items() if name != "stage"},
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
