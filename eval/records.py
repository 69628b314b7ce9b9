"""Scores as Results: what is known of model and data beside each, and why the rest is not."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from eval.loading import count_params
from eval.metrics import Score
from eval.results import METRICS, Origin, Result


@dataclass(frozen=True)
class Setting:
    """What all results of one evaluation share."""

    split: str
    data_fingerprint: str
    versions: dict[str, str]
    seconds: float


def foreign_origin(network: Any, objective: str, name: str) -> Origin:
    """What a checkpoint tells by itself; its name, as it was asked for, stands for a rung's."""
    return Origin(
        stage="evaluate",
        family=str(network.config.model_type),
        objective=objective,
        rung=name,
        params=count_params(network),
    )


def make_result(score: Score, task: str, setting: Setting, origin: Origin, absent: str) -> Result:
    """One score as a record; whatever is not known is null with its reason, `absent` for the origin's."""
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
        task=task,
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
