"""Low-rank additions to a large checkpoint's matrices (Hu 2021), by way of peft, which is an extra."""

from __future__ import annotations

from typing import Any

from pipelines.environment import check_lora

# The matrices of the blocks: attention's and the MLPs'.
TARGETS = {
    "gpt2": ["c_attn", "c_fc", "c_proj"],
    "bert": ["query", "key", "value", "intermediate.dense", "output.dense"],
}
# A new head is trained whole, and so is the pooler that BERT's classifier stands on.
HEADS = ("score", "classifier", "qa_outputs", "pooler")


def wrap_lora(model: Any, *, r: int, alpha: float, dropout: float) -> Any:
    """`model` with additions of rank `r`, scaled by alpha / r; they and a new head are all that is trained.

    Raises InputError where peft is not installed.
    """
    check_lora()
    from peft import LoraConfig, get_peft_model

    family = model.config.model_type
    heads = [name for name in HEADS if any(part.split(".")[-1] == name for part, _ in model.named_modules())]
    settings: dict[str, Any] = {
        "r": r,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": TARGETS[family],
        "fan_in_fan_out": family == "gpt2",  # its matrices are stored transposed
        "modules_to_save": heads or None,
    }
    return get_peft_model(model, LoraConfig(**settings))


def merge_lora(model: Any) -> Any:
    """The plain model that the wrapped one stands for, its additions added."""
    return model.merge_and_unload()
