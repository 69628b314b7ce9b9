"""Several references, sets of labels, answers, entities, numbers: worked by hand, or by other libraries."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from scipy import stats

from eval.metrics import metric_by_name, score
from eval.metrics.correlation import correlate
from eval.metrics.f1_entity import find_entities, marks_entities
from eval.metrics.squad import normalise

OUTPUTS = ["the cat sat on the mat", "a dog", "Numbers are large.", "it is good"]
REFERENCES = [
    ["the cat sat on a mat", "a cat was sitting on the mat"],
    ["one dog", "a dog"],
    ["Numbers are big."],
    ["that is good", "it is very good", "good it is"],
]


def value_of(name: str, outputs: Any, references: Any, **more: Any) -> float:
    metric = metric_by_name(name, **more)
    return float(metric.aggregate(metric.statistics(outputs, references).sum(0)))


@pytest.mark.parametrize(
    ("name", "oracle"), [("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF()), ("ter", sacrebleu.TER())]
)
def test_several_references_are_sacrebleus_own(name: str, oracle: Any) -> None:
    streams = [[texts[i] if i < len(texts) else None for texts in REFERENCES] for i in range(3)]
    expected = oracle.corpus_score(OUTPUTS, streams).score
    assert value_of(name, OUTPUTS, REFERENCES, num_refs=-1) == pytest.approx(expected, abs=1e-12)
    first = [texts[:1] for texts in REFERENCES]
    assert value_of(name, OUTPUTS, first) == pytest.approx(
        oracle.corpus_score(OUTPUTS, [[texts[0] for texts in REFERENCES]]).score, abs=1e-12
    )
    assert metric_by_name(name, num_refs=-1).signature().startswith("nrefs:var|")


def test_rouge_takes_the_reference_with_the_best_rouge1_for_all() -> None:
    output, first, second = "a b c d", "d c b a", "a b x y z"
    scorer = RougeScorer(["rouge1", "rouge2"], use_stemmer=True)
    assert scorer.score(second, output)["rouge2"].fmeasure > 0
    found = value_of("rouge2", [output], [[second, first]], num_refs=2)
    assert found == scorer.score(first, output)["rouge2"].fmeasure == 0
    assert value_of("rouge1", [output], [[second, first]], num_refs=2) == 1.0
    assert metric_by_name("rouge1", num_refs=2).signature().endswith("|references:best-by-rouge1")


def test_scitldrs_first_sentences_score_as_its_readme_says(stepladder_data: Path) -> None:
    with gzip.open(stepladder_data / "scitldr" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    outputs, references = [row["sentences"][0] for row in rows], [row["references"] for row in rows]
    names = ("rouge1", "rouge2", "rougeL")
    found = [100 * value_of(name, outputs, references, num_refs=-1) for name in names]
    assert [round(value, 2) for value in found] == [31.29, 11.42, 24.08]


LABELS = ["a", "b", "c", "d"]
SETS = ([["a", "b"], ["b"], [], ["c"]], [["a"], ["b", "c"], ["a"], []])


def test_f1_over_sets_of_labels_by_hand() -> None:
    """Hits a 1, b 1; predicted a 1, b 2, c 1; true a 2, b 1, c 1."""
    assert value_of("f1_micro", *SETS, labels=LABELS) == pytest.approx(2 * 2 / (4 + 4))
    assert value_of("f1_macro", *SETS, labels=LABELS) == pytest.approx(np.mean([2 / 3, 2 / 3, 0.0]))
    assert value_of("f1_micro", [[]], [[]], labels=LABELS) == 0.0


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("I-PER I-PER B-PER", {("PER", 0, 1), ("PER", 2, 2)}),
        ("B-PER I-LOC I-LOC", {("PER", 0, 0), ("LOC", 1, 2)}),
        ("B-PER B-PER O I-LOC", {("PER", 0, 0), ("PER", 1, 1), ("LOC", 3, 3)}),
        ("S-PER B-LOC I-LOC E-LOC I-LOC", {("PER", 0, 0), ("LOC", 1, 3), ("LOC", 4, 4)}),
        ("E-PER E-PER S-PER S-PER", {("PER", 0, 0), ("PER", 1, 1), ("PER", 2, 2), ("PER", 3, 3)}),
        ("B-MISC-X I-MISC-X O", {("MISC-X", 0, 1)}),
        ("O O", set()),
    ],
)
def test_entities_are_those_of_conlleval(tags: str, entities: set[Any]) -> None:
    assert find_entities(tags.split()) == entities


def test_entity_f1_counts_exact_entities_only() -> None:
    """Two of three predicted entities are among the four true ones."""
    predicted = ["B-PER I-PER O B-LOC".split(), "B-LOC I-LOC O".split()]
    true = ["B-PER I-PER O B-LOC".split(), "B-LOC O B-PER".split()]
    assert value_of("f1_entity", predicted, true) == pytest.approx(2 * 2 / (3 + 4))
    assert value_of("accuracy", predicted, true, per_word=True) == pytest.approx(5 / 7)
    assert marks_entities(["O", "B-PER", "I-PER"])
    assert not marks_entities(["NOUN", "VERB", "ADJ"])
    assert not marks_entities(["O"])


@pytest.mark.parametrize(
    ("prediction", "references", "exact", "f1"),
    [
        ("The Cat!", ["cat"], 1, 1),
        ("the black cat", ["cat", "a black dog"], 0, 2 / 3),
        ("cat cat", ["cat"], 0, 2 / 3),
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("an the", ["a"], 1, 1),
        ("Theresa", ["resa"], 0, 0),
    ],
)
def test_answers_are_scored_as_squads_script_does(
    prediction: str, references: list[str], exact: float, f1: float
) -> None:
    assert value_of("exact_match", [prediction], [references]) == exact
    assert value_of("f1", [prediction], [references]) == pytest.approx(f1)


def test_squads_normalisation() -> None:
    assert normalise("  The U.S.'s  “best” (an) Answer—44 ") == "uss “best” answer—44"


@pytest.mark.parametrize(("name", "oracle"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_correlations_are_scipys_with_the_bootstraps_error(name: str, oracle: Any) -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=200), 1)  # with ties
    y = x + rng.normal(size=200)
    found = correlate(name, x, y, replicates=400, seed=1)
    assert found.value == pytest.approx(oracle(x, y).statistic, abs=1e-12)
    draws = np.random.default_rng(1).integers(0, 200, size=(400, 200))
    expected = np.std([oracle(x[draw], y[draw]).statistic for draw in draws], ddof=1)
    assert found.stderr == pytest.approx(expected, rel=1e-9)
    grouped = correlate(name, x, y, groups=[str(n // 20) for n in range(200)], replicates=100, seed=1)
    assert grouped.value == found.value
    assert grouped.stderr != found.stderr


def test_a_constant_has_no_correlation_and_says_why() -> None:
    found = correlate("pearson", np.ones(5), np.arange(5.0), replicates=10, seed=0)
    assert np.isnan(found.value)
    assert (found.stderr, found.reason) == (None, "predictions or references are all alike")
    assert correlate("spearman", np.arange(2.0), np.arange(2.0), replicates=50, seed=0).value == 1


def test_tags_of_one_sentence_are_no_independent_draws() -> None:
    true = [["A"] * 10] * 20
    predicted = [["A"] * 10] * 12 + [["B"] * 10] * 8
    metric = metric_by_name("accuracy", per_word=True)
    found = score(metric, metric.statistics(predicted, true), replicates=2, seed=0)
    assert (found.value, found.n) == (pytest.approx(0.6), 20)
    assert found.stderr == pytest.approx(np.sqrt(0.6 * 0.4 / 19))


def test_faces_take_each_metrics_own_inputs() -> None:
    from eval.metrics import faces

    wanted = value_of("bleu", OUTPUTS, REFERENCES, num_refs=-1)
    found = faces.load("bleu").compute(predictions=OUTPUTS, references=REFERENCES)
    assert found["bleu"] == pytest.approx(wanted)
    assert faces.load("f1_micro").compute(predictions=SETS[0], references=SETS[1])["f1_micro"] == 0.5
    tags = [["B-X", "O"]]
    assert faces.load("f1_entity").compute(predictions=tags, references=tags)["f1_entity"] == 1.0
    assert faces.load("exact_match").compute(predictions=["a cat"], references=[["cat"]])["exact_match"] == 1
    numbers = {"predictions": [1.0, 2.0, 4.0], "references": [1.0, 3.0, 2.0]}
    assert faces.load("spearman").compute(**numbers)["spearman"] == pytest.approx(0.5)
