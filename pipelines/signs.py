"""Signs of life: what a stage's worker writes beside its work, and whether it still changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.events import number
from pipelines.heartbeat import LIVE, read_life

# A worker writes every two seconds or so; a shared file system may show it some seconds late.
PATIENCE_S = 10.0
STUCK_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Live:
    """What a worker last wrote; `time` by its own clock, `seconds` since the stage began in it, monotonic."""

    told: dict[str, Any] = field(repr=False)
    beat: int | None
    host: str | None
    pid: int | None
    time: str | None
    seconds: float | None
    step: int | None
    steps: int | None
    tokens: int | None
    tokens_per_second: float | None
    loss_nats: float | None

    @property
    def seconds_left(self) -> float | None:
        """Of a training, by its tokens a second so far; None where it has not told them."""
        if not self.step or not self.steps or not self.tokens or not self.tokens_per_second:
            return None
        tokens_per_step = self.tokens / self.step
        return max(0, self.steps - self.step) * tokens_per_step / self.tokens_per_second


def read_live(folder: Path) -> Live | None:
    """The last sign of life of the stage in `folder`; None if there is none, or not a whole one."""
    try:
        # not a pipe that a stranger put there
        found = read_life(folder) if (folder / LIVE).is_file() else None
    except RecursionError:
        return None
    if found is None:
        return None
    return Live(
        told=found,
        beat=_whole(found.get("beat")),
        host=_words(found.get("host")),
        pid=_whole(found.get("pid")),
        time=_words(found.get("time")),
        seconds=number(found.get("seconds")),
        step=_whole(found.get("step")),
        steps=_whole(found.get("steps")),
        tokens=_whole(found.get("tokens")),
        tokens_per_second=number(found.get("tokens_per_second")),
        loss_nats=number(found.get("loss_nats")),
    )


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@dataclass
class _Seen:
    live: Live
    at: float  # this process's monotonic clock, when it was first seen
    changed: bool
    beat_seconds: float | None  # the worker's own seconds, when its beat last rose


class Pulse:
    """Judges by two looks or more whether signs of life change; no time is compared between two machines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, name: str, live: Live | None) -> None:
        """Take in what the stage in folder `name` shows now."""
        before, now = self._seen.get(name), self._clock()
        if live is None:
            self._seen.pop(name, None)
        elif before is None:
            self._seen[name] = _Seen(live, now, changed=False, beat_seconds=live.seconds)
        elif live.told != before.live.told:
            rose = live.beat != before.live.beat or live.pid != before.live.pid
            beat_seconds = live.seconds if rose else before.beat_seconds
            self._seen[name] = _Seen(live, now, changed=True, beat_seconds=beat_seconds)

    def live(self, name: str) -> Live | None:
        """The last sign of the stage in folder `name`."""
        return self._seen[name].live if name in self._seen else None

    def beats(self, name: str) -> bool:
        """Whether the sign changed, and not too long ago by this process's own clock."""
        seen = self._seen.get(name)
        return seen is not None and seen.changed and self._clock() - seen.at <= PATIENCE_S

    def stuck_seconds(self, name: str) -> float | None:
        """For how long the worker lives and its work shows no progress, by its clock; None while it does."""
        seen = self._seen.get(name)
        if seen is None or seen.live.seconds is None or seen.beat_seconds is None:
            return None
        quiet = seen.live.seconds - seen.beat_seconds
        return quiet if quiet >= STUCK_S else None
