"""Joules that training took, read from the machine's own counters: NVML's of a GPU, RAPL's of a processor.

A counter knows its device and nothing of processes, so a reading counts only where the training had the
device to itself. Missing is None with a reason.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
SAMPLE_S = 20.0  # RAPL's counters wrap after minutes: 262 kJ at 200 W are 22


class Counter(Protocol):
    """Joules since the counter was opened, and what it is called."""

    source: str

    def joules(self) -> float:
        """Since it was opened."""
        ...

    def alone(self) -> str | None:
        """Why what was counted may be another's work too, or None."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class NoCounter(RuntimeError):
    """Why there is nothing to read, in one line."""


class Nvml:
    """The energy counter of one NVIDIA GPU (Volta or newer), named by its UUID, by way of nvidia-ml-py."""

    source = "nvml"

    def __init__(self, uuid: str) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise NoCounter("nvidia-ml-py is not installed (pip install nvidia-ml-py)") from error
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self._begun = self._millijoules()
        except pynvml.NVMLError as error:
            raise NoCounter(f"NVML: {error}") from error

    def joules(self) -> float:
        try:
            return (self._millijoules() - self._begun) / 1e3
        except self._nvml.NVMLError as error:
            raise NoCounter(f"NVML: {error}") from error

    def close(self) -> None:
        """Nothing to let go of."""

    def alone(self) -> str | None:
        try:
            others = len(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) > 1
        except self._nvml.NVMLError:  # not every driver tells
            return None
        return "other processes used the GPU, whose counter is one for all" if others else None

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))


class Rapl:
    """The packages' energy counters of Linux's powercap, with their memory's where it is told apart.

    `shared`: whether other work had the processor's other cores.
    """

    source = "rapl"

    def __init__(self, folder: Path = POWERCAP, *, shared: bool = False, sample_s: float = SAMPLE_S) -> None:
        self._zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_counted(zone)]
        if not self._zones:
            raise NoCounter(f"no RAPL counter in {folder}")
        try:
            self._last = {zone: _number(zone / "energy_uj") for zone in self._zones}
            self._range = {zone: _number(zone / "max_energy_range_uj") for zone in self._zones}
        except (OSError, ValueError) as error:
            raise NoCounter(f"RAPL's counters in {folder} cannot be read ({error})") from error
        self._shared = shared
        self._microjoules = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._watch, args=(sample_s,), daemon=True).start()

    def joules(self) -> float:
        self.sample()
        return self._microjoules / 1e6

    def alone(self) -> str | None:
        return "other stages ran on the processor, whose counter is one for all" if self._shared else None

    def close(self) -> None:
        """Stop watching for counters that wrap."""
        self._stop.set()

    def sample(self) -> None:
        """Add what the counters rose by; one that fell went over its range once."""
        with self._lock:
            for zone, before in self._last.items():
                now = _number(zone / "energy_uj")
                self._microjoules += now - before + (self._range[zone] + 1 if now < before else 0)
                self._last[zone] = now

    def _watch(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.sample()
            except (OSError, ValueError):  # the last look will say so
                return


class Meter:
    """What one attempt at a training takes: opened before it, asked after it. No counter is no error."""

    def __init__(self, open_counter: Callable[[], Counter], *, begun_before: bool = False) -> None:
        self._counter: Counter | None = None
        self._reason: str | None = None
        if begun_before:
            self._reason = "the training was interrupted; what the attempt before took was not kept"
            return
        try:
            self._counter = open_counter()
        except NoCounter as error:
            self._reason = str(error)

    def read(self) -> tuple[float | None, str | None]:
        """(joules, None), or (None, why there are none)."""
        if self._counter is None:
            return None, self._reason
        try:
            joules, reason = self._counter.joules(), self._counter.alone()
        except (NoCounter, OSError, ValueError) as error:
            return None, f"the counter failed: {error}"
        return (joules, None) if reason is None else (None, reason)

    def close(self) -> None:
        """Let the counter go."""
        if self._counter is not None:
            self._counter.close()

    def facts(self, accelerator: Any) -> dict[str, Any]:
        """`energy_joules` and `energy_source` of all ranks, with the reason in `missing` where there is none.

        Every rank has to call it: each reads its own GPU. On processors ranks of one machine share a counter.
        """
        joules, reason = self.read()
        source = None if self._counter is None else self._counter.source
        if accelerator.num_processes > 1:
            if source == "rapl":
                joules, reason = None, "several processes trained on one counter"
            joules = _sum_over_ranks(joules, accelerator)
            reason = (reason or "another rank read none") if joules is None else None
        if joules is None:
            return {"energy_joules": None, "energy_source": None, "missing": {"energy_joules": reason}}
        return {"energy_joules": joules, "energy_source": source}


def training_meter(device: Any, threads: int, *, begun_before: bool) -> Meter:
    """The meter of a training on `device` (torch's): its GPU's counter, or the processor's."""

    def open_counter() -> Counter:
        if device.type == "cuda":
            import torch

            return Nvml(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        # the counter is the whole machine's: cores that this process may not use are others'
        return Rapl(shared=threads < (os.cpu_count() or 1))

    return Meter(open_counter, begun_before=begun_before)


def _sum_over_ranks(joules: float | None, accelerator: Any) -> float | None:
    """The sum; None where a rank has none."""
    import torch

    own = torch.tensor([math.nan if joules is None else joules], device=accelerator.device)
    total = float(accelerator.reduce(own, reduction="sum").item())
    return None if math.isnan(total) else total


def _is_counted(zone: Path) -> bool:
    """Packages and their memory; a package's cores are in the package, and psys would count all twice."""
    try:
        name = (zone / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return name.startswith(("package", "dram"))


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))
