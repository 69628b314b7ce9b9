"""The training loop, on accelerate: steps, a log, checkpoints, and a guard against divergence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from pipelines import heartbeat
from pipelines.batches import Batches
from pipelines.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_newest,
    restore,
    save_checkpoint,
    write_checkpoint,
)
from pipelines.compiling import compile_module
from pipelines.early_stopping import EarlyStopping, Validation
from pipelines.micro_batch import CPU_TOKENS
from pipelines.optim import Optimisation, make_optimizer, optimizer_tensors
from pipelines.prefetch import Prefetched
from pipelines.ranks import Share, prepare, said_by_first, share_of, whole
from pipelines.stepping import Stepper
from pipelines.stopping import Stopped
from pipelines.training_log import Meter, Progress, TrainingLog


class Diverged(RuntimeError):
    """Training left the rails: one line with the step and what was seen."""


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
    on_resume: Callable[[int], None] = lambda step: None
    """Told the steps that were done before, where training goes on from a checkpoint."""
    highest_loss_nats: float
    """A final loss at or above this is no better than guessing: the rung has diverged."""
    seed: int = 0
    """Of dropout."""
    micro_tokens: int = CPU_TOKENS
    """A step's batch goes through the model in parts of at most so many padded tokens."""
    on_micro_change: Callable[[int], None] = lambda micro_tokens: None
    """Told when memory did not suffice and the parts of a batch were made smaller."""
    compile: bool = False
    flops_per_token: float | None = None
    """Model FLOPs of training on a token, for utilisation beside tokens/s."""
    peak_flops: float | None = None
    """FLOP/s that the machine's matrix products reach at this precision; None: not known."""
    validation: Validation | None = None
    start: Path | None = None
    """A checkpoint folder of a shorter training, which this one goes on from."""
    zero: bool = False
    """DeepSpeed shares the optimiser's state out, in pieces that no checkpoint here can hold."""
    keep_at: int | None = None
    """Steps after which the state is also left as `stable/`, for a longer training to start from."""


def train(module: torch.nn.Module, run: Run, accelerator: Accelerator) -> dict[str, Any]:
    """Train `module` (an objective) for `run.how.steps` steps, going on from the newest checkpoint.

    Every rank calls it; the first writes. Returns the facts of the training: tokens, scored_tokens,
    final_loss_nats (mean over the last tenth of the steps), seconds and tokens_per_second (both over all
    attempts, waiting for data counted, validation and checkpoints not), and those of validation, where there
    is one. Raises Diverged, and Stopped once a checkpoint is left where this process was asked to stop.
    """
    share = partial(share_of, run.batches, module, accelerator.process_index, accelerator.num_processes)
    with Prefetched(share, run.how.steps) as shares, heartbeat.stoppable():
        loop = _Loop(module, run, accelerator)
        step = loop.resume()
        while step < run.how.steps and not loop.stopping.stopped:
            loop.step(shares, step)
            step += 1
            loop.after(step)
        return loop.finish(step)


class _Loop:
    """The state of one training."""

    def __init__(self, module: Any, run: Run, accelerator: Accelerator) -> None:
        module.train()  # a loaded model is in evaluation mode, without dropout
        self.run, self.accelerator, self.objective = run, accelerator, module
        prepared, optimizer = prepare(accelerator, module, make_optimizer(module, run.how), run.how.clip)
        called = compile_module(prepared) if run.compile else prepared
        self.optimizer = optimizer
        self.stepper = Stepper(module, prepared, called, optimizer, run, accelerator)
        self.stopping = EarlyStopping(module, run.validation, run.folder, accelerator)
        self.log = TrainingLog(run, accelerator)
        self.meter = Meter()
        self.start_tokens = 0
        self.saved_at = time.monotonic()

    def resume(self) -> int:
        """Go back to the newest checkpoint, else to where a shorter training left off; the steps done."""
        if self.run.zero:
            assert (self.run.start, self.run.keep_at, self.run.validation) == (None, None, None)
            self.run.on_warning(
                "under DeepSpeed no checkpoints are kept: interrupted, this training begins anew"
            )
            self.log.cut(0, None)
            return 0
        checkpoint = self._newest()
        begun = None if self.run.start is None else load_checkpoint(self.run.start)
        self.start_tokens = 0 if begun is None else int(begun.facts["meter"]["tokens"])
        found = checkpoint or begun
        if found is None:
            self.log.cut(0, None)
            self.stopping.load(None, 0)
            return 0
        restore(found, self.objective, _plain(self.optimizer))
        self.run.on_resume(found.step)
        self.meter = Meter(**found.facts["meter"])
        self.stepper.load(found.facts["stepper"])
        self.stopping.load(found.facts["stopping"] if checkpoint is not None else None, found.step)
        self.log.cut(found.step, None if checkpoint else self.run.start)
        return found.step

    def _newest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies; the first rank says which, as folders may be seen unlike."""
        folder = self.run.folder / "checkpoints"
        found = None
        if self.accelerator.is_main_process:
            found, warnings = load_newest(folder, self.stopping.check)
            for warning in warnings:
                self.run.on_warning(warning)
        step = said_by_first(None if found is None else found.step)
        if step is None or found is not None:
            return found
        return load_checkpoint(folder / f"step-{step:08d}")

    def step(self, shares: Prefetched[Share], step: int) -> None:
        with self._clock():
            scored = self.stepper.step(shares.get(step), step)
        self.meter.tokens += sum(self.run.batches.lengths(step))
        self.meter.interval_scored += scored

    def after(self, done: int) -> None:
        """What is due after `done` steps: a log line, validation, a checkpoint, the branch point."""
        last = done == self.run.how.steps
        if done % self.log.every_steps == 0 or last:
            self._log(done)
        elif self.stepper.check_is_due(done):
            self._check()
        if self.stopping.is_due(done, last):
            self._check()
            for line in self.stopping.validate(done, self.meter.tokens, self.stepper.micro_tokens):
                self.run.on_warning(line)
        if done == self.run.keep_at:
            self._save(partial(write_checkpoint, self.run.folder / "stable"), done)
        heartbeat.beat()
        if last:
            return
        due, stop = self._due(done)
        if due or (stop and not self.run.zero):
            self._save(partial(save_checkpoint, self.run.folder / "checkpoints"), done)
            self.saved_at = time.monotonic()
        if stop:
            raise Stopped(f"stopped after step {done} of {self.run.how.steps}")

    def finish(self, done: int) -> dict[str, Any]:
        """The facts; the best weights are put back where validation chose them."""
        run, meter = self.run, self.meter
        if self.stepper.has_interval:
            self._log(done)
        final = self.stepper.final_loss()
        if final >= run.highest_loss_nats:
            raise Diverged(
                f"the final training loss, {final:.3f} nats, is no better than guessing "
                f"({run.highest_loss_nats:.3f}); lower the learning rate (here {run.how.learning_rate:.3g})"
            )
        speed = meter.tokens / max(meter.seconds, 1e-9)
        return {
            "tokens": meter.tokens,
            "scored_tokens": int(meter.scored),
            "start_tokens": self.start_tokens,
            "final_loss_nats": final,
            "seconds": meter.seconds,
            "tokens_per_second": speed,
            "flops_utilisation": self.log.utilisation(speed),
            "ranks": self.accelerator.num_processes,
            "step": done,
            **self.stopping.finish(done, run.how.steps, meter.tokens),
        }

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        """Counts as training: the steps, and waiting for a device that has them still to do."""
        began = time.monotonic()
        yield
        self.meter.seconds += time.monotonic() - began

    def _log(self, done: int) -> None:
        self._check()
        with self._clock():
            nats, norm = self.stepper.take_interval()
        self.log.write(self.meter, done, nats, norm)

    def _check(self) -> None:
        """Raises Diverged for the first step since the last check whose loss or gradient was not finite."""
        with self._clock():
            found = self.stepper.first_bad()
        if found is None:
            return
        step, loss, norm = found
        kept = sorted((self.run.folder / "checkpoints").glob("step-*"))
        where = f"; the last good state is {kept[-1]}" if kept else ""
        raise Diverged(
            f"step {step + 1} of {self.run.how.steps}: loss {loss:.4g} nats, gradient norm {norm:.4g}, on "
            f"batch {step} of seed {self.run.seed}; lower the learning rate "
            f"(here {self.run.how.learning_rate:.3g}){where}"
        )

    def _due(self, done: int) -> tuple[bool, bool]:
        """Whether a checkpoint is due, and whether to stop after it.

        Of ranks, the first one's clock says, and whichever was asked, when losses are looked at: all have to
        do the same.
        """
        due = not self.run.zero and time.monotonic() - self.saved_at > self.run.checkpoint_every_s
        stop = heartbeat.stop_asked()
        if self.accelerator.num_processes == 1:
            return due, stop
        if not self.stepper.check_is_due(done):
            return False, False
        said = torch.tensor(
            [float(due and self.accelerator.is_main_process), float(stop)], device=self.accelerator.device
        )
        due, stop = (bool(one) for one in self.accelerator.reduce(said, reduction="sum").tolist())
        return due, stop

    def _save(self, write: Callable[..., None], done: int) -> None:
        """Leave the state after `done` steps, once it is known to be finite."""
        self._check()
        model = whole(dict(self.objective.named_parameters()))
        optimizer = whole(optimizer_tensors(_plain(self.optimizer)))
        facts = self._facts()
        if self.accelerator.is_main_process:
            write(done, model, optimizer, facts)

    def _facts(self) -> dict[str, Any]:
        return {
            "meter": vars(self.meter),
            "stopping": self.stopping.state(),
            "stepper": self.stepper.state(),
        }


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    return optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer
