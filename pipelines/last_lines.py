"""The last lines of a stage's files: where its error came from, how far its training is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipelines.store import ERROR

_TAIL = 16 * 1024  # bytes
_OURS = ("pipelines", "eval", "scaling_report")
_FRAME = re.compile(r'^\s+File "(.*)", line (\d+), in (.*)$')
_WIDTH = 300


def last_error(folder: Path) -> tuple[str | None, str | None]:
    """The exception's line in a stage's error.txt, and the last place in our code on the way to it.

    None for what is not there.
    """
    lines = _tail(folder / ERROR)
    raised = next((line for line in reversed(lines) if line.strip() and not line[0].isspace()), None)
    frames = [match for line in lines if (match := _FRAME.match(line)) and _ours(match[1])]
    where = f"{_ours(frames[-1][1])}:{frames[-1][2]} in {frames[-1][3]}" if frames else None
    # an exception of several lines: its first one says what it is
    first = [line for line in lines if re.match(r"^[A-Za-z_][\w.]*(: |$)", line)]
    return _short(first[-1] if first else raised), _short(where)


def last_step(folder: Path) -> str | None:
    """How far a training was when it last wrote its log; None if it wrote none."""
    for line in reversed(_tail(folder / "log.jsonl")):
        try:
            last = json.loads(line)
            return f"step {last['step']}, {last['tokens']:,} tokens, loss {last['loss_nats']:.3f} nats"
        except (ValueError, RecursionError, KeyError, TypeError):
            continue  # a kill cut it short
    return None


def _ours(file: str) -> str | None:
    """The path within our code; None for anybody else's."""
    parts = file.replace("\\", "/").rpartition("/site-packages/")
    steps = parts[2].split("/")
    if parts[1]:
        return parts[2] if steps[0] in _OURS else None
    rooms = [index for index, step in enumerate(steps[:-1]) if step in _OURS]
    return "/".join(steps[rooms[-1] :]) if rooms else None


def _tail(path: Path) -> list[str]:
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            return file.read(_TAIL).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
