"""Compute-optimal sizes: closed forms on noiseless surfaces, published figures on published tables."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from eval.files import InputError
from scaling_report.optimal.approaches import by_envelope, by_parabolas, vertex_bias
from scaling_report.optimal.compute import compute_optimal, frontier
from scaling_report.optimal.isoflop import fit_groups, group_by_flops
from scaling_report.optimal.surface import Cost, Surface, fit_cost

LAW = {"E": 1.8, "A": 400.0, "B": 2000.0, "alpha": 0.34, "beta": 0.37}
SIX = Cost(6.0, 1.0, 0.0)
SURFACE = Surface.of(LAW, SIX)
Table = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def grid(
    *, noise: float = 0.0, sizes: int = 5, shift: float = 1.0, width: float = 3.0, seed: int = 0
) -> Table:
    """`sizes` models about the best size (times `shift`) at each of four budgets: n, d, c, loss."""
    budgets = np.array([1e19, 1e20, 1e21, 1e22])
    best = SURFACE.best(budgets)[0][0]
    n = (best[:, None] * shift * np.geomspace(1 / width, width, sizes)).ravel()
    c = np.repeat(budgets, sizes)
    d = c / (6 * n)
    y = SURFACE.loss(n, d)[0] * np.exp(noise * np.random.default_rng(seed).standard_normal(n.size))
    return n, d, c, y


def chinchilla() -> Table:
    folder = os.environ.get("STEPLADDER_DATA")
    table = Path(folder or "") / "scaling" / "chinchilla.csv"
    if not folder or not table.is_file():
        pytest.skip("STEPLADDER_DATA has no scaling/chinchilla.csv")
    with table.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if float(row["loss"]) < 3.446995]
    n, c, y = (
        np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss")
    )
    return n, c / (6 * n), c, y


def exponents(found: dict) -> dict[str, float | None]:
    return {one["name"]: one["exponent_n"] for one in found["approaches"]}


def test_best_size_is_where_no_other_split_of_the_budget_is_lower() -> None:
    for cost in (SIX, Cost(40.0, 0.9, 0.0)):
        surface = Surface.of(LAW, cost)
        n, d, best = (float(one[0, 0]) for one in surface.best(3e20))
        assert cost.flops(n, d) == pytest.approx(3e20)
        tried = n * np.geomspace(0.5, 2, 2001)
        losses = surface.loss(tried, cost.tokens(3e20, tried))[0]
        assert best <= losses.min() + 1e-12
        assert tried[losses.argmin()] == pytest.approx(n, rel=1e-3)


def test_published_fit_of_llm_sweep_spends_1e24_flops_as_published() -> None:
    law = {"E": 1.70024, "A": 184.692, "B": 1633.48, "alpha": 0.289008, "beta": 0.355794}
    n, d, _ = Surface.of(law, SIX).best(1e24)
    assert n[0, 0] == pytest.approx(160.5e9, rel=1e-3)
    assert d[0, 0] == pytest.approx(1.04e12, rel=2e-3)


def test_costs_of_a_wrong_size_are_what_training_it_would_show() -> None:
    n, _, best = (float(one[0, 0]) for one in SURFACE.best(1e21))
    for ratio in (0.5, 2.0):
        penalty, times = (float(one[0]) for one in SURFACE.off_size(1e21, ratio))
        assert penalty == pytest.approx(SURFACE.loss(ratio * n, 1e21 / (6 * ratio * n))[0, 0] - best)
        assert penalty > 0
        longer = times * 1e21 / (6 * ratio * n)
        assert SURFACE.loss(ratio * n, longer)[0, 0] == pytest.approx(best, abs=1e-12)
        assert times > 1
    assert np.isnan(SURFACE.off_size(1e21, 0.02)[1][0])  # too small for any amount of data


def test_real_flops_are_used_as_they_are() -> None:
    n, d = np.array([1e5, 3e5, 1e6, 3e6]), np.full(4, 1e8)
    exact = fit_cost(n, d, 7.0 * n * d)
    assert (exact.k, exact.p) == (pytest.approx(7.0), 1.0)
    head = fit_cost(n, d, 6.0 * n * d * (n / 1e5) ** -0.2)
    assert head.p == pytest.approx(0.8)
    assert head.flops(n[2], d[2]) == pytest.approx(6.0 * n[2] * d[2] * 10**-0.2)


def test_without_noise_every_approach_finds_the_exponent_less_its_own_printed_bias() -> None:
    found = compute_optimal(*grid(), bootstrap=0)
    true = 0.37 / (0.34 + 0.37)
    assert exponents(found)["surface"] == pytest.approx(true, abs=1e-5)
    for one in found["approaches"]:
        assert one["exponent_n"] - one["bias"] == pytest.approx(true, abs=1e-4)
        assert one["exponent_n"] + one["exponent_d"] == pytest.approx(1, abs=1e-6)
    assert [group["rejected"] for group in found["groups"]] == [None] * 4


def test_the_vertex_of_a_wide_or_off_centre_grid_is_biased_as_measured() -> None:
    small = [vertex_bias(group, *grid(width=1.5)[:3], SURFACE) for group in fit_groups(*grid(width=1.5))]
    assert small == pytest.approx([1.0] * 4, abs=2e-3)
    table = grid(width=8, shift=3)
    biases = []
    for group in fit_groups(*table):
        bias = vertex_bias(group, *table[:3], SURFACE)
        assert bias is not None
        assert group.n == pytest.approx(bias * SURFACE.best(group.c)[0][0, 0])
        biases.append(abs(bias - 1))
    assert min(biases) > 0.02  # ten times what a narrow grid about the minimum has


def test_hoffmanns_runs_give_the_published_exponent_and_error() -> None:
    """Besiroglu et al. 2024: 0.513, standard error 0.020."""
    found = compute_optimal(*chinchilla(), bootstrap=100)
    surface = found["approaches"][2]
    assert surface["exponent_n"] == pytest.approx(0.513, abs=0.003)
    low, high = surface["interval_n"]
    assert (high - low) / (2 * 1.645) == pytest.approx(0.020, rel=0.2)
    assert found["cost"]["formula"] == "C = 6·N·D"
    isoflop = found["approaches"][1]
    assert isoflop["interval_n"][0] < 0.513 < isoflop["interval_n"][1]
    json.dumps(found, allow_nan=False)


def test_groups_hold_one_budget_and_rejections_say_why() -> None:
    n, d, c, y = grid(shift=10, width=2)  # all sizes far above the best ones
    c = c * np.tile(np.linspace(0.96, 1.04, 5), 4)
    assert [len(group) for group in group_by_flops(n, c)] == [5] * 4
    why = {group.rejected for group in fit_groups(n, d, c, y)}
    assert all(one is not None and "train models smaller than" in one for one in why)
    frown = fit_groups(n, d, c, 10 - (np.log(n) - np.log(n).mean()) ** 2 * 0.01)
    assert any(group.rejected is not None and "opens downwards" in group.rejected for group in frown)
    two = [group.rejected for group in fit_groups(n[:2], d[:2], c[:2], y[:2])]
    assert two == ["2 sizes; a parabola takes three"]


def test_intervals_cover_the_truth_and_narrow_with_noise() -> None:
    def width(noise: float) -> float:
        table = grid(noise=noise, sizes=6, seed=3)
        line = by_parabolas(fit_groups(*table), *table[:2], table[3], 300, 0)
        assert line is not None
        low, high = np.quantile(line.n[1:, 1], [0.02, 0.98])
        assert low < 0.37 / 0.71 + 0.01
        assert high > 0.37 / 0.71 - 0.01
        return float(high - low)

    assert width(0.0005) < width(0.003) / 2


def test_three_points_a_budget_have_no_interval_and_say_why() -> None:
    found = compute_optimal(*grid(sizes=3), bootstrap=50)
    isoflop = found["approaches"][1]
    assert isoflop["interval_n"] is None
    assert "nothing says how far runs scatter" in isoflop["refits_of"]


def test_one_length_or_collinear_sizes_have_reasons_instead_of_numbers() -> None:
    n = np.geomspace(1e7, 1e9, 8)
    for d in (np.full(8, 1e10), 20 * n):
        found = compute_optimal(n, d, 6 * n * d, SURFACE.loss(n, d)[0], bootstrap=20)
        assert set(exponents(found).values()) == {None}
        assert all(one["reason"] for one in found["approaches"])
        assert found["reason"]
        assert found["off_size"] is None
        json.dumps(found, allow_nan=False)


def test_the_envelope_needs_three_sizes_a_bin() -> None:
    n, d, c, y = grid(sizes=2)
    assert by_envelope(n, d, c, y, 0, 0) is None


def test_frontier_answers_the_budgets_asked_for_and_marks_those_too_far() -> None:
    near, far = frontier(*grid(noise=0.001), [2e22, 1e24], bootstrap=60)
    assert not near["far"]
    assert far["far"]
    for one in (near, far):
        answer = next(row for row in one["answers"] if row["name"] == "surface")
        n, _, loss = (float(value[0, 0]) for value in SURFACE.best(one["flops"]))
        assert answer["n"] == pytest.approx(n, rel=0.5)
        low, high = answer["n_interval"]
        assert low < answer["n"] < high
        assert 6 * answer["n"] * answer["d"] == pytest.approx(one["flops"])
        assert answer["loss_interval"][0] < answer["loss"] < answer["loss_interval"][1]
        assert answer["loss"] == pytest.approx(loss, rel=0.02)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_what_is_no_run_is_refused_in_a_line(bad: float) -> None:
    n, d, c, y = grid()
    with pytest.raises(InputError, match="compute-optimal: d has a value"):
        compute_optimal(n, np.where(d == d[3], bad, d), c, y)
    with pytest.raises(InputError, match="give one number a run"):
        compute_optimal(n[:3], d, c, y)
