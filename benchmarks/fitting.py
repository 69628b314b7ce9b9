"""Time fits of laws: Hoffmann's 4,500 starts and the bootstrap beside the published notebook's way.

    python benchmarks/fitting.py [chinchilla.csv] [--peer-starts 90] [--bootstrap 4000] [--rounds 3]

With the table (columns `Model Size`, `Training FLOP`, `loss`) the 240 runs of Besiroglu et al. 2024
(arXiv:2404.10102), without it 240 runs drawn from their law. The peer goes the usual way: each
start is one `scipy.optimize.minimize` by L-BFGS of the summed Huber loss of a log-sum-exp, here with its
gradient, and each resample one such call from the optimum. Of the starts it is given a sample, drawn from the
grid, of the resamples another, and the time is scaled up, as the table says. Commands are timed whole, as a
shell runs them. Prints a Markdown table with the median of the rounds.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from scaling_report.fits import fit
from scaling_report.laws import Array, chinchilla
from scaling_report.losses import DELTA

STARTS, KEPT_BELOW = 4500, 3.446995  # the five worst runs are left out, as published
TRUTH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
COMMAND = "from pipelines.cli import main; main()"


def read_runs(table: Path | None) -> tuple[Array, Array]:
    """x (2, n) and y (n,) of the 240 runs."""
    if table is None:
        rng = np.random.default_rng(0)
        n, d = np.exp(rng.uniform(np.log([[5e7], [1e9]]), np.log([[1e10], [3e11]]), (2, 240)))
        return np.stack([n, d]), chinchilla(n, d, **TRUTH) * np.exp(0.005 * rng.standard_normal(240))
    with table.open(newline="", encoding="utf-8") as file:
        rows = [
            [float(row[name]) for name in ("Model Size", "Training FLOP", "loss")]
            for row in csv.DictReader(file)
        ]
    n, c, y = np.array(rows).T
    kept = y < KEPT_BELOW
    return np.stack([n, c / (6 * n)])[:, kept], y[kept]


def peer(log_x: Array, log_y: Array, start: Array) -> tuple[Array, float]:
    """One start of the published way: parameters (a, b, e, alpha, beta), the first three logs."""

    def objective(theta: Array) -> tuple[float, Array]:
        a, b, e, alpha, beta = theta
        terms = np.exp([a - alpha * log_x[0], b - beta * log_x[1], np.full(log_y.size, e)])
        away = np.log(terms.sum(axis=0)) - log_y
        near = away.clip(-DELTA, DELTA)
        pulls = near * terms / terms.sum(axis=0)
        slopes = [*pulls.sum(axis=1), -pulls[0] @ log_x[0], -pulls[1] @ log_x[1]]
        return float((near * (away - near / 2)).sum()), np.array(slopes)

    found = minimize(objective, start, jac=True, method="L-BFGS-B")
    return found.x, float(found.fun)


def peer_grid() -> Array:
    """The 4,500 starts (4500, 5) as `peer` takes them."""
    exponents, logs = np.arange(0, 2.5, 0.5), np.arange(0, 30, 5.0)
    return np.array(list(itertools.product(logs, logs, np.arange(-1, 1.5, 0.5), exponents, exponents)))


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of all processors: the second hardly minds what else the machine does."""

    clock: float
    processors: float

    def times(self, factor: float) -> Taken:
        """Scaled up."""
        return Taken(factor * self.clock, factor * self.processors)


def take(work: Callable[[], object]) -> Taken:
    """How long it takes."""
    clock, processors = time.perf_counter(), used()
    work()
    return Taken(time.perf_counter() - clock, used() - processors)


def used() -> float:
    """Processor seconds of this process, and of those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def write_runs(path: Path, x: Array, y: Array) -> None:
    """A table of n, d and loss."""
    lines = [
        "n,d,loss",
        *(f"{n!r},{d!r},{loss!r}" for n, d, loss in zip(*x.tolist(), y.tolist(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def command(table: Path, *options: str) -> Callable[[], object]:
    """`stepladder fit` of the table in a process of its own."""
    asked = ["fit", str(table), "--law", "chinchilla", "--x", "n=n", "--x", "d=d", "--y", "loss", "--json"]
    call = [sys.executable, "-c", COMMAND, *asked, *options]
    return lambda: subprocess.run(call, check=True, stdout=subprocess.DEVNULL)


def time_peer(x: Array, y: Array, starts: int, resamples: int) -> tuple[Taken, Taken, float]:
    """What a start takes, what a resample from one start, and the lowest objective."""
    log_x, log_y = np.log(x), np.log(y)
    rng = np.random.default_rng(0)
    chosen = peer_grid()[rng.permutation(STARTS)[:starts]]
    found: list[tuple[Array, float]] = []
    with np.errstate(all="ignore"):
        of_start = take(lambda: found.extend(peer(log_x, log_y, start) for start in chosen))
        theta, least = min(found, key=lambda one: one[1])
        draws = rng.integers(0, y.size, (resamples, y.size))
        again = take(lambda: [peer(log_x[:, draw], log_y[draw], theta) for draw in draws])
    return of_start.times(1 / starts), again.times(1 / resamples), least


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, nargs="?")
    parser.add_argument("--peer-starts", type=int, default=90)
    parser.add_argument("--bootstrap", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    x, y = read_runs(options.table)
    starts, resamples = options.peer_starts, max(10, options.peer_starts // 3)
    of_start, of_resample, least = time_peer(x, y, starts, resamples)
    own = fit("chinchilla", x, y, starts=STARTS)
    rng = np.random.default_rng(1)
    many = np.exp(rng.uniform(np.log([[1e7], [1e9]]), np.log([[1e10], [3e11]]), (2, 1000)))
    with tempfile.TemporaryDirectory() as folder:
        runs, thousand = Path(folder) / "runs.csv", Path(folder) / "thousand.csv"
        write_runs(runs, x, y)
        write_runs(thousand, many, chinchilla(*many, **TRUTH) * np.exp(0.005 * rng.standard_normal(1000)))
        grid = ("--starts", str(STARTS))
        works = {
            f"{STARTS:,} starts, in Python": lambda: fit("chinchilla", x, y, starts=STARTS),
            f"`stepladder fit`, {STARTS:,} starts": command(runs, *grid, "--bootstrap", "0"),
            f"`stepladder fit`, those and {options.bootstrap:,} refits, each from several starts": command(
                runs, *grid, "--bootstrap", str(options.bootstrap)
            ),
            "`stepladder fit` of 1,000 runs": command(thousand, "--bootstrap", "0"),
        }
        taken = {name: middle([take(work) for _ in range(options.rounds)]) for name, work in works.items()}
    print("| | seconds | of processors | objective |\n| --- | --- | --- | --- |")
    print_row(f"scipy: {STARTS:,} starts, scaled up from {starts}", of_start.times(STARTS), least)
    print_row(
        f"scipy: {options.bootstrap:,} refits from one start, scaled up from {resamples}",
        of_resample.times(options.bootstrap),
    )
    for name, one in taken.items():
        print_row(name, one, own.objective if "Python" in name else None)


def middle(taken: list[Taken]) -> Taken:
    """The medians."""
    return Taken(*(statistics.median(each) for each in zip(*map(astuple, taken), strict=True)))


def print_row(name: str, taken: Taken, objective: float | None = None) -> None:
    """One row of the table."""
    cells = [name, f"{taken.clock:.1f}", f"{taken.processors:.1f}", f"{objective:.9f}" if objective else ""]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
