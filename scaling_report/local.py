"""What the neighbourhood of the optimum says of a fit's errors, without any refit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling_report.delta import compare_errors, errors_of, measure_covariance, measure_spread
from scaling_report.fits import FitResult
from scaling_report.laws import Array
from scaling_report.profile import profile_intervals
from scaling_report.uncertainty import Bootstrap

REFITS = 50  # fewer have no errors to compare with
Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class LocalErrors:
    """Covariance (P, P), its standard errors, and profile intervals; each None where it means nothing."""

    covariance: Array | None
    standard_errors: Mapping[str, float] | None
    profile: Mapping[str, Ends] | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "covariance": None if self.covariance is None else self.covariance.tolist(),
            "delta_errors": self.standard_errors and dict(self.standard_errors),
            "profile_intervals": self.profile and {name: list(ends) for name, ends in self.profile.items()},
        }


def measure_local(
    found: FitResult, x: Array, y: Array, level: float, weights: Array | None = None, *, profile: bool = True
) -> LocalErrors:
    """Both, of a fit to x, y and `weights`; without `profile`, which takes longest, the covariance alone."""
    matrix = measure_covariance(found, x, weights)
    ends = profile_intervals(found, x, y, level, weights) if profile else None
    return LocalErrors(matrix, errors_of(matrix, found), ends)


def doubt_errors(
    local: LocalErrors, boot: Bootstrap | None, found: FitResult, weights: Array | None = None
) -> list[str]:
    """A sentence where the delta method and the refits do not agree on the errors."""
    spread = measure_spread(found, weights)
    if boot is None or boot.replicates < REFITS or local.standard_errors is None or spread is None:
        return []
    return compare_errors(local.standard_errors, boot.standard_errors(), spread.dof)
