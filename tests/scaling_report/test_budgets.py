"""Runs of several lengths stand in series of their own, named by what they share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.results import Result
from scaling_report.budgets import split_by_budget
from scaling_report.frame import from_results
from tests.scaling_report.synthetic import result


def ladder(tokens: dict[str, tuple[int, ...]], flops: dict[str, tuple[float, ...]]) -> list[Result]:
    return [
        replace(
            result("bits_per_byte", 2.0 - 0.1 * length, size=1000 * (place + 1), rung=rung),
            tokens=count,
            flops=flops[rung][length],
        )
        for place, (rung, counts) in enumerate(tokens.items())
        for length, count in enumerate(counts)
    ]


def test_lengths_that_rungs_share_name_their_series_the_longest_first() -> None:
    runs = ladder({"a": (10_000, 30_000), "b": (10_000, 30_000)}, {"a": (1e9, 3e9), "b": (2e9, 6e9)})
    (long, name), (short, other) = split_by_budget(runs)
    assert (name, other) == ("30k tokens", "10k tokens")
    assert [(run.rung, run.tokens) for run in long] == [("a", 30_000), ("b", 30_000)]
    assert [(run.rung, run.tokens) for run in short] == [("a", 10_000), ("b", 10_000)]
    titles = [series.title for series in from_results(runs).series]
    assert [title.rpartition(", at ")[2] for title in titles] == ["30k tokens", "10k tokens"]


def test_an_isoflop_grid_is_named_by_its_flops() -> None:
    runs = ladder({"a": (40_000, 80_000), "b": (20_000, 40_000)}, {"a": (1e9, 2e9), "b": (1.01e9, 2.02e9)})
    assert [name for _, name in split_by_budget(runs)] == ["2.0e+09 FLOPs", "1.0e+09 FLOPs"]


def test_a_rung_that_lacks_a_length_is_missing_from_that_series_alone() -> None:
    runs = ladder({"a": (10_000, 30_000), "b": (10_000,)}, {"a": (1e9, 3e9), "b": (2e9,)})
    (long, _), (short, _) = split_by_budget(runs)
    assert [run.rung for run in long] == ["a"]
    assert [run.rung for run in short] == ["a", "b"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_seeds_are_no_lengths(seeds: int) -> None:
    runs = [result("bits_per_byte", 1.0, rung="a", seed=seed, tokens=10_000) for seed in range(seeds)]
    ((part, name),) = split_by_budget(runs)
    assert name is None
    assert len(part) == seeds
