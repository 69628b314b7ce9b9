"""Measure `stepladder status` on a run of many stages: the whole command, its parts, and a second look.

    python benchmarks/status.py [--stages 10000] [--repeats 5]

Makes a synthetic run folder: a plan with settings of ordinary size, events, and a folder with a manifest for
every finished stage. Nine in ten are finished, a few run, a few failed, the others wait. Prints a Markdown
table with the median and the slowest of the repeats, and the processor time, which other work on the machine
changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from eval.files import write_sealed
from pipelines.observer import Observer
from pipelines.status_view import chosen, lines, summary

COMMAND = "from pipelines.cli import main; main()"
RUNNING, FAILED = 4, 20
SETTINGS = {f"setting_{index}": {"value": index, "name": "x" * 20} for index in range(8)}  # as large as real


def make_run(folder: Path, count: int) -> None:
    """A run folder with `count` stages."""
    stages = [planned(index) for index in range(count)]
    write_sealed(folder / "plan.json", {"format": 1, "recipe": "synthetic", "stages": stages})
    done = count * 9 // 10
    events: list[dict[str, Any]] = [
        {"event": "planned", "stages": [{"id": stage["id"], "folder": stage["folder"]} for stage in stages]},
        {"event": "run-started", "stages": count, "done": 0, "jobs": 4, "host": "elsewhere", "pid": 1},
    ]
    for index, stage in enumerate(stages[: done + RUNNING + FAILED]):
        named = {"stage": stage["id"]}
        events.append({"event": "stage-started", "key": stage["key"], **named})
        place = folder / "stages" / stage["folder"]
        place.mkdir(parents=True)
        if index < done:
            manifest = {"format": 2, "settings": SETTINGS, "facts": {}, "files": {}, "seconds": 12.5}
            (place / "manifest.json").write_text(json.dumps(manifest))
            events.append({"event": "stage-done", "seconds": 12.5, **named})
        elif index < done + RUNNING:
            live = {"stage": stage["id"], "host": "elsewhere", "pid": index, "beat": 7, "seconds": 4.5}
            live |= {"step": 40, "steps": 100, "tokens": 41000, "tokens_per_second": 9000.0, "loss_nats": 3.2}
            (place / ".live.json").write_text(json.dumps(live))
        else:
            trace = '  File "/x/pipelines/train.py", line 7, in train\nValueError: synthetic\n'
            (place / "error.txt").write_text(f"Traceback (most recent call last):\n{trace}")
            events.append({"event": "stage-failed", "reason": "ValueError: synthetic", **named})
    lines = (json.dumps({"time": "2026-01-01T00:00:00Z", **event}) + "\n" for event in events)
    (folder / "events.jsonl").write_text("".join(lines))


def planned(index: int) -> dict[str, Any]:
    """A stage of the plan; each needs the one before."""
    name, key = f"rung{index:05d}-s0", f"{index:012x}"
    return {
        "id": f"pretrain-{name}",
        "folder": f"pretrain-{name}-{key}",
        "kind": "pretrain",
        "name": name,
        "settings": SETTINGS,
        "inputs": [f"pretrain-rung{index - 1:05d}-s0"] if index else [],
        "version": 1,
        "key": key,
        "seconds_estimate": 10.0,
    }


def command(*arguments: str) -> Callable[[], None]:
    """A whole process of the command, its output thrown away."""

    def run() -> None:
        line = [sys.executable, "-c", COMMAND, *arguments]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)

    return run


def measure(act: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """The median and the largest of the seconds that `act` took, and the median of processor time."""
    took, worked = [], []
    for _ in range(repeats):
        began, before = time.perf_counter(), processor_seconds()
        act()
        took.append(time.perf_counter() - began)
        worked.append(processor_seconds() - before)
    return statistics.median(took), max(took), statistics.median(worked)


def processor_seconds() -> float:
    """Processor time of this process and of those it started that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    """Make the folder, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stages", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    imports = [sys.executable, "-c", "import pipelines.cli, pipelines.status_view"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_run(folder, given.stages)
        with FileLock(folder / ".lock"):  # somebody works on it, so that one look is enough
            observer = Observer(folder)
            seen = observer.look()
            rows = {
                "`stepladder status`, the whole command": command("status", str(folder)),
                "`stepladder status --json`": command("status", str(folder), "--json"),
                "Python and imports of it": lambda: subprocess.run(imports, check=True),
                "a first look": lambda: Observer(folder).look(),
                "a later look (`--watch`)": observer.look,
                "the lines": lambda: (lines(chosen(seen.stages)), summary(seen, 1)),
            }
            print(
                f"| {given.stages:,} stages | median s | slowest s | processor s |\n| --- | --- | --- | --- |"
            )
            for name, act in rows.items():
                median, slowest, worked = measure(act, given.repeats)
                print(f"| {name} | {median:.2f} | {slowest:.2f} | {worked:.2f} |", flush=True)


if __name__ == "__main__":
    main()
