"""This machine, looked at without torch: what a recipe needs of it and lacks, and what it is called."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from eval.files import InputError
from pipelines.deepspeed_file import read_deepspeed

if TYPE_CHECKING:
    from pipelines.recipe import Recipe
    from pipelines.stages import LoopSettings

DEVICES = Path("/dev")
# Where Linux shows what torch could compute on: NVIDIA's cards, those that Windows lends, AMD's.
GPU_FILES = ("nvidia*", "dxg", "kfd")


def check_environment(recipe: Recipe, loop: LoopSettings) -> None:
    """Raise InputError for what training would stop at here: a GPU, a package or a file that is not there.

    Whether there is a GPU is asked only where the answer is sure without torch; training itself asks again.
    """
    if recipe.pretrains or recipe.finetune:
        if surely_no_gpu():
            refuse_without_gpu(recipe.training.precision, loop.sharding)
        check_trackers(loop.trackers)
        if loop.deepspeed is not None:
            check_deepspeed(loop.deepspeed)
    if any(finetune.lora for finetune in recipe.finetune):
        check_lora()


def surely_no_gpu() -> bool:
    """Whether torch will find no GPU; False where only torch could tell."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or sys.platform == "darwin":
        return True
    return sys.platform == "linux" and not any(any(DEVICES.glob(name)) for name in GPU_FILES)


def refuse_without_gpu(precision: str, sharding: str) -> None:
    """Raise InputError for what a machine without a GPU cannot do."""
    if precision == "fp16":
        raise InputError("training.precision: fp16 needs a GPU; write bf16, fp32 or auto")
    if sharding == "fsdp":
        raise InputError(
            "training.sharding: fsdp needs GPUs (accelerate does not shard on processors); write none"
        )


def check_trackers(names: Sequence[str]) -> None:
    """Raises InputError for a tracker that is not installed: accelerate would leave it out without a word."""
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                f"training.trackers: {name} is not installed; pip install 'stepladder[{name}]', or remove it"
            )


def check_deepspeed(file: Path) -> None:
    """Raises InputError where DeepSpeed is not installed, or its file asks for what is not passed through."""
    read_deepspeed(file)
    if find_spec("deepspeed") is None:
        raise InputError(
            "training.deepspeed: needs DeepSpeed; pip install 'stepladder[deepspeed]', or remove it"
        )


def check_lora() -> None:
    """Raises InputError where peft is not installed."""
    if find_spec("peft") is None:
        raise InputError("finetune.lora: needs peft; install it: pip install 'stepladder[lora]'")


def native_bf16() -> bool:
    """Whether the processor computes in bf16 itself, by what Linux says of it; False where nothing does."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_tile" in flags


def cache_folder() -> Path:
    """Where measurements of this machine are kept: XDG's cache folder, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stepladder"


def cpu_name() -> str:
    """The processor's name, with what tells apart those that a cloud gives one name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
