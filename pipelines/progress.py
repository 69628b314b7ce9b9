"""What a run shows while it works: a bar a running stage in a terminal, a line a finished stage."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines.plan import Stage
from pipelines.stages import Message, Outcome


class _Facts(ProgressColumn):
    """Tokens a second and the loss in nats, once a stage has told them."""

    def render(self, task: Task) -> Text:
        speed, loss = task.fields.get("speed"), task.fields.get("loss")
        words = [] if speed is None else [f"{speed / 1000:6.1f}k tok/s"]
        if loss is not None:
            words.append(f"loss {loss:.3f}")
        return Text("  ".join(words), style="cyan")


class RunView:
    """Shows a run's stages on `console`; safe to call from the thread that reads the workers' messages."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._console = console
        self._bars = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Facts(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not self._bars,
        )
        self._total, self._done = total, done
        self._all = self._progress.add_task("all stages", total=total, completed=done)
        self._running: dict[str, Any] = {}
        self._last: dict[str, dict[str, Any]] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> RunView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, stage: Stage) -> None:
        """A stage was given to a worker."""
        with self._guard:
            self._running[stage.id] = self._progress.add_task(stage.id, total=None)

    def told(self, message: Message) -> None:
        """A stage says how far it is, or warns."""
        if message.what == "warning":
            self._console.print(
                f"warning: {message.values['text']}", style="yellow", markup=False, highlight=False
            )
            return
        values = message.values
        with self._guard:
            self._last[message.stage] = values
            if message.stage in self._running:
                self._progress.update(
                    self._running[message.stage],
                    total=values["steps"],
                    completed=values["step"],
                    speed=values["tokens_per_second"],
                    loss=values["loss_nats"],
                )

    def retried(self, stage: Stage, reason: str) -> None:
        """A stage's process died, and it will be started again: its bar goes until then."""
        with self._guard:
            if stage.id in self._running:
                self._progress.remove_task(self._running.pop(stage.id))
        line = f"warning: {stage.id} is started again: {reason}"
        self._console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def ended(self, outcome: Outcome) -> None:
        """A stage is done, has failed or was stopped: its bar goes, a line stays."""
        with self._guard:
            self._done += outcome.status != "stopped"
            if outcome.stage in self._running:
                self._progress.remove_task(self._running.pop(outcome.stage))
            self._progress.update(self._all, completed=self._done)
            line, style = self._line(outcome)
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _line(self, outcome: Outcome) -> tuple[str, str]:
        place = f"[{self._done:>{len(str(self._total))}}/{self._total}]"
        if outcome.status == "failed":
            return f"{place} FAILED {outcome.stage}: {outcome.reason}", "red"
        if outcome.status == "stopped":
            return f"{place} stopped {outcome.stage}: {outcome.reason}", "yellow"
        line = f"{place} {outcome.stage:<44} {outcome.seconds:6.1f} s"
        if last := self._last.get(outcome.stage):
            line += f"  {last['tokens_per_second'] / 1000:6.1f}k tokens/s  loss {last['loss_nats']:.3f} nats"
        return line, ""
