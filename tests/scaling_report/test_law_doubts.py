"""What each law says where the data cannot show it: inputs that go together, repeats, breaks, bends."""

from __future__ import annotations

import numpy as np
import pytest

from eval.files import InputError
from scaling_report.collinear import reduce_product
from scaling_report.inputs import find_inputs, order_by_size, times_beyond
from scaling_report.judge import judge
from scaling_report.judgement import Judgement
from scaling_report.laws import (
    LAWS,
    Array,
    bnsl,
    chinchilla,
    error_decay,
    power_floor,
    product,
    repeated,
    sigmoid,
)

N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, 5), np.geomspace(2e9, 2e11, 5)))
X = np.geomspace(1e6, 1e10, 30)


def noise(size: int, scale: float = 0.003, seed: int = 0) -> Array:
    return np.exp(scale * np.random.default_rng(seed).standard_normal(size))


def share_noise(law: str, curve: Array, scale: float) -> Array:
    link = LAWS[law].link
    return link.back(link.to(curve) + np.log(noise(curve.size, scale)))


def doubts(found: Judgement) -> list[str]:
    return [one for one in found.verdict if one.startswith("Not identified")]


def test_a_product_drops_compute_that_is_six_n_d() -> None:
    """The exponents are those of the log-linear least squares without C."""
    y = product(N, D, 3.0, -0.05, -0.07) * noise(25)
    found = judge("product", {"n": N, "d": D, "c": 6 * N * D}, y, loss="least-squares", bootstrap=0)
    told = found.to_dict()
    assert told["law"] == "product"
    assert told["formula"] == "y = a·N^b·D^c"
    assert told["dropped"] == ["d"]
    assert not told["identified"]
    reason = "C is 6·N·D in every row (correlation of logarithms 1.000)"
    assert doubts(found) == [f"Not identified: {reason}, so its exponent d cannot be told apart."]
    assert "C was dropped: what is fitted is y = a·N^b·D^c." in found.verdict
    design = np.stack([np.ones(25), np.log(N), np.log(D)], axis=1)
    level, b, c = np.linalg.lstsq(design, np.log(y), rcond=None)[0]
    assert told["parameters"] == pytest.approx({"a": np.exp(level), "b": b, "c": c}, rel=1e-6)


def test_compute_that_is_only_nearly_six_n_d_is_said_to_be() -> None:
    c = 6 * N * D * noise(25, 0.02)
    found = judge("product", {"n": N, "d": D, "c": c}, product(N, D, 3.0, -0.05, -0.07), bootstrap=0)
    assert any("C is nearly 6·N·D in every row" in one for one in found.verdict)


def test_a_product_keeps_what_size_and_data_leave_of_each_other() -> None:
    sizes = np.geomspace(1e7, 1e10, 12)
    y = 3 * sizes**-0.05 * noise(12)
    found = judge("product", {"n": sizes, "d": 20 * sizes}, y, bootstrap=0)
    assert found.dropped == ("c", "d")
    assert found.fit.parameters["b"] == pytest.approx(-0.05, abs=0.005)
    assert "D goes together with N (correlation of logarithms 1.000)" in doubts(found)[0]
    assert "C is 6·N·D" in doubts(found)[1]
    assert "D and C were dropped: what is fitted is y = a·N^b." in found.verdict
    still = reduce_product("product", np.stack([N, np.full(25, 1e9), 6 * N * 1e9]))
    assert still.dropped == ("c", "d")
    assert still.sentences[0].startswith("Not identified: D is the same in all runs")


def test_a_product_of_free_inputs_drops_nothing_and_predicts() -> None:
    c = 6 * N * D * noise(25, 0.7)
    y = product(N, D, c, 3.0, -0.05, -0.07, 0.02) * noise(25, 0.001)
    asked = {"n": 1e10, "d": 1e11, "c": 1e22}
    found = judge("product", {"n": N, "d": D, "c": c}, y, bootstrap=50, predict=[asked])
    assert found.dropped == ()
    assert found.identified
    expected = product(*map(np.array, asked.values()), 3.0, -0.05, -0.07, 0.02)
    assert found.predictions[0]["value"] == pytest.approx(expected, rel=0.01)


def test_repeats_that_were_never_made_are_worth_nobody_knows_what() -> None:
    y = chinchilla(N, D, 1.87, 521.0, 1488.0, 0.353, 0.353) * noise(25)
    found = judge("repeated", {"n": N, "d": D, "u": 2 * D}, y, bootstrap=20)
    assert any("no run sees its data again (d is at most u in every run)" in one for one in doubts(found))
    told = found.to_dict()
    assert told["standard_errors"]["RD"] is None
    assert told["intervals"]["RD"] is None
    assert told["intervals"]["alpha"] is not None


def test_models_no_larger_than_their_tokens_warrant_do_not_show_the_rest() -> None:
    truth = [np.array(one) for one in (1.87, 521.0, 1488.0, 0.353, 0.353, 15.4, 5.3)]
    n, d = N / 1000, D * 10
    u = d / np.tile([1, 2, 5, 10, 20], 5)
    found = judge("repeated", {"n": n, "d": d, "u": u}, repeated(n, d, u, *truth) * noise(25), bootstrap=0)
    assert any(
        "no run has more parameters than are best for its unique tokens" in one for one in doubts(found)
    )


def test_a_break_beyond_the_data_is_none() -> None:
    curve = bnsl(X, *map(np.array, (0.3, 40.0, 0.05, 0.6, 1e8, 0.5)))
    seen = judge("bnsl", {"n": X}, curve * noise(30), bootstrap=12, starts=0)
    assert seen.identified
    assert seen.fit.parameters["d1"] == pytest.approx(1e8, rel=0.1)
    smooth = judge("bnsl", {"n": X}, power_floor(X, 1.5, 400.0, 0.4) * noise(30), bootstrap=12, starts=0)
    assert not smooth.identified
    assert any("no break is seen" in one or "show no bend there" in one for one in doubts(smooth))


def test_a_sigmoid_of_which_one_end_is_seen_does_not_say_where_the_other_is() -> None:
    losses = np.linspace(1.2, 2.0, 20)
    whole = np.linspace(0.4, 2.0, 40)
    truth = [np.array(one) for one in (-0.65, 6.0, 0.9, 0.9)]
    half = judge(
        "sigmoid", {"l": losses}, share_noise("sigmoid", sigmoid(losses, *truth), 0.02), bootstrap=60
    )
    assert not half.identified
    seen = judge("sigmoid", {"l": whole}, share_noise("sigmoid", sigmoid(whole, *truth), 0.02), bootstrap=60)
    assert seen.identified
    straight = judge(
        "error-decay", {"l": losses}, share_noise("error-decay", 0.2 + 0.1 * losses, 0.02), bootstrap=60
    )
    assert any("hardly bends" in one or "eps" in one for one in doubts(straight))
    bent = error_decay(whole, *map(np.array, (0.85, 0.9, 2.5)))
    y = share_noise("error-decay", bent, 0.02)
    assert judge("error-decay", {"l": whole}, y, bootstrap=60).identified


def test_the_least_loss_is_what_a_law_of_loss_hides_and_distance_is_told_in_spans() -> None:
    losses = np.linspace(0.5, 1.5, 12)
    y = sigmoid(losses, *map(np.array, (-0.65, 6.0, 1.0, 0.9)))
    found = judge("sigmoid", {"l": losses}, y, holdout=2, bootstrap=0)
    assert found.holdout is not None
    assert sorted(found.holdout["measured"]) == sorted(y[:2])
    assert times_beyond("sigmoid", losses, np.array([0.0])) == pytest.approx(2.0)
    assert times_beyond("sigmoid", losses, np.array([1.0])) < 1
    assert times_beyond("power", np.array([1.0, 10.0]), np.array([40.0])) == pytest.approx(4.0)
    places = np.array([[1e9, 1e8, 1e7], [1e9, 1e11, 1e9], [1e3, 1e5, 1e9]])
    assert order_by_size("repeated", places).tolist() == [2, 0, 1], "unique tokens are no compute"


@pytest.mark.parametrize(
    ("law", "given", "said"),
    [
        (
            "repeated",
            ("n", "d"),
            r"repeated: needs u \(unique tokens\), and n, d are given; name its column with",
        ),
        ("sigmoid", ("n",), r"sigmoid: needs l \(loss\), and n is given; name its column with --x l=COLUMN"),
        ("product", ("n",), r"product: needs d \(tokens\), and n is given; .*two will do"),
        ("error-decay", ("l", "u"), "error-decay: u is given, which it is no function of; leave it out"),
    ],
)
def test_a_law_names_the_input_it_lacks(law: str, given: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_inputs(law, dict.fromkeys(given, N))


def test_runs_are_drawn_again_where_draws_can_differ() -> None:
    """Eight sizes for a law that needs eight: every draw would be the same runs, and every error none."""
    truth = [np.array(one) for one in (1.87, 521.0, 1488.0, 0.353, 0.353, 15.4, 5.3)]
    chosen = [0, 4, 8, 12, 17, 20, 22, 24]
    n, d = N[chosen], D[chosen] * 30
    u = d / np.array([1, 2, 50, 10, 20, 1, 5, 30])
    found = judge("repeated", {"n": n, "d": d, "u": u}, repeated(n, d, u, *truth) * noise(8), bootstrap=20)
    assert found.bootstrap is not None
    assert found.bootstrap.kind == "parametric"
    assert any("for want of 13 sizes" in one for one in found.verdict)
    assert found.bootstrap.standard_errors()["E"] > 1e-6


def test_an_accuracy_that_never_moves_shows_no_sigmoid() -> None:
    found = judge("sigmoid", {"l": np.linspace(1, 2, 20)}, np.full(20, 0.25), bootstrap=0)
    assert any("nothing shows" in one for one in doubts(found))
