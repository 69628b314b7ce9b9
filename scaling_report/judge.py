"""One law on one table, judged: parameters with errors, what is identified, forecasts tested first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError, write_json
from scaling_report.collinear import reduce_product
from scaling_report.doubts import find_doubts
from scaling_report.fits import STARTS, FitResult, fit
from scaling_report.inputs import find_inputs, order_by_size
from scaling_report.laws import LAWS, Array
from scaling_report.losses import LOSSES
from scaling_report.notation import significant
from scaling_report.predicting import Prediction, domain_of, predict_at, say_prediction
from scaling_report.saved import FittedLaw, save_value, versions
from scaling_report.sources import Runs
from scaling_report.target import Target
from scaling_report.uncertainty import Bootstrap, resample
from scaling_report.wording import count


@dataclass(frozen=True)
class Judgement:
    """A fit, and what it is worth. `bootstrap`: None where there is none, the verdict says why.

    `law` is what was asked for; `dropped` the parameters that it was fitted without, since no data show them.
    `predictions` and `holdout` as `judge` was asked for them, JSON; `verdict` in sentences. `x`, (n,) or a
    row an input of the fitted law, and `y` (n,) are the runs, `kept` tells which of the law's inputs those
    rows are, `inputs` names what `predict` is given; `runs` says where they come from, None for bare arrays.

    In a notebook it shows itself as a chart and a table.
    """

    fit: FitResult
    bootstrap: Bootstrap | None
    level: float
    predictions: tuple[dict[str, Any], ...]
    holdout: dict[str, Any] | None
    identified: bool
    verdict: tuple[str, ...]
    law: str
    x: Array = field(repr=False, compare=False)
    y: Array = field(repr=False, compare=False)
    inputs: tuple[str, ...]
    kept: tuple[int, ...]
    starts: int = STARTS
    dropped: tuple[str, ...] = ()
    runs: Runs | None = field(default=None, repr=False, compare=False)

    def predict(self, x: Any = None, /, **at: Any) -> Prediction:
        """What the law says of one run, or of several: as `scaling_report.saved.FittedLaw.predict`."""
        return self.as_law().predict(x, **at)

    def backtest(self, holdout: int = 1) -> dict[str, Any]:
        """Hide the runs at the `holdout` largest places from a second fit, which predicts them.

        `predicted` and `measured` are in the units of y; beside `mean_absolute_error_percent` stands
        `last_value_error_percent`, that of the largest place left. Raises `InputError` where too few are.
        """
        if holdout < 1:
            raise InputError(f"holdout: {holdout}; hide one place or more")
        return _test_on(self.fit, self.x, self.y, holdout, self.starts)

    def as_law(self) -> FittedLaw:
        """The fit as a file holds it."""
        return FittedLaw(
            law=self.fit.law,
            parameters=dict(self.fit.parameters),
            inputs=self.inputs,
            domain=domain_of(self.x),
            asked=self.law,
            rows=self.kept,
            loss=self.fit.loss,
            level=self.level,
            identified=self.identified,
            target=Target(None, None),
            covariance=None,
            refits=self.bootstrap,
            provenance={**(self.runs.provenance if self.runs else {}), "versions": versions()},
            missing={"covariance": "not computed"} | ({} if self.bootstrap else {"refits": "none were made"}),
        )

    def save(self, path: str | Path, *, command: str | None = None) -> None:
        """Write the fit as JSON, from which `FittedLaw.load` predicts the same to the digit."""
        kept = self.as_law()
        made = {} if command is None else {"command": command}
        write_json(Path(path), save_value(self.to_dict(), kept, made))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from scaling_report.notebook import show

        return show(self)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: missing is None."""
        found, boot = self.fit, self.bootstrap
        condition = found.condition
        return {
            "law": self.law,
            "formula": LAWS[found.law].formula,
            "parameters": dict(found.parameters),
            "standard_errors": boot and boot.standard_errors(),
            "intervals": boot and {name: list(ends) for name, ends in boot.interval(self.level).items()},
            "level": self.level,
            "loss": found.loss,
            "objective": found.objective,
            "n": found.n,
            "converged": found.converged,
            "identified": self.identified,
            "dropped": list(self.dropped),
            "at_bound": list(found.at_bound),
            "starts_arrived": found.arrived,
            "condition": condition if condition is not None and math.isfinite(condition) else None,
            "second_opinion": dict(found.second_opinion),
            "bootstrap": boot and {"kind": boot.kind, "replicates": boot.replicates, "failed": boot.failed},
            "predictions": list(self.predictions),
            "holdout": self.holdout,
            "verdict": list(self.verdict),
            "left_out": list(self.runs.left_out) if self.runs else [],
            "notes": list(self.runs.notes) if self.runs else [],
        }


def judge(
    law: str,
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
    runs: Runs | None = None,
) -> Judgement:
    """Fit a law to a table's columns (each (n,), by input: n, d, c, u, l or, for a curve, as it is called).

    Of n, d and c (FLOPs) two give the third by C = 6·N·D. Of a product, inputs that say nothing beside others
    are dropped. `holdout` hides that many of the largest places (of a surface: those of the most compute, of
    a law of loss: those of the least loss) from a second fit, which then predicts them. `runs` says where the
    columns come from. Raises `InputError` for an input that is not given, for `bootstrap` of 1, and as `fit`
    does.
    """
    x = find_inputs(law, columns)
    if bootstrap == 1:
        raise InputError("bootstrap: one refit has no spread; ask for more, or for 0")
    places = [find_inputs(law, {name: np.array([value]) for name, value in at.items()}) for at in predict]
    left = reduce_product(law, x)
    if left.dropped:
        x, places = x[list(left.rows)], [at[list(left.rows)] for at in places]
    found = fit(left.law, x, y, loss=loss, starts=starts)
    boot, why = _errors(found, x, y, bootstrap, seed)
    doubts = [*left.sentences, *find_doubts(found, x, boot, level)]
    names = tuple(columns) if LAWS[law].inputs == ("x",) else LAWS[law].inputs
    predictions = tuple(_predict(found, boot, x, at, level) for at in places)
    tested = _test_on(found, x, y, holdout, starts) if holdout else None
    verdict = [say_fitted(found), *doubts, *why]
    if tested:
        verdict.append(say_tested(tested))
    if not doubts:
        verdict += _exponents(found, boot, level)
    verdict += [say_prediction(one, level) for one in predictions]
    identified = found.identified and not doubts
    return Judgement(
        found,
        boot,
        level,
        predictions,
        tested,
        identified,
        tuple(verdict),
        law=law,
        x=x,
        y=y,
        inputs=names,
        kept=left.rows,
        starts=starts,
        dropped=left.dropped,
        runs=runs,
    )


def _predict(found: FitResult, boot: Bootstrap | None, x: Array, at: Array, level: float) -> dict[str, Any]:
    return (
        predict_at(
            found.law, found.parameters, at, domain=domain_of(x), loss=found.loss, boot=boot, level=level
        )
        .split()[0]
        .to_dict()
    )


def _errors(
    found: FitResult, x: Array, y: Array, replicates: int, seed: int
) -> tuple[Bootstrap | None, list[str]]:
    """The refits, or None, and in words which they are or why there are none."""
    law, loss = LAWS[found.law], LOSSES[found.loss]
    if not replicates:
        return None, []
    if found.sizes < law.sizes_needed:
        return None, ["No errors: the law goes through its points, so nothing says how far runs scatter."]
    kind = "rungs" if loss.above != 1 else None  # noise about a curve that hugs a floor has no middle
    boot = resample(
        found, x, y, replicates=replicates, seed=seed, kind=kind, weights=np.ones_like(y), loss=loss
    )
    if boot.replicates - boot.failed < 2:
        return None, [f"No errors: {boot.failed} of {boot.replicates} refits failed."]
    ways = {"rungs": "runs drawn again", "parametric": "noise drawn about the fit, for want of eight sizes"}
    failed = f"; {boot.failed} of them failed and are in no interval" if boot.failed else ""
    return boot, [f"Errors are of {boot.replicates} refits to {ways[boot.kind]}{failed}."]


def say_fitted(found: FitResult) -> str:
    """How well the law fits, and how many of the published starts found that."""
    typical = _typical(found)
    arrived = ""
    if found.arrived is not None:
        arrived = f"; {100 * found.arrived:.0f} % of the published starts tried came to this optimum"
    return f"{LAWS[found.law].formula} fits {count(found.n, 'run')} to {typical} (median){arrived}."


def _typical(found: FitResult) -> str:
    """The median residual: in per cent, or of a share's log-odds."""
    middle = float(np.median(np.abs(found.log_residuals)))
    return (
        f"{significant(middle, 2)} of log-odds"
        if LAWS[found.law].of_shares
        else f"{significant(100 * middle, 2)} %"
    )


def _test_on(found: FitResult, x: Array, y: Array, holdout: int, starts: int) -> dict[str, Any]:
    """What a fit without the largest places says of the runs there, beside the last value that it saw."""
    rows = np.atleast_2d(x)
    places, place_of_run = np.unique(rows, axis=1, return_inverse=True)
    order = order_by_size(found.law, places)
    hidden = np.isin(place_of_run.reshape(-1), order[-holdout:])
    left = places.shape[1] - holdout
    if left < LAWS[found.law].sizes_needed:
        raise InputError(
            f"holdout: {holdout} of {places.shape[1]} places leaves {max(left, 0)} to fit; hide fewer"
        )
    again = fit(found.law, x[..., ~hidden], y[~hidden], loss=found.loss, starts=starts)
    predicted, measured = again.predict(x[..., hidden]), y[hidden]
    last = y[np.flatnonzero(place_of_run.reshape(-1) == order[-holdout - 1])].mean()
    return {
        "places": holdout,
        "predicted": predicted.tolist(),
        "measured": measured.tolist(),
        "mean_absolute_error_percent": float(100 * np.abs(predicted / measured - 1).mean()),
        "last_value_error_percent": float(100 * np.abs(last / measured - 1).mean()),
    }


def say_tested(test: Mapping[str, Any]) -> str:
    """How far off the hidden places were predicted."""
    names = ("mean_absolute_error_percent", "last_value_error_percent")
    own, last = (significant(test[name], 2) for name in names)
    where = "the largest place" if test["places"] == 1 else f"the {count(test['places'], 'largest place')}"
    said = f"it predicts what is there {own} % off (mean); the last value is {last} % off"
    return f"Fitted without {where} {said}."


def _exponents(found: FitResult, boot: Bootstrap | None, level: float) -> list[str]:
    """How the best size grows with compute, beta / (alpha + beta): Hoffmann et al. 2022, eq. 4."""
    if found.law != "chinchilla":
        return []
    text = f"The best size grows as C^{_share(found.parameters['alpha'], found.parameters['beta']):.3f}"
    if boot is not None:
        names = LAWS[found.law].parameters
        alphas, betas = (boot.solutions.parameters[:, names.index(name)] for name in ("alpha", "beta"))
        low, high = np.quantile(_share(alphas, betas), [(1 - level) / 2, (1 + level) / 2])
        text += f" ({100 * level:.0f} % interval {low:.3f} to {high:.3f})"
    return [f"{text}."]


def _share(alpha: Any, beta: Any) -> Any:
    return beta / np.maximum(alpha + beta, 1e-300)
