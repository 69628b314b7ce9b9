"""Count how often a prediction band of a fitted law holds the new run.

    python benchmarks/band_coverage.py [--tables 200] [--bootstrap 200] [--level 0.9]

Draws tables of runs about a known law with a known noise of ln y, fits each as `stepladder fit` does, and
asks for the band of new runs: at places inside the table's range, drawn evenly in logarithms, and at twice
its largest place. Prints, as a Markdown table, how often the band holds a new run (with the error of that
rate, of means over tables), and how wide it is beside the best that could be done, a band about the true
curve.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from scaling_report.fits import fit
from scaling_report.laws import LAWS, Array
from scaling_report.uncertainty import resample

NEW_RUNS = 20  # of a table, at each kind of place
NOISES = (0.005, 0.01, 0.02)  # standard deviation of ln y
BEYOND = 2.0  # times the largest place


@dataclass(frozen=True)
class Truth:
    """A law whose parameters are known, and the ends (one row an input) that its runs lie between."""

    law: str
    parameters: dict[str, float]
    ends: Array
    runs: tuple[int, ...]

    def curve(self, x: Array) -> Array:
        """The value at x, (n,) or one row an input: (n,)."""
        return LAWS[self.law].predict(x, np.array([list(self.parameters.values())]))[0]


TRUTHS = (
    Truth(  # Besiroglu et al. 2024 (arXiv:2404.10102); the range of Hoffmann et al.'s runs
        "chinchilla",
        {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        np.array([[5e7, 1e10], [1e9, 2e11]]),
        (12, 20, 30),
    ),
    Truth("power-floor", {"e": 1.6, "a": 40.0, "b": 0.3}, np.array([[1e5, 1e8]]), (6, 8, 12)),
)


@dataclass(frozen=True)
class Coverage:
    """The share of new runs that bands held, its error, and the bands' width over the least possible."""

    rate: float
    rate_stderr: float
    width: float


def place_runs(truth: Truth, runs: int) -> Array:
    """x of `runs` runs: of a curve evenly in ln x, of a surface a grid as square as it gets."""
    (low, high), rows = truth.ends[0], len(truth.ends)
    if rows == 1:
        return np.geomspace(low, high, runs)
    short = max(k for k in range(1, int(np.sqrt(runs)) + 1) if runs % k == 0)
    axes = [np.geomspace(*ends, many) for ends, many in zip(truth.ends, (short, runs // short), strict=True)]
    return np.stack([grid.ravel() for grid in np.meshgrid(*axes)])


def count_coverage(
    truth: Truth, runs: int, noise: float, *, tables: int, bootstrap: int, level: float, seed: int
) -> tuple[Coverage, Coverage]:
    """Of new runs inside the range, and beyond it."""
    rng = np.random.default_rng(seed)
    x = place_runs(truth, runs)
    held, widths = np.empty((2, tables)), np.empty((2, tables))
    for table in range(tables):
        y = truth.curve(x) * np.exp(noise * rng.standard_normal(runs))
        found = fit(truth.law, x, y)
        boot = resample(found, x, y, replicates=bootstrap, seed=table, weights=np.ones(runs))
        for i, places in enumerate(_new_places(truth, rng)):
            new = truth.curve(places) * np.exp(noise * rng.standard_normal(NEW_RUNS))
            low, high = boot.prediction(places, level).T
            held[i, table] = ((low <= new) & (new <= high)).mean()
            widths[i, table] = np.log(high / low).mean() / (2 * ndtri((1 + level) / 2) * noise)
    inside, beyond = (
        Coverage(float(h.mean()), float(h.std(ddof=1) / np.sqrt(tables)), float(np.median(w)))
        for h, w in zip(held, widths, strict=True)
    )
    return inside, beyond


def _new_places(truth: Truth, rng: np.random.Generator) -> tuple[Array, Array]:
    low, high = truth.ends[:, :1], truth.ends[:, 1:]
    inside = low * (high / low) ** rng.random((len(low), NEW_RUNS))
    beyond = np.repeat(BEYOND * high, NEW_RUNS, axis=1)
    return (inside[0], beyond[0]) if len(low) == 1 else (inside, beyond)


def print_table(truths: Sequence[Truth], *, noises: Sequence[float] = NOISES, **how: float) -> None:
    """A Markdown row for each law, number of runs and noise."""
    print("| law | runs | noise | inside | width | twice beyond | width |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for truth in truths:
        for runs in truth.runs:
            for noise in noises:
                cells = [truth.law, str(runs), f"{100 * noise:g} %"]
                for one in count_coverage(truth, runs, noise, **how):  # type: ignore[arg-type]
                    cells += [f"{100 * one.rate:.1f} ± {100 * one.rate_stderr:.1f} %", f"{one.width:.2f}"]
                print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--bootstrap", type=int, default=200, help="refits of a table")
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_table(
        TRUTHS, tables=options.tables, bootstrap=options.bootstrap, level=options.level, seed=options.seed
    )


if __name__ == "__main__":
    main()
