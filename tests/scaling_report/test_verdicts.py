"""Data that every expert knows, and the verdict that he would give: none of them may pass for a law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.results import Result
from scaling_report.analysis import analyse
from scaling_report.curves import fit_axis
from scaling_report.fits import fit
from scaling_report.frame import Series, from_results
from scaling_report.judge import judge
from scaling_report.laws import Array
from scaling_report.off_trend import find_evidence, find_off_trend
from scaling_report.outlook import find_size, look_ahead, next_sizes
from scaling_report.settings import ReportSettings, read_target
from scaling_report.symptoms import find_plateau, find_symptoms
from tests.scaling_report.synthetic import SIZES, result

X = np.array(SIZES, dtype=float)
QUICK = ReportSettings(bootstrap=100, x=("non_embedding",))


def table(values: Array | list[float], metric: str = "bits_per_byte", **changes: Any) -> list[Result]:
    return [
        result(metric, float(value), size=size, rung=f"r{i}", **changes)
        for i, (size, value) in enumerate(zip(SIZES, values, strict=False))
    ]


def series_of(results: list[Result]) -> Series:
    return from_results(results).series[0]


def verdict(results: list[Result], **changes: Any) -> str:
    return "\n".join(analyse(results, QUICK.model_copy(update=changes))["verdict"])


def law(noise: float = 0.002, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return (1.6 + 16.5 * X**-0.35) * np.exp(noise * rng.standard_normal(X.size))


def test_pure_noise_has_no_trend_and_no_forecast() -> None:
    told = verdict(table(2 + 0.02 * np.random.default_rng(1).standard_normal(7)))
    assert "no clear trend" in told
    assert "exponent" not in told
    assert "next rung" not in told


def test_two_sizes_show_nothing() -> None:
    told = verdict(table([2.2, 2.0]))
    assert "One size to fit; a law takes three or more to be judged." in told
    assert "exponent" not in told
    assert "next rung" not in told


def test_a_flat_metric_is_flat() -> None:
    found = analyse(table([2.0] * 7), QUICK)
    assert found["series"][0]["trend"]["verdict"] == "no trend"
    assert "2.000 at every one of seven sizes: no trend" in found["series"][0]["trend"]["sentence"]
    assert found["series"][0]["fits"] == []


def test_a_saturated_metric_says_from_which_rung_on() -> None:
    scores = [0.40, 0.75, 0.92, 0.985, 0.990, 0.992, 0.991]
    told = verdict(table(scores, "accuracy", stderr=0.002, task="reviews", stage="finetune"))
    found = analyse(table(scores, "accuracy", stderr=0.002, task="reviews"), QUICK)
    assert "Accuracy of reviews is saturated: from r3 on it moves by less than 5 %" in "".join(
        found["series"][0]["surprises"]
    )
    assert "reviews" in told
    perfect = analyse(table([0.5, 0.8, 0.95, 0.999, 1.0, 1.0, 1.0], "accuracy", stderr=0.001), QUICK)
    assert any("as good as it can be from r3 on" in one for one in perfect["series"][0]["surprises"])


def test_one_outlier_is_named_with_its_evidence_and_the_others_are_left_alone() -> None:
    values = law()
    values[3] *= 1.05
    run = {
        "curves": [
            {"rung": "r3", "seed": 0, "points": [[i, loss] for i, loss in enumerate([7, 5, 4, 4, 6, 6, 6])]}
        ],
        "rungs": [
            {
                "rung": f"r{i}",
                "stage": "pretrain",
                "params": {"non_embedding": size},
                "hyper": {"learning_rate": 0.1 if i == 3 else size**-0.3},
            }
            for i, size in enumerate(SIZES)
        ],
    }
    found = find_off_trend(series_of(table(values)), QUICK, run)
    assert [entry["rung"] for entry in found] == ["r3"]
    assert found[0]["deviation_percent"] == pytest.approx(5, abs=1.5)
    assert "diverged" in found[0]["sentence"]
    assert "its learning rate is 0.10, where the other rungs' trend gives 0.030" in found[0]["sentence"]
    assert "r3 lies" in verdict(table(values))
    assert find_evidence(run, "r2") == []


def test_good_ladders_are_seldom_said_to_have_a_rung_off_the_trend() -> None:
    flagged = sum(bool(find_off_trend(series_of(table(law(0.003, seed))), QUICK, None)) for seed in range(20))
    assert flagged <= 4  # 5 % of 20 and what chance adds


def test_a_loss_that_rises_with_size_goes_against_what_is_taught() -> None:
    assert "gets worse with size" in verdict(table(law()[::-1].copy()))
    assert "gets worse with size" not in verdict(table(law()))


def test_an_exponent_of_another_order_is_compared_with_the_published_one() -> None:
    told = verdict(table(3 * X**-0.0095))
    assert "the exponent 0.0095 is 8.0 times smaller than the 0.076 of Kaplan et al. 2020" in told
    assert "Kaplan" not in verdict(table(3 * X**-0.076))


def test_the_size_that_reaches_a_target_is_the_closed_form() -> None:
    series = series_of([one for seed in (0, 1) for one in table(8 * X**-0.1, seed=seed)])
    (best,) = [one for one in fit_axis(series, series.points, "non_embedding", QUICK)[0] if one.chosen]
    wanted = 8 * (2.5 * X[-1]) ** -0.1
    found = find_size(series, best, wanted, 0.9, {x: 1e-6 * x for x in SIZES[:4]})
    assert found["size"] == pytest.approx(2.5 * X[-1], rel=1e-3)
    assert found["latency_seconds"] == pytest.approx(2.5e-6 * X[-1], rel=1e-3)
    assert "2.5 times the largest rung" in found["sentence"]
    far = find_size(series, best, 8 * (20 * X[-1]) ** -0.1, 0.9, {})
    assert "too far beyond it" in far["sentence"]
    assert far["latency_seconds"] is None
    assert far["latency_reason"] == "no sizes timed, and it takes two"
    never = find_size(series, best, 0.01, 0.9, {})
    assert never["size"] is None
    assert "not reached" in never["sentence"]
    assert "by the smallest rung already" in find_size(series, best, 5.0, 0.9, {})["sentence"]


def test_targets_are_told_in_the_verdict_and_bad_ones_in_a_line() -> None:
    told = verdict(table(law()), target=("bits_per_byte=1.72",))
    assert "Bits per byte of 1.720 takes about" in told
    for given, words in (
        ("acuracy=0.9", "did you mean accuracy?"),
        ("accuracy=1.2", "between 0 and 1"),
        ("accuracy", "METRIC=NUMBER"),
        ("bits_per_byte=-1", "at least 0"),
    ):
        with pytest.raises(ValueError, match=words.replace("?", r"\?")):
            read_target(given)


def test_the_next_rungs_follow_the_ladders_step_and_stay_within_reach() -> None:
    assert next_sizes(np.array([1.0, 1.7, 2.89])) == pytest.approx([4.913, 8.3521])
    assert next_sizes(np.array([1.0, 2.0, 4.0])) == pytest.approx([8.0])
    assert next_sizes(np.array([1.0, 10.0])) == pytest.approx([30.0])


def test_backtests_hide_one_rung_and_two_and_say_how_far_that_reached() -> None:
    found = analyse(table(law()), QUICK)["series"][0]
    assert [one["hide"] for one in found["backtests"]] == [1, 2]
    assert [len(one["forecast"]["rungs"]) for one in found["backtests"]] == [1, 2]
    assert found["outlook"]["tested"]["reach"] == pytest.approx(X[-1] / X[-3], rel=1e-6)
    low, high = found["outlook"]["rungs"][0]["interval"]
    truth = 1.6 + 16.5 * found["outlook"]["rungs"][0]["x"] ** -0.35
    assert low < truth < high


def test_odds_over_chance_win_where_accuracy_bends_towards_its_ceiling() -> None:
    accuracy = 0.25 + 0.75 / (1 + 400 * X**-0.6)
    chance = result(
        "accuracy", 0.25, family="baseline", rung="majority-class", stage="evaluate", seed=None,
        params=None, objective=None,
    )  # fmt: skip
    found = analyse([*table(accuracy, "accuracy"), chance], QUICK)["series"][0]
    best = next(one for one in found["fits"] if one["chosen"])
    assert best["name"] == "power law of odds"
    assert best["parameters"]["b"] == pytest.approx(0.6, rel=1e-4)
    assert abs(found["forecast"]["error_percent"]) < 0.01


@pytest.mark.parametrize(
    ("y", "law_name", "identified", "words"),
    [
        (np.full(7, 2.0), "power", False, "Not identified: flat, 2.000 in every run"),
        (
            2 + 0.02 * np.random.default_rng(1).standard_normal(7),
            "power",
            False,
            "Not identified: no trend; over seven sizes its logarithm shows no slope (p = 0.",
        ),
        (
            np.array([0.40, 0.75, 0.92, 0.985, 0.990, 0.992, 0.991]),
            "power",
            True,
            "Saturated: from 114,944 on it moves by less than 5 %",
        ),
        (
            np.where(np.arange(7) == 3, 1.05, 1.0) * 3 * X**-0.1,
            "power",
            True,
            "Off the law: one run lies beyond 6 robust standard deviations, the farthest at x = 114,944 (5.",
        ),
        (np.array([2.2, 2.0]), "power", False, "Not identified: two sizes cannot show a trend"),
    ],
    ids=["flat", "noise", "saturated", "outlier", "two sizes"],
)
def test_a_table_gets_the_verdict_that_an_expert_would_give(
    y: Array, law_name: str, identified: bool, words: str
) -> None:
    found = judge(law_name, {"n": X[: y.size]}, y, bootstrap=100)
    assert found.identified is identified
    assert words in " ".join(found.verdict)


def test_noise_over_size_and_data_is_noise() -> None:
    n, d = np.repeat([1e8, 1e9, 1e10], 4), np.tile([1e9, 1e10, 1e11, 1e12], 3)
    noise = 2 + 0.02 * np.random.default_rng(2).standard_normal(12)
    assert any("no trend" in one for one in judge("chinchilla", {"n": n, "d": d}, noise, bootstrap=0).verdict)
    fallen = 1.8 + 480 / n**0.35 + 2100 / d**0.37
    assert not any(
        "no trend" in one for one in judge("chinchilla", {"n": n, "d": d}, fallen, bootstrap=0).verdict
    )


def test_a_law_without_symptoms_has_none() -> None:
    assert find_symptoms(fit("power-floor", X, law()), X, law()) == ([], [])
    assert find_plateau(X, 1.6 + 16.5 * X**-0.35) is None


def test_a_power_law_is_never_saturated_and_an_outlier_hides_no_trend() -> None:
    x = np.geomspace(1e3, 1e9, 12)
    assert "Saturated" not in " ".join(judge("power", {"n": x}, 100 * x**-0.5, bootstrap=0).verdict)
    n = np.geomspace(1e7, 1e10, 10)
    loss = (1.8 + 480 / n**0.35) * np.exp(0.003 * np.random.default_rng(0).standard_normal(10))
    loss[4] *= 3
    found = judge("power-floor", {"n": n}, loss, bootstrap=100)
    assert found.identified
    told = " ".join(found.verdict)
    assert "no trend" not in told
    assert "Saturated" not in told
    assert "Off the law: one run" in told


def test_the_next_rung_lies_beyond_what_was_trained_also_where_the_largest_are_in_no_fit() -> None:
    scores = [0.40, 0.55, 0.68, 0.79, 0.88, 1.0, 1.0]
    found = analyse(table(scores, "accuracy", task="reviews"), QUICK)["series"][0]
    assert min(rung["x"] for rung in found["outlook"]["rungs"]) > X[-1]


def test_a_score_without_an_error_does_not_take_all_weight() -> None:
    scores = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    results = [
        result("exact_match", score, size=size, rung=f"r{i}", stderr=0.0 if i == 0 else 0.02)
        for i, (size, score) in enumerate(zip(SIZES, scores, strict=True))
    ]
    found = analyse(results, QUICK)["series"][0]
    assert found["fits"]
    assert {str(entry["weights"]) for entry in found["fits"]} == {"None"}


def test_what_failed_is_said_beside_what_held() -> None:
    values = law()
    backtests = analyse(table(values), QUICK)["series"][0]["backtests"]
    failed = {**backtests[1]["forecast"], "rungs": [{"inside": False}]}
    told = look_ahead(
        series_of(table(values)), QUICK, [backtests[0], {**backtests[1], "forecast": failed}], {}
    )
    assert "with two rungs hidden, what was measured lay outside" in told["tested"]["sentence"]
    untested = [{"forecast": None, "no_forecast_reason": "Three sizes show no clear trend."}]
    assert (
        "Three sizes show no clear trend."
        in look_ahead(series_of(table(values)), QUICK, untested, {})["tested"]["sentence"]
    )


@pytest.mark.parametrize(
    "run",
    [
        None,
        {},
        {"curves": [{"rung": "r3", "points": None}]},
        {"rungs": [{"rung": "r3", "stage": "pretrain", "params": None, "hyper": {"learning_rate": None}}]},
    ],
)
def test_where_nothing_is_known_of_a_training_no_evidence_is_claimed(run: dict[str, Any] | None) -> None:
    assert find_evidence(run, "r3") is None


def test_four_places_make_a_report_that_says_what_the_surface_lacks() -> None:
    results = [
        result("bits_per_byte", 2.0 + 0.1 * i, size=size, tokens=tokens, rung=f"r{size}")
        for i, (size, tokens) in enumerate([(1000, 10**6), (1000, 10**7), (4000, 10**6), (4000, 10**7)])
    ]
    found = analyse(results, QUICK)
    assert found["surfaces"] == []
    assert "four pairs of size and length" in found["no_surface_reason"]
