"""Results in, laws and a report out; imports of `eval` the record, the files and their tables, nothing else.

`fit` judges a law on anybody's table, `frontier` spends budgets, `Law.load` reads a saved law back. They
come when first asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_report.library import fit
    from scaling_report.optimal.compute import frontier
    from scaling_report.saved import FittedLaw as Law

__all__ = ["Law", "fit", "frontier"]

_HOMES = {
    "fit": ("scaling_report.library", "fit"),
    "frontier": ("scaling_report.optimal.compute", "frontier"),
    "Law": ("scaling_report.saved", "FittedLaw"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
