"""Several references, sets of labels, answers, entities, numbers: worked by hand, or by other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from eval.metrics import metric_by_name, score
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
    return metric.value(metric.statistics(outputs, references))


@pytest.mark.parametrize(
    ("name", "oracle"), [("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF()), ("ter", sacrebleu.TER())]
)
def test_several_references_are_sacrebleus_own(name: str, oracle: Any) -> None:
    streams = [[texts[i] if i < len(texts) else None for texts in REFERENCES] for i in range(3)]
    expected = oracle.corpus_score(OUTPUTS, streams).score
    assert value_of(name, OUTPUTS, REFERENCES, num_refs=-1) == pytest.approx(expected, abs=1e-9)
    first = [texts[:1] for texts in REFERENCES]
    assert value_of(name, OUTPUTS, first) == pytest.approx(
        oracle.corpus_score(OUTPUTS, [[texts[0] for texts in REFERENCES]]).score, abs=1e-9
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


def test_tags_of_one_sentence_are_no_independent_draws() -> None:
    true = [["A"] * 10] * 20
    predicted = [["A"] * 10] * 12 + [["B"] * 10] * 8
    metric = metric_by_name("accuracy", per_word=True)
    found = score(metric, metric.statistics(predicted, true), replicates=2, seed=0)
    assert (found.value, found.n) == (pytest.approx(0.6), 20)
    assert found.stderr == pytest.approx(np.sqrt(0.6 * 0.4 / 19))
