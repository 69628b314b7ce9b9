"""A DeepSpeed configuration file: what of it is passed through, and what a recipe says instead; no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.files import InputError, read_json

STAGES = (1, 2)
# Of `zero_optimization`: how what is shared out is sent, which changes no result but its last digits.
PASSED_ZERO = (
    "stage allgather_partitions allgather_bucket_size overlap_comm reduce_scatter reduce_bucket_size "
    "contiguous_gradients round_robin_gradients use_multi_rank_bucket_allreduce ignore_unused_parameters"
).split()
PASSED = (
    "zero_optimization communication_data_type prescale_gradients gradient_predivide_factor steps_per_print "
    "wall_clock_breakdown memory_breakdown dump_state comms_logger zero_allow_untested_optimizer"
).split()
# Said by the recipe, where every run and its report look for it.
OURS = {
    "train_batch_size": "training.batch_tokens",
    "train_micro_batch_size_per_gpu": "training.micro_tokens",
    "gradient_accumulation_steps": "training.micro_tokens",
    "gradient_clipping": "training.clip",
    "optimizer": "training.optimizer",
    "scheduler": "training.schedule",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "torch_autocast": "training.precision",
}


def read_deepspeed(path: Path) -> dict[str, Any]:
    """What a DeepSpeed file asks for, without all that it leaves open (`auto`) or that a recipe says.

    Raises InputError, in a line, for a file that is missing or no JSON object, and for settings that are not
    passed through: other stages than 1 and 2, offload, whatever would change what is trained.
    """
    try:
        config = read_json(path)
    except InputError as error:
        raise InputError(f"training.deepspeed: {error}") from error
    where = f"training.deepspeed: {path}"
    if not isinstance(config, dict):
        raise InputError(f'{where}: is no JSON object; write {{"zero_optimization": {{"stage": 2}}}}')
    zero = config.get("zero_optimization")
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if not isinstance(zero, dict) or stage not in STAGES or isinstance(stage, bool):
        advice = ", or training.sharding: fsdp instead of this file" if stage == 3 else ""
        raise InputError(
            f"{where}: zero_optimization.stage: {stage!r:.20} does not work here; write 1 or 2{advice}"
        )
    for name, value in config.items():
        if name in OURS and not _is_open(name, value):
            raise InputError(f"{where}: {name}: {OURS[name]} says this; remove it here")
        if name not in OURS and name not in PASSED:
            raise InputError(
                f"{where}: {name}: is not passed through; remove it, or choose from {', '.join(PASSED)}"
            )
    for name, value in zero.items():
        off = (
            name.startswith("offload_") and isinstance(value, dict) and value.get("device", "none") == "none"
        )
        if name not in PASSED_ZERO and not off:
            raise InputError(
                f"{where}: zero_optimization.{name}: is not passed through; remove it, or choose from "
                f"{', '.join(PASSED_ZERO)}"
            )
    kept = {name: value for name, value in zero.items() if name in PASSED_ZERO and value != "auto"}
    return {name: config[name] for name in PASSED if config.get(name, "auto") != "auto"} | {
        "zero_optimization": kept
    }


def _is_open(name: str, value: Any) -> bool:
    """Whether a setting that is the recipe's is left open in the file."""
    if isinstance(value, dict) and name in ("bf16", "fp16", "torch_autocast"):
        return value.get("enabled", False) in ("auto", False)
    return value == "auto" or (name == "gradient_accumulation_steps" and value == 1)
