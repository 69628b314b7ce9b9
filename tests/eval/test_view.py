"""Evaluations as people read them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eval.evaluations import Kept
from eval.results import Result
from eval.view import measured_table, notes, print_results, result_table, results_markdown
from tests.eval.test_comparing import result


def kept(results: list[Result], *, key: str = "1a2b", shots: int = 0, **facts: Any) -> Kept:
    told = {"task": {"shots": shots}, "settings": {"context": 128, "bootstrap": 1000}}
    manifest = {
        "model": "a|b",
        "task": "quiz",
        "key": key,
        "source": ["/far/away/books/quiz.csv"],
        "told": told,
    }
    return Kept(Path("evals/a-b/quiz-test-1a2b"), manifest, results, {"items": 40} | facts)


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.43344, 0.04712, "0.433 ± 0.047"),
        (83.25, 1.04, "83.2 ± 1.0"),
        (2121245.0, 1031323.0, "2121245 ± 1031323"),
        (0.5, None, "0.5"),
        (1.0, 0.0, "1"),
    ],
)
def test_values_show_two_digits_of_their_error(value: float, stderr: float | None, shown: str) -> None:
    metric = "accuracy" if value <= 1 else "ter"
    (row,) = result_table([kept([result(metric, value, "", stderr=stderr)])])
    assert row["value"] == shown


def test_a_value_that_is_not_there_says_why() -> None:
    one = result("accuracy", 0.5, "").to_dict()
    one |= {"value": None, "missing": one["missing"] | {"value": "not finite: nan"}}
    assert result_table([kept([Result(**one)])])[0]["value"] == "none (not finite: nan)"


def test_baselines_and_speed_stand_beside_the_score() -> None:
    baseline = result("accuracy", 0.25, "", family="baseline", rung="majority-class")
    speed = {"items_per_second": 1234.5, "tokens_per_second": 9.87, "latency_ms": 3.21}
    found = [kept([result("accuracy", 0.5, ""), result("mcc", 0.1, ""), baseline], speed=speed)]
    assert [(row["metric"], row["baseline"]) for row in result_table(found)] == [
        ("accuracy", "0.25 majority-class"),
        ("mcc", ""),
    ]
    (row,) = measured_table(found)
    assert (row["items/s"], row["tokens/s"], row["latency"]) == ("1,234", "9.87", "3.21 ms")
    assert (row["rows"], row["settings"]) == ("books/quiz.csv", "context=128")


def test_evaluations_of_one_name_are_told_apart_by_their_keys() -> None:
    two = [kept([result("accuracy", 0.5, "")], key=key) for key in ("1a2b", "3c4d")]
    assert [row["task"] for row in result_table(two)] == ["quiz [1a2b]", "quiz [3c4d]"]
    console = Console(width=200, record=True, file=io.StringIO())
    print_results(console, two)
    assert "a|b, quiz [3c4d] · test · books/quiz.csv · 40 items" in console.export_text()
    assert "quiz [" not in results_markdown(two[:1])
    confusion = {"labels": ["no", "yes"], "counts": [[3, 1], [0, 36]]}
    page = results_markdown(
        [kept([result("accuracy", 0.5, "")], key=key, confusion=confusion) for key in "ab"]
    )
    assert "## a\\|b, quiz [b]: what was said" in page


def test_lost_examples_of_items_that_are_too_long_are_told() -> None:
    cut = {"count": 1, "examples": ["i1"]}
    assert "1 of 40 items were longer than the model reads (i1)" in notes([kept([], cut=cut)])[0]
    assert "lost some of their 4 solved examples: lower shots" in notes([kept([], cut=cut, shots=4)])[0]


def test_what_a_reader_must_know_is_said_once_and_the_same_in_markdown() -> None:
    failed = {"count": 3, "examples": ["i1: too long", "i2: too long", "i3: too long"]}
    overlap = {"count": 2, "of": 40, "examples": ["i5: to be | or not", "i6: the rest"]}
    facts = {"failed": failed, "cut": {"count": 0, "examples": []}, "contamination": overlap}
    confusion = {"labels": ["no", "yes"], "counts": [[3, 1], [0, 36]]}
    two = [kept([result("accuracy", 0.5, "")], confusion=confusion, **facts) for _ in range(2)]
    page = results_markdown(two)
    assert page.count("3 of 40 items could not be scored (i1: too long; i2: too long; …)") == 1
    assert "2 of 40 items share long n-grams with train rows (i5: to be \\| or not; i6: the rest)" in page
    assert "| a\\|b | quiz [1a2b] | test | accuracy | 0.5 | 4 |" in page
    assert "| yes | 0 | 36 |" in page
    assert "longer than the model reads" not in page
    console = Console(width=200, record=True, file=io.StringIO())
    print_results(console, two)
    text = console.export_text()
    for words in ("3 of 40 items could not be scored", "is \\ said", "0.5", "`clean` are the others"):
        assert words in text


def test_no_number_is_cut_in_a_narrow_terminal() -> None:
    speed = {"items_per_second": 1234567.5, "tokens_per_second": 123456789.0, "latency_ms": 3.21}
    shown = kept([result("word_perplexity", 2121245.0, "", stderr=1031323.0)], speed=speed)
    console = Console(width=30, record=True, file=io.StringIO())
    print_results(console, [shown])
    assert "2121245 ± 1031323" in console.export_text()
