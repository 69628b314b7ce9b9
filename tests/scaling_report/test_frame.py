"""Sorting results into series: what may stand together, what is left out, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.files import InputError
from eval.results import METRICS, Result
from scaling_report.frame import METRIC_NAMES, from_results
from tests.scaling_report.synthetic import NAMES, SIZES, ladder, result


def test_the_synthetic_ladder_becomes_one_series_a_metric_in_reading_order() -> None:
    frame = from_results(ladder())
    assert [series.title for series in frame.series] == [
        "Bits per byte, test",
        "Perplexity per token, test",
        "Perplexity per byte, test",
        "code-to-docstring: BLEU, test",
        "code-to-docstring: ROUGE-L, test",
        "module-classification: accuracy, test",
        "module-classification: macro F1, test",
    ]
    bits = frame.series[0]
    assert bits.rungs == NAMES
    assert len(bits.points) == 10
    assert [point.seed for point in bits.points[:4]] == [0, 1, 0, 1]
    assert bits.points[-1].x["non_embedding"] == SIZES[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"objective": "masked-lm"},
        {"family": "bert"},
        {"stage": "finetune"},
        {"task": "other"},
        {"split": "validation"},
        {"signature": "context:512"},
        {"data_fingerprint": "e" * 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_in_kind_is_never_in_one_series(change: dict[str, object]) -> None:
    frame = from_results([result("bits_per_byte", 2.0), result("bits_per_byte", 1.9, size=2000, **change)])
    assert [len(series.points) for series in frame.series] == [1, 1]
    assert len({series.id for series in frame.series}) == 2


def test_rungs_are_ordered_by_size_not_by_name_or_line() -> None:
    table = [result("bits_per_byte", 2.0, size=size) for size in (9000, 100, 20_000)]
    assert from_results(table).series[0].rungs == ("r-100", "r-9000", "r-20000")


def test_a_missing_value_is_left_out_with_its_reason() -> None:
    frame = from_results([result("bits_per_byte", 2.0), result("bits_per_byte", None, size=2000)])
    assert len(frame.series[0].points) == 1
    assert [(entry.what, entry.reason) for entry in frame.left_out] == [
        ("r-2000, seed 0: Bits per byte, test", "no value: not measured in this example")
    ]


def test_a_run_that_was_not_annealed_is_left_out() -> None:
    table = [result("bits_per_byte", 2.0), result("bits_per_byte", 2.2, size=2000, annealed=False)]
    frame = from_results(table)
    assert frame.series[0].rungs == ("r-1000",)
    assert "had not decayed" in frame.left_out[0].reason


def test_a_model_without_a_rung_is_left_out() -> None:
    frame = from_results([result("bits_per_byte", 1.0, rung=None, stage="evaluate")])
    assert frame.series == ()
    assert "no rung" in frame.left_out[0].reason


def test_a_repeated_result_counts_once_and_is_said() -> None:
    one = result("bits_per_byte", 2.0)
    frame = from_results([one, replace(one, seconds=9.0), replace(one, seconds=8.0)])
    assert len(frame.series[0].points) == 1
    assert frame.left_out[0].reason == "the same result stands in the table twice; counted once (2 times)"


def test_a_contradiction_is_an_error_with_both_values() -> None:
    with pytest.raises(
        InputError, match=r"r-1000, seed 0: Bits per byte, test: 2\.0 and also 2\.1; remove one"
    ):
        from_results([result("bits_per_byte", 2.0), result("bits_per_byte", 2.1)])


def test_other_seeds_and_other_runs_are_points_of_their_own() -> None:
    table = [
        result("bits_per_byte", 2.0),
        result("bits_per_byte", 2.1, seed=1),
        result("bits_per_byte", 2.2, run="another"),
    ]
    assert [point.value for point in from_results(table).series[0].points] == [2.0, 2.2, 2.1]


def baseline(metric: str, value: float, **changes: object) -> Result:
    nobody = {
        "family": "baseline",
        "rung": "majority-class",
        "stage": "evaluate",
        "params": None,
        "tokens": None,
    }
    return result(metric, value, **{**nobody, "signature": "constant", "task": "sorting", **changes})


def test_a_baseline_stands_beside_its_metric_whatever_its_signature() -> None:
    model = result("accuracy", 0.6, task="sorting", stage="finetune")
    table = [
        model,
        baseline("accuracy", 0.3),
        baseline("f1_macro", 0.1),
        baseline("accuracy", 0.9, split="validation"),
    ]
    (series,) = from_results(table).series
    assert [(found.name, found.value) for found in series.baselines] == [("majority-class", 0.3)]
    assert series.rungs == ("r-1000",)


def test_axes_unknown_to_a_result_are_none_and_never_zero() -> None:
    table = [result("bits_per_byte", 2.0, params=None, flops=None, tokens=0)]
    assert set(from_results(table).series[0].points[0].x.values()) == {None}


def test_no_results_are_no_series() -> None:
    assert from_results([]).series == ()


def test_every_metric_has_a_name_for_people() -> None:
    assert set(METRIC_NAMES) == set(METRICS)


def test_parts_of_a_tasks_items_stay_out_of_the_fits() -> None:
    frame = from_results([replace(one, task=f"{one.task}/clean") for one in ladder()])
    assert frame.series == ()
    assert "a part of a task's items" in frame.left_out[0].reason


def test_titles_name_the_task_unless_it_is_the_corpus_itself() -> None:
    titles = [
        from_results([result("bits_per_byte", 2.0, task=task, stage="pretrain")]).series[0].title
        for task in ("perplexity", "lm-eval:wikitext")
    ]
    assert titles == ["Bits per byte, test", "lm-eval:wikitext: bits per byte, test"]
