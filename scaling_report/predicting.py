"""A fitted law at a place: the value, both bands, and how far that is from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.inputs import times_beyond
from scaling_report.laws import LAWS, Array
from scaling_report.losses import LOSSES
from scaling_report.notation import significant
from scaling_report.uncertainty import Bootstrap

FAR = 3.0  # times beyond what was fitted, either way
ABSURD = 1e6  # times beyond, where a number is asked for by mistake


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a law says of one run (numbers) or of n runs (arrays), in the units of y.

    `confidence` (2,) or (n, 2) is where the curve is, `prediction` where new runs lie; None without refits,
    and of the second also where runs do not lie evenly about the curve. `times_beyond` is one inside what
    was measured. `str` says it in a sentence a run, and claims no interval more than three times beyond.
    """

    at: Mapping[str, float | Array]
    value: float | Array
    confidence: Array | None
    prediction: Array | None
    times_beyond: float | Array
    level: float

    @property
    def far(self) -> bool:
        """Whether any of it is more than three times beyond what was measured."""
        return bool(np.max(self.times_beyond) > FAR)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: missing is None."""
        return {
            "at": {name: _plain(value) for name, value in self.at.items()},
            "value": _plain(self.value),
            "confidence": _plain(self.confidence),
            "prediction": _plain(self.prediction),
            "times_beyond": _plain(self.times_beyond),
        }

    def __str__(self) -> str:
        return "\n".join(say_prediction(one.to_dict(), one.level) for one in self.split())

    def split(self) -> list[Prediction]:
        """One prediction a run."""
        return [
            Prediction(
                {name: float(np.atleast_1d(row)[place]) for name, row in self.at.items()},
                float(value),
                None if self.confidence is None else np.reshape(self.confidence, (-1, 2))[place],
                None if self.prediction is None else np.reshape(self.prediction, (-1, 2))[place],
                float(np.atleast_1d(self.times_beyond)[place]),
                self.level,
            )
            for place, value in enumerate(np.atleast_1d(self.value))
        ]


def say_prediction(one: Mapping[str, Any], level: float) -> str:
    """A prediction with its band, or why it has none."""
    place = ", ".join(f"{name} = {significant(value)}" for name, value in one["at"].items())
    text = f"At {place}: {significant(one['value'], 4)}"
    if one["times_beyond"] > FAR:
        beyond = significant(one["times_beyond"], 2)
        return f"{text}, {beyond} times beyond what was measured: too far for an interval to be claimed."
    if one["prediction"] is not None:
        low, high = (significant(end, 4) for end in one["prediction"])
        text += f" ({100 * level:.0f} % of new runs between {low} and {high})"
    return f"{text}."


def predict_at(
    law: str,
    parameters: Mapping[str, float],
    x: Array,
    *,
    domain: Array,
    loss: str,
    boot: Bootstrap | None,
    level: float,
    names: tuple[str, ...] | None = None,
) -> Prediction:
    """The law at x, (n,) or one row an input. `domain` (inputs, 2) holds the ends of what was measured.

    `names` are what the inputs are called, where the law calls its own x.
    """
    rows = np.atleast_2d(x)
    even = LOSSES[loss].above == 1  # else the curve is no middle that new runs lie about
    return Prediction(
        at=dict(zip(names or LAWS[law].inputs, rows, strict=True)),
        value=LAWS[law].predict(x, np.array([list(parameters.values())]))[0],
        confidence=None if boot is None else boot.confidence(x, level),
        prediction=None if boot is None or not even else boot.prediction(x, level),
        times_beyond=np.array([times_beyond(law, domain, place) for place in rows.T]),
        level=level,
    )


def check_distance(law: str, x: Array, places: Array, where: str = "predict") -> None:
    """Raise `InputError`, beginning with `where`, for places more than a million times beyond x."""
    rows = np.atleast_2d(x)
    for place in np.atleast_2d(places).T:
        beyond = times_beyond(law, rows, place)
        if not beyond <= ABSURD:
            told = ", ".join(f"{one:g}" for one in place)
            ends = ", ".join(f"{row.min():g} to {row.max():g}" for row in rows)
            raise InputError(
                f"{where}: {told} is {beyond:.2g} times beyond what was measured ({ends}); ask nearer by"
            )


def domain_of(x: Array) -> Array:
    """The ends of each input's values, (inputs, 2)."""
    rows = np.atleast_2d(x)
    return np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
