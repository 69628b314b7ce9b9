"""One process or several: what a launcher started, whose rows of a batch are whose, whole tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from eval.files import InputError
from pipelines.environment import read_deepspeed, refuse_without_gpu

if TYPE_CHECKING:
    from pipelines.batches import Batch


def world_size() -> int:
    """The processes that a launcher such as `torchrun` says it started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_accelerator(
    precision: str,
    *,
    sharding: str = "none",
    deepspeed: Path | None = None,
    trackers: Sequence[str] = (),
    folder: Path | None = None,
) -> Accelerator:
    """The accelerator of this process: on its GPU, or on the processor; `folder` is where trackers write.

    precision: fp32, bf16 or fp16. sharding: `none`, or `fsdp` (FSDP2, GPUs only). deepspeed: a configuration
    file, passed through. Raises InputError for what this machine cannot do, and asserts that accelerate sees
    as many processes as the launcher started.
    """
    gpu = torch.cuda.is_available()
    _refuse(precision, sharding, deepspeed, gpu)
    # a worker runs stages of several precisions in turn
    AcceleratorState._reset_state(reset_partial_state=world_size() == 1)
    options: dict[str, Any] = {}
    if sharding == "fsdp":
        from accelerate import FullyShardedDataParallelPlugin

        options["fsdp_plugin"] = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap"
        )
    if deepspeed is not None:
        options["deepspeed_plugin"] = _deepspeed(deepspeed)
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=not gpu,
        log_with=list(trackers) or None,
        project_dir=folder,
        **options,
    )
    assert accelerator.num_processes == world_size(), (
        f"accelerate runs {accelerator.num_processes} processes, the launcher started {world_size()}"
    )
    return accelerator


def _refuse(precision: str, sharding: str, deepspeed: Path | None, gpu: bool) -> None:
    if not gpu:
        refuse_without_gpu(precision, sharding, deepspeed)
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > torch.cuda.device_count():
        raise InputError(
            f"the launcher started {here} processes for {torch.cuda.device_count()} GPUs; "
            f"use --nproc-per-node {torch.cuda.device_count()}"
        )


def _deepspeed(path: Path) -> Any:
    config = read_deepspeed(path)
    from accelerate import DeepSpeedPlugin

    return DeepSpeedPlugin(hf_ds_config=config)


def said_by_first(value: Any) -> Any:
    """The first process's `value`, in every process: what lies on disk may change between two looks."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value], from_process=0)[0]


def parts_of(batch: Batch, micro_tokens: int, rank: int, world: int) -> list[tuple[Batch, bool]]:
    """This rank's share of a step's batch, in parts of about `micro_tokens` padded tokens, of a row at least.

    Every rank gets as many parts as the others, as collective operations need: one that has no row left
    gets the batch's first row, to be counted as nothing (False).
    """
    rows, length = batch["input_ids"].shape
    most = -(-rows // world)
    parts = -(-most // max(1, micro_tokens // length))
    own = torch.arange(rank, rows, world)
    out = []
    for index in torch.tensor_split(own, parts):
        counts = len(index) > 0
        chosen = index if counts else torch.tensor([0])
        out.append(({name: value[chosen] for name, value in batch.items()}, counts))
    return out


def whole(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on this process, sharded ones put together; every rank has to call it."""
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach()
        for name, value in tensors.items()
    }
