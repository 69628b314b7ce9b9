"""The analysis as its readers meet it: honest words, nothing peeked at, nothing that is not JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.results import Result
from scaling_report.analysis import analyse
from scaling_report.settings import ReportSettings
from tests.scaling_report.synthetic import NAMES, SIZES, ladder, result

QUICK = ReportSettings(bootstrap=100)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return analyse(ladder(), QUICK)


def series_of(found: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(series for series in found["series"] if series["metric"] == metric)


def bits(values: np.ndarray | list[float], metric: str = "bits_per_byte") -> list[Result]:
    return [result(metric, float(value), size=size) for size, value in zip(SIZES, values, strict=False)]


def test_it_is_json_without_nan_and_the_same_twice(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert analyse(ladder(), QUICK) == found


def test_the_keys_are_those_that_readers_of_laws_json_rely_on(found: dict[str, Any]) -> None:
    assert list(found) == [
        "format",
        "run",
        "settings",
        "series",
        "surfaces",
        "no_surface_reason",
        "compute_optimal",
        "no_compute_optimal_reason",
        "comparisons",
        "not_compared",
        "no_comparison_reason",
        "overlays",
        "verdict",
        "loss_to_task",
        "left_out",
    ]
    one = series_of(found, "bits_per_byte")
    assert {
        "id",
        "title",
        "unit",
        "points",
        "baselines",
        "above_baseline",
        "trend",
        "fits",
        "forecast",
    } <= set(one)
    assert {"verdict", "sentence", "p_value"} <= set(one["trend"])
    assert {(entry["x"], entry["law"]) for entry in one["fits"]} == {
        (x, law) for x in ("non_embedding", "flops") for law in ("power", "power-floor")
    }
    for entry in one["fits"]:
        grid = entry["grid"]
        assert len(grid["x"]) == len(grid["fit"]) == len(grid["confidence"]) == len(grid["prediction"])
        for value, (low, high), (least, most) in zip(
            grid["fit"], grid["confidence"], grid["prediction"], strict=True
        ):
            assert low <= high
            assert least <= most
            assert least <= value <= most


def test_one_law_is_chosen_on_each_axis(found: dict[str, Any]) -> None:
    for series in found["series"]:
        for axis in {entry["x"] for entry in series["fits"]}:
            assert sum(entry["chosen"] for entry in series["fits"] if entry["x"] == axis) == 1


def test_the_hidden_rung_is_predicted_within_its_interval_and_better_than_naively(
    found: dict[str, Any],
) -> None:
    forecast = series_of(found, "bits_per_byte")["forecast"]
    assert forecast["held_out"] == [NAMES[-1]]
    assert forecast["law"] == "power-floor"
    assert forecast["inside"]
    assert abs(forecast["error_percent"]) < 1
    assert abs(forecast["error_percent"]) < abs(forecast["last_value"]["error_percent"]) / 2
    assert "r7-1m hidden, the power law with a floor fitted to the other six rungs" in forecast["sentence"]
    assert f"{forecast['actual']:.4g}" in forecast["sentence"]


def _blind(entry: dict[str, Any]) -> dict[str, Any]:
    """A fit but for the last residual, the hidden rung's, which tells how far that lies off."""
    return {**entry, "residuals": entry["residuals"][:-1]}


def test_fits_never_see_the_hidden_value(found: dict[str, Any]) -> None:
    table = [
        replace(one, value=one.value * 1.3)
        if one.rung == NAMES[-1] and one.metric == "bits_per_byte"
        else one
        for one in ladder()
        if one.value is not None
    ]
    moved, before = series_of(analyse(table, QUICK), "bits_per_byte"), series_of(found, "bits_per_byte")
    assert [_blind(one) for one in moved["fits"]] == [_blind(one) for one in before["fits"]]
    assert moved["forecast"]["predicted"] == before["forecast"]["predicted"]
    assert moved["forecast"]["interval"] == before["forecast"]["interval"]
    assert not moved["forecast"]["inside"]
    assert "outside the interval" in moved["forecast"]["sentence"]


def test_two_hidden_rungs_are_both_predicted_the_largest_in_front() -> None:
    forecast = series_of(analyse(ladder(), ReportSettings(bootstrap=100, holdout=2)), "bits_per_byte")[
        "forecast"
    ]
    assert [one["rung"] for one in forecast["rungs"]] == list(NAMES[-2:])
    assert forecast["predicted"] == forecast["rungs"][-1]["predicted"]
    assert forecast["reach"] == pytest.approx(SIZES[-1] / SIZES[-3])
    assert "times beyond the largest rung fitted" in forecast["sentence"]


def test_a_metric_that_stays_at_its_baseline_shows_no_trend_and_gets_no_curve(found: dict[str, Any]) -> None:
    bleu = series_of(found, "bleu")
    assert bleu["trend"]["verdict"] == "no trend"
    assert bleu["fits"] == []
    assert bleu["forecast"] is None
    assert "show no clear trend (p = " in bleu["no_forecast_reason"]
    assert bleu["above_baseline"] == []
    assert bleu["baseline_sentence"].startswith(
        "BLEU of code-to-docstring: no rung beats the best-constant baseline"
    )


def test_a_rising_accuracy_is_fitted_as_distance_to_its_ceiling(found: dict[str, Any]) -> None:
    accuracy = series_of(found, "accuracy")
    assert accuracy["trend"]["verdict"] == "rises"
    entry = next(entry for entry in accuracy["fits"] if entry["chosen"])
    assert entry["formula"].startswith("1 - y = ")
    assert np.all(np.diff(entry["grid"]["fit"]) > 0)
    assert np.min(entry["grid"]["prediction"]) >= 0
    assert np.max(entry["grid"]["prediction"]) < 1
    assert NAMES[0] not in accuracy["above_baseline"]
    assert accuracy["above_baseline"][-1] == NAMES[-1]


def test_above_a_baseline_means_by_two_standard_errors_of_the_difference() -> None:
    nobody = {"family": "baseline", "rung": "majority-class", "stage": "evaluate", "params": None}
    table = [result("accuracy", 0.3, stderr=0.03, **nobody)]  # the difference's standard error is 0.05
    for size, value in ((100, 0.39), (200, 0.41), (300, None)):
        table.append(result("accuracy", value, stderr=None if value is None else 0.04, size=size))
    (series,) = analyse(table, QUICK)["series"]
    assert series["above_baseline"] == ["r-200"]
    assert (
        "r-200 beats the majority-class baseline (0.300) by more than two standard errors"
        in series["baseline_sentence"]
    )


def test_a_missing_rung_is_listed_and_the_others_are_fitted(found: dict[str, Any]) -> None:
    assert [entry["what"] for entry in found["left_out"]] == [
        "r4-115k, seed 0: code-to-docstring: BLEU, test",
        "r4-115k, seed 0: code-to-docstring: ROUGE-L, test",
    ]
    rouge = series_of(found, "rougeL")
    assert rouge["fits"][0]["sizes"] == 5


def test_two_sizes_are_said_to_identify_nothing() -> None:
    (series,) = analyse(bits([2.2, 2.1]), ReportSettings(bootstrap=100, holdout=0))["series"]
    assert series["fits"] == []
    assert series["trend"]["verdict"] is None
    assert (
        series["trend"]["sentence"] == "Bits per byte: two sizes cannot show a trend; it takes three or more."
    )
    (hidden,) = analyse(bits([2.2, 2.1, 2.0]), QUICK)["series"]
    assert hidden["forecast"] is None
    assert hidden["no_forecast_reason"] == "Two sizes to fit; a law takes three or more to be judged."


def test_three_visible_sizes_fit_a_power_law_and_say_why_no_floor() -> None:
    (series,) = analyse(bits([2.2, 2.099, 2.0, 1.908]), QUICK)["series"]
    assert {entry["law"] for entry in series["fits"]} == {"power"}
    assert any(
        "y = e + a·x^-b is not identified by three sizes: three parameters need four" in note
        for note in series["notes"]
    )
    assert series["forecast"]["law"] == "power"


def test_an_axis_on_which_nothing_varies_gets_words_instead_of_a_fit() -> None:
    settings = ReportSettings(bootstrap=100, x=("non_embedding", "tokens"))
    (series,) = analyse(bits(2.2 - 0.1 * np.arange(7)), settings)["series"]
    assert {entry["x"] for entry in series["fits"]} == {"non_embedding"}
    assert "No law is fitted against training tokens: one size to fit." in series["notes"]


def test_a_trend_that_the_hidden_rung_breaks_is_said_to_be_broken() -> None:
    (series,) = analyse(bits([2.2, 2.1, 2.02, 1.95, 1.9, 1.86, 3.5]), QUICK)["series"]
    assert series["trend"]["verdict"] == "no trend"
    assert (
        "Over the rungs that the fits could see it fell; the hidden ones break that."
        in series["trend"]["sentence"]
    )
    assert series["forecast"]["inside"] is False


def test_a_floor_that_the_data_do_not_show_is_called_not_identified() -> None:
    rng = np.random.default_rng(0)
    values = 4.2 * np.array(SIZES) ** -0.06 * np.exp(0.003 * rng.standard_normal(7))
    (series,) = analyse(bits(values), QUICK)["series"]
    floor = next(entry for entry in series["fits"] if entry["law"] == "power-floor")
    assert not floor["identified"]
    assert any(note.startswith("The floor e is not identified") for note in floor["notes"])


def test_a_score_that_never_moves_is_said_in_one_plain_sentence() -> None:
    (series,) = analyse(bits([0.0] * 7, "chrf"), QUICK)["series"]
    assert series["trend"]["sentence"] == "chrF is 0 at every one of seven sizes: no trend."
    assert series["fits"] == []


def test_perplexity_that_rises_with_size_is_said_to_rise() -> None:
    (series,) = analyse(bits(np.linspace(20, 40, 7), "token_perplexity"), QUICK)["series"]
    assert series["trend"]["verdict"] == "rises"
    assert next(entry for entry in series["fits"] if entry["law"] == "power")["parameters"]["b"] < 0


def test_a_score_at_its_ceiling_is_left_out_of_the_fit_in_words() -> None:
    values = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.97]
    (series,) = analyse(bits(values, "accuracy"), QUICK)["series"]
    assert f"r-{SIZES[5]} is in no fit: 1 - y is 0, and laws need it above 0." in series["notes"]
    assert series["fits"][0]["sizes"] == 5


def test_the_verdict_says_first_what_happened_to_the_loss_and_where_it_did_not_improve(
    found: dict[str, Any],
) -> None:
    assert found["verdict"][0].startswith(
        "Bits per byte on the test split fall with every larger rung, from 2.2"
    )
    assert found["verdict"][1] == series_of(found, "bits_per_byte")["forecast"]["sentence"]
    bumpy = analyse(bits([2.2, 2.1, 2.15, 2.0, 1.95, 1.9, 1.87]), QUICK)
    assert bumpy["verdict"][0].endswith(f"not better than the rung before: r-{SIZES[2]}.")


def test_no_results_give_an_empty_analysis() -> None:
    assert analyse([], QUICK)["series"] == []
    assert analyse([], QUICK)["verdict"] == []


def test_adding_a_metric_leaves_the_other_bands_as_they_are(found: dict[str, Any]) -> None:
    fewer = analyse([one for one in ladder() if one.metric != "byte_perplexity"], QUICK)
    assert series_of(fewer, "accuracy")["fits"] == series_of(found, "accuracy")["fits"]
