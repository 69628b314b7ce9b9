"""The stage that chooses a ladder's learning rate from its sweep."""

from __future__ import annotations

from typing import Any

from eval.files import write_json
from pipelines.stages import Job, Message, Tell
from pipelines.store import read_manifest
from pipelines.tuning import choose


def tune(job: Job, tell: Tell) -> dict[str, Any]:
    """Write `choice.json`: `factors`, by rung what its rule's rate is multiplied with, and why."""
    settings = job.stage.settings
    points: dict[str, dict[float, float | None]] = {}
    for folder in job.inputs.values():
        manifest = read_manifest(folder)
        assert manifest is not None, f"{folder}: an input of a running stage is finished"
        swept = manifest["settings"]
        points.setdefault(swept["rung"], {})[swept["factor"]] = manifest["facts"]["validation_loss_nats"]
    choice = choose(points, {rung: settings["sizes"][rung] for rung in points})
    for text in choice.warnings:
        tell(Message(job.stage.id, "warning", {"text": text}))
    factors = {rung: choice.factor_for(size) for rung, size in settings["sizes"].items()}
    write_json(job.folder / "choice.json", {"factors": factors, **choice.to_json()})
    return {"rule": settings["rule"], "factors": factors, **choice.to_json()}
