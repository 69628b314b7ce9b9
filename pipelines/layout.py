"""How a training lies over a machine's devices: one, each with the whole model, or sharded; and what fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.hardware import MOST_DEVICES, NODE, Machine
from pipelines.memory import (
    CPU_PROCESS_BYTES,
    FRAGMENTED,
    GPU_CONTEXT_BYTES,
    Memory,
    Work,
    count_memory,
    data_parallel,
    sharded,
)

CPU_TOKENS = 4096  # `micro_batch.CPU_TOKENS`: what goes through at once on a processor
WORKERS = "training.workers="
ONE, DDP, FSDP = "one device", "data parallel", "fsdp"
_NAMES = {ONE: "", DDP: "DDP ", FSDP: "FSDP "}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the recipe says of how a training is run: `training.micro_tokens` and so on. `workers`: of the
    rung; 1 where nothing is said."""

    micro_tokens: int | None = None
    checkpointing: bool = False
    sharding: str = "none"
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a training lies. `kind`: one device, data parallel, fsdp. `workers`: the devices it uses, no
    more than a batch has rows. `needs`: settings that the recipe lacks for it. `instead`: where nothing
    fits, what would."""

    kind: str
    workers: int
    tokens_at_once: int
    parts: int
    checkpointing: bool
    memory: Memory
    fits: bool = True
    needs: tuple[str, ...] = ()
    instead: str | None = None

    def told(self, rows: int) -> str:
        """`1 of 8`, `DDP 8 of 273`, `FSDP 64 of 273, ckpt`: devices used of those a batch has rows for."""
        if not self.fits:
            return "does not fit"
        return f"{_NAMES[self.kind]}{self.workers} of {rows}" + (", ckpt" if self.checkpointing else "")


def room(machine: Machine, cpu_bytes: float) -> float:
    """Bytes that tensors may take on one device; `cpu_bytes`: this machine's memory."""
    if machine.device is None:
        return cpu_bytes - CPU_PROCESS_BYTES
    return (machine.device.memory_bytes - GPU_CONTEXT_BYTES) * (1 - FRAGMENTED)


def choose_layout(
    work: Work, rows: int, row_tokens: int, machine: Machine, free: float, asked: Asked
) -> Layout:
    """The layout for batches of `rows` rows of `row_tokens` tokens, `free` bytes on a device.

    In this order: whole models, FSDP, both again with activation checkpointing; of the first that fits, the
    largest part of a batch that does. Where the recipe says fsdp or checkpointing, only that.
    """
    workers = min(machine.devices, rows)
    whole = (DDP,) if workers > 1 else (ONE,)
    kinds = (FSDP,) if asked.sharding == "fsdp" else whole + ((FSDP,) if workers > 1 else ())
    for checkpointing in (True,) if asked.checkpointing else (False, True):
        for kind in kinds:
            found = _largest(work, rows, row_tokens, workers, free, kind, checkpointing, machine, asked)
            if found is not None:
                return replace(found, needs=_needs(found, asked, machine))
    least = _layout(work, rows, row_tokens, workers, kinds[-1], True, row_tokens, machine)
    return replace(least, fits=False, instead=_instead(work, rows, row_tokens, machine, free, asked))


def _largest(
    work: Work,
    rows: int,
    row_tokens: int,
    workers: int,
    free: float,
    kind: str,
    checkpointing: bool,
    machine: Machine,
    asked: Asked,
) -> Layout | None:
    """The largest part of a batch that fits, as training itself finds it: a share, its half, and so on."""
    share = -(-rows // workers)
    most = CPU_TOKENS if machine.device is None else share * row_tokens
    at_once = min(share, max(1, (asked.micro_tokens or most) // row_tokens))
    while True:
        tokens = at_once * row_tokens
        layout = _layout(work, rows, row_tokens, workers, kind, checkpointing, tokens, machine)
        if layout.memory.peak <= free:
            return layout
        if at_once == 1:
            return None
        at_once = -(-at_once // 2)


def _layout(
    work: Work,
    rows: int,
    row_tokens: int,
    workers: int,
    kind: str,
    checkpointing: bool,
    tokens: int,
    machine: Machine,
) -> Layout:
    share = -(-rows // workers)
    parts = -(-share // max(1, tokens // row_tokens))
    at_once = -(-share // parts) * row_tokens
    one = replace(
        work,
        tokens_at_once=at_once,
        checkpointing=checkpointing,
        fused_attention=machine.device is not None,
    )
    return Layout(
        kind=kind,
        workers=workers,
        tokens_at_once=at_once,
        parts=parts,
        checkpointing=checkpointing,
        memory=_memory(one, kind, workers),
    )


def activations(
    work: Work, layout: Layout, machine: Machine, checkpointing: bool, tokens: int | None = None
) -> Memory:
    """The layout's memory with activations kept, or computed again, for so many `tokens` at once."""
    one = replace(
        work,
        tokens_at_once=tokens or layout.tokens_at_once,
        checkpointing=checkpointing,
        fused_attention=machine.device is not None,
    )
    return _memory(one, layout.kind, layout.workers)


def _memory(work: Work, kind: str, workers: int) -> Memory:
    if kind == FSDP:
        return sharded(work, workers)
    memory = count_memory(work)
    return data_parallel(memory) if kind == DDP else memory


def _needs(layout: Layout, asked: Asked, machine: Machine) -> tuple[str, ...]:
    needs = []
    if machine.device is not None and (layout.workers > asked.workers or asked.workers > machine.devices):
        needs.append(f"{WORKERS}{layout.workers}")
    if layout.kind == FSDP and asked.sharding != "fsdp":
        needs.append("training.sharding=fsdp")
    if layout.checkpointing and not asked.checkpointing:
        needs.append("training.activation_checkpointing=true")
    if asked.micro_tokens is not None and layout.tokens_at_once < asked.micro_tokens and layout.parts > 1:
        needs.append(f"training.micro_tokens={layout.tokens_at_once}")
    return tuple(needs)


def _instead(work: Work, rows: int, row_tokens: int, machine: Machine, free: float, asked: Asked) -> str:
    """What would make it fit: more devices, sharded and recomputing; else a shorter row."""
    least = replace(work, tokens_at_once=row_tokens, checkpointing=True)
    if machine.device is None:
        needed = count_memory(replace(least, fused_attention=False)).peak + CPU_PROCESS_BYTES
        return (
            f"needs {needed / 2**30:.0f} GiB even with training.activation_checkpointing=true, a row at a "
            "time; choose a larger machine"
        )
    devices = max(2, machine.devices)
    while devices <= min(rows, MOST_DEVICES):
        if sharded(least, devices).peak <= free:
            return (
                f"--hardware {devices}x{machine.kind} would do, with training.sharding=fsdp "
                "training.activation_checkpointing=true, a row at a time"
            )
        devices = 2 * devices if devices >= NODE else NODE
    if sharded(least, max(2, rows)).peak <= free:
        return "more devices than a batch has rows would be needed: raise training.batch_tokens"
    return "on no number of these devices: lower context, or choose a device with more memory"
