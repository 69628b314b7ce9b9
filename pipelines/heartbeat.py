"""Signs of life of the stage that this process works on, and the wish that it stop.

Beside the work a thread writes `.live.json` into the stage's folder every two seconds: a count that rises
while the work goes on, and how far it is. Whoever looks compares two of these files, never a file's time with
a clock of its own: machines' clocks differ and jump. The thread also looks for a file `.stop`, by which
somebody on another machine asks for a checkpoint and an end; on this one SIGTERM asks.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.stopping import REQUEUE
from pipelines.store import now

LIVE = ".live.json"
STOP = ".stop"
BEAT_S = 2.0
LOOK_S = 0.5  # for the wish to stop: what is done until then is not in vain, but the grace time runs
CPU_SECONDS = 0.02  # of a process that does something between two beats


class Heart:
    """One stage's signs of life. Use as a context manager around its work.

    folder: where they are written; None in a process that works beside the one that writes.
    """

    def __init__(self, stage: str, folder: Path | None) -> None:
        self.stage, self.folder = stage, folder
        self._began = time.monotonic()
        self._beats = 0
        self._steps_beat = False
        self._cpu_seconds = 0.0
        self._told: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="heartbeat", daemon=True)
        self.stop_asked = False
        self.stoppable = False

    def beat(self) -> None:
        """A step is done. From the first one on only steps count as life: a process that spins is dead."""
        self._steps_beat = True
        self._beats += 1

    def told(self, values: Mapping[str, Any]) -> None:
        """How far the work is, for `.live.json`."""
        self._told = dict(values)

    def ask_to_stop(self) -> None:
        """Leave a checkpoint after this step and end; where there is nothing to leave, end this process."""
        self.stop_asked = True
        if not self.stoppable:
            if self.folder is not None:
                forget_life(self.folder)
            os._exit(REQUEUE)

    def __enter__(self) -> Heart:
        global _heart
        _heart = self
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / STOP).unlink(missing_ok=True)
            self._write(self.folder)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        global _heart
        _heart = None
        if self.folder is not None:
            self._over.set()
            self._thread.join()
            forget_life(self.folder)

    def _write_on(self) -> None:
        assert self.folder is not None
        written = time.monotonic()
        while not self._over.wait(min(LOOK_S, BEAT_S)):
            if not self.stop_asked and (self.folder / STOP).exists():
                self.ask_to_stop()
            if time.monotonic() - written >= BEAT_S:
                self._look_at_processor()
                self._write(self.folder)
                written = time.monotonic()

    def _look_at_processor(self) -> None:
        """Work that has no steps, such as preparing a corpus, lives while it takes processor time."""
        if self._steps_beat:
            return
        seconds = _cpu_seconds() - time.thread_time()  # looking at many processes is work, but not theirs
        if seconds > self._cpu_seconds + CPU_SECONDS:
            self._beats += 1
        self._cpu_seconds = seconds

    def _write(self, folder: Path) -> None:
        """Not synced to the disk: it is old news in two seconds. A full disk is the work's to tell of."""
        life = {
            "stage": self.stage,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat": self._beats,
            "time": now(),
            "seconds": round(time.monotonic() - self._began, 1),
            **self._told,
        }
        beside = folder / f"{LIVE}.part"
        with suppress(OSError):
            beside.write_text(json.dumps(life), encoding="utf-8")
            beside.replace(folder / LIVE)


_heart: Heart | None = None  # a process works on one stage at a time


def beat() -> None:
    """A step of the work is done; nothing where nobody watches."""
    if _heart is not None:
        _heart.beat()


def stop_asked() -> bool:
    """Whether the work shall leave a checkpoint and end."""
    return _heart is not None and _heart.stop_asked


@contextmanager
def stoppable() -> Iterator[None]:
    """While work looks at `stop_asked` after each step; else to be asked to stop ends the process."""
    heart = _heart
    if heart is None:
        yield
        return
    heart.stoppable = True
    try:
        yield
    finally:
        heart.stoppable = False


def stop_on_sigterm() -> None:
    """Take SIGTERM for the wish to stop, in a process that does nothing but stages."""

    def stop(number: int, frame: FrameType | None) -> None:
        if _heart is None:
            os._exit(REQUEUE)
        _heart.ask_to_stop()

    signal.signal(signal.SIGTERM, stop)


def read_life(folder: Path) -> dict[str, Any] | None:
    """A stage's last sign of life; None where it gives none, or it is just being written."""
    try:
        life = json.loads((folder / LIVE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return life if isinstance(life, dict) else None


def forget_life(folder: Path) -> None:
    """Remove the last sign of life of a process that is known to be dead."""
    with suppress(OSError):
        (folder / LIVE).unlink(missing_ok=True)


def _cpu_seconds() -> float:
    """Processor time of this process and of those it started, in seconds."""
    import psutil

    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
