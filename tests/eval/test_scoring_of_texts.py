"""How texts are compared: tokens by setting, several references, sentences, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from eval.files import InputError
from eval.metrics import metric_by_name, refuse_empty, score
from eval.metrics.rouge_tokens import chinese_characters_and_words, words_of_any_script
from eval.settings import Scoring

CHINESE = ["我昨天买了三本新书。", "他们在 Beijing 的公园里散步，天气很好", "猫"]
WANTED = ["我昨天买了两本新书。", "他们昨天在 Beijing 公园散步，天气不错。", "一只黑猫"]


def value_of(name: str, outputs: Any, wanted: Any, **scoring: Any) -> float:
    metric = metric_by_name(name, scoring=Scoring(**scoring))
    return metric.value(metric.statistics(outputs, wanted))


@pytest.mark.parametrize("tokenize", ["zh", "char", "intl"])
def test_chinese_is_scored_and_signed_as_sacrebleu_does(tokenize: Any) -> None:
    scoring = Scoring(tokenize=tokenize)
    asian = tokenize != "intl"
    oracles = {
        "bleu": sacrebleu.BLEU(tokenize=tokenize),
        "ter": sacrebleu.TER(normalized=asian, asian_support=asian),
        "chrf": sacrebleu.CHRF(),
    }
    for name, oracle in oracles.items():
        metric = metric_by_name(name, scoring=scoring)
        found = metric.value(metric.statistics(CHINESE, WANTED))
        assert found == pytest.approx(oracle.corpus_score(CHINESE, [WANTED]).score, abs=1e-9)
        assert metric.signature() == str(oracle.get_signature())
    words = sacrebleu.BLEU().corpus_score(CHINESE, [WANTED]).score
    assert value_of("bleu", CHINESE, WANTED, tokenize="zh") > words + 10


def test_rouge_counts_chinese_characters_and_other_words_whole() -> None:
    """Of 我爱Beijing and 我 喜欢 beijing: 我 and beijing of 3 and 4 tokens."""
    assert chinese_characters_and_words("我爱Beijing，2 天") == ["我", "爱", "beijing", "2", "天"]
    assert value_of("rouge1", ["我爱Beijing。"], ["我 喜欢 beijing"], tokenize="zh") == pytest.approx(4 / 7)
    assert value_of("rouge1", ["我爱。"], ["我 爱。"], tokenize="char") == 1.0
    assert value_of("rouge1", CHINESE, WANTED) == pytest.approx(1 / 3)  # only Beijing is seen as a word


def test_words_of_any_script_keep_their_marks() -> None:
    assert words_of_any_script("Größe, हिन्दी भाषा – naïve 3x!") == ["größe", "हिन्दी", "भाषा", "naïve", "3x"]
    assert value_of("rouge1", ["Größe"], ["große"], tokenize="intl") == 0.0
    assert value_of("rouge1", ["Größe"], ["Gräße"]) == 1.0  # words are runs of a–z: both are gr and e


def test_stems_count_for_words_only() -> None:
    assert value_of("rouge1", ["running files"], ["run file"]) == 1.0
    assert value_of("rouge1", ["running files"], ["run file"], stemmer=False) == 0.0
    assert value_of("rouge1", ["running files"], ["run file"], tokenize="intl") == 0.0
    signatures = [
        metric_by_name("rouge1", scoring=Scoring(tokenize=tokenize, stemmer=stemmer)).signature()
        for tokenize, stemmer in (("words", True), ("words", False), ("intl", True))
    ]
    assert [text.split("|")[1:3] for text in signatures] == [
        ["tok:words", "stemmer:yes"],
        ["tok:words", "stemmer:no"],
        ["tok:intl", "stemmer:no"],
    ]


@pytest.mark.parametrize("stemmer", [True, False])
def test_all_rouges_of_a_pair_are_rouge_scores_own(stemmer: bool) -> None:
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    outputs = ["The cat sat.\nDogs were running home.", "one line only here", "", "a\nb c d"]
    references = [
        "Dogs ran home.\nThe cat is sitting.",
        "only one line is here",
        "nothing\nfound",
        "d c\nb a",
    ]
    oracle = RougeScorer(names, use_stemmer=stemmer)
    pairs = [oracle.score(reference, text) for reference, text in zip(references, outputs, strict=True)]
    for name in names:
        wanted = np.mean([pair[name].fmeasure for pair in pairs])
        assert value_of(name, outputs, references, stemmer=stemmer) == pytest.approx(wanted, abs=1e-12)
    assert value_of("rougeLsum", outputs, references) != value_of("rougeL", outputs, references)
    assert "|sentences:newline" in metric_by_name("rougeLsum").signature()


def test_several_references_count_by_the_best_or_on_average() -> None:
    outputs, references = ["a b c d"], [["a b x y z", "d c b a", "q"]]
    assert value_of("rouge1", outputs, references) == 1.0
    assert value_of("rouge2", outputs, references) == 0.0
    assert value_of("rouge1", outputs, references, references="average") == pytest.approx((4 / 9 + 1) / 3)
    assert value_of("rouge2", outputs, references, references="average") == pytest.approx((2 / 7) / 3)
    metric = metric_by_name("rouge2", num_refs=3, scoring=Scoring(references="average"))
    assert metric.signature().endswith("|references:average")


def test_exact_match_of_the_text_as_it_is() -> None:
    outputs, references = ["  return x ", "The cat", "a"], ["return x", "cat", ["b", "a"]]
    assert value_of("exact_match", outputs, references, exact="text") == pytest.approx(2 / 3)
    assert value_of("exact_match", outputs, references) == 1.0
    signatures = {
        metric_by_name("exact_match", scoring=Scoring(exact=how)).signature() for how in ("squad", "text")
    }
    assert len(signatures) == 2


@pytest.mark.parametrize(
    ("names", "tokenize", "reference", "message"),
    [
        (
            ["bleu", "rouge1"],
            "words",
            "我喜欢猫",
            "item 'x2': rouge1 finds nothing to count in the reference '我喜欢猫'",
        ),
        (["rougeL"], "zh", "！？", "set scoring: {tokenize: char} \\(or zh, intl\\)"),
        (["bleu"], "words", " ", "item 'x2': a reference is empty"),
        (["chrf"], "words", "", "item 'x2': a reference is empty"),
    ],
)
def test_a_reference_of_no_tokens_is_refused(
    names: list[str], tokenize: Any, reference: str, message: str
) -> None:
    metrics = [metric_by_name(name, scoring=Scoring(tokenize=tokenize)) for name in names]
    with pytest.raises(InputError, match=message) as error:
        refuse_empty(metrics, ["fine", ["fine too", reference]], ["x1", "x2"])
    assert "\n" not in str(error.value)


def test_references_that_can_be_scored_are_not_refused() -> None:
    for tokenize in ("zh", "char", "intl"):
        metrics = [
            metric_by_name(name, scoring=Scoring(tokenize=tokenize)) for name in ("bleu", "ter", "rouge2")
        ]
        refuse_empty(metrics, WANTED, ["a", "b", "c"])
    refuse_empty([metric_by_name("exact_match")], ["", []], ["a", "b"])  # no answer is an answer
    with pytest.raises(InputError, match="item 'b' has no reference"):
        refuse_empty([metric_by_name("bleu")], ["x", []], ["a", "b"])


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter", "rouge1", "rougeLsum"])
def test_an_empty_prediction_is_an_output(name: str) -> None:
    metric = metric_by_name(name)
    found = score(
        metric,
        metric.statistics(["", "a cat sat there"], ["a dog ran", "a cat sat there"]),
        replicates=9,
        seed=0,
    )
    assert found.n == 2
    worst = value_of(name, [""], ["a dog ran"])
    assert worst == (100.0 if name == "ter" else 0.0)
    assert 0 < found.value < 100


@pytest.mark.parametrize("name", ["bleu", "rouge1", "exact_match", "accuracy", "f1_macro"])
def test_what_cannot_be_paired_is_an_error(name: str) -> None:
    metric = metric_by_name(name, ("a", "b"))
    with pytest.raises(ValueError, match="no predictions; give at least one"):
        metric.statistics([], [])
    with pytest.raises(ValueError, match="3 predictions for 2 references"):
        metric.statistics(["a", "b", "a"], ["a", "b"])
    with pytest.raises(ValueError, match="give a list of one text an item"):
        metric.statistics("ab", ["a", "b"])


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge1", "f1"])
def test_a_list_a_reference_is_not_taken_for_a_list_an_item(name: str) -> None:
    outputs, nested = ["a", "b", "c"], [["a", "b", "c"], ["x", "y", "z"]]
    with pytest.raises(ValueError, match="they are 2 lists of 3 texts, one list a reference"):
        metric_by_name(name).statistics(outputs, nested)


@pytest.mark.parametrize("name", ["bleu", "rouge1", "f1"])
def test_what_is_no_text_is_an_error(name: str) -> None:
    metric = metric_by_name(name)
    with pytest.raises(ValueError, match="item 1: a prediction is None; a text is wanted"):
        metric.statistics(["a", None], ["a", "b"])
    with pytest.raises(ValueError, match=r"item 0: a reference is \['b'\]; a text is wanted"):
        metric.statistics(["a"], [[["b"]]])


def test_texts_need_a_reference_and_answers_none() -> None:
    with pytest.raises(ValueError, match="item 1 has no reference"):
        metric_by_name("bleu").statistics(["a", "b"], [["a"], []])
    assert value_of("f1", ["x", ""], [["x"], []]) == 1.0
