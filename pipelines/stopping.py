"""How a run ends before its end: what its processes raise, and the exit code that a scheduler requeues."""

from __future__ import annotations

import signal

REQUEUE = 75  # EX_TEMPFAIL of BSD's sysexits.h: a temporary failure, try again
GRACE_S = (
    25.0  # what a stage has to leave a checkpoint: under the 30 s that Slurm and Kubernetes give by default
)


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM; a class of its own, because typer takes KeyboardInterrupt for itself."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"

    @property
    def exit_code(self) -> int:
        """75 after SIGTERM, which is how machines are taken back; 130 after Ctrl-C."""
        return REQUEUE if self.number == signal.SIGTERM else 128 + self.number


class Stopped(RuntimeError):
    """A stage was asked to stop and has left its state in a checkpoint."""
