"""The laws by name: each a pure function whose docstring is its formula and source, and what a fit needs."""

from __future__ import annotations

from collections.abc import Mapping

from scaling_report.laws.broken import BNSL, BNSL_2, bnsl
from scaling_report.laws.build import Parameter, build_law
from scaling_report.laws.curves import EXPONENTS, POWER, POWER_FLOOR, power, power_floor
from scaling_report.laws.kaplan import KAPLAN, kaplan
from scaling_report.laws.law import Array, Law
from scaling_report.laws.product import PRODUCTS, product
from scaling_report.laws.repeated import REPEATED, best_size, repeated
from scaling_report.laws.shares import ERROR_DECAY, SIGMOID, error_decay, sigmoid
from scaling_report.laws.surfaces import CHINCHILLA, chinchilla

__all__ = [
    "CURVES",
    "EXPONENTS",
    "LAWS",
    "PRODUCTS",
    "Array",
    "Law",
    "Parameter",
    "best_size",
    "bnsl",
    "build_law",
    "chinchilla",
    "error_decay",
    "kaplan",
    "power",
    "power_floor",
    "product",
    "repeated",
    "sigmoid",
]

LAWS: Mapping[str, Law] = {
    law.name: law
    for law in (
        POWER,
        POWER_FLOOR,
        *PRODUCTS.values(),
        KAPLAN,
        CHINCHILLA,
        REPEATED,
        BNSL,
        BNSL_2,
        ERROR_DECAY,
        SIGMOID,
    )
}

CURVES: tuple[str, ...] = (POWER.name, POWER_FLOOR.name)
"""Those of one input, whichever it is, that few sizes suffice for: what a report tries on every axis."""
