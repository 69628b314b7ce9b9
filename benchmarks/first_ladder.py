"""Time the first ladder on this machine and print each figure beside its target.

    .venv/bin/python benchmarks/first_ladder.py            # everything, about six minutes on two cores
    .venv/bin/python benchmarks/first_ladder.py --quick    # without the quickstart

Runs the `stepladder` beside this Python in empty folders. The targets are for two cores without a GPU; a
figure that misses its target is marked, and the exit code stays 0: how fast a machine is, is not a test.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

COMMAND = Path(sys.executable).with_name("stepladder")
MIB = 1024**2
GIB = 1024**3


class Usage(NamedTuple):
    """What a command took: wall-clock seconds and the most memory that its processes held together."""

    seconds: float
    peak_bytes: int


class Row(NamedTuple):
    what: str
    measured: float
    target: float
    unit: str


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time the first ladder on this machine.")
    arguments.add_argument("--quick", action="store_true", help="leave the quickstart out")
    quick = arguments.parse_args().quick

    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
    rows = [time_light("--help", target_s=0.5), time_light("plan", "quickstart", target_s=1.0)]
    rows += time_run("smoke", target_s=60)
    if not quick:
        rows += time_run("quickstart", target_s=300)
    print(table(rows))


def time_light(*arguments: str, target_s: float, repeats: int = 5) -> Row:
    """Median seconds of a command that should feel instant, after one run that warms the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [measure(Path(folder), *arguments).seconds for _ in range(repeats + 1)][1:]
    return Row(f"stepladder {' '.join(arguments)}", statistics.median(seconds), target_s, "s")


def time_run(recipe: str, *, target_s: float) -> list[Row]:
    """Run a packaged recipe from nothing, then once more."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = measure(folder, "run", recipe)
        page = folder / "runs" / recipe / "report" / "index.html"
        report_bytes = page.stat().st_size
        again = measure(folder, "run", recipe)
    return [
        Row(f"stepladder run {recipe}", first.seconds, target_s, "s"),
        Row(f"{recipe}: peak memory of all its processes", first.peak_bytes / GIB, 3, "GiB"),
        Row(f"{recipe}: report, one file", report_bytes / MIB, 2, "MiB"),
        Row(f"stepladder run {recipe}, again", again.seconds, 5, "s"),
    ]


def measure(folder: Path, *arguments: str, every_s: float = 0.2) -> Usage:
    """Run the command in `folder` to its end; raise CalledProcessError with its output where it fails."""
    output = folder / "output.txt"
    with output.open("w", encoding="utf-8") as stream:
        begin = time.perf_counter()
        process = subprocess.Popen([COMMAND, *arguments], cwd=folder, stdout=stream, stderr=stream)
        root = psutil.Process(process.pid)
        peak = 0
        while True:
            try:
                process.wait(timeout=every_s)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory_of_tree(root))
        seconds = time.perf_counter() - begin
    if process.returncode != 0:
        print(output.read_text(encoding="utf-8"), file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Usage(seconds, peak)


def memory_of_tree(root: psutil.Process) -> int:
    """Bytes held by a process and its descendants; a shared page counts once where the system tells."""
    total = 0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(memory, "pss", 0) or memory.rss
    return total


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["", "| what | measured | target | |", "| --- | ---: | ---: | --- |"]
    for row in rows:
        verdict = "" if row.measured <= row.target else "over"
        lines.append(
            f"| {row.what} | {row.measured:.2f} {row.unit} | {row.target:g} {row.unit} | {verdict} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
