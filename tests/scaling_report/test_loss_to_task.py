"""Task scores against loss: joined by run, the hidden rung unseen, a law only where it earns its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaling_report.laws import LAWS
from scaling_report.loss_sections import tell_loss_to_task
from scaling_report.loss_to_task import loss_to_task
from scaling_report.svg import draw

LOSSES = (2.9, 2.7, 2.5, 2.3, 2.1, 1.9, 1.7, 1.5)


def _series(metric: str, values: Any, stage: str = "finetune", **more: Any) -> dict[str, Any]:
    points = [
        {
            "rung": f"r{i}",
            "seed": 0,
            "x": {"tokens": 1e6 + (0 if stage == "pretrain" else 5e5)},
            "value": float(value),
            "stderr": 0.01,
            "held_out": i == len(values) - 1,
        }
        for i, value in enumerate(values)
    ]
    return {
        "id": f"{stage}-{metric}",
        "title": metric,
        "task": "perplexity" if stage == "pretrain" else "quiz",
        "metric": metric,
        "split": "test",
        "stage": stage,
        "family": "gpt2",
        "run": None,
        "length": None,
        "unit": "bits per byte" if stage == "pretrain" else "share",
        "floor": 0,
        "ceiling": 1 if metric == "accuracy" else None,
        "higher_is_better": metric == "accuracy",
        "baselines": [],
        "trend": {"verdict": "rises"},
        "points": points,
        **more,
    }


def _decay(loss: Any) -> Any:
    return 1 - (0.8 - 2.0 * np.exp(-0.9 * np.asarray(loss)))


def test_a_score_is_joined_with_the_loss_of_its_rung_and_seed_and_the_rest_is_counted():
    task = _series("accuracy", [0.2, 0.3, 0.4])
    losses = _series("bits_per_byte", LOSSES[:2], "pretrain")
    (entry,) = loss_to_task([losses, task])
    assert [(p["rung"], p["loss"], p["value"]) for p in entry["points"]] == [
        ("r0", 2.9, 0.2),
        ("r1", 2.7, 0.3),
    ]
    assert entry["left_out"] == 1
    assert entry["fit"] is None
    assert entry["no_fit_reason"]


def test_a_rung_of_two_budgets_is_joined_by_tokens_or_not_at_all():
    losses = _series("bits_per_byte", LOSSES[:3], "pretrain")
    losses["points"].append({**losses["points"][0], "x": {"tokens": 4e6}, "value": 2.2})
    task = _series("accuracy", [0.2, 0.3, 0.4])
    (entry,) = loss_to_task([losses, task])
    assert [p["rung"] for p in entry["points"]] == ["r1", "r2"]
    task["points"][0]["x"] = {"tokens": 4e6}
    (entry,) = loss_to_task([losses, task])
    assert (entry["points"][0]["rung"], entry["points"][0]["loss"]) == ("r0", 2.2)


def test_without_a_loss_there_is_nothing_and_running_text_is_no_task():
    assert loss_to_task([_series("accuracy", [0.2, 0.3])]) == []
    assert loss_to_task([_series("bits_per_byte", LOSSES, "pretrain")]) == []


def test_the_section_has_a_chart_and_a_table_and_says_why_there_is_no_curve():
    entries = loss_to_task(
        [_series("bits_per_byte", LOSSES[:3], "pretrain"), _series("accuracy", [0.2, 0.3, 0.4])]
    )
    (section,) = tell_loss_to_task(entries)
    assert section.sentences[0].startswith("No curve for accuracy: ")
    (figure,) = section.figures
    assert "<svg" in draw(figure.spec)
    assert figure.spec["encoding"]["x"]["scale"]["reverse"] is True
    assert [row[0] for row in section.tables[0].rows] == ["r0", "r1", "r2"]


@pytest.mark.skipif("error-decay" not in LAWS, reason="no law over loss yet")
def test_the_law_that_made_the_scores_predicts_the_hidden_rung_from_its_loss():
    entries = loss_to_task(
        [_series("bits_per_byte", LOSSES, "pretrain"), _series("accuracy", _decay(LOSSES))]
    )
    fit = entries[0]["fit"]
    curve = np.interp(LOSSES[-1], fit["grid"]["x"][::1], fit["grid"]["fit"])
    assert curve == pytest.approx(_decay(LOSSES[-1]), abs=2e-3)
    assert "hidden from the fit" in entries[0]["sentence"]


@pytest.mark.skipif("error-decay" not in LAWS, reason="no law over loss yet")
def test_scores_without_a_trend_or_that_their_mean_predicts_as_well_get_no_curve():
    losses = _series("bits_per_byte", LOSSES, "pretrain")
    flat = _series("accuracy", [0.5] * len(LOSSES), trend={"verdict": "no trend"})
    assert loss_to_task([losses, flat])[0]["no_fit_reason"] == "no clear trend with size"
    noise = _series("accuracy", [0.5, 0.3, 0.52, 0.29, 0.5, 0.31, 0.49, 0.3])
    assert loss_to_task([losses, noise])[0]["fit"] is None


def test_scores_are_never_joined_with_the_losses_of_another_run():
    theirs = _series("bits_per_byte", LOSSES, "pretrain", run="a")
    ours = _series("bits_per_byte", [loss + 1 for loss in LOSSES], "pretrain", run="b")
    (entry,) = loss_to_task([theirs, ours, _series("accuracy", _decay(LOSSES), run="b")])
    assert [point["loss"] for point in entry["points"]] == [loss + 1 for loss in LOSSES]
