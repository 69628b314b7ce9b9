"""Values are those of sacreBLEU, rouge_score and a count by hand; errors are those of theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from eval.baselines import best_constant, majority_label
from eval.metrics import metric_by_name, score
from eval.uncertainty import bootstrap_counts, index_units

PREDICTIONS = [
    "Return the area of a rectangle.",
    "Return a list.",
    "",
    "the the the the cat sat on a mat .",
    "Closes the files, if open; otherwise does nothing.",
]
REFERENCES = [
    "Return the area of a rectangle.",
    "Return the list of all the open files.",
    "Raise an error.",
    "The cat sat on the mat.",
    "Close the file if it is open, otherwise do nothing at all.",
]


@pytest.mark.parametrize(
    ("name", "oracle"), [("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF()), ("ter", sacrebleu.TER())]
)
def test_value_and_signature_are_sacrebleus_own(name: str, oracle: Any) -> None:
    metric = metric_by_name(name)
    statistics = metric.statistics(PREDICTIONS, REFERENCES)
    expected = oracle.corpus_score(PREDICTIONS, [REFERENCES])
    assert metric.value(statistics) == pytest.approx(expected.score, abs=1e-9)
    assert metric.signature() == str(oracle.get_signature())


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_a_bootstrap_replicate_is_the_score_of_the_resampled_texts(name: str) -> None:
    metric, seed = metric_by_name(name), 7
    statistics = metric.statistics(PREDICTIONS, REFERENCES)
    draws = np.random.default_rng(seed).integers(0, 5, size=(20, 5))
    counts = np.array([np.bincount(draw, minlength=5) for draw in draws])
    values = metric.values(statistics, counts)
    oracle = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF(), "ter": sacrebleu.TER()}[name]
    for value, draw in zip(values, draws, strict=True):
        texts, references = [PREDICTIONS[i] for i in draw], [REFERENCES[i] for i in draw]
        assert value == pytest.approx(oracle.corpus_score(texts, [references]).score, abs=1e-9)


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_sums_of_any_kind_score_as_sacrebleu_has_it(name: str) -> None:
    """Orders without a match, without an n-gram, nothing written, nothing wanted: many rows at a time."""
    metric = metric_by_name(name)
    counts = {"bleu": (10, sacrebleu.BLEU()), "chrf": (18, sacrebleu.CHRF()), "ter": (2, sacrebleu.TER())}
    k, oracle = counts[name]
    rng = np.random.default_rng(0)
    sums = rng.integers(0, 30, size=(400, k)) * (rng.random((400, k)) < 0.8)
    if name == "bleu":  # a segment has fewer n-grams of a higher order, and no more matches than n-grams
        sums[:, 6:] = -np.sort(-sums[:, 6:], axis=1)
        sums[:, 2:6] = np.minimum(sums[:, 2:6], sums[:, 6:])
        sums[:, 0] = sums[:, 6]
    wanted = [oracle._compute_score_from_stats(row.tolist()).score for row in sums]
    assert metric.aggregate(sums) == pytest.approx(wanted, abs=1e-9)  # type: ignore[attr-defined]
    assert 0 < sum(value == 0 for value in wanted) < 400


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_the_mean_f_measure_with_the_stemmer_stated(name: str) -> None:
    metric = metric_by_name(name)
    oracle = RougeScorer([name], use_stemmer=True)
    pairs = zip(REFERENCES, PREDICTIONS, strict=True)
    measures = [oracle.score(reference, text)[name].fmeasure for reference, text in pairs]
    found = score(metric, metric.statistics(PREDICTIONS, REFERENCES), replicates=2, seed=0)
    assert found.value == pytest.approx(np.mean(measures))
    assert found.stderr == pytest.approx(np.std(measures, ddof=1) / np.sqrt(5))
    assert "stemmer:yes" in found.signature


def test_accuracy_has_the_binomial_error_and_the_bootstrap_finds_it_too() -> None:
    references = ["a"] * 200
    predictions = ["a"] * 140 + ["b"] * 60
    metric = metric_by_name("accuracy")
    statistics = metric.statistics(predictions, references)
    found = score(metric, statistics, replicates=2, seed=0)
    assert found.value == 0.7
    assert found.stderr == pytest.approx(np.sqrt(0.7 * 0.3 / 199))
    (counts,) = bootstrap_counts(*index_units(200, None), replicates=4000, seed=0)
    resampled = np.std(metric.values(statistics, counts), ddof=1)
    assert resampled == pytest.approx(np.sqrt(0.7 * 0.3 / 200), rel=0.05)


def test_macro_f1_is_the_mean_over_classes_that_appear() -> None:
    predictions = ["a", "a", "b", "c", "a"]
    references = ["a", "b", "b", "b", "a"]
    metric = metric_by_name("f1_macro", ["a", "b", "c", "never"])
    value = metric.value(metric.statistics(predictions, references))
    assert value == pytest.approx(np.mean([2 * 2 / (3 + 2), 2 * 1 / (1 + 3), 0.0]))
    with pytest.raises(ValueError, match="label 'z' is none of the classes"):
        metric.statistics(["z"], ["a"])


def test_one_item_has_no_error_and_says_why() -> None:
    metric = metric_by_name("bleu")
    found = score(metric, metric.statistics(REFERENCES[:1], REFERENCES[:1]), replicates=10, seed=0)
    assert found.value == pytest.approx(100.0)
    assert (found.stderr, found.reason) == (None, "one item has no spread")


def test_unequal_numbers_of_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions for 1 references"):
        metric_by_name("bleu").statistics(["a", "b"], ["a"])


def test_the_best_constant_is_the_best_by_sacrebleu_too() -> None:
    candidates = [
        *REFERENCES,
        *PREDICTIONS,
        "Return the list of files.",
        "the the the the",
        "Return the list.",
    ]
    references = [
        *REFERENCES,
        "Return the list of names.",
        "Return the list of open ports.",
        "Return the size.",
    ]
    found = best_constant(candidates, references)
    oracle = sacrebleu.BLEU()
    by_score = {
        text: oracle.corpus_score([text] * len(references), [references]).score for text in candidates
    }
    assert by_score[found] == max(by_score.values()) > 0


def test_the_best_constant_counts_what_it_is_told_to() -> None:
    """As words, no sentence shares anything with another; as characters one shares more."""
    candidates, references = ["一只猫在睡觉", "猫在睡觉。"], ["黑猫在睡觉。", "白猫在睡觉。"]
    oracle = sacrebleu.BLEU(tokenize="zh")
    scores = [oracle.corpus_score([text] * 2, [references]).score for text in candidates]
    assert scores[1] > scores[0] > 0
    assert best_constant(candidates, references, "zh") == candidates[1]
    assert best_constant(candidates, references) == candidates[0]  # nothing matches: the first


def test_a_constant_earns_nothing_by_repeating_itself() -> None:
    reference = "Return the list of files and ports and names and sizes and dates."
    honest, padded = (
        "Return the list of files and ports and names and",
        "Return the list of files and ports " * 2,
    )
    assert best_constant([padded, honest], [reference] * 3) == honest


def test_the_majority_is_the_most_frequent_then_the_first() -> None:
    assert majority_label(["b", "a", "c", "b", "a"]) == "a"


def test_items_of_one_group_count_as_one_draw() -> None:
    """Ten copies of an answer are no more evidence than one: the error is that of the groups."""
    right = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    copies = np.column_stack([np.repeat(right, 10), np.ones(50)])
    groups = np.repeat(["a", "b", "c", "d", "e"], 10).tolist()
    metric = metric_by_name("accuracy")
    alone = score(metric, copies, replicates=2, seed=0)
    grouped = score(metric, copies, groups=groups, replicates=2, seed=0)
    assert grouped.value == alone.value == pytest.approx(0.6)
    assert grouped.n == 50
    assert grouped.stderr == pytest.approx(np.sqrt(0.6 * 0.4 / (5 - 1)))
    assert alone.stderr == pytest.approx(np.sqrt(0.6 * 0.4 / (50 - 1)))
    assert "errors:by-group" in grouped.signature
    assert "errors" not in alone.signature
