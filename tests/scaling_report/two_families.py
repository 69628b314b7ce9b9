"""Made-up ladders of two families on one task, with known exponents and noise that matching rungs share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.results import Result
from tests.scaling_report.synthetic import result

SIZES = (13_000, 28_000, 60_000, 130_000, 280_000, 600_000, 1_300_000)


def accuracies(
    family: str,
    exponent: float,
    *,
    noise: Sequence[float] | None = None,
    scale: float = 3.0,
    **changes: object,
) -> list[Result]:
    """One accuracy a rung: 1 - scale·N^-exponent·e^noise; `changes` replace fields of every result."""
    noise = np.zeros(len(SIZES)) if noise is None else noise
    return [
        result(
            "accuracy",
            1 - scale * size**-exponent * float(np.exp(more)),
            **{
                "size": size,
                "rung": f"{size // 1000}k",
                "run": f"{family}-run",
                "family": family,
                "stage": "finetune",
                "objective": "classification",
                "task": "sst2",
                "signature": "accuracy|context:64|dtype:float32",
                "model_fingerprint": f"{family}-{size}",
                **changes,
            },
        )  # type: ignore[arg-type]
        for size, more in zip(SIZES, noise, strict=True)
    ]


def shared_noise(seed: int, *, shared: float = 0.03, own: float = 0.008) -> tuple[np.ndarray, np.ndarray]:
    """Noise of ln(1 - accuracy) of two ladders, (7,) each: a part that their rungs share and one that not."""
    rng = np.random.default_rng(seed)
    both = shared * rng.standard_normal(len(SIZES))
    one, other = own * rng.standard_normal((2, len(SIZES)))
    return both + one, both + other
