"""What a device costs an hour, draws, and reaches of its peak: given, or assumed and marked so."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.hardware import CURRENCY, PRICES_FROM, Machine
from pipelines.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what machine, and what is said of it in the place of what is assumed. `price`: of a device and
    hour, `electricity`: of a kilowatt-hour; without a price electricity is all that is paid."""

    machine: Machine
    price: float | None = None
    watts: float | None = None
    electricity: float | None = None
    mfu: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What holds for the machine in the end, a device's each, with where it comes from; None: not known."""

    price: float | None
    price_source: str
    watts: float | None
    watts_source: str
    electricity: float | None
    mfu: float | None
    mfu_source: str
    currency: str


def resolve_rates(terms: Terms, recipe: Recipe) -> Rates:
    """What is given; else for a GPU the table's figures, for this machine the recipe's `report`."""
    device, report = terms.machine.device, recipe.report
    given = "as given"
    price, price_source = terms.price, given
    watts, watts_source = terms.watts, given
    mfu, mfu_source = terms.mfu, given
    currency = report.currency
    if price is None:
        if terms.electricity is not None:
            price_source = "none: electricity alone"
        elif device is None:
            price, price_source = report.price_per_hour, "the recipe's report.price_per_hour"
        else:
            price, currency = device.price_per_hour, CURRENCY
            price_source = f"assumed from {PRICES_FROM}; prices change, give --price"
    if watts is None:
        watts = report.watts if device is None else device.watts
        watts_source = "the recipe's report.watts" if device is None else "data sheet, the board alone"
    if mfu is None and device is not None:
        mfu, mfu_source = device.mfu, "assumed, never measured on GPUs here"
    return Rates(
        price=price,
        price_source=price_source if price is not None or terms.electricity is not None else "not known",
        watts=watts,
        watts_source=watts_source if watts is not None else "not known; give --watts",
        electricity=terms.electricity,
        mfu=mfu,
        mfu_source=mfu_source if mfu is not None else "none: tokens a second are calibrated",
        currency=currency,
    )
