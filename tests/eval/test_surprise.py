"""Bits, perplexities and losses divide sums, and carry the ratio's error through their own function."""

from __future__ import annotations

import numpy as np
import pytest

from eval.metrics import metric_by_name, score
from eval.metrics.surprise import UNITS
from eval.results import METRICS

NATS, SIZES = np.array([10.0, 200.0]), np.array([20.0, 130.0])


@pytest.mark.parametrize("name", UNITS)
def test_sums_are_divided_not_means(name: str) -> None:
    metric = metric_by_name(name)
    wanted = {
        "bits per byte": 210 / 150 / np.log(2),
        "perplexity": np.exp(210 / 150),
        "nats per token": 210 / 150,
    }[METRICS[name].unit]
    found = score(metric, metric.statistics(NATS, SIZES), replicates=2, seed=0)
    assert (found.value, found.n) == (pytest.approx(wanted), 2)
    assert found.signature.startswith(f"{name}|per:")


def test_one_document_has_no_error() -> None:
    metric = metric_by_name("bits_per_byte")
    found = score(metric, metric.statistics(NATS[:1], SIZES[:1]), replicates=2, seed=0)
    assert (found.stderr, found.reason) == (None, "one item has no spread")


@pytest.mark.parametrize("name", ["bits_per_byte", "token_perplexity", "masked_lm_loss"])
def test_errors_over_documents_are_those_of_the_bootstrap(name: str) -> None:
    rng = np.random.default_rng(2)
    sizes = rng.lognormal(4, 0.5, 60)
    metric = metric_by_name(name)
    statistics = metric.statistics(sizes * rng.normal(1.0, 0.2, 60), sizes)
    draws = rng.integers(0, 60, size=(4000, 60))
    values = metric.values(statistics, np.array([np.bincount(draw, minlength=60) for draw in draws]))
    found = score(metric, statistics, replicates=2, seed=0)
    assert found.stderr == pytest.approx(np.std(values, ddof=1), rel=0.05)


def test_blocks_of_one_document_may_be_rows_of_one_group() -> None:
    metric = metric_by_name("token_perplexity")
    nats, tokens = np.array([3.0, 5.0, 8.0, 2.0, 9.0]), np.array([2.0, 2.0, 4.0, 1.0, 3.0])
    whole = metric.statistics([8.0, 10.0, 9.0], [4.0, 5.0, 3.0])
    blocks = score(
        metric, metric.statistics(nats, tokens), groups=["a", "a", "b", "b", "c"], replicates=2, seed=0
    )
    assert blocks.stderr == pytest.approx(score(metric, whole, replicates=2, seed=0).stderr)


def test_nothing_to_divide_by_is_an_error() -> None:
    with pytest.raises(ValueError, match="word_perplexity: no white-space-word to divide by"):
        metric_by_name("word_perplexity").statistics([3.0, 1.0], [0, 0])
    with pytest.raises(ValueError, match=r"nats \(2,\) for units \(3,\)"):
        metric_by_name("bits_per_byte").statistics([3.0, 1.0], [1, 2, 3])
