"""Count how often each law's 90 % intervals hold its parameters, and its band a new run.

    python benchmarks/law_intervals.py [--tables 60] [--replicates 200] [--law NAME …]

Draws tables of runs about a known law, with noise that is even on the law's link (of ln y; for shares, of the
log-odds), and fits each as `stepladder fit` does. Prints a Markdown table: runs, noise, the share of
parameters within their interval, the share of new runs within their band, each with its binomial error (runs
of one table are counted as one draw), and the refits that failed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_report.judge import judge
from scaling_report.judgement import Judgement
from scaling_report.laws import LAWS, Array
from scaling_report.two_step import NAME, TwoStep, judge_two_step

LEVEL = 0.9


@dataclass(frozen=True)
class Case:
    """A law's true parameters, where its runs stand, and one new run."""

    truth: tuple[float, ...]
    columns: Mapping[str, Array]
    new: Mapping[str, float]
    noise: float


def _surface(sizes: int, tokens: int) -> dict[str, Array]:
    n, d = np.meshgrid(np.geomspace(5e7, 5e9, sizes), np.geomspace(2e9, 2e11, tokens))
    return {"n": n.ravel(), "d": d.ravel()}


def _repeats() -> dict[str, Array]:
    n, d = (one.ravel() for one in np.meshgrid(np.geomspace(2e7, 6e9, 6), np.geomspace(1e9, 1e12, 6)))
    return {"n": n, "d": d, "u": d / np.tile([1, 3, 10, 30, 1, 100], 6)}


def _measured() -> dict[str, Array]:
    """Compute that is not 6·N·D in every run, as where sequence lengths differ."""
    columns = _surface(5, 5)
    spread = np.exp(0.5 * np.random.default_rng(0).standard_normal(25))
    return {**columns, "c": 6 * columns["n"] * columns["d"] * spread}


LARGE = {"n": 1e10, "d": 4e11}
CASES: Mapping[str, Case] = {
    "power": Case((40, 0.06), {"x": np.geomspace(1e6, 1e9, 10)}, {"x": 3e9}, 0.01),
    "power-floor": Case((1.6, 160, 0.35), {"x": np.geomspace(1e5, 1e9, 12)}, {"x": 3e9}, 0.01),
    "product": Case((3, -0.05, -0.07, 0.02), _measured(), LARGE | {"c": 6 * 4e21}, 0.01),
    "kaplan": Case((8.8e13, 5.4e13, 0.076, 0.095), _surface(5, 5), LARGE, 0.003),
    "chinchilla": Case((1.8, 480, 2100, 0.35, 0.37), _surface(5, 5), LARGE, 0.005),
    "repeated": Case((1.87, 521, 1488, 0.353, 0.353, 15.4, 5.3), _repeats(), LARGE | {"u": 2e10}, 0.005),
    "bnsl": Case((0.3, 40, 0.05, 0.6, 1e8, 0.5), {"x": np.geomspace(1e6, 1e10, 30)}, {"x": 3e10}, 0.005),
    "error-decay": Case((0.85, 2, 0.7), {"l": np.linspace(1.8, 4, 25)}, {"l": 1.7}, 0.02),
    "sigmoid": Case((-0.65, 6, 1, 0.9), {"l": np.linspace(0.5, 1.6, 30)}, {"l": 0.45}, 0.03),
    NAME: Case((0.4, 200, 800, 0.33, 0.33, -0.65, 6, 0.9, 0.9), _surface(6, 5), LARGE, 0.01),
}


def main() -> None:
    """Parse arguments, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--law", action="append", choices=list(CASES))
    asked = parser.parse_args()
    print("| law | runs | noise | parameters held | new runs held | refits failed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in asked.law or CASES:
        print(_row(name, CASES[name], asked.tables, asked.replicates), flush=True)


def _row(name: str, case: Case, tables: int, replicates: int) -> str:
    held, new, failed = [], [], 0
    for seed in range(tables):
        found, run = _judged(name, case, seed, replicates)
        told = found.to_dict()
        intervals: Mapping[str, Sequence[float]] = told["intervals"]
        held.append(
            np.mean(
                [
                    low <= true <= high
                    for true, (low, high) in zip(case.truth, intervals.values(), strict=True)
                ]
            )
        )
        low, high = told["predictions"][0]["prediction"]
        new.append(low <= run <= high)
        failed += told["bootstrap"]["failed"]
    shares = [
        f"{100 * np.mean(one):.0f} ± {100 * np.std(one) / np.sqrt(tables):.0f} %" for one in (held, new)
    ]
    runs = len(next(iter(case.columns.values())))
    lost = f"{100 * failed / (tables * replicates):.1f} %"
    return f"| `{name}` | {runs} | {100 * case.noise:.1f} % | {shares[0]} | {shares[1]} | {lost} |"


def _judged(name: str, case: Case, seed: int, replicates: int) -> tuple[Judgement | TwoStep, float]:
    """The judgement of one table, and the new run that it knows nothing of."""
    rng = np.random.default_rng(seed)
    how = {"bootstrap": replicates, "predict": [case.new], "level": LEVEL, "seed": seed, "starts": 0}
    whole = {key: np.append(values, case.new[key]) for key, values in case.columns.items()}
    if name == NAME:
        losses = _drawn("chinchilla", case.truth[:5], np.stack([*whole.values()]), case.noise, rng)
        y = _drawn("sigmoid", case.truth[5:], losses, 3 * case.noise, rng)
        return judge_two_step({**case.columns, "l": losses[:-1]}, y[:-1], **how), float(y[-1])
    y = _drawn(name, case.truth, np.stack([*whole.values()]), case.noise, rng)
    return judge(name, case.columns, y[:-1], **how), float(y[-1])


def _drawn(name: str, truth: Sequence[float], x: Array, noise: float, rng: np.random.Generator) -> Array:
    law = LAWS[name]
    curve = law.predict(x, np.array([truth], dtype=float))[0]
    return law.link.back(law.link.to(curve) + noise * rng.standard_normal(curve.size))


if __name__ == "__main__":
    main()
