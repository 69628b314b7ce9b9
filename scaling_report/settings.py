"""The report's part of a recipe: which axes, what is hidden, how often a fit is repeated."""

from __future__ import annotations

import difflib
import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from eval.results import METRICS
from scaling_report.published import OverlayName

Axis = Literal["non_embedding", "total", "matmul", "flops", "tokens"]


class ReportSettings(BaseModel):
    """How results become laws. Nothing here changes a trained model, so no stage's key holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: tuple[Axis, ...] = Field(
        ("non_embedding", "flops"),
        min_length=1,
        description="What a metric is plotted and fitted against. The first one is the axis of the forecast.",
    )
    holdout: int = Field(
        1,
        ge=0,
        description="How many of the largest rungs, but the smallest, are hidden from every fit, then "
        "predicted.",
    )
    bootstrap: int = Field(
        400, ge=100, le=100_000, description="Refits behind every band and standard error."
    )
    seed: int = Field(0, ge=0, description="Seed of the resampling.")
    level: float = Field(
        0.9, ge=0.5, le=0.999, description="Level of the confidence and prediction intervals."
    )
    target: tuple[str, ...] = Field(
        (), description="Values to reach, such as accuracy=0.9: the report says at which size."
    )

    @property
    def targets(self) -> dict[str, float]:
        """The value to reach, by metric."""
        return dict(read_target(one) for one in self.target)

    @field_validator("target")
    @classmethod
    def _metrics_that_exist(cls, target: tuple[str, ...]) -> tuple[str, ...]:
        metrics = [read_target(one)[0] for one in target]
        if twice := [metric for metric in metrics if metrics.count(metric) > 1]:
            raise ValueError(f"{twice[0]} is given twice; leave one out")
        return target

    overlay: tuple[OverlayName, ...] = Field(
        (),
        description="Published ladders to draw over the series of the same metric; never fitted with them.",
    )

    watts: float | None = Field(
        None,
        gt=0,
        description="What the machine draws while a stage runs, in watts; the page then tells the energy.",
    )
    price_per_hour: float | None = Field(
        None, gt=0, description="What an hour of the machine costs; the page then tells the cost."
    )
    currency: str = Field("USD", min_length=1, max_length=8, description="Of `price_per_hour`.")

    @field_validator("x")
    @classmethod
    def _each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if len(set(axes)) != len(axes):
            raise ValueError("names an axis twice; list each axis once")
        return axes


def read_target(given: str) -> tuple[str, float]:
    """METRIC=VALUE. Raises `ValueError` for a metric that is not known and a value that it never has."""
    metric, _, written = given.partition("=")
    metric = metric.strip()
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{given!r}; METRIC=NUMBER is wanted, such as accuracy=0.9")
    if metric not in METRICS:
        near = [name for name in METRICS if metric and name.startswith(metric)]
        near = near or difflib.get_close_matches(metric, METRICS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"{metric!r} is no metric; {hint}there are {', '.join(METRICS)}")
    least, most = METRICS[metric].floor, METRICS[metric].ceiling
    if (least is not None and value < least) or (most is not None and value > most):
        ends = f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"
        raise ValueError(f"{given!r}: {metric} is {ends}")
    return metric, value
