"""Accuracy of a task by way of its loss: size and data give the loss, the loss gives the accuracy.

Bhagia et al. 2024 (arXiv:2412.04403). Both steps are fitted to the same runs, the second to the losses that
were measured; refits draw runs once for both, so that the errors of both are carried to the accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.doubts import find_doubts
from scaling_report.fits import STARTS, FitResult, fit, fit_many
from scaling_report.holdout import say_tested
from scaling_report.inputs import complete, find_place, order_by_size, times_beyond
from scaling_report.judge import say_fitted
from scaling_report.laws import LAWS, Array
from scaling_report.losses import LOSSES
from scaling_report.predicting import check_distance, say_prediction
from scaling_report.sources import Runs
from scaling_report.uncertainty import (
    NOISE_LIMIT,
    NOISE_QUANTILES,
    Bootstrap,
    draw_noise,
    draw_sizes,
    measure_scatter,
    sizes_to_draw,
)
from scaling_report.wording import count

NAME = "two-step"
INPUTS = ("n", "d", "l")
STEPS = ("chinchilla", "sigmoid")
FORMULA = "acc = a/(1+e^(-k(L-x0))) + b, L = E + A/N^alpha + B/D^beta"


@dataclass(frozen=True)
class TwoStep:
    """Both fits, and what they are worth together: `bootstraps` are of the same runs drawn, or None.

    `predictions` and `holdout` as `judge_two_step` was asked for them, JSON; `verdict` in sentences.
    """

    fits: tuple[FitResult, FitResult]
    bootstraps: tuple[Bootstrap, Bootstrap] | None
    level: float
    predictions: tuple[dict[str, Any], ...]
    holdout: dict[str, Any] | None
    identified: bool
    verdict: tuple[str, ...]
    runs: Runs | None = field(default=None, repr=False, compare=False)

    def predict(self, x: Array) -> Array:
        """The accuracy at x (2, n), parameters and tokens: (n,)."""
        return self.fits[1].predict(self.fits[0].predict(x))

    def save(self, path: str | Path, *, command: str | None = None) -> None:
        """Two laws are two files: raises `InputError`, saying how to save each."""
        raise InputError(
            f"{path}: {NAME} is two fits; save each: {STEPS[0]} of the loss, {STEPS[1]} of the accuracy"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, the objective being the sum of the steps': missing is None."""
        boots = self.bootstraps
        return {
            "law": NAME,
            "formula": FORMULA,
            "parameters": _both(one.parameters for one in self.fits),
            "standard_errors": boots and _both(boot.standard_errors() for boot in boots),
            "intervals": boots
            and {
                name: list(ends) for name, ends in _both(boot.interval(self.level) for boot in boots).items()
            },
            "level": self.level,
            "loss": self.fits[0].loss,
            "objective": sum(one.objective for one in self.fits),
            "n": self.fits[0].n,
            "converged": all(one.converged for one in self.fits),
            "identified": self.identified,
            "dropped": [],
            "at_bound": [name for one in self.fits for name in one.at_bound],
            "starts_arrived": self.fits[0].arrived,
            "second_opinion": _both(one.second_opinion for one in self.fits),
            "steps": [
                {"law": one.law, "formula": LAWS[one.law].formula, "objective": one.objective}
                for one in self.fits
            ],
            "bootstrap": boots
            and {
                "kind": boots[0].kind,
                "replicates": boots[0].replicates,
                "failed": boots[0].failed,
            },
            "predictions": list(self.predictions),
            "holdout": self.holdout,
            "verdict": list(self.verdict),
            "left_out": list(self.runs.left_out) if self.runs else [],
            "notes": list(self.runs.notes) if self.runs else [],
        }


def judge_two_step(
    columns: Mapping[str, Array],
    y: Array,
    *,
    loss: str = "huber",
    starts: int = STARTS,
    bootstrap: int = 400,
    holdout: int = 0,
    predict: Sequence[Mapping[str, float]] = (),
    level: float = 0.9,
    seed: int = 0,
) -> TwoStep:
    """Fit both steps to a table's columns, (n,) each: n, d (or c) and l, the task's loss; y is the accuracy.

    Otherwise as `scaling_report.judge.judge`. Raises `InputError` as that does.
    """
    given = complete(NAME, INPUTS, columns)
    x, losses = np.stack([given["n"], given["d"]]), given["l"]
    places = [find_place(STEPS[0], {name: np.array([at[name]]) for name in at}) for at in predict]
    for at in places:
        check_distance(STEPS[0], x, at)
    fits = _fit(x, losses, y, loss, starts)
    boots, why = _errors(fits, x, losses, y, bootstrap, seed)
    doubts = [
        one.replace("Not identified:", f"Not identified in step {step + 1}:")
        for step, at in enumerate((x, losses))
        for one in find_doubts(fits[step], at, boots and boots[step], level)
    ]
    tested = _test_on(x, losses, y, holdout, loss, starts) if holdout else None
    predictions = tuple(_predict(fits, boots, x, losses, at, level) for at in places)
    verdict = [*(f"Step {step}: {say_fitted(one)}" for step, one in enumerate(fits, start=1)), *doubts, *why]
    if tested:
        verdict.append(say_tested(tested))
    verdict += [say_prediction(one, level) for one in predictions]
    identified = all(one.identified for one in fits) and not doubts
    return TwoStep(fits, boots, level, predictions, tested, identified, tuple(verdict))


def _fit(x: Array, losses: Array, y: Array, loss: str, starts: int) -> tuple[FitResult, FitResult]:
    return (
        fit(STEPS[0], x, losses, loss=loss, starts=starts),
        fit(STEPS[1], losses, y, loss=loss, starts=starts),
    )


def _errors(
    fits: tuple[FitResult, FitResult], x: Array, losses: Array, y: Array, replicates: int, seed: int
) -> tuple[tuple[Bootstrap, Bootstrap] | None, list[str]]:
    """The refits of both steps, or None, and in words which they are or why there are none."""
    if not replicates:
        return None, []
    if replicates == 1:
        raise InputError("bootstrap: one refit has no spread; ask for more, or for 0")
    if any(one.sizes < LAWS[one.law].sizes_needed for one in fits):
        return None, ["No errors: a step goes through its points, so nothing says how far runs scatter."]
    boots = resample_both(fits, x, losses, y, replicates=replicates, seed=seed)
    if replicates - boots[0].failed < 2:
        return None, [f"No errors: {boots[0].failed} of {replicates} refits failed."]
    few = f"noise drawn about the fits, for want of {count(sizes_to_draw(LAWS[STEPS[0]]), 'size')}"
    ways = {"rungs": "runs drawn again", "parametric": few}
    failed = f"; {boots[0].failed} of them failed and are in no interval" if boots[0].failed else ""
    return boots, [f"Errors are of {replicates} refits of both steps to {ways[boots[0].kind]}{failed}."]


def resample_both(
    fits: tuple[FitResult, FitResult],
    x: Array,
    losses: Array,
    y: Array,
    *,
    replicates: int,
    seed: int,
) -> tuple[Bootstrap, Bootstrap]:
    """Refits of both steps to the same draws; a refit counts as failed where either step did not arrive.

    From ten places on runs are drawn, below it noise about each fit, the losses of the second step staying
    those that were measured.
    """
    rng = np.random.default_rng(seed)
    loss = LOSSES[fits[0].loss]
    laws = [LAWS[name] for name in STEPS]
    kind = "rungs" if fits[0].sizes >= sizes_to_draw(laws[0]) or loss.above != 1 else "parametric"
    scatters = [measure_scatter(one, x) for one in fits]
    inflation = [np.sqrt(one.dof / rng.chisquare(one.dof, size=replicates)) for one in scatters]
    weights = np.ones((replicates, y.size))
    if kind == "rungs":
        weights = draw_sizes(x, replicates, max(law.sizes_needed for law in laws), rng)
    solutions = []
    for step, (at, values) in enumerate(((x, losses), (losses, y))):
        data = np.broadcast_to(values, weights.shape)
        if kind == "parametric":
            noise = inflation[step][:, None] * draw_noise(scatters[step], x, replicates, rng)
            link = laws[step].link
            data = link.back(link.to(fits[step].predict(at)) + noise.clip(-NOISE_LIMIT, NOISE_LIMIT))
        solutions.append(fit_many(laws[step], at, data, weights=weights, loss=loss))
    arrived = solutions[0].converged & solutions[1].converged
    first, second = (
        Bootstrap(
            kind=kind,
            replicates=replicates,
            failed=int((~arrived).sum()),
            solutions=solutions[step].select(arrived),
            scatter=scatters[step],
            inflation=inflation[step][arrived],
        )
        for step in range(2)
    )
    return first, second


def bands(boots: tuple[Bootstrap, Bootstrap], at: Array, level: float) -> tuple[Array, Array]:
    """Where the accuracy's curve is at one place (2, 1), and where that of a new run will lie: (2,) each.

    A new run scatters about the first step in its loss and about the second in its accuracy given that loss.
    """
    first, second = (boot.solutions for boot in boots)
    tails = ((1 - level) / 2, (1 + level) / 2)

    def accuracy(losses: Array) -> Array:
        """Of (R, Q) losses, each row by its own refit."""
        return second.law.curve(losses, *(column[:, None] for column in second.parameters.T))

    middle = first.predict(at)  # (R, 1)
    noise = [
        np.outer(boot.inflation * boot.scatter.of_mean(1), NOISE_QUANTILES).clip(-NOISE_LIMIT, NOISE_LIMIT)
        for boot in boots
    ]
    link = second.law.link
    drawn = link.to(accuracy(middle * np.exp(noise[0])))[:, :, None] + noise[1][:, None, :]  # (R, Q, Q)
    return np.quantile(accuracy(middle), tails), link.back(np.quantile(drawn, tails))


def _both(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of both steps, by name: no two are called the same."""
    return {name: value for one in found for name, value in one.items()}


def _predict(
    fits: tuple[FitResult, FitResult],
    boots: tuple[Bootstrap, Bootstrap] | None,
    x: Array,
    losses: Array,
    at: Array,
    level: float,
) -> dict[str, Any]:
    even = LOSSES[fits[0].loss].above == 1
    loss = fits[0].predict(at)
    curve, new = (None, None) if boots is None else bands(boots, at, level)
    beyond = (times_beyond(STEPS[0], x, at[:, 0]), times_beyond(STEPS[1], losses, loss))
    return {
        "at": dict(zip(("n", "d"), at[:, 0].tolist(), strict=True)),
        "value": float(fits[1].predict(loss)[0]),
        "confidence": None if curve is None else curve.tolist(),
        "prediction": None if new is None or not even else new.tolist(),
        "loss": float(loss[0]),
        "times_beyond": max(beyond),
    }


def _test_on(x: Array, losses: Array, y: Array, holdout: int, loss: str, starts: int) -> dict[str, Any]:
    """What both steps without the largest places say of the runs there, beside the last value they saw."""
    places, place_of_run = np.unique(x, axis=1, return_inverse=True)
    place_of_run = place_of_run.reshape(-1)
    order = order_by_size(STEPS[0], places)
    left = places.shape[1] - holdout
    if left < max(LAWS[name].sizes_needed for name in STEPS):
        raise InputError(
            f"holdout: {holdout} of {places.shape[1]} places leaves {max(left, 0)} to fit; hide fewer"
        )
    hidden = np.isin(place_of_run, order[-holdout:])
    first, second = _fit(x[:, ~hidden], losses[~hidden], y[~hidden], loss, starts)
    predicted, measured = second.predict(first.predict(x[:, hidden])), y[hidden]
    last = y[place_of_run == order[-holdout - 1]].mean()
    return {
        "places": holdout,
        "predicted": predicted.tolist(),
        "measured": measured.tolist(),
        "mean_absolute_error_percent": float(100 * np.abs(predicted / measured - 1).mean()),
        "last_value_error_percent": float(100 * np.abs(last / measured - 1).mean()),
    }
