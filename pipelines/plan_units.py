"""Amounts as a plan shows them: a few digits and a unit; `?` for what is not known."""

from __future__ import annotations

from pipelines.ladder import human_count

UNKNOWN = "?"  # a pretrained tokenizer tells its size only when it is loaded


def exact(count: int | None) -> str:
    """12,768."""
    return UNKNOWN if count is None else f"{count:,}"


def count(number: float | None) -> str:
    """13k, 1.2m, 1289b."""
    return UNKNOWN if number is None else human_count(number)


def flops(number: float | None) -> str:
    """5.69e+11."""
    return UNKNOWN if number is None else f"{number:.2e}"


def duration(seconds: float | None) -> str:
    """46 s, 12 min, 4.6 h, 267.7 d."""
    if seconds is None:
        return UNKNOWN
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} d"


def size(number: float | None) -> str:
    """Bytes in binary multiples: 84 KiB, 127 MiB, 5.5 GiB, 1.3 TiB."""
    if number is None:
        return UNKNOWN
    if number < 2**20:
        return f"{number / 2**10:.0f} KiB" if number else "0"
    if number < 2**30:
        return f"{number / 2**20:.0f} MiB"
    return f"{number / 2**30:.1f} GiB" if number < 2**40 else f"{number / 2**40:,.1f} TiB"


def energy(kwh: float | None) -> str:
    """6.1 Wh, 207 kWh, 288 MWh."""
    if kwh is None:
        return UNKNOWN
    if kwh < 0.9995:
        return f"{1000 * kwh:.2g} Wh" if kwh < 0.0995 else f"{1000 * kwh:.0f} Wh"
    if kwh < 99.5:
        return f"{kwh:.1f} kWh"
    return f"{kwh:.0f} kWh" if kwh < 9999.5 else f"{kwh / 1000:,.0f} MWh"


def money(amount: float | None) -> str:
    """0.003, 4.92, 10,821."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "0"
    if amount < 0.1:
        return f"{amount:.1g}"
    return f"{amount:.2f}" if amount < 1000 else f"{amount:,.0f}"
