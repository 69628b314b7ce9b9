"""Where logs go too, beside `log.jsonl`: accelerate's trackers, each an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator


def start_trackers(accelerator: Accelerator, project: str, config: Mapping[str, Any]) -> None:
    """Begin to track; `config` is shown as what the run was made with. The first rank alone tracks."""
    if accelerator.log_with:
        flat = {name: value for name, value in config.items() if isinstance(value, (str, int, float, bool))}
        accelerator.init_trackers(project, flat)


def end_trackers(accelerator: Accelerator) -> None:
    """Write what is still waiting; other trainings of this process may follow."""
    for tracker in getattr(accelerator, "trackers", ()):
        tracker.finish()
