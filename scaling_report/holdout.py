"""Runs at the largest places hidden from a second fit, and how far off they were predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.files import InputError
from scaling_report.fits import FitResult, fit
from scaling_report.inputs import order_by_size
from scaling_report.laws import LAWS, Array
from scaling_report.notation import significant
from scaling_report.wording import count


def hide_places(
    found: FitResult, x: Array, y: Array, weights: Array, holdout: int, starts: int
) -> dict[str, Any]:
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
    again = fit(
        found.law,
        x[..., ~hidden],
        y[~hidden],
        weights=weights[~hidden],
        loss=found.loss,
        starts=starts,
    )
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
