"""One law on one table, judged: parameters with errors, what is identified, forecasts tested first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.collinear import reduce_product
from scaling_report.doubts import find_doubts
from scaling_report.fits import STARTS, FitResult, fit
from scaling_report.holdout import hide_places, say_tested
from scaling_report.inputs import find_inputs, find_place
from scaling_report.judgement import Judgement
from scaling_report.laws import LAWS, Array
from scaling_report.local import doubt_errors, measure_local
from scaling_report.losses import LOSSES
from scaling_report.notation import significant
from scaling_report.predicting import check_distance, domain_of, predict_at, say_prediction
from scaling_report.shapes import find_absent
from scaling_report.sources import Runs
from scaling_report.symptoms import find_symptoms
from scaling_report.uncertainty import Bootstrap, resample, sizes_to_draw
from scaling_report.weights import weigh_runs
from scaling_report.wording import count


def judge(
    law: str,
    columns: Mapping[str, Array],
    y: Array,
    *,
    error: Array | None = None,
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
    a law of loss: those of the least loss) from a second fit, which then predicts them. `error` (n,) are
    standard errors of y, by which runs are weighed (`weigh_runs`); `runs` says where the columns come from.
    Raises `InputError` for an input that is not given, for `bootstrap` of 1, and as `fit` does.
    """
    x = find_inputs(law, columns)
    if bootstrap == 1:
        raise InputError("bootstrap: one refit has no spread; ask for more, or for 0")
    places = [find_place(law, {name: np.array([value]) for name, value in at.items()}) for at in predict]
    left = reduce_product(law, x)
    if left.dropped:
        x, places = x[list(left.rows)], [at[list(left.rows)] for at in places]
    for at in places:
        check_distance(left.law, x, at)
    weighing = None if error is None else weigh_runs(left.law, x, y, error, loss=LOSSES[loss])
    weights = np.ones_like(y) if weighing is None else weighing.weights
    found = fit(left.law, x, y, weights=weights, loss=loss, starts=starts)
    boot, why = _errors(found, x, y, weights, bootstrap, seed)
    local = measure_local(found, x, y, level, weights)
    against, beside = find_symptoms(found, x, y)
    doubts = [*left.sentences, *against, *find_doubts(found, x, boot, level)]
    predictions = tuple(_predict(found, boot, x, at, level) for at in places)
    tested = hide_places(found, x, y, weights, holdout, starts) if holdout else None
    verdict = [say_fitted(found), *(weighing.sentences if weighing else ()), *doubts, *beside, *why]
    if tested:
        verdict.append(say_tested(tested))
    if not doubts:
        verdict += [*doubt_errors(local, boot, found, weights), *_exponents(found, boot, level)]
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
        local=local,
        x=x,
        y=y,
        inputs=tuple(columns) if LAWS[law].inputs == ("x",) else LAWS[law].inputs,
        kept=left.rows,
        starts=starts,
        weighing=weighing,
        dropped=left.dropped,
        absent=find_absent(found, np.atleast_2d(x)),
        runs=runs,
    )


def _errors(
    found: FitResult, x: Array, y: Array, weights: Array, replicates: int, seed: int
) -> tuple[Bootstrap | None, list[str]]:
    """The refits, or None, and in words which they are or why there are none."""
    law, loss = LAWS[found.law], LOSSES[found.loss]
    if not replicates:
        return None, []
    if found.sizes < law.sizes_needed:
        return None, ["No errors: the law goes through its points, so nothing says how far runs scatter."]
    kind = "rungs" if loss.above != 1 else None  # noise about a curve that hugs a floor has no middle
    boot = resample(found, x, y, replicates=replicates, seed=seed, kind=kind, weights=weights, loss=loss)
    if boot.replicates - boot.failed < 2:
        return None, [f"No errors: {boot.failed} of {boot.replicates} refits failed."]
    few = f"noise drawn about the fit, for want of {count(sizes_to_draw(law), 'size')}"
    ways = {"rungs": "runs drawn again", "parametric": few}
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


def _predict(found: FitResult, boot: Bootstrap | None, x: Array, at: Array, level: float) -> dict[str, Any]:
    one = predict_at(
        found.law, found.parameters, at, domain=domain_of(x), loss=found.loss, boot=boot, level=level
    )
    return one.split()[0].to_dict()
