"""The machines that a plan can be made for, and the peaks that utilisation is measured against; no torch.

Figures are one device's, from NVIDIA's data sheets: dense rates (the sheets of H100 and later print the rate
with sparsity, of which half is dense), memory and bandwidth in powers of ten, watts as the board's maximum
("max thermal design power"), without host, network and cooling. Sources: "NVIDIA H100 Tensor Core GPU" (SXM
700 W, PCIe 350 W, NVL 400 W), "NVIDIA H200 Tensor Core GPU" (SXM 700 W, NVL 600 W), "NVIDIA A100 Tensor Core
GPU" (SXM 400 W), "NVIDIA DGX B200" (eighths of a node: 1,440 GB, 64 TB/s; 1,000 W a GPU).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from eval.files import InputError

NODE = 8  # devices of a node
MOST_DEVICES = 100_000
# Dollars an hour of one rented device, on demand. Assumed, in round figures of 2025, and looked up nowhere:
# prices differ threefold between providers and fall by the month. `--price` replaces them.
PRICES_FROM = "2025"
CURRENCY = "USD"


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU: peaks in TFLOP/s (matrix products in bf16 or fp16, and in fp32 without TF32), bytes,
    bytes a second, watts, dollars an hour, and the share of the bf16 peak that large models are assumed to
    reach. `cards`: what the driver's own names of such cards hold."""

    bf16_tflops: float
    fp32_tflops: float
    memory_bytes: float
    bandwidth: float
    watts: float
    price_per_hour: float | None
    mfu: float
    cards: tuple[str, ...]


# The first whose name a card's own name holds counts, so the special ones stand before the plain.
DEVICES = {
    "b200": Device(
        bf16_tflops=2250, fp32_tflops=75, memory_bytes=180e9, bandwidth=8e12, watts=1000,
        price_per_hour=5.0, mfu=0.30, cards=("B200",),
    ),
    "h200-nvl": Device(
        bf16_tflops=835.5, fp32_tflops=60, memory_bytes=141e9, bandwidth=4.8e12, watts=600,
        price_per_hour=3.0, mfu=0.35, cards=("H200 NVL",),
    ),
    "h200": Device(
        bf16_tflops=989.5, fp32_tflops=67, memory_bytes=141e9, bandwidth=4.8e12, watts=700,
        price_per_hour=3.5, mfu=0.35, cards=("H200",),
    ),
    "h100-nvl": Device(
        bf16_tflops=835.5, fp32_tflops=60, memory_bytes=94e9, bandwidth=3.9e12, watts=400,
        price_per_hour=2.5, mfu=0.35, cards=("H100 NVL",),
    ),
    "h100-pcie": Device(
        bf16_tflops=756.5, fp32_tflops=51, memory_bytes=80e9, bandwidth=2e12, watts=350,
        price_per_hour=2.0, mfu=0.35, cards=("H100 PCIe",),
    ),
    "h100": Device(
        bf16_tflops=989.5, fp32_tflops=67, memory_bytes=80e9, bandwidth=3.35e12, watts=700,
        price_per_hour=2.5, mfu=0.35, cards=("H100",),
    ),
    "a100-40": Device(
        bf16_tflops=312, fp32_tflops=19.5, memory_bytes=40e9, bandwidth=1.555e12, watts=400,
        price_per_hour=1.2, mfu=0.40, cards=("A100-SXM4-40GB", "A100-PCIE-40GB"),
    ),
    "a100": Device(
        bf16_tflops=312, fp32_tflops=19.5, memory_bytes=80e9, bandwidth=2.039e12, watts=400,
        price_per_hour=1.6, mfu=0.40, cards=("A100",),
    ),
}  # fmt: skip
ALIASES = {"a100-80": "a100", "h100-sxm": "h100", "h200-sxm": "h200"}
CPU = "cpu"


@dataclass(frozen=True)
class Machine:
    """So many of one device; `device` is None for this machine's own processor. `kind`: the device's name
    as it was asked for."""

    name: str
    device: Device | None
    devices: int = 1
    kind: str = CPU

    @property
    def nodes(self) -> int:
        """Nodes of eight devices at most."""
        return -(-self.devices // NODE)


def parse_machine(text: str) -> Machine:
    """`cpu`, a device's name such as `h100`, or that with a number before it: `8xh100`, `64xh100`.

    Raises InputError for what is none, with the names that are near, and for whole nodes that are not whole.
    """
    name = text.strip().lower()
    if name == CPU:
        return Machine(CPU, None)
    match = re.fullmatch(r"(?:([1-9]\d{0,5})\s?x\s?)?([a-z]\S*)", name)
    count, kind = (int(match[1] or 1), match[2]) if match else (0, name)
    device = DEVICES.get(ALIASES.get(kind, kind))
    if device is None:
        near = difflib.get_close_matches(kind, (CPU, *DEVICES, *ALIASES), n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join((CPU, *DEVICES))}"
        raise InputError(f"--hardware: {text!r} is no machine known here; {meant} (several: 8xh100)")
    if not 0 < count <= MOST_DEVICES:
        raise InputError(f"--hardware: {text!r}: {count} devices; give 1 to {MOST_DEVICES:,}")
    if count > NODE and count % NODE:
        raise InputError(
            f"--hardware: {text!r}: nodes have {NODE} devices; give up to {NODE}, or a multiple of {NODE}"
        )
    return Machine(name if count > 1 else kind, device, count, kind)


def peak_tflops(card: str) -> float | None:
    """The dense half-precision peak of the card that its driver calls `card`, in TFLOP/s; None: not known.

    Not known are parts of a card (MIG), and those whose names hold another's: GB200, GH200.
    """
    if "MIG" in card.split():
        return None
    return next(
        (
            device.bf16_tflops
            for device in DEVICES.values()
            if any(re.search(rf"\b{re.escape(name)}\b", card) for name in device.cards)
        ),
        None,
    )
