"""How often the tests of docs/families.md call equal exponents different, and how wide their intervals are.

python benchmarks/exponents.py [--draws 200]
"""

from __future__ import annotations

import argparse

import numpy as np

from scaling_report.exponents import Ladder, compare_exponents

SHARED, OWN = 0.01, 0.004  # standard deviations of ln y: what rungs of one size share, and what they do not
REFITS = 400
CASES = ((4, "power", 0.0), (7, "power", 0.0), (7, "power-floor", 1.5))  # sizes, law, floor


def main() -> None:
    """Print a row of the table for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args().draws
    for sizes, law, floor in CASES:
        rng = np.random.default_rng(1)
        rows = [_draw(sizes, law, floor, rng, seed) for seed in range(draws)]
        flagged, widths = (
            np.mean([row[0] for row in rows], axis=0),
            np.median([row[1] for row in rows], axis=0),
        )
        print(f"{sizes} sizes, {law}: paired {flagged[0]:.1%}, width {widths[0]:.3g};", end=" ")
        print(f"not paired {flagged[1]:.1%}, width {widths[1]:.3g}")


def _draw(
    sizes: int, law: str, floor: float, rng: np.random.Generator, seed: int
) -> tuple[list[bool], list[float]]:
    """Two ladders of equal exponents: whether called different, and the interval's width, by both tests."""
    x = np.geomspace(1e4, 1e6, sizes)
    shared = SHARED * rng.standard_normal(sizes)
    ladders = [
        Ladder(
            tuple(f"r{place}" for place in range(sizes)),
            (frozenset({0}),) * sizes,
            x,
            np.log(floor + scale * x**-0.3) + shared + OWN * rng.standard_normal(sizes),
        )
        for scale in (16.0, 14.0)
    ]
    tests = [
        compare_exponents(*ladders, law, replicates=REFITS, seed=seed, paired=paired)
        for paired in (True, False)
    ]
    return [one.p_value < 0.05 for one in tests], [float(np.ptp(one.interval)) for one in tests]


if __name__ == "__main__":
    main()
