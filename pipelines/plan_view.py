"""A plan for its readers: a table for people, plain JSON for the run folder."""

from __future__ import annotations

COLUMNS = (
    "rung",
    "seeds",
    "shape",
    "parameters",
    "non-embedding",
    "tokens",
    "steps",
    "batch",
    "learning rate",
    "FLOPs",
    "memory",
    "disk",
    "time",
)
