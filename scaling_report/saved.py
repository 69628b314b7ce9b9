"""A fit as a file, and back: what predicts again to the digit, and where it came from."""

from __future__ import annotations

import dataclasses
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError, read_json
from scaling_report.fits import Solutions
from scaling_report.inputs import find_name, find_place, read_numbers
from scaling_report.laws import LAWS, Array
from scaling_report.predicting import Prediction, check_distance, predict_at
from scaling_report.saved_checks import check_whole
from scaling_report.target import Target
from scaling_report.uncertainty import Bootstrap, Scatter

FORMAT = 1
_VERSIONS = ("stepladder", "numpy", "scipy")


class FarPrediction(UserWarning):
    """A prediction more than three times beyond what was measured."""


@dataclass(frozen=True)
class FittedLaw:
    """A law with its parameters, as `stepladder fit --save` and a report's laws.json hold it.

    `law` is what was fitted, `asked` what was asked for, which may have had more inputs (`rows` are those
    that are left). `inputs` are their names, `domain` (inputs, 2) the ends of what was measured. `covariance`
    (P, P) is of `parameters` in their order, None with its reason in `missing`. `target` turns the law's y
    into the metric.
    """

    law: str
    parameters: Mapping[str, float]
    inputs: tuple[str, ...]
    domain: Array
    asked: str
    rows: tuple[int, ...]
    loss: str
    level: float
    identified: bool
    target: Target
    covariance: Array | None
    refits: Bootstrap | None
    provenance: Mapping[str, Any]
    missing: Mapping[str, str]

    @classmethod
    def load(
        cls, path: str | Path, *, series: str | None = None, x: str | None = None, law: str | None = None
    ) -> FittedLaw:
        """Read a saved fit, or of a report (laws.json, its folder or its run's) the law of one series.

        A report's series is named by its id; its axis is the report's first unless `x` says otherwise, and
        the law is the chosen one unless `law` does ("chinchilla": that of runs of every length, where the
        report has one; `x` is then how N is counted). Raises `InputError` for what is no such file, and for
        names that are not in it, with those that are.
        """
        path = _find(Path(path))
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise InputError(f"{path}: is no saved fit and no laws.json of this version; make it again")
        try:
            found = _from_report(path, value, series, x, law) if "series" in value else _from_fit(value)
            check_whole(found)
            return found
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
            reason = repr(error).splitlines()[0]
            raise InputError(f"{path}: is not whole ({reason:.200}); make it again") from error

    def predict(self, x: float | Sequence[float] | Array | None = None, /, **at: Any) -> Prediction:
        """The law at one run (numbers) or at n (sequences of one length), in the metric's unit.

        Inputs by name (`n=7e9, d=1.4e12`; of n, d and c two give the third), or the one alone. Warns
        (`FarPrediction`) more than three times beyond what was measured. Raises `InputError` for inputs
        that the law has not, or that are not above zero.
        """
        if x is not None:
            if at or len(self.inputs) != 1:
                raise InputError(f"predict: {self.asked} is of {', '.join(self.inputs)}; name them")
            at = {self.inputs[0]: x}
        single = all(np.ndim(values) == 0 for values in at.values())
        places = _places(self.asked, self.inputs, at)
        if len(self.rows) < len(np.atleast_2d(places)):
            places = np.atleast_2d(places)[list(self.rows)]
        check_distance(self.law, self.domain, places)
        found = predict_at(
            self.law,
            self.parameters,
            places,
            domain=self.domain,
            loss=self.loss,
            boot=self.refits,
            level=self.level,
            names=self.inputs if LAWS[self.law].inputs == ("x",) else None,
        )
        found = _in_unit(found, self.target)
        if found.far:
            warnings.warn(str(found), FarPrediction, stacklevel=2)
        return _as_numbers(found) if single else found


def save_value(found: Mapping[str, Any], kept: FittedLaw, made: Mapping[str, Any]) -> dict[str, Any]:
    """What a file holds of a fit: all that it says (`found`), and all that predicting again takes.

    `made` goes with the provenance.
    """
    return {
        "format": FORMAT,
        **found,
        "fitted": kept.law,
        "rows": list(kept.rows),
        "target": asdict(kept.target),
        "covariance": None if kept.covariance is None else kept.covariance.tolist(),
        "refits": None if kept.refits is None else _pack(kept.refits),
        "provenance": {**kept.provenance, **made},
        "missing": dict(kept.missing),
    }


def versions() -> dict[str, str]:
    """What numbers were made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def _find(path: Path) -> Path:
    """The file meant by a file, a report's folder or a run's."""
    if not path.is_dir():
        return path
    for name in ("laws.json", "report/laws.json"):
        if (path / name).is_file():
            return path / name
    raise InputError(f"{path}: no laws.json in this folder; name a report's folder or a saved fit")


def _from_fit(value: Mapping[str, Any]) -> FittedLaw:
    covariance = value["covariance"]
    find_name(value["fitted"], LAWS, "law")
    return FittedLaw(
        law=value["fitted"],
        parameters=dict(value["parameters"]),
        inputs=tuple(value["inputs"]),
        domain=np.array(value["domain"], dtype=float),
        asked=value["law"],
        rows=tuple(value["rows"]),
        loss=value["loss"],
        level=value["level"],
        identified=value["identified"],
        target=Target(**value["target"]),
        covariance=None if covariance is None else np.array(covariance, dtype=float),
        refits=None if value["refits"] is None else _unpack(value["fitted"], value["refits"]),
        provenance=dict(value["provenance"]),
        missing=dict(value["missing"]),
    )


def _from_report(
    path: Path, value: Mapping[str, Any], series: str | None, x: str | None, law: str | None
) -> FittedLaw:
    surfaces = [one for one in value.get("surfaces", ()) if one["law"] == law]
    if surfaces:
        return _from_surface(path, value, surfaces, series, x)
    by_id = {one["id"]: one for one in value["series"]}
    if series is None and len(by_id) == 1:
        series = next(iter(by_id))
    if series not in by_id:
        what = "name one with series=" if series is None else f"has no series {series!r}"
        raise InputError(f"{path}: {what}; there are {', '.join(by_id) or 'none'}")
    axis = x or value["settings"]["x"][0]
    fits = [one for one in by_id[series]["fits"] if one["x"] == axis]
    entry = next((one for one in fits if (one["law"] == law if law else one["chosen"])), None)
    if entry is None:
        there = ", ".join(f"{one['law']} against {one['x']}" for one in by_id[series]["fits"]) or "none"
        raise InputError(f"{path}: {series} has no {law or 'chosen'} law against {axis}; there are {there}")
    covariance = entry.get("covariance")
    missing = {"refits": "a report keeps its bands on a grid, not its refits"}
    if covariance is None:
        missing["covariance"] = "the report holds none"
    return FittedLaw(
        law=entry["law"],
        parameters=dict(entry["parameters"]),
        inputs=(axis,),
        domain=np.array([entry["domain"]], dtype=float),
        asked=entry["law"],
        rows=(0,),
        loss=entry.get("loss", "huber"),
        level=value["settings"]["level"],
        identified=entry["identified"],
        target=Target(**entry["target"]),
        covariance=None if covariance is None else np.array(covariance, dtype=float),
        refits=None,
        provenance=value.get("provenance") or {"run": value["run"]},
        missing=missing,
    )


def _from_surface(
    path: Path,
    value: Mapping[str, Any],
    surfaces: Sequence[Mapping[str, Any]],
    series: str | None,
    x: str | None,
) -> FittedLaw:
    """The law of size and data of a report's runs of every length, N being counted as `x` says."""
    if series is None and len(surfaces) == 1:
        series = surfaces[0]["id"]
    one = next((one for one in surfaces if one["id"] == series), None)
    if one is None:
        what = "name one with series=" if series is None else f"has no {surfaces[0]['law']} of {series!r}"
        raise InputError(f"{path}: {what}; there are {', '.join(one['id'] for one in surfaces)}")
    if (x or one["x"]) not in one["conventions"]:
        raise InputError(f"{path}: counts no N as {x!r}; there are {', '.join(one['conventions'])}")
    entry = one["conventions"][x or one["x"]]
    missing = {"refits": "a report keeps no refits"}
    if entry["covariance"] is None:
        missing["covariance"] = "it means nothing where the data do not tell the parameters apart"
    return _from_fit(
        {
            **entry,
            "fitted": entry["law"],
            "rows": range(len(entry["inputs"])),
            "target": {"ceiling": None, "floor": None},
            "refits": None,
            "provenance": value.get("provenance") or {"run": value["run"]},
            "missing": missing,
        }
    )


def _places(law: str, inputs: Sequence[str], at: Mapping[str, Any]) -> Array:
    """The law's x, checked, from what `predict` was given."""
    columns = {name: read_numbers(name, values) for name, values in at.items()}
    for name, values in columns.items():
        bad = values[~(np.isfinite(values) & (values > 0))]
        if bad.size:
            raise InputError(f"predict: {name} is {bad[0]:g}; laws need finite numbers above zero")
    if len(inputs) == 1 and set(columns) != set(inputs) and LAWS[law].inputs == ("x",):
        raise InputError(f"predict: {', '.join(columns) or 'nothing'} is given; {inputs[0]} is wanted")
    try:
        rows = np.broadcast_arrays(*columns.values())
    except ValueError as error:
        told = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        raise InputError(f"predict: inputs differ in length ({told}); give as many of each") from error
    return find_place(law, dict(zip(columns, rows, strict=True)))


def _in_unit(found: Prediction, target: Target) -> Prediction:
    if target.ceiling is None:
        return found
    return dataclasses.replace(
        found,
        value=target.from_law(np.asarray(found.value)),
        confidence=None if found.confidence is None else target.band_from_law(found.confidence),
        prediction=None if found.prediction is None else target.band_from_law(found.prediction),
    )


def _as_numbers(found: Prediction) -> Prediction:
    return found.split()[0]


def _pack(boot: Bootstrap) -> dict[str, Any]:
    return {
        "kind": boot.kind,
        "replicates": boot.replicates,
        "failed": boot.failed,
        "scatter": asdict(boot.scatter),
        "inflation": boot.inflation.tolist(),
        "parameters": boot.solutions.parameters.tolist(),
    }


def _unpack(law: str, value: Mapping[str, Any]) -> Bootstrap:
    """The refits as far as bands need them: objectives and bounds are not kept."""
    parameters = np.array(value["parameters"], dtype=float)
    return Bootstrap(
        kind=value["kind"],
        replicates=value["replicates"],
        failed=value["failed"],
        solutions=Solutions(
            law=LAWS[law],
            parameters=parameters,
            objective=np.full(len(parameters), np.nan),
            converged=np.ones(len(parameters), dtype=bool),
            at_bound=np.zeros(parameters.shape, dtype=bool),
        ),
        scatter=Scatter(**value["scatter"]),
        inflation=np.array(value["inflation"], dtype=float),
    )
