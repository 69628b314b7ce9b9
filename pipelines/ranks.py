"""One process or several: what a launcher started, whose rows of a batch are whose, whole tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from eval.files import InputError
from pipelines.environment import check_deepspeed, refuse_without_gpu

if TYPE_CHECKING:
    from pipelines.batches import Batch, Batches

# What FSDP puts together and apart again as one: a block. The rest, tied weights among it, is one more unit.
BLOCKS = {"gpt2": "GPT2Block", "bert": "BertLayer"}


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
    file. Raises InputError for what this machine cannot do, and asserts that accelerate sees as many
    processes as the launcher started.
    """
    gpu = torch.cuda.is_available()
    if not gpu:
        refuse_without_gpu(precision, sharding)
    # a worker runs stages of several precisions in turn
    AcceleratorState._reset_state(reset_partial_state=world_size() == 1)
    if deepspeed is not None:
        accelerator = _zero(deepspeed, precision, trackers, folder)
    else:
        accelerator = Accelerator(
            mixed_precision="no" if precision == "fp32" else precision,
            cpu=not gpu,
            log_with=list(trackers) or None,
            project_dir=folder,
            fsdp_plugin=fsdp_plugin() if sharding == "fsdp" else None,
        )
    assert accelerator.num_processes == world_size(), (
        f"accelerate runs {accelerator.num_processes} processes, the launcher started {world_size()}"
    )
    return accelerator


def _zero(file: Path, precision: str, trackers: Sequence[str], folder: Path | None) -> Accelerator:
    check_deepspeed(file)
    if precision == "fp16":
        raise InputError("training.precision: DeepSpeed is not used with fp16 here; write fp32")
    from pipelines.deepspeed_ranks import ZeroAccelerator

    return ZeroAccelerator(file, precision, trackers, folder)


def fsdp_plugin() -> Any:
    """FSDP2, a block at a time, in the precision that autocast chooses, as without sharding.

    Accelerate's own policy would hand losses, summed over thousands of tokens, back in bf16.
    """
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        mixed_precision_policy=MixedPrecisionPolicy(),
    )


def prepare(
    accelerator: Accelerator, objective: Any, optimizer: torch.optim.Optimizer, clip: float
) -> tuple[Any, Any]:
    """`accelerator.prepare`, told what of an objective it could not know; (prepared, optimizer).

    clip: the norm that gradients are scaled down to, where that is not left to the loop.
    """
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return accelerator.prepare_clipped(objective, optimizer, clip)
    if not accelerator.is_fsdp2:
        return accelerator.prepare(objective, optimizer)
    from torch.distributed.fsdp import register_fsdp_forward_method

    plugin = accelerator.state.fsdp_plugin
    plugin.transformer_cls_names_to_wrap = [BLOCKS[objective.model.config.model_type]]
    prepared, optimizer = accelerator.prepare(objective, optimizer)
    register_fsdp_forward_method(prepared, "measures")  # validation calls this, and needs whole weights too
    return prepared, optimizer


def refuse_more_ranks_than_gpus() -> None:
    """Raise InputError where ranks would have to share a GPU; to be asked before they form a group.

    NCCL does not let them, and says so from within the first collective operation.
    """
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if torch.cuda.is_available() and here > gpus:
        raise InputError(
            f"the launcher started {here} processes for {gpus} GPUs; use --nproc-per-node {gpus}"
        )


def said_by_first(value: Any) -> Any:
    """The first process's `value`, in every process: what lies on disk may change between two looks."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value], from_process=0)[0]


@dataclass(frozen=True)
class Share:
    """What one rank has of a step's batch: its rows, or the batch's first, to be counted as nothing.

    `own` rows of `batch` count; the whole has `rows`, and its summed loss is divided by `scored`.
    """

    batch: Batch
    own: int
    rows: int
    scored: float


def share_of(batches: Batches, objective: Any, rank: int, world: int, step: int) -> Share:
    """The rank's share of a step's batch: every `world`-th row, from its own number on.

    Where every position is scored the other ranks' rows are not read; else they say what is scored.
    """
    rows = len(batches.lengths(step))
    own = range(rank, rows, world)
    chosen = own or [0]
    if objective.every:
        batch = batches.batch(step, chosen)
        return Share(batch, len(own), rows, objective.count(batch) / len(chosen) * rows)
    batch = batches.batch(step)
    index = torch.tensor(chosen)
    return Share(
        {name: value[index] for name, value in batch.items()}, len(own), rows, objective.count(batch)
    )


def parts_of(share: Share, micro_tokens: int, world: int) -> list[tuple[Batch, bool]]:
    """A rank's share of a step's batch in parts of about `micro_tokens` padded tokens, of a row at least.

    Every rank gets as many parts as the others, as collective operations need: one that has no row left
    gets a row to be counted as nothing (False).
    """
    length = share.batch["input_ids"].shape[1]
    most = -(-share.rows // world)
    parts = -(-most // max(1, micro_tokens // length))
    out = []
    for index in torch.tensor_split(torch.arange(share.own), parts):
        counts = len(index) > 0
        chosen = index if counts else torch.tensor([0])
        out.append(({name: value[chosen] for name, value in share.batch.items()}, counts))
    return out


def whole(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors, to be written; sharded ones are put together for the first process, and only there.

    Every rank has to call it. A tensor of two names stays one.
    """
    put_together: dict[int, torch.Tensor | None] = {}
    for value in tensors.values():
        if id(value) not in put_together:
            put_together[id(value)] = _put_together(value.detach())
    return {name: found for name, value in tensors.items() if (found := put_together[id(value)]) is not None}


def _put_together(value: torch.Tensor) -> torch.Tensor | None:
    """None for a sharded tensor on any rank but the first; a whole one lies in the processor's memory."""
    if not hasattr(value, "full_tensor"):  # of a DTensor; importing that takes a second
        return value
    full = value.full_tensor()
    return full.cpu() if torch.distributed.get_rank() == 0 else None


def plain_tensor(value: torch.Tensor) -> torch.Tensor:
    """A small result of computing with sharded tensors, such as a norm, whole on every rank."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value
