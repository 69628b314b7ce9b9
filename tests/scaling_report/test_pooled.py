"""A metric's lengths, told apart for curves, stand together for a surface."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.results import Result
from scaling_report.frame import from_results
from scaling_report.pooled import pool_lengths
from tests.scaling_report.synthetic import ladder, result


def grid() -> list[Result]:
    return [
        replace(
            result("bits_per_byte", 2.0 - 0.1 * length, size=size, rung=f"r-{size}"),
            tokens=tokens,
            flops=6.0 * size * tokens,
        )
        for size in (1000, 3000)
        for length, tokens in enumerate((10_000, 30_000, 90_000))
    ]


def test_all_lengths_of_a_metric_are_one_table_of_runs() -> None:
    frame = from_results(grid())
    assert len(frame.series) == 3
    (pooled,) = pool_lengths(frame)
    assert (pooled.id, pooled.title) == ("pretrain-perplexity-bits-per-byte-test", "Bits per byte, test")
    assert pooled.n.tolist() == [1000] * 3 + [3000] * 3
    assert pooled.d.tolist() == [10_000, 30_000, 90_000] * 2
    assert pooled.c.tolist() == [6 * n * d for n, d in zip(pooled.n, pooled.d, strict=True)]
    assert pooled.y.tolist() == pytest.approx([2.0, 1.9, 1.8] * 2)
    assert pooled.varies


def test_one_length_does_not_vary_and_metrics_stay_apart() -> None:
    pooled = pool_lengths(from_results(ladder()))
    assert len({one.id for one in pooled}) == len(pooled) == len(from_results(ladder()).series)
    assert not any(one.varies for one in pooled)


def test_size_and_data_that_grow_together_do_not_vary() -> None:
    together = [one for one in grid() if (one.params or {})["non_embedding"] / (one.tokens or 1) == 0.1]
    more = replace(
        grid()[2], tokens=200_000, params={"total": 20_000, "non_embedding": 20_000, "matmul": 20_000}
    )
    (pooled,) = pool_lengths(from_results([*together, replace(more, rung="r-20000")]))
    assert pooled.n.tolist() == [1000, 3000, 20_000]
    assert not pooled.varies


def test_a_run_without_flops_is_left_out_by_name() -> None:
    lacking = replace(grid()[0], flops=None, missing={"flops": "not counted"} | grid()[0].missing)
    (pooled,) = pool_lengths(from_results([lacking, *grid()[1:]]))
    assert pooled.y.size == 5
    assert pooled.left_out == ("r-1000: its result has no flops",)


def test_the_convention_of_size_is_the_callers() -> None:
    (pooled,) = pool_lengths(from_results(grid()), "total")
    assert set(pooled.n) == {66_536, 68_536}


def test_runs_of_different_recipes_share_no_surface() -> None:
    other = [replace(one, run="other", value=1.1 * (one.value or 0)) for one in grid()]
    pooled = pool_lengths(from_results([*grid(), *other], by_run=True))
    assert [one.y.size for one in pooled] == [6, 6]
    assert pooled[1].y.tolist() == pytest.approx([1.1 * y for y in pooled[0].y])
