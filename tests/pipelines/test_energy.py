"""Joules from counters that are made up: a wrap, a card, and every way that there is nothing to read."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pipelines.energy import Meter, NoCounter, Nvml, Rapl, training_meter


def zone(folder: Path, name: str, called: str, microjoules: int, most: int = 262_143_328_850) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "name").write_text(f"{called}\n", encoding="utf-8")
    (path / "energy_uj").write_text(f"{microjoules}\n", encoding="utf-8")
    (path / "max_energy_range_uj").write_text(f"{most}\n", encoding="utf-8")
    return path


def put(path: Path, microjoules: int) -> None:
    (path / "energy_uj").write_text(f"{microjoules}\n", encoding="utf-8")


class One:
    """A single process."""

    num_processes = 1


def test_packages_and_their_memory_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 0)
    cores = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    both = zone(tmp_path, "intel-rapl:2", "psys", 0)
    counter = Rapl(tmp_path, sample_s=1e9)
    for path, now in (
        (package, 4_000_000),
        (second, 2_000_005),
        (memory, 500_000),
        (cores, 9**9),
        (both, 9**9),
    ):
        put(path, now)
    assert counter.joules() == pytest.approx(3.0 + 2.0 + 0.5)
    counter.close()


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, most=9_999_999)
    counter = Rapl(tmp_path, sample_s=1e9)
    put(package, 1_000_000)  # past its range: 1 J to its end, 1 J from its beginning
    counter.sample()
    put(package, 3_000_000)
    assert counter.joules() == pytest.approx(2.0 + 2.0)
    counter.close()


def test_wraps_are_watched_for_without_being_asked(tmp_path: Path) -> None:
    import time

    package = zone(tmp_path, "intel-rapl:0", "package-0", 0, most=9_999_999)
    counter = Rapl(tmp_path, sample_s=0.01)
    for now in (8_000_000, 3_000_000):
        put(package, now)
        for _ in range(500):
            if counter._last[package] == now:
                break
            time.sleep(0.01)
    put(package, 9_000_000)
    assert counter.joules() == pytest.approx(8.0 + 5.0 + 6.0)
    counter.close()


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoCounter, match="no RAPL counter in"):
        Rapl(tmp_path)
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(NoCounter, match="cannot be read"):
        Rapl(tmp_path)
    facts = Meter(lambda: Rapl(tmp_path / "none")).facts(One())
    assert (facts["energy_joules"], facts["energy_source"]) == (None, None)
    assert facts["missing"]["energy_joules"].startswith("no RAPL counter in")


def test_what_others_did_at_the_same_time_is_nobodys_energy(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(lambda: Rapl(tmp_path, shared=True, sample_s=1e9))
    facts = meter.facts(One())
    meter.close()
    assert facts["energy_joules"] is None
    assert "other stages ran" in facts["missing"]["energy_joules"]


def test_an_interrupted_training_has_no_energy(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(lambda: Rapl(tmp_path, sample_s=1e9), begun_before=True)
    assert "interrupted" in meter.facts(One())["missing"]["energy_joules"]


def test_a_counter_that_breaks_costs_the_reading_and_not_the_training(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter(lambda: Rapl(tmp_path, sample_s=1e9))
    put(package, 5_000_000)
    assert meter.read() == (5.0, None)
    (package / "energy_uj").write_text("nonsense", encoding="utf-8")
    assert meter.read()[0] is None
    meter.close()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """NVML with one card in it: what it says can be changed."""
    told: dict[str, Any] = {"millijoules": 10_000, "processes": [1], "uuid": "GPU-1", "fails": False}
    nvml = types.ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    def handle(uuid: str) -> str:
        if uuid != told["uuid"]:
            raise NVMLError("Not Found")
        return uuid

    def energy(handle: str) -> int:
        if told["fails"]:
            raise NVMLError("Not Supported")
        return told["millijoules"]

    nvml.NVMLError = NVMLError  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByUUID = handle  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetTotalEnergyConsumption = energy  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda handle: told["processes"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return told


def test_a_cards_counter_is_read_in_joules(card: dict[str, Any]) -> None:
    meter = Meter(lambda: Nvml("GPU-1"))
    card["millijoules"] += 2_500
    assert meter.facts(One()) == {"energy_joules": 2.5, "energy_source": "nvml"}


def test_a_card_that_others_use_that_is_not_there_or_too_old_gives_the_reason(card: dict[str, Any]) -> None:
    meter = Meter(lambda: Nvml("GPU-1"))
    card["processes"] = [1, 2]
    assert "other processes used the GPU" in meter.facts(One())["missing"]["energy_joules"]
    assert "NVML: Not Found" in Meter(lambda: Nvml("GPU-2")).facts(One())["missing"]["energy_joules"]
    card["fails"] = True
    assert "Not Supported" in meter.facts(One())["missing"]["energy_joules"]
    assert "NVML: Not Supported" in Meter(lambda: Nvml("GPU-1")).facts(One())["missing"]["energy_joules"]


def test_without_the_library_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (
        "nvidia-ml-py is not installed"
        in Meter(lambda: Nvml("GPU-1")).facts(One())["missing"]["energy_joules"]
    )


def test_ranks_add_their_cards_up_and_one_without_leaves_none(card: dict[str, Any]) -> None:
    import torch

    class Two:
        num_processes, device = 2, "cpu"

        def __init__(self, other: float) -> None:
            self.other = other

        def reduce(self, value: torch.Tensor, reduction: str) -> torch.Tensor:
            assert reduction == "sum"
            return value + self.other

    meter = Meter(lambda: Nvml("GPU-1"))
    card["millijoules"] += 1_000
    assert meter.facts(Two(4.0)) == {"energy_joules": 5.0, "energy_source": "nvml"}
    facts = meter.facts(Two(float("nan")))
    assert facts["missing"] == {"energy_joules": "another rank read none"}


def test_a_training_keeps_its_joules_and_an_interrupted_one_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import energy
    from tests.pipelines.test_training_setup import _train

    package = zone(tmp_path / "cap", "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(energy, "Rapl", lambda shared: Rapl(tmp_path / "cap", shared=shared, sample_s=1e9))
    (tmp_path / "one").mkdir()
    original = energy.Meter.read

    def read(meter: Meter) -> tuple[float | None, str | None]:
        put(package, 7_000_000)
        return original(meter)

    monkeypatch.setattr(energy.Meter, "read", read)
    facts = _train(tmp_path / "one")
    assert (facts["energy_joules"], facts["energy_source"]) == (7.0, "rapl")
    (tmp_path / "two" / "checkpoints" / "step-00000001").mkdir(parents=True)
    facts = _train(tmp_path / "two")
    assert facts["energy_joules"] is None
    assert "interrupted" in facts["missing"]["energy_joules"]


def test_stages_side_by_side_and_cores_of_others_share_a_processors_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipelines import energy

    seen: list[bool] = []
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(energy, "Rapl", lambda shared: seen.append(shared))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    for threads in (1, 2, 4):  # two are all that this process may use, and not all that there are
        training_meter(torch.device("cpu"), threads, begun_before=False)
    assert seen == [True, True, False]
