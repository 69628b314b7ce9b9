"""The laws by name: each a pure function whose docstring is its formula and source, and what a fit needs."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_report.laws.curves import EXPONENTS, POWER, POWER_FLOOR, power, power_floor
from scaling_report.laws.law import Array, Law
from scaling_report.laws.surfaces import CHINCHILLA, chinchilla

__all__ = ["CURVES", "EXPONENTS", "LAWS", "Array", "Law", "chinchilla", "power", "power_floor"]

LAWS: Mapping[str, Law] = {law.name: law for law in (POWER, POWER_FLOOR, CHINCHILLA)}

CURVES: tuple[str, ...] = tuple(name for name, law in LAWS.items() if law.inputs == ("x",))
"""Those of one input, whichever it is."""
