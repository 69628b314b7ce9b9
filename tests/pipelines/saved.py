"""Small models saved as anybody's would be, with tokenizers, to be used from their folders."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from pipelines.tokenizer import train_tokenizer, train_wordpiece

CONTEXT = 48
TEXTS = [
    "the cat sat on the mat, and the dog ran to the park",
    "a very good film: funny, warm and well made",
    "a dull and empty film that nobody needs",
    "rivers run to the sea. mountains stand where they stood",
]


@cache
def tokenizer(family: str) -> Any:
    """A byte-level tokenizer without a begin token of its own, or one with [CLS] and [SEP]."""
    if family == "gpt2":
        return train_tokenizer(iter(TEXTS), 300, CONTEXT)
    return train_wordpiece(TEXTS, 80, CONTEXT)


def save(folder: Path, made: str, **config: Any) -> Path:
    """A model of transformers' class `made`, with weights drawn wide enough to have opinions."""
    family = "gpt2" if made.startswith("GPT2") else "bert"
    words = tokenizer(family)
    torch.manual_seed(0)
    shape = (
        {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": CONTEXT}
        if family == "gpt2"
        else {
            "num_hidden_layers": 2,
            "hidden_size": 16,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": CONTEXT,
        }
    )
    kind = transformers.GPT2Config if family == "gpt2" else transformers.BertConfig
    settings = kind(
        vocab_size=len(words),
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        initializer_range=0.4,
        **shape,
        **config,
    )
    model = getattr(transformers, made)(settings)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def labels(*names: str) -> dict[str, Any]:
    """The part of a config that names a head's outputs."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
