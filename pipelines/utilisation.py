"""The most floating-point operations a second this machine gives to matrix products, for utilisation."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch

from eval.files import write_json
from pipelines.compiling import processor
from pipelines.environment import cache_folder
from pipelines.hardware import peak_tflops

SIZE = 1024  # a side of the probed matrices: above it the rate no longer rises on the processors tried
PROBE_S = 0.3


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Peak FLOP/s of dense matrix products: from a table for a GPU, measured once and kept for a processor.

    None for a GPU that the table does not know, or at a precision it has no figure for (float32).
    """
    if device.type == "cuda":
        return gpu_peak(torch.cuda.get_device_name(device), dtype)
    path = _kept_path(device, dtype)
    kept = _kept(path)
    if kept is not None:
        return kept
    measured = measure_peak(dtype)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"flops": measured})
    except OSError:
        pass  # a folder that cannot be written costs the next run a third of a second
    return measured


def gpu_peak(name: str, dtype: torch.dtype) -> float | None:
    """The data sheet's dense half-precision peak of the card called `name`, in FLOP/s."""
    if dtype not in (torch.bfloat16, torch.float16):
        return None
    peak = peak_tflops(name)
    return None if peak is None else peak * 1e12


def measure_peak(dtype: torch.dtype) -> float:
    """The best rate of a square matrix product on the processor, in FLOP/s, at the threads torch now has."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIZE, SIZE, generator=generator).to(dtype) for _ in range(2))
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < PROBE_S:
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2.0 * SIZE**3 / best


def _kept_path(device: torch.device, dtype: torch.dtype) -> Path:
    name = "".join(c if c.isalnum() else "-" for c in processor(device))
    kind = str(dtype).removeprefix("torch.")
    file = f"{name}-{kind}-{torch.get_num_threads()}-threads-torch-{torch.__version__}.json"
    return cache_folder() / "peak" / file


def _kept(path: Path) -> float | None:
    try:
        value = float(json.loads(path.read_text(encoding="utf-8"))["flops"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return value if value > 0 else None
