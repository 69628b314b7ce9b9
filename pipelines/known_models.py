"""Sizes of models that exist, read from their config.json or from a table, without loading anything heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.files import InputError
from pipelines.ladder import TOKEN_TYPES, Shape, count_params


@dataclass(frozen=True)
class KnownModel:
    """A GPT-2 or BERT that exists: its family, shape, ids, positions, and counts by `ladder.count_params`."""

    family: str
    shape: Shape
    vocab_size: int
    context: int
    params: dict[str, int]


# The config.json keys of each family: layers, width, heads, positions, width inside the MLP, which only a
# GPT-2 may leave out.
_KEYS = {
    "gpt2": ("n_layer", "n_embd", "n_head", "n_positions", "n_inner"),
    "bert": (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "max_position_embeddings",
        "intermediate_size",
    ),
}
# What transformers' two families can be asked for in a config.json and is not built, counted or trained here.
_REFUSED = {
    "is_decoder": "is a decoder",
    "add_cross_attention": "attends to another model",
    "is_encoder_decoder": "is an encoder with a decoder",
}


def read_config(config: Mapping[str, Any], where: str) -> KnownModel:
    """The model that a config.json describes; `where` begins the message of every InputError.

    Raises InputError for another architecture, for one that needs code of its own (never run), and for shapes
    that `Shape` cannot say: an MLP that is not four times as wide as the model.
    """
    family = config.get("model_type") or _unnamed(config)
    if "auto_map" in config:
        raise InputError(f"{where}: needs code of its own, which is never run; choose a plain GPT-2 or BERT")
    if family is None:
        raise InputError(f'{where}: its config.json has no model_type; add "model_type": "gpt2", or "bert"')
    if not isinstance(family, str) or family not in _KEYS:
        raise InputError(f"{where}: is a {family}; choose a GPT-2 or a BERT")
    for key, meaning in _REFUSED.items():
        if config.get(key):
            raise InputError(f"{where}: {meaning} ({key}: true); choose a plain {family}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(f"{where}: its positions are not absolute; choose a plain {family}")
    layers, width, heads, context, inner = _KEYS[family]
    shape = Shape(_count(config, layers, where), _count(config, width, where), _count(config, heads, where))
    if shape.n_embd % shape.n_head:
        raise InputError(f"{where}: {shape.n_head} heads do not divide width {shape.n_embd}; mend its config")
    if config.get(inner) is None and family == "gpt2":
        pass  # four times the width, by transformers' own default
    elif _count(config, inner, where) != 4 * shape.n_embd:
        raise InputError(
            f"{where}: {inner} is {config[inner]}, not four times its width {shape.n_embd}; choose a model "
            "where it is, for sizes and FLOPs are worked out for that"
        )
    vocab_size, positions = _count(config, "vocab_size", where), _count(config, context, where)
    return _known(family, shape, vocab_size, positions, config, where)


def published(name: str) -> KnownModel | None:
    """A published model by its name on the hub, from a table: nothing is fetched. None: not in it."""
    return _PUBLISHED.get(name)


def _unnamed(config: Mapping[str, Any]) -> str | None:
    """BERT's first configurations, such as Google's own, do not say what they are; their keys do."""
    is_bert = "type_vocab_size" in config and all(key in config for key in _KEYS["bert"])
    return "bert" if is_bert else None


def _count(config: Mapping[str, Any], key: str, where: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: {key} is {value!r} in its config.json; a positive number is wanted")
    return value


def _known(
    family: str,
    shape: Shape,
    vocab_size: int,
    context: int,
    config: Mapping[str, Any] | None = None,
    where: str = "",
) -> KnownModel:
    params = count_params(shape, vocab_size, context, family)
    config = config or {}
    if family == "bert":
        types = _count(config, "type_vocab_size", where) if "type_vocab_size" in config else TOKEN_TYPES
        params["total"] += (types - TOKEN_TYPES) * shape.n_embd
    if config.get("tie_word_embeddings", True) is False:
        params["total"] += vocab_size * shape.n_embd
    return KnownModel(family, shape, vocab_size, context, params)


def _gpt2(n_layer: int, n_embd: int, n_head: int) -> KnownModel:
    return _known("gpt2", Shape(n_layer, n_embd, n_head), 50_257, 1024)


def _bert(n_layer: int, n_embd: int, vocab_size: int = 30_522) -> KnownModel:
    return _known("bert", Shape(n_layer, n_embd, n_embd // 64), vocab_size, 512)


def _make_table() -> dict[str, KnownModel]:
    """Radford 2019 (table 2), Sanh 2019, Devlin 2018 (section 3), Turc 2019 (all 24 miniatures)."""
    gpt2 = {
        "gpt2": _gpt2(12, 768, 12),
        "gpt2-medium": _gpt2(24, 1024, 16),
        "gpt2-large": _gpt2(36, 1280, 20),
        "gpt2-xl": _gpt2(48, 1600, 25),
    }
    bert = {
        "bert-base-uncased": _bert(12, 768),
        "bert-large-uncased": _bert(24, 1024),
        "bert-base-cased": _bert(12, 768, 28_996),
        "bert-large-cased": _bert(24, 1024, 28_996),
    }
    distilled = {"distilgpt2": _gpt2(6, 768, 12)}
    table = gpt2 | bert | distilled
    for owner, models in (("openai-community", gpt2), ("google-bert", bert), ("distilbert", distilled)):
        table |= {f"{owner}/{name}": model for name, model in models.items()}
    for layers in (2, 4, 6, 8, 10, 12):
        for width in (128, 256, 512, 768):
            name = f"google/bert_uncased_L-{layers}_H-{width}_A-{width // 64}"
            table[name] = _bert(layers, width)
    return table


_PUBLISHED = _make_table()
