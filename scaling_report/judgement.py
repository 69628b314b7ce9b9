"""A fit and what it is worth, as a value: asked, tested, kept, shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError, write_json
from eval.safety import redact
from scaling_report.fits import STARTS, FitResult
from scaling_report.holdout import hide_places
from scaling_report.inputs import FLOPS_PER_TOKEN, is_count
from scaling_report.laws import LAWS, Array
from scaling_report.local import LocalErrors
from scaling_report.predicting import Prediction, domain_of
from scaling_report.saved import FittedLaw, save_value, versions
from scaling_report.saving import check_place
from scaling_report.sources import Runs
from scaling_report.target import Target
from scaling_report.uncertainty import Bootstrap
from scaling_report.weights import RunWeights


@dataclass(frozen=True)
class Judgement:
    """A fit, and what it is worth. `bootstrap`: None where there is none, the verdict says why.

    `law` is what was asked for; `dropped` are the parameters that it was fitted without, since no data show
    them, `absent` those that play no part in the curve at the data, whose refits say nothing.
    `local` are errors without refits; `weighing` what runs weighed by their measured errors, None where all
    weighed one. `predictions` and `holdout` as `judge` was asked for them, JSON; `verdict` in sentences.
    `x`, (n,) or a row an input of the fitted law, and `y` (n,) are the runs, `kept` tells which of the law's
    inputs those rows are, `inputs` names what `predict` is given; `runs` says where they come from, None for
    bare arrays.

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
    local: LocalErrors
    x: Array = field(repr=False, compare=False)
    y: Array = field(repr=False, compare=False)
    inputs: tuple[str, ...]
    kept: tuple[int, ...]
    starts: int = STARTS
    weighing: RunWeights | None = None
    dropped: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    runs: Runs | None = field(default=None, repr=False, compare=False)

    @property
    def weights(self) -> Array:
        """What each run weighed, (n,)."""
        return np.ones_like(self.y) if self.weighing is None else self.weighing.weights

    def predict(self, x: Any = None, /, **at: Any) -> Prediction:
        """What the law says of one run, or of several: as `scaling_report.saved.FittedLaw.predict`."""
        return self.as_law().predict(x, **at)

    def backtest(self, holdout: int = 1) -> dict[str, Any]:
        """Hide the runs at the `holdout` largest places from a second fit, which predicts them.

        `predicted` and `measured` are in the units of y; beside `mean_absolute_error_percent` stands
        `last_value_error_percent`, that of the largest place left. Raises `InputError` where too few are.
        """
        if not is_count(holdout, least=1):
            raise InputError(f"holdout: {holdout}; hide one place or more")
        return hide_places(self.fit, self.x, self.y, self.weights, holdout, self.starts)

    def frontier(self, budgets: Sequence[float], **how: Any) -> list[dict[str, Any]]:
        """Best size, tokens and loss of each budget in FLOPs, by every approach that the runs allow.

        As `scaling_report.optimal.compute.frontier`, FLOPs being the table's where they were an input, else
        6·N·D. Raises `InputError` for a law that is not of size and data.
        """
        from scaling_report.optimal.compute import frontier

        if LAWS[self.fit.law].inputs != ("n", "d"):
            raise InputError(f"frontier: {self.law} is not of size and data; fit chinchilla")
        n, d = self.x
        given = self.runs.inputs.get("c") if self.runs else None
        flops = FLOPS_PER_TOKEN * n * d if given is None else given
        return frontier(n, d, flops, self.y, budgets, **{"level": self.level, **how})

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
            covariance=self.local.covariance,
            refits=self.bootstrap,
            provenance={**(self.runs.provenance if self.runs else {}), "versions": versions()},
            missing=self._missing(),
        )

    def _missing(self) -> dict[str, str]:
        reasons = {} if self.bootstrap else {"refits": "none were made, or too few arrived"}
        if self.local.covariance is None:
            reasons["covariance"] = "it means nothing where the data do not tell the parameters apart"
        return reasons

    def save(self, path: str | Path, *, command: str | None = None) -> None:
        """Write the fit as JSON, from which `FittedLaw.load` predicts the same to the digit.

        Raises `InputError` where something is that is no saved fit, such as the table.
        """
        place = check_place(path, self.runs.provenance["table"] if self.runs else None)
        kept = self.as_law()
        made = {} if command is None else {"command": redact(command)}
        write_json(place, save_value(self.to_dict(), kept, made))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from scaling_report.notebook import show

        return show(self)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: missing is None."""
        found, boot = self.fit, self.bootstrap
        absent = dict.fromkeys(self.absent)
        condition = found.condition
        return {
            "law": self.law,
            "formula": LAWS[found.law].formula,
            "parameters": dict(found.parameters),
            "standard_errors": boot and boot.standard_errors() | absent,
            "intervals": boot
            and {name: list(ends) for name, ends in boot.interval(self.level).items()} | absent,
            "level": self.level,
            **self.local.to_dict(),
            "weights": self.weighing and self.weighing.to_dict(),
            "loss": found.loss,
            "objective": found.objective,
            "n": found.n,
            "inputs": list(self.inputs),
            "domain": domain_of(self.x).tolist(),
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
