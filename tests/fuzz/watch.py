"""Run one example under watch: how it ended, and whatever it wrote, started or called outside its folder."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from eval.files import InputError
from pipelines.disk import as_input_error

# What Python tells of a program's doings, and where in the event the place stands.
_WRITES = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
    "os.utime": (0,),
}
_CALLS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "socket.getaddrinfo",
    "pty.spawn",
)
WAITS = 12  # a machine may be busy with others
_PICKLE = "pickle.find_class"
_OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Hang(BaseException):
    """An example took longer than it may."""


@dataclass
class Seen:
    """How an example ended: `result`, `error` (one line, as it should be), or what should not be."""

    how: str
    told: str
    seconds: float
    outside: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether it ended as it should."""
        return self.how in ("result", "error") and not self.outside


class _Watch:
    """Listens to Python's audit events while `folder` is set; hooks cannot be taken off again."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, _, flags = given
            if isinstance(flags, int) and flags & _OPEN_TO_WRITE:
                self._note(event, path)
        elif event in _WRITES:
            for place in _WRITES[event]:
                self._note(event, given[place])
        elif event in _CALLS or event == _PICKLE:
            self.outside.append(f"{event} {given!r:.100}")

    def _note(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        # the folder that the name is in, links followed; the name itself may be a link that is replaced
        whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        place = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))  # noqa: PTH118,PTH119,PTH120
        assert self.folder is not None
        inside = place == self.folder or place.startswith(self.folder + os.sep)
        if not inside and os.fsdecode(path) != os.devnull and "__pycache__" not in place:
            self.outside.append(f"{event} {os.fsdecode(path)}")


_watch: _Watch | None = None


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    global _watch
    _watch = _watch or _Watch()
    _watch.outside = []
    _watch.folder = os.path.realpath(folder)
    try:
        yield _watch.outside
    finally:
        _watch.folder = None


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang


def observe(call: Callable[[Path], Any], folder: Path, seconds: float) -> Seen:
    """Run `call(folder)`, which may write below `folder`, and say how it ended.

    An `InputError` of one line is how a user's mistake should end. `seconds` of processor time, or `WAITS`
    times as many by the clock, make an example a hang; those told of are by the clock.
    """
    before = {number: signal.signal(number, _hang) for number in (signal.SIGPROF, signal.SIGALRM)}
    began = time.perf_counter()
    outside: list[str] = []
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            _watched(folder) as outside,
        ):
            warnings.simplefilter("ignore")
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, WAITS * seconds)
            try:
                call(folder)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
        how, told = "result", ""
    except InputError as error:
        told = str(error)
        how = "error" if told and "\n" not in told else "no line"
    except Hang:
        how, told = "hang", f"still at it after {seconds:g} s: {_place(sys.exc_info()[2])}"
    except OSError as error:  # the command makes a line of it
        how, told = "error", str(as_input_error(error, folder))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        how, told = "traceback", f"{type(error).__name__}: {error!s:.200} at {_place(error.__traceback__)}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Seen(how, told, time.perf_counter() - began, list(outside))


def _place(trace: Any) -> str:
    """The innermost lines of our own code."""
    own = [
        frame
        for frame in traceback.extract_tb(trace)
        if any(f"/{room}/" in frame.filename for room in ("eval", "pipelines", "scaling_report"))
        and "site-packages" not in frame.filename
    ]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(own[-3:]))
