"""Prediction bands hold as often as they say; `benchmarks/band_coverage.py` counts more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "band_coverage.py"


@pytest.fixture(scope="module")
def coverage() -> Any:
    spec = importlib.util.spec_from_file_location("band_coverage_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_tables_have_the_runs_that_were_asked_for(coverage: Any) -> None:
    for truth in coverage.TRUTHS:
        for runs in truth.runs:
            assert coverage.place_runs(truth, runs).shape[-1] == runs


@pytest.mark.slow
@pytest.mark.parametrize("law", ["chinchilla", "power-floor"])
def test_bands_hold_as_often_as_they_say(coverage: Any, law: str) -> None:
    """90 % bands hold 85 to 95 % of new runs, with three standard errors of sixty tables."""
    (truth,) = (one for one in coverage.TRUTHS if one.law == law)
    for runs in truth.runs:
        for found in coverage.count_coverage(truth, runs, 0.01, tables=60, bootstrap=100, level=0.9, seed=1):
            assert 0.85 - 3 * found.rate_stderr < found.rate < 0.95 + 3 * found.rate_stderr
