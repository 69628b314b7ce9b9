"""`stepladder plan --probe`: train two rungs for a few seconds as a run would, and keep how fast that was.

This process stays without torch: the training is done by `probe_worker` in processes of their own, as many
side by side as a run starts, so that they share the machine as rungs do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from eval.files import InputError, write_json
from pipelines.estimate import BUILT_IN, calibration, probe_path, usable_cores
from pipelines.executors.local import choose_jobs
from pipelines.plan import Plan, Stage

LARGEST = 30_000_000  # parameters in all: a step of more takes a processor tens of seconds
PATIENCE_S = 300.0
COPIED = ("family", "objective", "shape", "vocab_size", "context", "hyper", "precision", "params")


def probe_plan(plan: Plan) -> dict[str, Any]:
    """Measure the plan's smallest rung and its middle one here; returns what is kept for later plans.

    Raises InputError where no rung is pretrained, all are too large, or the training cannot be done.
    """
    stages = choose_stages(plan)
    jobs = choose_jobs(plan)
    threads = max(1, usable_cores() // jobs)
    asked = [{name: stage.settings[name] for name in COPIED} | {"threads": threads} for stage in stages]
    measured = _measure(asked, jobs)
    points = []
    for stage, found in zip(stages, measured, strict=True):
        flops = stage.settings["flops_per_token"]
        seconds = threads / found["tokens_per_second"]  # a core's for one token
        points.append((float(flops), seconds))
    per_token, per_second = solve(points)
    kept = {
        "seconds_per_token": per_token,
        "flops_per_second": per_second,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "side_by_side": jobs,
        "threads": threads,
        "measured": [
            {"rung": stage.settings["rung"], "flops_per_token": stage.settings["flops_per_token"]} | found
            for stage, found in zip(stages, measured, strict=True)
        ],
    }
    path = probe_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, kept)
    calibration.cache_clear()
    return kept


def choose_stages(plan: Plan) -> list[Stage]:
    """The first pretraining of the smallest rung and of the middle one, of those small enough; one may do."""
    first: dict[str, Stage] = {}
    for stage in plan.stages:
        if stage.kind == "pretrain" and stage.settings["vocab_size"] is not None:
            first.setdefault(stage.settings["rung"], stage)
    if not first:
        raise InputError("--probe: the recipe pretrains no rung of a known size; there is nothing to measure")
    sized = sorted(first.values(), key=lambda stage: stage.settings["params"]["total"])
    small = [stage for stage in sized if stage.settings["params"]["total"] <= LARGEST]
    if not small:
        smallest = sized[0].settings["params"]["total"]
        raise InputError(
            f"--probe: the smallest rung has {smallest:,} parameters; a processor is measured on at most "
            f"{LARGEST:,}; probe with a smaller recipe, such as quickstart"
        )
    middle = small[len(small) // 2]
    return [small[0]] if middle is small[0] else [small[0], middle]


def solve(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(seconds a token, FLOP/s) of a core from one or two (FLOPs a token, seconds a token).

    One point scales the built-in figures. Of two the line through both, held to what can be: no less than
    nothing for a token, and a rate above zero.
    """
    if len({flops for flops, _ in points}) == 1:
        flops, seconds = points[0]
        times = seconds / (BUILT_IN.seconds_per_token + flops / BUILT_IN.flops_per_second)
        return BUILT_IN.seconds_per_token * times, BUILT_IN.flops_per_second / times
    (few, short), (many, long) = sorted(points)
    slope = (long - short) / (many - few)
    fixed = short - slope * few
    if slope > 0 and fixed >= 0:
        return fixed, 1.0 / slope
    return 0.0, many / long


def _measure(asked: Sequence[dict[str, Any]], jobs: int) -> list[dict[str, Any]]:
    """What each rung reached, the mean of `jobs` processes that work at the same time."""
    command = [sys.executable, "-m", "pipelines.probe_worker", json.dumps(list(asked))]
    with tempfile.TemporaryFile("w+") as said:
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
            for _ in range(jobs)
        ]
        try:
            return [_round(workers) for _ in asked]
        except _Stopped as error:
            said.seek(0)
            last = said.read().strip().splitlines()[-1:] or ["nothing was said"]
            raise InputError(
                f"--probe: the training stopped ({last[0]}); without --probe the plan still works"
            ) from error
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


class _Stopped(RuntimeError):
    """A worker ended, or took too long."""


def _round(workers: Sequence[subprocess.Popen[str]]) -> dict[str, Any]:
    """Wait until all are ready, let them start together, and average what they say."""
    for worker in workers:
        _line(worker)  # ready
    for worker in workers:
        assert worker.stdin is not None
        try:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        except BrokenPipeError as error:
            raise _Stopped from error
    found = [json.loads(_line(worker)) for worker in workers]
    speeds = [each["tokens_per_second"] for each in found]
    return found[0] | {"tokens_per_second": sum(speeds) / len(speeds)}


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    patience = threading.Timer(PATIENCE_S, worker.kill)
    patience.start()
    line = worker.stdout.readline()
    patience.cancel()
    if not line:
        raise _Stopped
    return line
