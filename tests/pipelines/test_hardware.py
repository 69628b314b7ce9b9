"""Machines by name: what is meant, what is refused in a line, and one table of peaks for all."""

from __future__ import annotations

import pytest

from eval.files import InputError
from pipelines.hardware import DEVICES, parse_machine, peak_tflops


@pytest.mark.parametrize(
    ("text", "devices", "nodes", "memory"),
    [
        ("h100", 1, 1, 80e9),
        ("8xh100", 8, 1, 80e9),
        ("64xH100", 64, 8, 80e9),
        ("a100-40", 1, 1, 40e9),
        ("a100-80", 1, 1, 80e9),
        (" 4 x h200 ", 4, 1, 141e9),
    ],
)
def test_a_machine_is_so_many_of_a_device(text: str, devices: int, nodes: int, memory: float) -> None:
    machine = parse_machine(text)
    assert machine.device is not None
    assert (machine.devices, machine.nodes, machine.device.memory_bytes) == (devices, nodes, memory)


def test_cpu_is_this_machine() -> None:
    assert parse_machine("cpu").device is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h10", "did you mean h100"),
        ("8xh10O", "did you mean h100"),
        ("abacus", "choose from cpu, b200"),
        ("0xh100", "is no machine known here"),
        ("12xh100", "nodes have 8 devices; give up to 8, or a multiple of 8"),
        ("800000xh100", "give 1 to 100,000"),
        ("2xcpu", "did you mean"),
        ("", "choose from"),
        ("h100\n", None),
    ],
)
def test_what_is_no_machine_is_one_line_with_near_names(text: str, said: str | None) -> None:
    if said is None:
        assert parse_machine(text).name == "h100"
        return
    with pytest.raises(InputError, match=said) as caught:
        parse_machine(text)
    assert str(caught.value).startswith("--hardware: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("card", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA B200", 2250.0),
        ("NVIDIA GeForce RTX 4090", None),
        ("NVIDIA GB200", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_utilisation_and_plans_share_the_data_sheets_peaks(card: str, tflops: float | None) -> None:
    import torch

    from pipelines.utilisation import gpu_peak

    assert peak_tflops(card) == tflops
    assert gpu_peak(card, torch.bfloat16) == (None if tflops is None else tflops * 1e12)
    assert gpu_peak(card, torch.float32) is None


def test_every_device_has_its_figures_in_sane_units() -> None:
    for name, device in DEVICES.items():
        assert 100 < device.bf16_tflops < 10_000, name
        assert device.fp32_tflops < device.bf16_tflops / 5
        assert 1e10 < device.memory_bytes < 1e12
        assert 1e12 < device.bandwidth < 1e13
        assert 100 < device.watts < 2000
        assert 0 < device.mfu < 1
