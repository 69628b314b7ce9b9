"""Trackers get what the log gets; one that is not installed is said, not left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.tracking import GeneralTracker

from pipelines.objectives import objective
from pipelines.ranks import make_accelerator
from pipelines.trackers import end_trackers, start_trackers
from pipelines.train import train
from tests.pipelines.tiny import make_run, tiny_model


class _Notes(GeneralTracker):
    """A tracker that remembers."""

    name = "notes"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.finished = False

    @property
    def tracker(self) -> None:
        return None

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, Any], step: int | None, **_: Any) -> None:
        self.lines.append(values)

    def finish(self) -> None:
        self.finished = True


def test_a_tracker_gets_every_line_of_the_log(tmp_path: Path) -> None:
    notes = _Notes()
    accelerator = make_accelerator("fp32", trackers=[notes])
    start_trackers(accelerator, "stage", {"seed": 3, "hyper": {"nested": 1}})
    train(objective("causal-lm", tiny_model(), torch.float32), make_run(tmp_path), accelerator)
    end_trackers(accelerator)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss_nats"] for line in notes.lines] == [line["loss_nats"] for line in lines]
    assert notes.config == {"seed": 3}
    assert notes.finished


def test_tensorboard_files_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    accelerator = make_accelerator("fp32", trackers=["tensorboard"], folder=tmp_path)
    start_trackers(accelerator, "stage", {"seed": 3})
    train(objective("causal-lm", tiny_model(), torch.float32), make_run(tmp_path), accelerator)
    end_trackers(accelerator)
    assert list(tmp_path.rglob("events.out.tfevents*"))
