"""One optimiser step: the parts of a batch, forward and back, the norm, the update; no waiting for a GPU."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from eval.files import InputError
from pipelines.optim import set_rate
from pipelines.ranks import Share, parts_of, plain_tensor

if TYPE_CHECKING:
    from pipelines.train import Run

# Losses and norms are looked at after so many steps: on a GPU each look waits for all work so far.
CHECK_STEPS = {"cpu": 1, "cuda": 20}
# The final loss is the mean over the last tenth of the steps, within these bounds: a last batch may be a row.
TAIL_STEPS = (10, 200)
# fp16 halves its loss scale and leaves a step out when a gradient overflows; from 2^16, so many in a row are
# more than any scale can mend.
SKIPPED_IN_A_ROW = 40


class Stepper:
    """Moves the weights by a step at a time, and remembers sums on the device until somebody asks."""

    def __init__(
        self,
        objective: Any,
        prepared: Any,
        called: Any,
        optimizer: Any,
        run: Run,
        accelerator: Accelerator,
    ) -> None:
        self.objective, self.prepared, self.called, self.optimizer = objective, prepared, called, optimizer
        self.run, self.accelerator = run, accelerator
        self.micro_tokens = run.micro_tokens
        self._nats = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        self._norm = torch.zeros((), device=accelerator.device)
        self._seen: list[tuple[int, torch.Tensor, torch.Tensor, float]] = []  # step, loss, norm, scored
        self._every = CHECK_STEPS.get(accelerator.device.type, CHECK_STEPS["cuda"])
        least, most = TAIL_STEPS
        self._tail: deque[tuple[float, float]] = deque(maxlen=min(most, max(least, run.how.steps // 10)))
        self._skipped = 0
        self.has_interval = False

    def step(self, share: Share, step: int) -> float:
        """Step `step` (from 0) on this rank's share of its batch; returns what the loss was divided by.

        Where memory does not suffice the same batch is tried again in parts of half the size.
        """
        scored = share.scored
        set_rate(self.optimizer, self.run.how, step)
        while True:
            try:
                nats = self._backward(share, step, scored)
                break
            except torch.OutOfMemoryError as error:
                self._halve(share, error)
        norm = self.accelerator.clip_grad_norm_(self.prepared.parameters(), self.run.how.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._nats += nats
        self._norm = plain_tensor(norm)
        self._seen.append((step, nats, self._norm, scored))
        self.has_interval = True
        return scored

    def _backward(self, share: Share, step: int, scored: float) -> torch.Tensor:
        """This rank's summed nats; gradients are those of the sum over all ranks, divided by `scored`."""
        accelerator = self.accelerator
        world = accelerator.num_processes
        # dropout is a function of the step, so that nothing of it has to be kept
        torch.manual_seed((self.run.seed * 2**32 + step * world + accelerator.process_index) % 2**63)
        parts = parts_of(share, self.micro_tokens, world)
        total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        for place, (part, counts) in enumerate(parts):
            part = {name: value.to(accelerator.device, non_blocking=True) for name, value in part.items()}
            waits = place + 1 < len(parts)
            with accelerator.no_sync(self.prepared) if waits else contextlib.nullcontext():
                with accelerator.autocast():
                    nats = self.called(part)
                # ranks' gradients are averaged, hence times their number
                accelerator.backward(nats * (float(counts) * world / scored))
            if counts:
                total += nats.detach()
        return total

    def _halve(self, share: Share, error: torch.OutOfMemoryError) -> None:
        length = share.batch["input_ids"].shape[1]
        # other ranks are further on; and what DeepSpeed has added up of a step cannot be taken back
        if self.accelerator.num_processes > 1 or self.run.zero or self.micro_tokens <= length:
            raise InputError(
                f"out of memory with {max(1, self.micro_tokens // length)} rows of {length} tokens at once; "
                "lower training.micro_tokens or the context, or set training.activation_checkpointing"
            ) from error
        self.optimizer.zero_grad()
        torch.cuda.empty_cache()
        self.micro_tokens = max(length, self.micro_tokens // 2)
        self.run.on_warning(
            f"out of memory: parts of {self.micro_tokens} tokens from here on; the batch stays as it is"
        )
        self.run.on_micro_change(self.micro_tokens)

    def check_is_due(self, done: int) -> bool:
        """Whether it is time to look at the losses and norms since the last look."""
        return done % self._every == 0

    def first_bad(self) -> tuple[int, float, float] | None:
        """The first step since the last look with a loss or norm that is not finite: (step, loss, norm).

        A norm alone is not bad in fp16, where accelerate leaves such steps out and scales losses down, unless
        it goes on.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return None
        sums = torch.stack([nats for _, nats, _, _ in seen])
        if self.accelerator.num_processes > 1:  # one rank's loss is everybody's
            sums = self.accelerator.reduce(sums, reduction="sum")
        norms = torch.stack([norm.to(sums.device) for _, _, norm, _ in seen])
        for (step, _, _, scored), nats, norm in zip(seen, sums.tolist(), norms.tolist(), strict=True):
            if not math.isfinite(nats) or not self._usable(norm):
                return step, nats / scored, norm
            self._tail.append((nats, scored))
        return None

    def _usable(self, norm: float) -> bool:
        """Whether training can go on after a step with this gradient norm."""
        self._skipped = 0 if math.isfinite(norm) else self._skipped + 1
        most = 0 if self.accelerator.scaler is None else SKIPPED_IN_A_ROW - 1
        return self._skipped <= most

    def final_loss(self) -> float:
        """Loss of a scored token (or row) over the last steps that were looked at."""
        nats, scored = map(sum, zip(*self._tail, strict=True))
        return nats / scored

    def _interval_nats(self) -> float:
        return float(self.accelerator.reduce(self._nats.clone(), reduction="sum"))

    def take_interval(self) -> tuple[float, float]:
        """(nats since the last log line, gradient norm of the last step before clipping); begins anew."""
        nats = self._interval_nats()
        self._nats.zero_()
        self.has_interval = False
        return nats, float(self._norm)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's `state`; the sum of all ranks is the first one's now."""
        if self.accelerator.is_main_process:
            self._nats.fill_(state["interval_nats"])
        self._tail.extend((nats, scored) for nats, scored in state["tail"])
        self.has_interval = state["has_interval"]
        if state["scaler"] and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def state(self) -> dict[str, Any]:
        """For a checkpoint: nats since the last log line, fp16's loss scale. Every rank has to call it."""
        scaler = self.accelerator.scaler
        return {
            "interval_nats": self._interval_nats(),
            "has_interval": self.has_interval,
            "tail": list(self._tail),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
