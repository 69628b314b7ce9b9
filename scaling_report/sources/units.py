"""Whether numbers can be what their columns are given for: parameters, tokens, FLOPs, nats."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from eval.files import InputError

Array = NDArray[np.float64]

FEW = 1e4  # fewer parameters or tokens than this in every run, and counts of the other sort beyond MANY
MANY = 1e6  # fewer FLOPs than this in every run are PFLOP/s-days
SCARCE = 1e-3  # tokens a parameter: less is more likely a unit than a run
FACTOR = 10.0  # by which FLOPs may differ from 6·N·D: small models' heads and attention cost that much
PF_DAY = 8.64e19  # FLOPs
WILD_NATS = 20.0  # a token: beyond any tokenizer's uniform guess
_FLOPS = ("c", "flops", "flop", "total_flos", "training flop", "training flops", "compute")
_UNITS = (
    (r"bits_?per_?byte|bpb", "bits per byte"),
    (r"perplexity|ppl", "perplexity"),
    (r"bits", "bits per token"),
    (r"loss|nll|nats|cross_?entropy", "nats per token"),
)


def unit_of(column: str) -> str | None:
    """What a column's numbers are, by its name; None where the name does not tell."""
    return next((unit for pattern, unit in _UNITS if re.search(pattern, column.lower())), None)


def is_flops(column: str) -> bool:
    """Whether a column holds training FLOPs, by its name."""
    return column.lower() in _FLOPS


def check_units(
    name: str, columns: Mapping[str, str], values: Mapping[str, Array], y: str, flops: Array | None
) -> list[str]:
    """What is odd about the numbers, in sentences. `values` by input or `y`, each (n,); `flops` (n,) or None.

    `columns` gives each input's column. Raises `InputError` where counts must be in another unit.
    """
    held = {one: values[one] for one in columns}
    if "c" in held and held["c"].max() < MANY:
        _refuse(name, "c", columns["c"], held["c"], "FLOPs", f"for PFLOP/s-days multiply by {PF_DAY:g}")
    if "n" in held and "c" in held:
        held.setdefault("d", held["c"] / (6 * held["n"]))
    said: list[str] = []
    n, d = held.get("n"), held.get("d")
    if n is not None and d is not None:
        for one, other, what in (("d", n, "tokens"), ("n", d, "parameters")):
            if one in columns and held[one].max() < FEW and other.min() > MANY:
                _refuse(name, one, columns[one], held[one], what, "multiply by 1e9 if they are in billions")
        if scarce := int((d < SCARCE * n).sum()):
            said.append(
                f"{name}: {scarce} of {n.size} runs have less than a token for a thousand parameters; "
                "are sizes and tokens in one unit?"
            )
        if flops is not None and "c" not in columns:
            known = np.isfinite(flops)
            ratio = float(np.median((flops / (6 * n * d))[known])) if known.any() else 1.0
            if not 1 / FACTOR <= ratio <= FACTOR:
                said.append(
                    f"{name}: its FLOPs are {ratio:.3g} times 6·n·d (median); are n and d what they were "
                    "counted from?"
                )
    if unit_of(y) == "nats per token" and values["y"].max() > WILD_NATS:
        said.append(f"{name}: {y} reaches {values['y'].max():.4g}; as nats a token that is no loss")
    return said


def _refuse(name: str, one: str, column: str, values: Array, what: str, remedy: str) -> None:
    raise InputError(
        f"{name}: {one} ({column!r}) is {values.max():g} at most, too few to be {what}; give {what}: {remedy}"
    )
