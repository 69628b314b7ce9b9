"""Damaged recipes, tables and result files, thousands of them: each must end in a result or a line.

    python benchmarks/fuzz.py [--examples 10000] [--only KIND] [--seed 0]

For every kind of input (`tests/fuzz/targets.py`) whole ones are damaged: as data (dropped, renamed, retyped,
huge and odd values), as text, as bytes. What reads them runs in this process, and Python's audit events are
listened to: a write outside the example's folder, a process started or a connection made counts as a finding,
as do a traceback, an error of more than one line, and an example that takes longer than its limit. The exit
code is 1 when anything was found.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.fuzz.run import run_target
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--only", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| kind | examples | results | errors | tracebacks | hangs | writes outside | slowest | all |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    findings: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for name in TARGETS:
        if options.only not in (None, name):
            continue
        share = 1.0 if options.only else TARGETS[name].share
        total += show(name, max(1, round(share * options.examples)), options.seed, findings)
    print(
        f"\n{total['examples']:,} examples: {total['result']:,} results, {total['error']:,} errors of a line"
    )
    for finding, times in findings.most_common():
        print(f"{times:5} {finding}")
    sys.exit(1 if findings else 0)


def show(name: str, examples: int, seed: int, findings: Counter[str]) -> Counter[str]:
    """Run one kind and print its line."""
    counts: Counter[str] = Counter()
    slowest = 0.0
    began = time.perf_counter()

    def hear(rng: random.Random, seen: Seen) -> None:
        nonlocal slowest
        counts.update(["examples", seen.how] + ["outside"] * bool(seen.outside))
        slowest = max(slowest, seen.seconds)
        if not seen.is_well:
            findings[f"{name}: {seen.how}: {seen.told} {' '.join(seen.outside)}"[:400]] += 1

    run_target(name, examples, hear, seed)
    bad = counts["traceback"] + counts["no line"]
    print(
        f"| {name} | {counts['examples']:,} | {counts['result']:,} | {counts['error']:,} | {bad} | "
        f"{counts['hang']} | {counts['outside']} | {slowest:.1f} s | {time.perf_counter() - began:.0f} s |",
        flush=True,
    )
    return counts


if __name__ == "__main__":
    main()
