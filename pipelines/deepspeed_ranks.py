"""Accelerate over DeepSpeed: ZeRO shares gradients and moments out, and steps when this loop says so."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DeepSpeedPlugin, PartialState
from accelerate.utils import DistributedType, patch_environment

from pipelines.deepspeed_file import read_deepspeed


class ZeroAccelerator(Accelerator):
    """An accelerator whose `backward` also takes the optimiser's step, unless under `no_sync`.

    DeepSpeed's own step clips, moves the weights and clears the gradients; accelerate's optimiser then does
    nothing when it is asked to. Weights stay whole, in fp32, on every rank: those of ZeRO's stages 1 and 2.
    """

    def __init__(self, file: Path, precision: str, trackers: Sequence[str], folder: Path | None) -> None:
        gpu = torch.cuda.is_available()
        if not gpu:
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        # with `cpu` accelerate leaves DeepSpeed out, so the processor is chosen before
        PartialState(cpu=not gpu)
        _form_group(gpu)
        super().__init__(
            mixed_precision="no",
            deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=_config(read_deepspeed(file), precision)),
            log_with=list(trackers) or None,
            project_dir=folder,
        )
        del os.environ["ACCELERATE_USE_DEEPSPEED"]  # which would make the next accelerator one of DeepSpeed's
        assert self.distributed_type == DistributedType.DEEPSPEED, self.distributed_type
        self._bf16 = precision == "bf16"

    def prepare_clipped(
        self, objective: Any, optimizer: torch.optim.Optimizer, clip: float
    ) -> tuple[Any, Any]:
        """`prepare`, with the norm that gradients are scaled down to."""
        self.deepspeed_plugin.deepspeed_config["gradient_clipping"] = clip
        with patch_environment(LOCAL_RANK=self.local_process_index):  # DeepSpeed asks for it, launcher or not
            return self.prepare(objective, optimizer)

    @contextlib.contextmanager
    def no_sync(self, model: Any) -> Iterator[None]:
        """Within it a step's batch has parts to come, and `backward` takes no step."""
        self.gradient_state._set_sync_gradients(False)
        try:
            yield
        finally:
            self.gradient_state._set_sync_gradients(True)

    @contextlib.contextmanager
    def autocast(self, autocast_handler: Any = None) -> Iterator[None]:
        """For what is computed outside the engine, which has its own: DeepSpeed's `torch_autocast`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            yield

    def clip_grad_norm_(self, parameters: Any, max_norm: float, norm_type: float = 2.0) -> torch.Tensor:
        """The norm that DeepSpeed clipped by, of all ranks' gradients; infinite for a step it left out."""
        norm = self.deepspeed_engine_wrapped.engine.get_global_grad_norm()
        return torch.as_tensor(norm, device=self.device)


def _config(file: dict[str, Any], precision: str) -> dict[str, Any]:
    """The file's settings with the recipe's; the loop makes its parts itself, so that DeepSpeed sees one."""
    config = file | {
        "train_micro_batch_size_per_gpu": 1,  # nothing is computed from it
        "gradient_accumulation_steps": 1,
    }
    if precision == "bf16":
        # as without DeepSpeed: weights and gradients in fp32, products in bf16. Gradients of modules called
        # safe in a lower precision would be sent in it.
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    return config


def _form_group(gpu: bool) -> None:
    """A group of one, where no launcher started more: DeepSpeed would look for MPI."""
    if not torch.distributed.is_initialized():
        store = torch.distributed.HashStore()  # type: ignore[attr-defined]
        torch.distributed.init_process_group("nccl" if gpu else "gloo", store=store, rank=0, world_size=1)
