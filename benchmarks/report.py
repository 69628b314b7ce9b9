"""Time and memory of a whole report over many result lines, part by part.

    python benchmarks/report.py [--lines 100000] [--rungs 20] [--seeds 3]

Results are made up: two losses of running text and ten task metrics of every run, which the report fits, and
their scores on parts of the tasks (subsets, as suites of many subjects give them), which it lists and leaves
out, until there are as many lines as asked for. Times are wall time and this process's own processor time,
memory the peak of the process. Target: 10 s and 1 GB on two cores. How fast a machine is, is not a test: the
exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TASKS = ("reading", "physics", "history", "algebra", "logic")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--rungs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.jsonl"
        count = write_lines(table, options.lines, options.rungs, options.seeds)
        print(f"{count:,} lines, {table.stat().st_size / 1e6:.0f} MB\n\n| part | wall | processor |")
        print("| --- | ---: | ---: |")
        page = timed("the whole report", lambda: report(table))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\npeak memory {peak:,.0f} MiB; page {page.stat().st_size / 1e6:.2f} MB")


def report(table: Path) -> Path:
    """The report as the command makes it, with its longest parts timed."""
    from scaling_report import analysis, page, report, story, svg
    from scaling_report.settings import ReportSettings

    parts: tuple[tuple[Any, str], ...] = (
        (report, "read_results"),
        (analysis, "analyse"),
        (story, "tell"),
        (svg, "draw"),
        (svg, "rasterise"),
        (svg, "vega_script"),
        (page, "render_page"),
    )
    spent = {name: [0.0, 0.0] for _, name in parts}
    for module, name in parts:
        setattr(module, name, _counted(getattr(module, name), spent[name]))
    made = report.make_report(table, ReportSettings())
    for name, (wall, processor) in spent.items():
        print(f"| {name} | {wall:.1f} s | {processor:.1f} s |")
    return made


def _counted(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent[0] += time.perf_counter() - wall
            spent[1] += time.process_time() - processor

    return call


def timed(what: str, make: Callable[[], Any]) -> Any:
    """The value of `make`, its times printed."""
    spent = [0.0, 0.0]
    value = _counted(make, spent)()
    print(f"| {what} | {spent[0]:.1f} s | {spent[1]:.1f} s |")
    return value


def write_lines(path: Path, lines: int, rungs: int, seeds: int) -> int:
    """Write about `lines` results; returns how many."""
    rng = np.random.default_rng(0)
    whole = [one for rung in range(rungs) for seed in range(seeds) for one in _run(rung, seed, rng)]
    tasks = [one for one in whole if one["task"] in TASKS]
    parts = -(-(lines - len(whole)) // len(tasks))
    with path.open("w", encoding="utf-8") as file:
        for one in whole:
            file.write(json.dumps(one) + "\n")
        for part in range(parts):
            for one in tasks:
                file.write(json.dumps(one | {"task": f"{one['task']}/part-{part:03d}"}) + "\n")
    return len(whole) + parts * len(tasks)


def _run(rung: int, seed: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    size = int(10_000 * 1.5**rung)
    bits = (0.6 + 6.0 * size**-0.2) * float(np.exp(0.004 * rng.standard_normal()))
    found = [
        _line(rung, seed, size, "perplexity", metric, value)
        for metric, value in (("bits_per_byte", bits), ("byte_perplexity", 2**bits))
    ]
    for place, task in enumerate(TASKS):
        share = 0.9 - (0.5 + 0.05 * place) * (size / 10_000) ** -0.12 + 0.01 * float(rng.standard_normal())
        found.append(_line(rung, seed, size, task, "accuracy", share))
        found.append(_line(rung, seed, size, task, "f1_macro", 0.9 * share))
    return found


def _line(rung: int, seed: int, size: int, task: str, metric: str, value: float) -> dict[str, Any]:
    from eval.results import METRICS

    known = METRICS[metric]
    flops = 6.0 * size * 1e8
    line: dict[str, Any] = {
        "run": "made-up", "stage": "pretrain", "family": "gpt2", "objective": "causal-lm",
        "rung": f"r{rung:02d}",
        "params": {"total": size + 70_000, "non_embedding": size, "matmul": size + 60_000},
        "tokens": 100_000_000, "unique_tokens": 100_000_000, "flops": flops, "stage_flops": flops,
        "step": 1000, "annealed": True, "seed": seed, "task": task, "split": "test", "metric": metric,
        "value": value, "stderr": 0.01, "n": 1000, "higher_is_better": known.higher_is_better,
        "floor": known.floor, "ceiling": known.ceiling, "signature": f"{metric}|made-up",
        "model_fingerprint": f"{rung:08x}{seed:08x}", "data_fingerprint": "d" * 16,
        "versions": {"torch": "2.9.0"}, "seconds": 1.0,
    }  # fmt: skip
    return line | {"missing": {name: "unbounded" for name, held in line.items() if held is None}}


if __name__ == "__main__":
    main()
