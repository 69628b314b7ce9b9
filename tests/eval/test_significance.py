"""Tests of two models on the same items hold their level, and are scipy's or counted by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from eval.files import InputError
from eval.metrics import metric_by_name
from eval.results import METRICS, Result
from eval.significance import (
    approximate_randomisation,
    holm,
    mcnemar,
    paired_bootstrap,
    seed_spread,
)

ACCURACY = metric_by_name("accuracy")
TESTS = (paired_bootstrap, approximate_randomisation)


def rows(right: np.ndarray) -> np.ndarray:
    return np.column_stack([right, np.ones(len(right))]).astype(float)


def test_the_bootstrap_gives_the_difference_its_error_and_an_interval() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(400), rng.random(400) + 0.1
    found = paired_bootstrap(ACCURACY, rows(a), rows(b), replicates=4000, seed=1)
    wanted = np.std(b - a, ddof=1) / np.sqrt(400)
    assert found.difference == pytest.approx((b - a).mean())
    assert found.stderr == pytest.approx(wanted, rel=0.05)
    assert found.interval is not None
    assert found.interval[0] == pytest.approx(found.difference - 1.96 * wanted, abs=0.15 * wanted)
    assert found.interval[1] == pytest.approx(found.difference + 1.96 * wanted, abs=0.15 * wanted)
    assert found.p is not None
    assert found.p < 0.01
    assert "paired-bootstrap" in found.method


def test_randomisation_is_the_exact_permutation_test_of_few_items() -> None:
    a, b = np.array([0.1, 0.4, 0.3, 0.9, 0.2, 0.5]), np.array([0.3, 0.9, 0.2, 1.4, 0.9, 0.4])
    signs = np.array(list(itertools.product([1, -1], repeat=6)))
    exact = (np.abs(signs @ (b - a)) >= abs((b - a).sum()) - 1e-12).mean()
    found = approximate_randomisation(ACCURACY, rows(a), rows(b), replicates=20_000, seed=0)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert (found.stderr, found.interval, found.reason) == (None, None, None)


@pytest.mark.parametrize("test", TESTS)
def test_p_is_uniform_where_nothing_differs(test: type) -> None:
    """300 pairs of equally good models: p is below each level about that often."""
    rng = np.random.default_rng(3)
    skill = rng.normal(size=(300, 80, 1))
    scores = skill + rng.normal(size=(300, 80, 2))
    ps = np.array([test(ACCURACY, rows(pair[:, 0]), rows(pair[:, 1]), replicates=199).p for pair in scores])
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert (ps < 0.05).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 300))


@pytest.mark.parametrize("test", TESTS)
def test_groups_that_hang_together_count_once(test: type) -> None:
    """20 groups of 20 alike items: as 400 items chance looks sure; as groups it is what it is."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(100, 20)), rng.normal(size=(100, 20))
    names = np.repeat(np.arange(20), 20).astype(str).tolist()
    pairs = [(rows(np.repeat(one, 20)), rows(np.repeat(other, 20))) for one, other in zip(a, b, strict=True)]
    by_group = [test(ACCURACY, one, other, groups=names, replicates=99).p for one, other in pairs]
    by_item = [test(ACCURACY, one, other, replicates=99).p for one, other in pairs]
    assert np.mean(np.array(by_group) <= 0.05) == pytest.approx(0.05, abs=0.07)
    assert np.mean(np.array(by_item) <= 0.05) > 0.4


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("name", ["bleu", "spearman"])
def test_any_metric_can_be_compared(test: type, name: str) -> None:
    metric = metric_by_name(name)
    rng = np.random.default_rng(0)
    if name == "bleu":
        words = [[f"w{n}" for n in rng.integers(0, 50, 12)] for _ in range(60)]
        texts = [" ".join(line) for line in words]
        worse = [" ".join(line[:9] + ["x"] * 3) for line in words]
        a, b = metric.statistics(worse, texts), metric.statistics(texts, texts)
    else:
        true = rng.normal(size=60)
        a, b = (metric.statistics(true + size * rng.normal(size=60), true) for size in (3.0, 0.3))
    found = test(metric, a, b, replicates=300)
    assert found.difference == pytest.approx(metric.value(b) - metric.value(a))
    sides = 2 if test is paired_bootstrap else 1  # the bootstrap doubles the share on one side
    assert found.p == pytest.approx(sides / 301)
    same = test(metric, a, a, replicates=50)
    assert (same.difference, same.p) == (0, 1)


def test_what_cannot_be_compared_says_so() -> None:
    with pytest.raises(ValueError, match="give those of the same items"):
        paired_bootstrap(ACCURACY, rows(np.ones(3)), rows(np.ones(4)))
    one = approximate_randomisation(ACCURACY, rows(np.ones(1)), rows(np.zeros(1)))
    assert (one.difference, one.p, one.reason) == (-1, None, "one item or group has no spread")
    pearson = metric_by_name("pearson")
    flat = paired_bootstrap(pearson, np.ones((5, 2)), np.random.default_rng(0).random((5, 2)))
    assert (flat.difference, flat.p) == (None, None)
    assert "all alike" in str(flat.reason)


@pytest.mark.parametrize(("only_a", "only_b"), [(3, 12), (7, 7), (0, 0), (40, 22), (0, 5)])
def test_mcnemar_is_the_binomial_test_of_discordant_items(only_a: int, only_b: int) -> None:
    right_a = [True] * 20 + [False] * 9 + [True] * only_a + [False] * only_b
    right_b = [True] * 20 + [False] * 9 + [False] * only_a + [True] * only_b
    found = mcnemar(right_a, right_b)
    n = len(right_a)
    wanted = stats.binomtest(only_b, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(wanted, abs=1e-12)
    assert found.difference == pytest.approx((only_b - only_a) / n)
    assert found.stderr == pytest.approx(
        np.std(np.subtract(right_b, right_a, dtype=float), ddof=1) / np.sqrt(n)
    )


def test_holm_by_hand() -> None:
    """Ranks: .01·4, .02·3, .03·2 (below the one before: .06), .5·1."""
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="is no p-value"):
        holm([0.1, float("nan")])


def result(**more: object) -> Result:
    fields = dict.fromkeys((field.name for field in dataclasses.fields(Result)), None)
    meaning = METRICS["accuracy"]
    known = {
        "stage": "finetune",
        "rung": "1M",
        "seed": 0,
        "task": "polarity",
        "split": "test",
        "metric": "accuracy",
        "value": 0.5,
        "higher_is_better": meaning.higher_is_better,
        "signature": "accuracy",
        "versions": {},
    } | more
    missing = {name: "not told" for name in fields if name != "missing" and known.get(name) is None}
    return Result(**(fields | known | {"missing": missing}))  # type: ignore[arg-type]


def test_seeds_of_one_rung_have_a_spread() -> None:
    values = [0.5, 0.6, 0.8]
    results = [result(seed=seed, value=value, step=seed) for seed, value in enumerate(values)]
    results += [result(rung="4M", value=0.9), result(rung="9M", value=None)]
    three, one, none = seed_spread(results)
    assert (three.task, three.split, three.metric, three.rung, three.n) == (
        "polarity",
        "test",
        "accuracy",
        "1M",
        3,
    )
    assert three.mean == pytest.approx(np.mean(values))
    assert three.deviation == pytest.approx(np.std(values, ddof=1))
    assert (one.mean, one.deviation, one.n, one.reason) == (0.9, None, 1, "one seed has no spread")
    assert (none.mean, none.n, none.reason) == (None, 0, "no seed has a value")


def test_results_that_differ_in_more_than_their_seed_are_refused() -> None:
    with pytest.raises(InputError, match="polarity, test, accuracy, rung 1M: tokens is 100 and 200"):
        seed_spread([result(tokens=100), result(seed=1, tokens=200)])
    with pytest.raises(InputError, match="seed 0 is there twice"):
        seed_spread([result(), result(value=0.7)])
