"""Existing models' sizes, against the models themselves and the figures they were published with."""

from __future__ import annotations

from typing import Any

import pytest

from eval.files import InputError
from pipelines.known_models import published, read_config
from pipelines.ladder import Shape, count_classifier

# Counted by many; the miniatures in millions, as Turc 2019 prints them for the encoder with its pooler.
GPT2 = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "distilgpt2": 81_912_576,
}
BERT = {
    "google/bert_uncased_L-2_H-128_A-2": 4.4,
    "google/bert_uncased_L-4_H-256_A-4": 11.3,
    "google/bert_uncased_L-4_H-512_A-8": 29.1,
    "google/bert_uncased_L-8_H-512_A-8": 41.7,
    "google/bert_uncased_L-12_H-768_A-12": 110.1,
}


def _gpt2(**changes: Any) -> dict[str, Any]:
    shape = {"n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": 128, "vocab_size": 500}
    return {"model_type": "gpt2", **shape, **changes}


def _bert(**changes: Any) -> dict[str, Any]:
    shape = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "max_position_embeddings": 128,
        "vocab_size": 500,
        "type_vocab_size": 2,
    }
    return {"model_type": "bert", **shape, **changes}


@pytest.mark.parametrize(("name", "count"), GPT2.items())
def test_published_gpt2s_have_their_counts(name: str, count: int) -> None:
    known = published(name)
    assert known is not None
    assert (known.family, known.params["total"], known.context) == ("gpt2", count, 1024)


@pytest.mark.parametrize(("name", "millions"), BERT.items())
def test_published_miniatures_have_their_counts(name: str, millions: float) -> None:
    known = published(name)
    assert known is not None
    encoder = count_classifier(known.shape, known.vocab_size, known.context, 0, "bert")
    assert encoder / 1e6 == pytest.approx(millions, rel=0.015)
    assert known.shape.n_embd == 64 * known.shape.n_head


def test_names_with_and_without_their_owner_are_the_same_and_others_are_unknown() -> None:
    assert published("openai-community/gpt2-xl") == published("gpt2-xl")
    assert published("google-bert/bert-base-uncased") == published("bert-base-uncased")
    assert published("google/bert_uncased_L-3_H-128_A-2") is None
    assert published("roberta-base") is None


@pytest.mark.parametrize(
    "config",
    [
        _gpt2(),
        _gpt2(n_inner=256, tie_word_embeddings=False),
        _bert(),
        _bert(type_vocab_size=4),
    ],
)
def test_a_config_is_counted_as_the_model_it_describes(config: dict[str, Any]) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    kinds = {"gpt2": (GPT2Config, GPT2LMHeadModel), "bert": (BertConfig, BertForMaskedLM)}
    config_class, model_class = kinds[config["model_type"]]
    settings = config_class.from_dict(config)
    with torch.device("meta"):
        model = model_class(settings)
    model.tie_weights()
    known = read_config(config, "here")
    assert known.params["total"] == sum(parameter.numel() for parameter in model.parameters())
    assert (known.vocab_size, known.context) == (500, 128)
    heads = 2 if known.family == "gpt2" else 4
    assert known.shape == Shape(2, 64, heads)


def test_berts_first_configs_are_known_by_their_keys() -> None:
    unnamed = {key: value for key, value in _bert().items() if key != "model_type"}
    assert read_config(unnamed, "here") == read_config(_bert(), "here")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "llama"}, "is a llama; choose a GPT-2 or a BERT"),
        (_gpt2(model_type=["gpt2"]), "is a ['gpt2']; choose a GPT-2 or a BERT"),
        (_bert(type_vocab_size=None), "type_vocab_size is None"),
        (_bert(type_vocab_size="x"), "type_vocab_size is 'x'"),
        (_gpt2(auto_map={"AutoModel": "code.Model"}), "code of its own, which is never run"),
        ({"n_layer": 2}, "no model_type"),
        (_gpt2(n_inner=100), "n_inner is 100, not four times its width 64"),
        (_bert(intermediate_size=512), "intermediate_size is 512, not four times its width 64"),
        (_gpt2(n_layer=0), "n_layer is 0"),
        (_gpt2(n_embd="64"), "n_embd is '64'"),
        (_bert(vocab_size=None), "vocab_size is None"),
        (_gpt2(n_head=3), "3 heads do not divide width 64"),
        (_bert(is_decoder=True), "is a decoder"),
        (_bert(position_embedding_type="relative_key"), "positions are not absolute"),
    ],
)
def test_what_cannot_be_sized_is_refused_in_one_line(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        read_config(config, "ladder.rungs.pretrained.0: x")
    text = str(refused.value)
    assert text.startswith("ladder.rungs.pretrained.0: x: ")
    assert words in text
    assert "\n" not in text
