"""Metrics of labels and numbers are scikit-learn's and scipy's; shares and calibration by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from eval.metrics import metric_by_name, score

LABELS = ("a", "b", "c", "d")


def value_of(name: str, predictions: Any, references: Any, labels: Any = LABELS) -> float:
    metric = metric_by_name(name, labels)
    return metric.value(metric.statistics(predictions, references))


@pytest.mark.parametrize("classes", [2, 4])
def test_f1_and_matthews_are_scikit_learns(classes: int) -> None:
    oracle = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    true = rng.choice(LABELS[:classes], 300, p=rng.dirichlet(np.full(classes, 5.0)))
    predicted = np.where(rng.random(300) < 0.5, true, rng.choice(LABELS[:classes], 300))
    given = (predicted.tolist(), true.tolist())
    assert value_of("f1_macro", *given) == pytest.approx(oracle.f1_score(true, predicted, average="macro"))
    assert value_of("f1_micro", *given) == pytest.approx(oracle.f1_score(true, predicted, average="micro"))
    assert value_of("mcc", *given) == pytest.approx(oracle.matthews_corrcoef(true, predicted), abs=1e-12)


def test_f1_over_sets_of_labels_is_scikit_learns() -> None:
    oracle = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true, predicted = rng.random((80, 4)) < 0.4, rng.random((80, 4)) < 0.4
    sets = [[[LABELS[i] for i in np.flatnonzero(row)] for row in table] for table in (predicted, true)]
    for average in ("micro", "macro"):
        wanted = oracle.f1_score(true, predicted, average=average)
        assert value_of(f"f1_{average}", *sets) == pytest.approx(wanted)


def test_matthews_by_hand() -> None:
    """Two classes: (TP·TN − FP·FN) / sqrt(…) = (3·2 − 1·1) / sqrt(4·4·3·3); one class alone says nothing."""
    assert value_of("mcc", list("aaaabbb"), list("aaabbba")) == pytest.approx((3 * 2 - 1 * 1) / 12)
    assert value_of("mcc", list("abcd"), list("abcd")) == pytest.approx(1.0)
    assert value_of("mcc", list("aaaa"), list("abab")) == 0.0


def test_calibration_is_the_mean_distance_over_bins() -> None:
    """0.95 and 1.0 share the last of 15 bins, 0.9 lies in the one before, 0.0 in the first."""
    confidences, right = [0.95, 1.0, 0.9, 0.0], [True, False, True, False]
    wanted = (abs(1 - 0.95 - 1.0) + abs(1 - 0.9) + 0) / 4
    assert value_of("calibration_error", confidences, right) == pytest.approx(wanted)
    rng = np.random.default_rng(0)
    confidences = rng.random(40_000)
    assert value_of("calibration_error", confidences, rng.random(40_000) < confidences) < 0.02
    assert value_of("calibration_error", np.full(100, 0.8), np.arange(100) < 50) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="a confidence is no probability"):
        value_of("calibration_error", [1.2], [True])


@pytest.mark.parametrize("name", ["stereotype_share", "toxicity_share", "memorised_share"])
def test_shares_count_what_is_true(name: str) -> None:
    metric = metric_by_name(name)
    found = score(metric, metric.statistics([True, False, True, True]), replicates=2, seed=0)  # type: ignore[call-arg]
    assert (found.metric, found.value, found.n) == (name, 0.75, 4)
    assert found.stderr == pytest.approx(np.sqrt(0.75 * 0.25 / 3))
    with pytest.raises(ValueError, match="one true or false an item"):
        metric.statistics([0.7, 0.2], [])


def test_accuracy_goes_by_either_name() -> None:
    assert value_of("accuracy_norm", ["a", "b"], ["a", "c"]) == 0.5
    assert (
        metric_by_name("accuracy_norm").name == metric_by_name("accuracy_norm").signature() == "accuracy_norm"
    )
    assert value_of("accuracy", [0, 3], [1, 3]) == 0.5


@pytest.mark.parametrize(("name", "oracle"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_correlations_are_scipys_with_the_bootstraps_error(name: str, oracle: Any) -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=200), 1)  # with ties
    y = 1e6 + x + rng.normal(size=200)
    metric = metric_by_name(name)
    statistics = metric.statistics(x, y)
    found = score(metric, statistics, replicates=400, seed=1)
    assert found.value == pytest.approx(oracle(x, y).statistic, abs=1e-12)
    draws = np.random.default_rng(1).integers(0, 200, size=(400, 200))
    expected = np.std([oracle(x[draw], y[draw]).statistic for draw in draws], ddof=1)
    assert found.stderr == pytest.approx(expected, rel=1e-6)
    grouped = score(metric, statistics, groups=[str(n // 20) for n in range(200)], replicates=100, seed=1)
    assert grouped.value == found.value
    assert grouped.stderr != found.stderr


def test_numbers_close_together_beside_one_far_away_still_correlate() -> None:
    """Draws without the far one must not drown in its size."""
    x = np.append(1e-6 * np.arange(20), 1e6)
    y = np.append(1e-6 * np.arange(20)[::-1], 1e6)
    counts = np.append(np.ones(20), 0)[None]
    metric = metric_by_name("pearson")
    assert metric.values(metric.statistics(x, y), counts)[0] == pytest.approx(-1, abs=1e-9)


def test_a_constant_has_no_correlation_and_says_why() -> None:
    metric = metric_by_name("pearson")
    found = score(metric, metric.statistics(np.full(5, 0.1), np.arange(5.0)), replicates=10, seed=0)
    assert np.isnan(found.value)
    assert (found.stderr, found.reason) == (None, "predictions or references are all alike, or not finite")
    assert value_of("spearman", np.arange(2.0), np.arange(2.0)) == pytest.approx(1)
