"""Accuracy by way of the task's loss: both steps' parameters, and both steps' errors in what is predicted."""

from __future__ import annotations

import numpy as np
import pytest

from eval.files import InputError
from scaling_report.fits import fit
from scaling_report.laws import LAWS, Array, chinchilla, sigmoid
from scaling_report.two_step import bands, judge_two_step, resample_both
from scaling_report.uncertainty import resample

STEP_1 = {"E": 0.4, "A": 200.0, "B": 800.0, "alpha": 0.33, "beta": 0.33}
STEP_2 = {"a": -0.65, "k": 6.0, "x0": 0.9, "b": 0.9}
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, 6), np.geomspace(2e9, 2e11, 5)))
CURVE = chinchilla(N, D, **STEP_1)
LARGE = {"n": 1e10, "d": 4e11}


def runs(seed: int, of_loss: float = 0.01, of_accuracy: float = 0.03) -> tuple[Array, Array]:
    """Losses about the first step, accuracies about the second given those losses."""
    rng = np.random.default_rng(seed)
    losses = CURVE * np.exp(of_loss * rng.standard_normal(N.size))
    link = LAWS["sigmoid"].link
    return losses, link.back(link.to(sigmoid(losses, **STEP_2)) + of_accuracy * rng.standard_normal(N.size))


@pytest.mark.parametrize("loss", ["huber", "least-squares"])
def test_both_steps_recover_their_own_parameters(loss: str) -> None:
    found = judge_two_step(
        {"n": N, "d": D, "l": CURVE}, sigmoid(CURVE, **STEP_2), loss=loss, bootstrap=0, predict=[LARGE]
    )
    assert found.to_dict()["parameters"] == pytest.approx(STEP_1 | STEP_2, rel=1e-6)
    assert found.identified
    there = chinchilla(np.array(1e10), np.array(4e11), **STEP_1)
    assert found.predictions[0]["loss"] == pytest.approx(there, rel=1e-9)
    assert found.predictions[0]["value"] == pytest.approx(sigmoid(there, **STEP_2), rel=1e-9)


def test_errors_of_both_steps_reach_the_accuracy() -> None:
    """With a first step that scatters much, its error is most of the band."""
    losses, y = runs(0, of_loss=0.05, of_accuracy=0.003)
    at = np.array([[1e10], [4e11]])
    x = np.stack([N, D])
    fits = fit("chinchilla", x, losses), fit("sigmoid", losses, y)
    curve, new = bands(resample_both(fits, x, losses, y, replicates=100, seed=0), at, 0.9)
    alone = resample(fits[1], losses, y, replicates=100, seed=0)
    second = alone.prediction(fits[0].predict(at), 0.9)[0]
    assert np.ptp(curve) > 3 * np.ptp(second)
    assert np.ptp(new) > np.ptp(curve)
    slope = (sigmoid(fits[0].predict(at) * 1.001, **STEP_2) - sigmoid(fits[0].predict(at), **STEP_2)) / 0.001
    assert np.ptp(new) > 2 * 1.645 * 0.05 * abs(slope[0]) * 0.7, "a new run's loss scatters, too"


def test_both_steps_are_refitted_to_the_same_runs() -> None:
    losses, y = runs(1)
    x = np.stack([N, D])
    fits = fit("chinchilla", x, losses), fit("sigmoid", losses, y)
    first, second = resample_both(fits, x, losses, y, replicates=20, seed=3)
    assert first.kind == second.kind == "rungs"
    assert len(first.solutions.parameters) == len(second.solutions.parameters) == 20 - first.failed
    again = resample_both(fits, x, losses, y, replicates=20, seed=3)
    np.testing.assert_array_equal(again[1].solutions.parameters, second.solutions.parameters)


def test_bands_hold_new_runs() -> None:
    """90 % bands of the largest run over eight tables: seven hold, give or take."""
    held = 0
    for seed in range(8):
        losses, y = runs(seed)
        largest = int(np.argmax(N * D))
        kept = np.arange(N.size) != largest
        found = judge_two_step(
            {"n": N[kept], "d": D[kept], "l": losses[kept]},
            y[kept],
            starts=0,
            bootstrap=40,
            seed=seed,
            predict=[{"n": N[largest], "d": D[largest]}],
        )
        low, high = found.predictions[0]["prediction"]
        held += low <= y[largest] <= high
    assert held >= 5


def test_doubts_name_their_step_and_hidden_runs_are_predicted() -> None:
    losses, y = runs(2)
    told = judge_two_step({"n": N, "d": 20 * N, "l": losses}, y, bootstrap=0)
    assert not told.identified
    assert any(one.startswith("Not identified in step 1: n and d go together") for one in told.verdict)
    tested = judge_two_step({"n": N, "d": D, "l": losses}, y, bootstrap=0, holdout=3).holdout
    assert tested is not None
    assert sorted(tested["measured"]) == sorted(y[np.argsort(N * D, kind="stable")[-3:]])
    assert tested["mean_absolute_error_percent"] < 5


def test_without_the_tasks_loss_there_is_no_second_step() -> None:
    with pytest.raises(InputError, match=r"two-step: needs l \(loss\), and n, d are given"):
        judge_two_step({"n": N, "d": D}, np.full(N.size, 0.5))
