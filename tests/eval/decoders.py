"""Tiny random decoders of many families: learned, rotary and relative places, windows, states."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from eval.model import Model

VOCABULARY = 120
CONTEXT = 256
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_USUAL = _SMALL | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT,
}
_GROUPED = _USUAL | {"num_key_value_heads": 1}
_SHORT = _SMALL | {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}

# name -> (configuration class, its arguments)
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT2": ("GPT2Config", _SHORT),
    "Llama": ("LlamaConfig", _GROUPED),
    "GPTNeoX": ("GPTNeoXConfig", _USUAL),
    "GPTJ": ("GPTJConfig", _SHORT | {"rotary_dim": 8}),
    "OPT": ("OPTConfig", _USUAL | {"ffn_dim": 64, "word_embed_proj_dim": 32, "pad_token_id": 1}),
    "Gemma2": ("Gemma2Config", _GROUPED | {"head_dim": 16, "final_logit_softcapping": 0.5}),
    "Cohere": ("CohereConfig", _USUAL | {"logit_scale": 0.25}),
    "Mistral": ("MistralConfig", _GROUPED | {"sliding_window": 4096}),
    "Mistral-16": ("MistralConfig", _GROUPED | {"sliding_window": 16}),
    "GPTNeo": (
        "GPTNeoConfig",
        _SMALL
        | {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "max_position_embeddings": CONTEXT,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
        },
    ),
    "Falcon-alibi": ("FalconConfig", _USUAL | {"alibi": True}),
    "Bloom": ("BloomConfig", _SMALL | {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "Lfm2": ("Lfm2Config", _USUAL | {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}),
    "Mamba": ("MambaConfig", _SMALL | {"hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}),
}


def make_decoder(name: str) -> Model:
    """The decoder of this name; its weights are random, and so wide that outputs differ clearly."""
    family, arguments = DECODERS[name]
    config = getattr(transformers, family)(**arguments)
    for width in ("initializer_range", "init_std"):
        if hasattr(config, width):
            setattr(config, width, 0.3)
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    return Model(network, None, CONTEXT, 1, "float32")


def random_ids(rng: torch.Generator, length: int) -> list[int]:
    """The begin token and `length` random others."""
    return [0, *torch.randint(2, VOCABULARY, (length,), generator=rng).tolist()]
