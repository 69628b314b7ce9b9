"""Build or load the Hugging Face model of a rung; what lies on disk is always a plain transformers folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from pipelines import attention
from pipelines.ladder import Shape

# GPT-2 small's initial standard deviation, 0.02, at its width of 768.
INITIAL_STD, INITIAL_STD_WIDTH = 0.02, 768


def initial_std(width: int) -> float:
    """Standard deviation of initial weights: 0.02 * sqrt(768 / width).

    Variance goes as 1 / width (Yang 2022), so that activations and first logits are as large at every width
    as in GPT-2 small; 0.02 at width 32 leaves a network so quiet that a short run spends much of itself on
    waking it.
    """
    return INITIAL_STD * math.sqrt(INITIAL_STD_WIDTH / width)


def build_gpt2(
    shape: Shape, vocab_size: int, context: int, eos_id: int, pad_id: int, seed: int
) -> PreTrainedModel:
    """A GPT-2 of this shape, its weights drawn from `seed` at `initial_std`; no dropout."""
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=context,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_head=shape.n_head,
        bos_token_id=eos_id,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
        initializer_range=initial_std(shape.n_embd),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    torch.manual_seed(seed)
    return GPT2LMHeadModel(config)


def load_for(objective: str, folder: Path, labels: Sequence[str] | None, seed: int) -> Any:
    """The model of a finished stage, with the head of `objective`; a new head is drawn from `seed`."""
    torch.manual_seed(seed)
    if objective != "classification":
        return AutoModelForCausalLM.from_pretrained(folder)
    assert labels, "classification needs its labels"
    names = dict(enumerate(labels))
    return AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), id2label=names, label2id={name: index for index, name in names.items()}
    )


def tune_for_training(model: Any, on_cpu: bool) -> Any:
    """Swap in faster forms of the same functions: fused tanh-GELU; on a processor, blocked attention."""
    for block in model.transformer.h:
        # gelu_new is the tanh approximation written out in six operations; torch has it as one
        block.mlp.act = torch.nn.GELU(approximate="tanh")
    if on_cpu:
        model.config._attn_implementation = attention.register()
    return model


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the `save_pretrained` layout beside `folder`, then rename it: the folder is whole or absent."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
