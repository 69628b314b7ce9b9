"""Build or load the Hugging Face model of a rung; what lies on disk is always a plain transformers folder."""

from __future__ import annotations

import os
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


def build_gpt2(
    shape: Shape, vocab_size: int, context: int, eos_id: int, pad_id: int, seed: int
) -> PreTrainedModel:
    """A GPT-2 of this shape with transformers' own initialisation, drawn from `seed`; no dropout (one pass over the data)."""
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=context,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_head=shape.n_head,
        bos_token_id=eos_id,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
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
    """Swap in faster forms of the same functions: fused tanh-GELU everywhere, blocked causal attention on a processor."""
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
    os.replace(beside, folder)
