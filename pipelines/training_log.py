"""What a training says of itself: sums, `log.jsonl`, progress, trackers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator

from eval.files import write_jsonl

if TYPE_CHECKING:
    from pipelines.train import Run

LOGGED_LINES = 100  # a log has about so many lines where no interval is asked for


@dataclass(frozen=True)
class Progress:
    """What a progress bar needs to know. `loss_nats`: a scored token's, over the last log interval."""

    step: int
    steps: int
    tokens: int
    tokens_per_second: float
    loss_nats: float | None


@dataclass
class Meter:
    """Tokens so far and sums over the log interval; kept in checkpoints, so that logs resume exactly."""

    tokens: int = 0
    scored: float = 0.0
    interval_scored: float = 0.0
    seconds: float = 0.0


class TrainingLog:
    """`log.jsonl`: a line every so many steps, cut back to a checkpoint's step when a training resumes."""

    def __init__(self, run: Run, accelerator: Accelerator) -> None:
        self.run, self.accelerator = run, accelerator
        self.path = run.folder / "log.jsonl"
        self.every_steps = _every_steps(run)

    def cut(self, step: int, start: Path | None) -> None:
        """Keep the lines up to `step`, of this training or of the one that `start` is a checkpoint of."""
        if not self.accelerator.is_main_process:
            return
        source = self.path if start is None else start.parent / "log.jsonl"
        lines = [line for line in whole_lines(source) if line["step"] <= step] if step else []
        write_jsonl(self.path, lines)

    def write(self, meter: Meter, done: int, nats: float, norm: float) -> None:
        """Add a line for the steps since the last one, and tell of progress."""
        loss = nats / meter.interval_scored
        speed = meter.tokens / max(meter.seconds, 1e-9)
        line = {
            "step": done,
            "tokens": meter.tokens,
            "loss_nats": loss,
            "gradient_norm": norm if math.isfinite(norm) else None,  # a step that fp16 left out
            "learning_rate": self.run.how.rate(done - 1),
            "tokens_per_second": round(speed, 1),
            "flops_utilisation": self.utilisation(speed),
            "seconds": round(meter.seconds, 3),
        }
        meter.scored += meter.interval_scored
        meter.interval_scored = 0.0
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self.run.on_progress(Progress(done, self.run.how.steps, meter.tokens, speed, loss))
        self.accelerator.log({name: value for name, value in line.items() if value is not None}, step=done)

    def utilisation(self, tokens_per_second: float) -> float | None:
        """Model FLOPs a second as a share of the machine's peak; None where either is not known."""
        if self.run.flops_per_token is None or self.run.peak_flops is None:
            return None
        ranks = self.accelerator.num_processes
        return round(tokens_per_second * self.run.flops_per_token / (self.run.peak_flops * ranks), 4)


def _every_steps(run: Run) -> int:
    """Optimiser steps between log lines; an interval in tokens is counted in those of the first step."""
    if run.log_every_tokens is None:
        return max(1, run.how.steps // LOGGED_LINES)
    return max(1, round(run.log_every_tokens / sum(run.batches.lengths(0))))


def whole_lines(log: Path) -> list[dict[str, Any]]:
    """The log's lines; a last one that a kill cut short is left out, for its step comes again."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]
