"""Intervals of scores hold the truth about as often as they claim; `benchmarks/coverage.py` counts more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage() -> Any:
    spec = importlib.util.spec_from_file_location("coverage_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def populations(coverage: Any) -> dict[str, Any]:
    return dict(coverage.make_populations(2000, seed=0))


@pytest.mark.parametrize("name", ["bleu", "rouge1", "accuracy", "token_perplexity"])
def test_intervals_hold_the_truth_at_their_rate(
    coverage: Any, populations: dict[str, Any], name: str
) -> None:
    found = coverage.count_coverage(populations[name], items=150, draws=100, replicates=200, seed=1)
    assert found.rate == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 100))
    assert found.claimed == pytest.approx(found.deviation, rel=0.2)


def test_errors_half_as_large_would_be_found_out(
    coverage: Any, populations: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "CERTAIN", 0.98)
    found = coverage.count_coverage(populations["accuracy"], items=150, draws=100, replicates=2, seed=1)
    assert found.rate < 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)
