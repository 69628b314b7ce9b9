"""Values are those of sacreBLEU, rouge_score and a count by hand; errors are those of theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from eval.baselines import best_constant, majority_label
from eval.metrics import metric_by_name, score
from eval.metrics.surprise import bits_per_byte, perplexity
from eval.uncertainty import bootstrap_stderr, bootstrap_sums, ratio_stderr

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


@pytest.mark.parametrize(("name", "oracle"), [("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())])
def test_value_and_signature_are_sacrebleus_own(name: str, oracle: sacrebleu.BLEU | sacrebleu.CHRF) -> None:
    metric = metric_by_name(name)
    statistics = metric.statistics(PREDICTIONS, REFERENCES)
    expected = oracle.corpus_score(PREDICTIONS, [REFERENCES])
    assert float(metric.aggregate(statistics.sum(0))) == pytest.approx(expected.score, abs=1e-12)
    assert metric.signature() == str(oracle.get_signature())


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_a_bootstrap_replicate_is_the_score_of_the_resampled_texts(name: str) -> None:
    metric, seed = metric_by_name(name), 7
    statistics = metric.statistics(PREDICTIONS, REFERENCES)
    values = metric.aggregate(bootstrap_sums(statistics, replicates=20, seed=seed))
    draws = np.random.default_rng(seed).integers(0, 5, size=(20, 5))
    oracle = sacrebleu.BLEU() if name == "bleu" else sacrebleu.CHRF()
    for value, draw in zip(values, draws, strict=True):
        texts, references = [PREDICTIONS[i] for i in draw], [REFERENCES[i] for i in draw]
        assert value == pytest.approx(oracle.corpus_score(texts, [references]).score, abs=1e-9)


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
    resampled = bootstrap_stderr(metric.aggregate, statistics, replicates=4000, seed=0)
    assert resampled == pytest.approx(np.sqrt(0.7 * 0.3 / 200), rel=0.05)


def test_macro_f1_is_the_mean_over_classes_that_appear() -> None:
    predictions = ["a", "a", "b", "c", "a"]
    references = ["a", "b", "b", "b", "a"]
    metric = metric_by_name("f1_macro", ["a", "b", "c", "never"])
    value = float(metric.aggregate(metric.statistics(predictions, references).sum(0)))
    assert value == pytest.approx(np.mean([2 * 2 / (3 + 2), 2 * 1 / (1 + 3), 0.0]))
    with pytest.raises(ValueError, match="label 'z' is none of the classes"):
        metric.statistics(["z"], ["a"])


def test_bits_and_perplexities_divide_sums_not_means() -> None:
    nats, tokens, num_bytes = np.array([10.0, 200.0]), np.array([5.0, 50.0]), np.array([20.0, 130.0])
    assert bits_per_byte(nats, num_bytes).value == pytest.approx(210 / 150 / np.log(2))
    assert perplexity(nats, tokens).value == pytest.approx(np.exp(210 / 55))
    assert bits_per_byte(nats[:1], num_bytes[:1]).stderr is None


@pytest.mark.parametrize("estimate", [bits_per_byte, perplexity])
def test_errors_over_documents_are_those_of_the_bootstrap(estimate: Any) -> None:
    rng = np.random.default_rng(2)
    sizes = rng.lognormal(4, 0.5, 60)
    nats = sizes * rng.normal(1.0, 0.2, 60)
    replicates = bootstrap_sums(np.column_stack([nats, sizes]), replicates=4000, seed=0)
    values = [estimate(sums[:1], sums[1:]).value for sums in replicates]
    assert estimate(nats, sizes).stderr == pytest.approx(np.std(values, ddof=1), rel=0.05)


def test_the_ratio_error_is_what_repeated_samples_show() -> None:
    rng = np.random.default_rng(0)

    def sample(documents: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = rng.lognormal(4, 0.5, documents)
        return sizes * rng.normal(3.0, 0.3, documents), sizes

    spread = np.std([np.divide(*(part.sum() for part in sample(80))) for _ in range(3000)], ddof=1)
    claimed = np.mean([ratio_stderr(*sample(80)) for _ in range(200)])
    assert claimed == pytest.approx(spread, rel=0.06)


def test_the_bootstrap_repeats_with_its_seed_and_does_not_depend_on_its_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statistics = np.random.default_rng(1).normal(size=(30, 4))
    whole = bootstrap_sums(statistics, replicates=50, seed=3)
    monkeypatch.setattr("eval.uncertainty._CHUNK", 64)
    np.testing.assert_allclose(bootstrap_sums(statistics, replicates=50, seed=3), whole)
    assert not np.allclose(bootstrap_sums(statistics, replicates=50, seed=4), whole)


def test_the_bootstrap_error_is_the_deviation_of_its_replicates() -> None:
    statistics = np.random.default_rng(1).normal(size=(9, 1))
    values = bootstrap_sums(statistics, replicates=5, seed=0)[:, 0]
    found = bootstrap_stderr(lambda sums: sums[..., 0], statistics, replicates=5, seed=0)
    assert found == pytest.approx(np.std(values, ddof=1))


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


def test_a_constant_earns_nothing_by_repeating_itself() -> None:
    reference = "Return the list of files and ports and names and sizes and dates."
    honest, padded = (
        "Return the list of files and ports and names and",
        "Return the list of files and ports " * 2,
    )
    assert best_constant([padded, honest], [reference] * 3) == honest


def test_the_majority_is_the_most_frequent_then_the_first() -> None:
    assert majority_label(["b", "a", "c", "b", "a"]) == "a"


def test_faces_answer_like_evaluate_modules_without_a_network() -> None:
    from eval.metrics import faces

    answer = faces.load("bleu").compute(predictions=PREDICTIONS, references=REFERENCES)
    assert answer["bleu"] == pytest.approx(sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES]).score)
    assert faces.load("accuracy").compute(predictions=["a", "b"], references=["a", "a"])["accuracy"] == 0.5
    with pytest.raises(ValueError, match="metric 'meteor' has no face"):
        faces.load("meteor")


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
