"""The training loop, on accelerate: steps, a log, checkpoints, and a guard against divergence."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from eval.files import write_jsonl
from pipelines.batches import Batch, Batches
from pipelines.checkpoint import load_newest, restore, save_checkpoint
from pipelines.optim import Optimisation, make_adamw

# A step's batch goes through the model in parts of at most this many padded tokens; memory, not meaning.
MICRO_TOKENS = 4096
LOGGED_LINES = 100  # a log has about so many lines where no interval is asked for


class Diverged(RuntimeError):
    """Training left the rails: one line with the step and what was seen."""


@dataclass(frozen=True)
class Progress:
    """What a progress bar needs to know. `loss_nats`: a scored token's, over the last log interval."""

    step: int
    steps: int
    tokens: int
    tokens_per_second: float
    loss_nats: float | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything `train` needs beside the model: data, optimisation, and where things go."""

    batches: Batches
    how: Optimisation
    folder: Path
    log_every_tokens: int | None
    checkpoint_every_s: float
    on_progress: Callable[[Progress], None]
    on_warning: Callable[[str], None]
    highest_loss_nats: float
    """A final loss at or above this is no better than guessing: the rung has diverged."""


@dataclass
class _Meter:
    """Sums over the log interval, and tokens so far; kept in checkpoints, so that logs resume exactly."""

    tokens: int = 0
    scored: int = 0
    interval_scored: int = 0
    interval_nats: float = 0.0
    seconds: float = 0.0
    lines: list[dict[str, Any]] = field(default_factory=list)


def make_accelerator(precision: str) -> Accelerator:
    """One process, on the GPU if there is one; asserts that no launcher silently started another number."""
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # a worker runs stages of several precisions in turn
    mixed = "bf16" if precision == "bf16" else "no"
    accelerator = Accelerator(mixed_precision=mixed, cpu=not torch.cuda.is_available())
    assert accelerator.num_processes == 1, "one process trains a rung; start stepladder without a launcher"
    return accelerator


def train(module: torch.nn.Module, run: Run, accelerator: Accelerator) -> dict[str, Any]:
    """Train `module` (an objective) for `run.how.steps` steps, going on from the newest checkpoint.

    Returns the facts of the training: tokens, scored_tokens, final_loss_nats (mean over the last log
    interval), seconds and tokens_per_second (both over all attempts). Raises Diverged.
    """
    optimizer = make_adamw(module, run.how)
    module, optimizer = accelerator.prepare(module, optimizer)
    meter, start = _resume(module, optimizer, run)
    every = _log_steps(run)
    saved_at = time.monotonic()
    for step in range(start, run.how.steps):
        began = time.monotonic()
        nats, norm = _step(module, optimizer, run, accelerator, step)
        meter.seconds += time.monotonic() - began
        meter.tokens += sum(run.batches.lengths(step))
        meter.interval_nats += nats[0]
        meter.interval_scored += nats[1]
        done = step + 1
        if done % every == 0 or done == run.how.steps:
            _log(meter, run, step, norm)
        if time.monotonic() - saved_at > run.checkpoint_every_s and done < run.how.steps:
            _save(run, done, module, optimizer, meter)
            saved_at = time.monotonic()
    return _finish(meter, run)


def _log_steps(run: Run) -> int:
    """Optimiser steps between log lines; an interval in tokens is counted in those of the first step."""
    if run.log_every_tokens is None:
        return max(1, run.how.steps // LOGGED_LINES)
    return max(1, round(run.log_every_tokens / sum(run.batches.lengths(0))))


def _step(
    module: torch.nn.Module, optimizer: Any, run: Run, accelerator: Accelerator, step: int
) -> tuple[tuple[float, int], float]:
    """One optimiser step. Returns ((nats, scored tokens), gradient norm before clipping)."""
    how = run.how
    for group in optimizer.param_groups:
        group["lr"] = how.rate(step)
    batch = run.batches.batch(step)
    scored = int((batch["targets"] >= 0).sum())
    total = 0.0
    for part in _micro_batches(batch):
        part = {name: value.to(accelerator.device) for name, value in part.items()}
        with accelerator.autocast():
            nats, _ = module(part)
        accelerator.backward(nats / scored)  # by the tokens of the whole step, not of the part
        total += float(nats.detach())
    norm = float(accelerator.clip_grad_norm_(module.parameters(), how.clip))
    if not (math.isfinite(total) and math.isfinite(norm)):
        raise Diverged(
            f"step {step + 1} of {how.steps}: loss {total / scored:.4g} nats, gradient norm {norm:.4g}; "
            f"lower training.learning_rate (here {how.learning_rate:.3g})"
        )
    optimizer.step()
    optimizer.zero_grad()
    return (total, scored), norm


def _micro_batches(batch: Batch) -> Iterator[Batch]:
    rows, length = batch["input_ids"].shape
    size = max(1, MICRO_TOKENS // length)
    for start in range(0, rows, size):
        yield {name: value[start : start + size] for name, value in batch.items()}


def _log(meter: _Meter, run: Run, step: int, norm: float) -> None:
    loss = meter.interval_nats / meter.interval_scored
    line = {
        "step": step + 1,
        "tokens": meter.tokens,
        "loss_nats": loss,
        "gradient_norm": norm,
        "seconds": round(meter.seconds, 3),
    }
    meter.lines.append(line)
    meter.scored += meter.interval_scored
    meter.interval_nats, meter.interval_scored = 0.0, 0
    with (run.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    speed = meter.tokens / max(meter.seconds, 1e-9)
    run.on_progress(Progress(step + 1, run.how.steps, meter.tokens, speed, loss))


def _save(run: Run, done: int, module: torch.nn.Module, optimizer: Any, meter: _Meter) -> None:
    facts = {
        "tokens": meter.tokens,
        "scored": meter.scored,
        "interval_scored": meter.interval_scored,
        "interval_nats": meter.interval_nats,
        "seconds": meter.seconds,
    }
    save_checkpoint(run.folder / "checkpoints", done, module, _plain(optimizer), facts)


def _resume(module: torch.nn.Module, optimizer: Any, run: Run) -> tuple[_Meter, int]:
    """Go back to the newest checkpoint: weights, moments, sums, and the log cut to what it holds."""
    checkpoint, warnings = load_newest(run.folder / "checkpoints")
    for warning in warnings:
        run.on_warning(warning)
    log = run.folder / "log.jsonl"
    if checkpoint is None:
        write_jsonl(log, [])
        return _Meter(), 0
    restore(checkpoint, module, _plain(optimizer))
    lines = [line for line in _whole_lines(log) if line["step"] <= checkpoint.step]
    write_jsonl(log, lines)
    return _Meter(lines=lines, **checkpoint.facts), checkpoint.step


def _whole_lines(log: Path) -> list[dict[str, Any]]:
    """The log's lines; a last one that a kill cut short is left out, for its step comes again."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    return optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer


def _finish(meter: _Meter, run: Run) -> dict[str, Any]:
    final = meter.lines[-1]["loss_nats"]
    if final >= run.highest_loss_nats:
        raise Diverged(
            f"the final training loss, {final:.3f} nats, is no better than guessing "
            f"({run.highest_loss_nats:.3f}); lower training.learning_rate (here {run.how.learning_rate:.3g})"
        )
    return {
        "tokens": meter.tokens,
        "scored_tokens": meter.scored,
        "final_loss_nats": final,
        "seconds": meter.seconds,
        "tokens_per_second": meter.tokens / max(meter.seconds, 1e-9),
    }
