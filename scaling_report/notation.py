"""Numbers as they are printed in tables and on charts; missing is a dash, never a zero."""

from __future__ import annotations

import math
import re
from datetime import datetime

MISSING = "–"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def significant(value: float | None, digits: int = 4) -> str:
    """`value` to `digits` significant digits, trailing zeros kept: 1.874, 12,346, 1.2 × 10⁻⁵."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 < exponent < 9:
        return power_of_ten(value, min(digits, 3))
    return fixed(value, max(digits - 1 - exponent, 0))


def fixed(value: float, places: int) -> str:
    """`value` with `places` decimals, thousands separated, and a true minus sign."""
    return f"{value:,.{places}f}".replace("-", "−")


def with_error(value: float | None, stderr: float | None) -> str:
    """`value ± stderr`, the error to two significant digits and the value to as many decimals."""
    if value is None or not stderr:
        return significant(value)
    places = 1 - math.floor(math.log10(abs(stderr)))
    if not 0 <= places <= 6:
        return f"{significant(value)} ± {significant(stderr, 2)}"
    return f"{fixed(value, places)} ± {fixed(stderr, places)}"


def signed_percent(value: float | None) -> str:
    """A percentage, given in percent, with its sign and two significant digits: +0.31 %."""
    if value is None:
        return MISSING
    return f"{'+' if value > 0 else ''}{significant(value, 2)} %"


def integer(value: float | None) -> str:
    """A whole number with its thousands separated: 1,032,192."""
    return MISSING if value is None else fixed(value, 0)


def short(value: float | None) -> str:
    """A count in a few signs: 940, 12.9k, 1.03M."""
    if value is None:
        return MISSING
    for size, suffix in _SUFFIXES:
        if abs(value) >= size * 0.9995:  # 999,600 is 1M, not 1e+03k
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def power_of_ten(value: float | None, digits: int = 3) -> str:
    """Scientific notation as it is printed: 1.23 × 10¹²."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.replace('-', '−')} × 10{superscript(int(exponent))}"


def superscript(exponent: int) -> str:
    """An integer in superscript digits."""
    return str(exponent).translate(_SUPERSCRIPT)


def duration(seconds: float | None) -> str:
    """A time span: 0.4 s, 42 s, 3 min 12 s, 1 h 05 min."""
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(made: str | None) -> str | None:
    """An ISO 8601 time as a date to read, "31 January 2026, 12:04 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(made or "")
    except ValueError:
        return made
    return f"{time.day} {MONTHS[time.month - 1]} {time:%Y, %H:%M} {time.tzname() or ''}".rstrip()


def axis_value(axis: str, value: float | None) -> str:
    """One value of an axis: a power of ten for FLOPs, exact for whatever is counted."""
    return power_of_ten(value) if axis == "flops" else integer(value)


def slug(text: str) -> str:
    """`text` as an anchor and a file name: lower-case letters and digits, single hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
