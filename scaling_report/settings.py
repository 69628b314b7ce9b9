"""The report's part of a recipe: which axes, what is hidden, how often a fit is repeated."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

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
