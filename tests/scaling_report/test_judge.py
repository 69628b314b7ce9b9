"""Laws of size and data on tables: published fits, the law's own parameters, and what an expert would say."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from eval.files import InputError
from scaling_report.fits import fit
from scaling_report.inputs import find_inputs
from scaling_report.judge import judge
from scaling_report.laws import LAWS, Array, chinchilla
from scaling_report.losses import LOSSES
from scaling_report.uncertainty import resample

TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, 5), np.geomspace(2e9, 2e11, 5)))
SURFACE = np.stack([N, D])


def noisy(seed: int, noise: float = 0.005) -> Array:
    return chinchilla(N, D, **TRUTH) * np.exp(noise * np.random.default_rng(seed).standard_normal(N.size))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_surface_recovers_its_own_parameters(loss: str) -> None:
    found = fit("chinchilla", SURFACE, chinchilla(N, D, **TRUTH), loss=loss)
    assert found.converged
    assert found.identified
    assert (found.arrived or 0) > 0.5 or LOSSES[loss].absolute
    assert found.parameters == pytest.approx(TRUTH, rel=1e-6)


def test_the_jacobian_matches_central_differences() -> None:
    law, theta = LAWS["chinchilla"], np.array([[0.1, -0.5, -0.7, 0.3, 0.4]])
    u = SURFACE / np.exp(np.log(SURFACE).mean(axis=1, keepdims=True))
    for i in range(5):
        step = np.zeros_like(theta)
        step[..., i] = 1e-6
        slope = (law.log_curve(theta + step, u) - law.log_curve(theta - step, u)) / 2e-6
        np.testing.assert_allclose(law.log_jacobian(theta, u)[..., i], slope, rtol=1e-6, atol=1e-9)
    natural = law.natural(theta, np.array([1e9, 1e10]), 2.5)
    curve = law.predict(u * np.array([[1e9], [1e10]]), natural)
    np.testing.assert_allclose(curve, 2.5 * np.exp(law.log_curve(theta, u)))


def test_the_published_grid_has_its_4500_starts_in_the_datas_own_units() -> None:
    law, x0, y0 = LAWS["chinchilla"], np.array([3e8, 2e10]), 2.7
    assert law.grid is not None
    natural = law.natural(law.grid(x0, y0), x0, y0)
    assert natural.shape == (4500, 5)
    assert set(np.round(np.log(natural[:, 0]), 9)) == {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert set(np.round(np.log(natural[:, 1]), 6)) == {0.0, 5.0, 10.0, 15.0, 20.0, 25.0}
    assert set(natural[:, 3]) == {0.0, 0.5, 1.0, 1.5, 2.0}


def test_intervals_of_a_surface_cover_their_parameters() -> None:
    """90 % intervals of five parameters over 12 tables: 60 chances, of which 54 should hold."""
    held = 0
    for seed in range(12):
        y = noisy(seed)
        boot = resample(fit("chinchilla", SURFACE, y, starts=0), SURFACE, y, replicates=200, seed=seed)
        held += sum(low <= TRUTH[name] <= high for name, (low, high) in boot.interval(0.9).items())
    assert 46 <= held <= 60


def test_any_two_of_size_data_and_compute_are_enough() -> None:
    expected = np.stack([N, D])
    for columns in ({"n": N, "d": D}, {"n": N, "c": 6 * N * D}, {"d": D, "c": 6 * N * D}):
        np.testing.assert_allclose(find_inputs("chinchilla", columns), expected)
    with pytest.raises(
        InputError, match=r"chinchilla: needs d \(tokens\), and n is given; name its column with --x d="
    ):
        find_inputs("chinchilla", {"n": N})
    with pytest.raises(InputError, match="power: is of one input, 2 are given"):
        find_inputs("power", {"n": N, "d": D})


def test_size_and_data_that_go_together_are_not_told_apart() -> None:
    sizes = np.geomspace(1e7, 1e10, 12)
    y = chinchilla(sizes, 20 * sizes, **TRUTH) * np.exp(0.003 * np.random.default_rng(0).standard_normal(12))
    found = judge("chinchilla", {"n": sizes, "d": 20 * sizes}, y, bootstrap=0)
    assert not found.identified
    assert any("n and d go together (correlation of their logarithms 1.000)" in one for one in found.verdict)


def test_hidden_runs_are_predicted_by_a_fit_that_never_saw_them() -> None:
    y = noisy(0)
    found = judge("chinchilla", {"n": N, "d": D}, y, holdout=3, bootstrap=0)
    assert found.holdout is not None
    largest = np.argsort(N * D, kind="stable")[-3:]
    assert sorted(found.holdout["measured"]) == sorted(y[largest])
    assert found.holdout["mean_absolute_error_percent"] < 1.5
    other = y.copy()
    other[largest] *= 1.1
    again = judge("chinchilla", {"n": N, "d": D}, other, holdout=3, bootstrap=0).holdout
    assert again is not None
    assert again["predicted"] == found.holdout["predicted"], "they played no part"


def test_a_prediction_far_beyond_what_was_measured_says_so() -> None:
    near, far = {"n": 5e9, "d": 2e11}, {"n": 1e12, "d": 2e13}
    found = judge("chinchilla", {"n": N, "d": D}, noisy(1), predict=[near, far], bootstrap=100)
    inside, outside = found.predictions
    low, high = inside["prediction"]
    assert low < float(chinchilla(np.array(5e9), np.array(2e11), **TRUTH)) < high
    assert outside["times_beyond"] == pytest.approx(200)
    spoken = [one for one in found.verdict if one.startswith("At n")]
    assert "90 % of new runs between" in spoken[0]
    assert "times beyond what was measured: too far for an interval" in spoken[1]


@pytest.mark.parametrize(
    ("law", "columns", "y", "said"),
    [
        ("power", {"n": [1e6, 1e7]}, [3.0, 2.5], "Not identified: two parameters and two distinct sizes."),
        ("chinchilla", {"n": N[:5], "d": D[:5]}, None, "Not identified: d is the same in all runs"),
        ("power", {"n": [1e6, 1e7]}, [3.0, 2.5], "No errors: the law goes through its points"),
    ],
)
def test_what_the_data_cannot_show_is_said(
    law: str, columns: dict[str, Array], y: list[float] | None, said: str
) -> None:
    loss = chinchilla(N[:5], D[:5], **TRUTH) if y is None else np.array(y)
    found = judge(law, columns, loss)
    assert any(one.startswith(said) for one in found.verdict)
    assert not found.identified
    assert found.to_dict()["standard_errors"] is None
    assert not any("best size" in one for one in found.verdict)


def test_pure_noise_identifies_nothing() -> None:
    y = 3.0 * np.exp(0.02 * np.random.default_rng(5).standard_normal(N.size))
    found = judge("chinchilla", {"n": N, "d": D}, y, bootstrap=100)
    assert not found.identified
    assert any(one.startswith("Not identified") for one in found.verdict)


def test_seeds_of_one_place_leave_the_estimate_inside_its_interval() -> None:
    sizes = np.concatenate([np.geomspace(1e6, 1e9, 9), np.full(30, 1e6)])
    y = 40 * sizes**-0.06 * np.exp(0.01 * np.random.default_rng(0).standard_normal(39))
    found = judge("power", {"n": sizes}, y)
    assert found.bootstrap is not None
    for name, (low, high) in found.bootstrap.interval(0.9).items():
        assert low < found.fit.parameters[name] < high


def test_a_curve_that_hugs_the_floor_has_no_band_of_new_runs() -> None:
    asked = {"n": 1e9, "d": 1e10}
    found = judge("chinchilla", {"n": N, "d": D}, noisy(3), loss="asymmetric", predict=[asked], bootstrap=20)
    assert found.predictions[0]["prediction"] is None
    assert found.predictions[0]["confidence"] is not None


def test_one_outlier_does_not_move_the_robust_fit() -> None:
    y = noisy(2, 0.001)
    clean = fit("chinchilla", SURFACE, y)
    y[4] *= 1.3
    robust, squares = fit("chinchilla", SURFACE, y), fit("chinchilla", SURFACE, y, loss="least-squares")
    assert robust.parameters["alpha"] == pytest.approx(clean.parameters["alpha"], rel=0.05)
    assert abs(squares.parameters["alpha"] / clean.parameters["alpha"] - 1) > 0.05


@pytest.fixture(scope="module")
def tables() -> Path:
    folder = Path(os.environ.get("STEPLADDER_DATA", "")) / "scaling"
    if "STEPLADDER_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("STEPLADDER_DATA has no scaling tables")
    return folder


def published(path: Path, *names: str) -> list[Array]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [np.array([float(row[name]) for row in rows]) for name in names]


def test_hoffmanns_runs_give_the_published_optima_and_errors(tables: Path) -> None:
    """Besiroglu et al. 2024 (arXiv:2404.10102) on the 240 runs below a loss of 3.446995."""
    n, c, y = published(tables / "chinchilla.csv", "Model Size", "Training FLOP", "loss")
    kept = y < 3.446995
    columns = {"n": n[kept], "c": c[kept]}
    plain = judge("chinchilla", columns, y[kept], bootstrap=1000)
    assert plain.fit.n == 240
    assert plain.fit.objective <= 0.001018274 * (1 + 1e-6)
    expected = {"E": 1.81722, "A": 477.83, "B": 2143.4, "alpha": 0.34731, "beta": 0.36717}
    assert plain.fit.parameters == pytest.approx(expected, rel=2e-5)
    absolute = judge("chinchilla", columns, y[kept], loss="lad", bootstrap=0)
    headline = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    assert absolute.fit.parameters == pytest.approx(headline, rel=5e-4)
    assert plain.bootstrap is not None
    errors = {"E": 0.026, "A": 124.5, "B": 1293.3, "alpha": 0.015, "beta": 0.021}
    assert plain.bootstrap.standard_errors() == pytest.approx(errors, rel=0.15)
    assert plain.identified


def test_an_asymmetric_loss_gives_its_published_row(tables: Path) -> None:
    n, d, y = published(tables / "llm_sweep.csv", "N", "D", "loss")
    found = fit("chinchilla", np.stack([n, d]), y, loss="asymmetric")
    assert found.objective <= 0.02278190
    expected = {"E": 1.70024, "A": 184.692, "B": 1633.48, "alpha": 0.289008, "beta": 0.355794}
    assert found.parameters == pytest.approx(expected, rel=2e-4)
