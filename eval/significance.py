"""Whether two models differ on the same items, and how far seeds of one rung lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.files import InputError
from eval.metrics.base import Array, ItemMetric
from eval.results import Result
from eval.uncertainty import CHUNK, bootstrap_counts, index_units

_COVERED = (2.5, 97.5)  # percentiles: the interval holds 95 %
_TIED = 1 - 1e-9  # a difference as large as the one seen, but for rounding

# What two seeds of one rung may differ in: what follows from the seed, and how the records were written.
_FREE = ("seed", "model_fingerprint", "run", "step", "value", "stderr", "seconds", "versions", "missing")


@dataclass(frozen=True)
class Difference:
    """How much higher b's value is than a's, over `n` items, and how likely so much is by chance.

    `p` is two-sided. `stderr` and the 95 % `interval` are the bootstrap's, None for tests that give none.
    What is None for want of data has its `reason`.
    """

    metric: str
    difference: float | None
    stderr: float | None
    interval: tuple[float, float] | None
    p: float | None
    n: int
    method: str
    reason: str | None = None


def paired_bootstrap(
    metric: ItemMetric,
    a: Array,
    b: Array,
    *,
    groups: Sequence[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Difference:
    """Draw the same items for both models again and again (Koehn 2004): item statistics (items, k) each.

    The interval holds the middle 95 % of the differences drawn. p is twice the smaller share of them that lie
    on one side of 0, with one added above and below: so it is under 5 % where the interval leaves 0 out
    (Efron & Tibshirani 1993, section 15.4).
    Whole `groups` are drawn where they are given.
    """
    units, number = _check(a, b, groups)
    method = f"paired-bootstrap|replicates:{replicates}|seed:{seed}{_by(groups)}"
    draws = bootstrap_counts(units, number, replicates=replicates, seed=seed)
    seen = metric.value(b) - metric.value(a)
    differences = _drawn(metric, a, b, ((counts, counts) for counts in draws))
    if reason := _unknown(metric, seen, differences, number):
        return Difference(metric.name, _finite(seen), None, None, None, len(a), method, reason)
    low, high = np.percentile(differences, _COVERED)
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    p = min(1.0, 2 * (fewer + 1) / (len(differences) + 1))
    stderr = float(np.std(differences, ddof=1))
    return Difference(metric.name, seen, stderr, (float(low), float(high)), p, len(a), method)


def approximate_randomisation(
    metric: ItemMetric,
    a: Array,
    b: Array,
    *,
    groups: Sequence[str] | None = None,
    replicates: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Swap the two models' items by coin flips (Riezler & Maxwell 2005): item statistics (items, k) each.

    p is the share of flips that give a difference at least as large as the one seen, with one added above and
    below. Whole `groups` are swapped where they are given. It gives no error and no interval.
    """
    units, number = _check(a, b, groups)
    method = f"approximate-randomisation|replicates:{replicates}|seed:{seed}{_by(groups)}"
    seen = metric.value(b) - metric.value(a)
    both = np.concatenate([a, b])
    differences = _drawn(metric, both, both, _swaps(units, number, replicates, seed))
    if reason := _unknown(metric, seen, differences, number):
        return Difference(metric.name, _finite(seen), None, None, None, len(a), method, reason)
    return Difference(metric.name, seen, None, None, _share(differences, seen), len(a), method)


def mcnemar(
    right_a: Sequence[bool] | NDArray[np.bool_],
    right_b: Sequence[bool] | NDArray[np.bool_],
    metric: str = "accuracy",
) -> Difference:
    """McNemar's exact test of two accuracies (McNemar 1947): whether each item was right, (items,) each.

    Under the null, items that only one model gets right are either's with probability one half; p is the
    binomial one. The error is that of the mean of paired differences, the interval 1.96 of it both ways.
    """
    from scipy.special import bdtr

    one, other = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    _check(one, other, None)
    n, only_a, only_b = len(one), int((one & ~other).sum()), int((other & ~one).sum())
    seen = (only_b - only_a) / n
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    if n < 2:
        return Difference(metric, seen, None, None, p, n, "mcnemar|exact", "one item has no spread")
    stderr = float(np.std(other.astype(float) - one, ddof=1) / np.sqrt(n))
    interval = (seen - 1.96 * stderr, seen + 1.96 * stderr)
    return Difference(metric, seen, stderr, interval, p, n, "mcnemar|exact")


def holm(ps: Sequence[float]) -> list[float]:
    """Each p-value adjusted for there being several (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m − i + 1, and none is less than a smaller one's: rejecting what
    is at most alpha keeps the chance of any false rejection at alpha.
    """
    if wrong := [p for p in ps if not 0 <= p <= 1]:
        raise ValueError(f"{wrong[0]!r} is no p-value; give numbers in 0–1")
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = least
    return adjusted


@dataclass(frozen=True)
class SeedSpread:
    """One rung's values of one metric over `n` seeds: `mean`, and standard deviation with n − 1.

    None, with the `reason`, where there are too few.
    """

    task: str
    split: str
    metric: str
    rung: str | None
    mean: float | None
    deviation: float | None
    n: int
    reason: str | None = None


def seed_spread(results: Sequence[Result]) -> list[SeedSpread]:
    """The spread between seeds of each (task, split, metric, rung), in the order they come.

    `InputError` for two results of one of these that differ in more than their seed (in tokens or signature,
    say), or share it. Results without a value are not counted.
    """
    together: dict[tuple[str, str, str, str | None], list[Result]] = {}
    for result in results:
        together.setdefault((result.task, result.split, result.metric, result.rung), []).append(result)
    return [_spread(key, members) for key, members in together.items()]


def _spread(key: tuple[str, str, str, str | None], members: Sequence[Result]) -> SeedSpread:
    where = f"{key[0]}, {key[1]}, {key[2]}, rung {key[3]}"
    first = members[0].to_dict()
    for other in members[1:]:
        for field, value in other.to_dict().items():
            if field not in _FREE and value != first[field]:
                raise InputError(f"{where}: {field} is {first[field]!r} and {value!r}; only seeds may differ")
    seeds = [member.seed for member in members]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise InputError(f"{where}: seed {twice} is there twice; give each seed's result once")
    values = [member.value for member in members if member.value is not None]
    if not values:
        return SeedSpread(*key, None, None, 0, "no seed has a value")
    if len(values) < 2:
        return SeedSpread(*key, values[0], None, 1, "one seed has no spread")
    return SeedSpread(*key, float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


def _check(
    a: NDArray[np.generic], b: NDArray[np.generic], groups: Sequence[str] | None
) -> tuple[NDArray[np.intp], int]:
    """The items' units; `ValueError` unless both models have statistics of as many items."""
    if a.shape != b.shape or not len(a):
        raise ValueError(
            f"statistics of shapes {a.shape} and {b.shape}; give those of the same items, at least one"
        )
    return index_units(len(a), groups)


def _swaps(units: NDArray[np.intp], number: int, replicates: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Counts (rows, 2 · items) of both models' items that the first, and the second, has after swapping."""
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // (2 * len(units)))
    for start in range(0, replicates, rows):
        swapped = rng.integers(0, 2, size=(min(rows, replicates - start), number)).astype(np.float64)[
            :, units
        ]
        first = np.concatenate([1 - swapped, swapped], axis=1)
        yield first, 1 - first


def _drawn(metric: ItemMetric, a: Array, b: Array, draws: Iterator[tuple[Array, Array]]) -> Array:
    """b's value less a's at each draw's counts for a and for b, where there is one."""
    drawn = np.concatenate([metric.values(b, second) - metric.values(a, first) for first, second in draws])
    return drawn[np.isfinite(drawn)]


def _share(differences: Array, seen: float) -> float:
    extreme = int((np.abs(differences) >= abs(seen) * _TIED).sum())
    return (extreme + 1) / (len(differences) + 1)


def _unknown(metric: ItemMetric, seen: float, differences: Array, number: int) -> str | None:
    """Why there is no p; None where there is one."""
    if not np.isfinite(seen):
        return metric.undefined
    if number < 2:
        return "one item or group has no spread"
    return None if len(differences) > 1 else "too few items to draw again from"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _by(groups: Sequence[str] | None) -> str:
    return "" if groups is None else "|by-group"
