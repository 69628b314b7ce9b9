"""The evaluation settings of a recipe; pydantic only, no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvalSettings(BaseModel):
    """How models are measured. Every field but `batch_tokens` and `samples` may change a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...] | None = Field(
        None, description="tasks to measure, by name (null: what was pretrained on and fine-tuned on)"
    )
    split: Literal["train", "validation", "test"] = Field("test", description="the split measured")
    max_items: int | None = Field(None, ge=1, description="items measured, evenly spaced (null: all)")
    context: int | None = Field(None, ge=2, description="window in tokens (null: the model's own)")
    stride: int | None = Field(None, ge=1, description="tokens a window moves on (null: half a context)")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the forward pass")
    batch_tokens: int = Field(16384, ge=1, description="padded tokens in a batch: speed and memory only")
    bootstrap: int = Field(1000, ge=2, description="bootstrap replicates for corpus metrics' standard errors")
    samples: int = Field(4, ge=0, description="items shown with the model's output, evenly spaced")
