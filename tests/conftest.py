"""What every test runs under: one thread, no network, and real data only where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine, and no complaint about a slow one: it is no finding.
settings.register_profile(
    "stepladder", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("stepladder")

ROOT = Path(__file__).resolve().parent.parent

# Set before a test module imports the libraries that read them; processes that tests start inherit them.
os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
)


@pytest.fixture(scope="session")
def stepladder_data() -> Path:
    """The folder of real data sets named by STEPLADDER_DATA, else the one beside the checkout."""
    folder = Path(os.environ.get("STEPLADDER_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set STEPLADDER_DATA to a folder that has some")
    return folder
