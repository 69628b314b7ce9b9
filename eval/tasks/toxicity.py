"""The classifier of a toxicity task: looked at before any model is loaded."""

from __future__ import annotations

from pathlib import Path

from eval.files import InputError, read_json
from eval.tasks.base import Toxicity


def check_classifier(task: Toxicity, where: str) -> None:
    """Raise `InputError`, beginning with `where`, unless the task's folder holds a model with its label."""
    folder = Path(task.classifier)
    path = next((one / "config.json" for one in (folder, folder / "model") if _is_model(one)), None)
    if path is None:
        raise InputError(f"{where}: {task.classifier} holds no config.json; name a classifier's folder")
    config = read_json(path)
    known = config.get("id2label") if isinstance(config, dict) else None
    labels = sorted(map(str, known.values())) if isinstance(known, dict) else []
    if task.toxic not in labels:
        there = ", ".join(labels) or "none that are named in its config.json"
        raise InputError(f"{where}: {task.classifier} has no label {task.toxic!r}; there are {there}")


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()
