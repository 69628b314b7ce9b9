"""Shapes near their targets, and parameter counts that agree with the models they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.ladder import (
    Shape,
    build_rungs,
    choose_shape,
    count_classifier,
    count_non_embedding,
    count_params,
    human_count,
    parse_shape,
)

QUICKSTART = (13e3, 27e3, 55e3, 115e3, 240e3, 500e3, 1e6)


@pytest.mark.parametrize(
    ("shape", "vocab_size", "context"),
    [
        (Shape(1, 16, 1), 258, 8),
        (Shape(1, 32, 1), 2048, 256),
        (Shape(5, 64, 2), 2048, 256),
        (Shape(3, 96, 3), 50_257, 1024),
        (Shape(12, 768, 12), 50_257, 1024),
    ],
    ids=str,
)
def test_counts_are_those_of_the_real_model(shape: Shape, vocab_size: int, context: int) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=context,
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
    )
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    model.tie_weights()  # the meta device loses the tie
    tables = model.transformer.wte.weight.numel() + model.transformer.wpe.weight.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    assert count_params(shape, vocab_size, context) == {
        "total": total,
        "non_embedding": total - tables,
        "matmul": total - tables + model.lm_head.weight.numel(),
    }


BERTS = [Shape(1, 16, 1), Shape(2, 128, 2), Shape(4, 96, 3), Shape(12, 768, 12)]


def _bert(shape: Shape, labels: int | None) -> Any:
    """A real BERT without memory: for masked-LM, or with a classifier."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

    config = BertConfig(
        vocab_size=3000,
        max_position_embeddings=128,
        hidden_size=shape.n_embd,
        num_hidden_layers=shape.n_layer,
        num_attention_heads=shape.n_head,
        intermediate_size=4 * shape.n_embd,
        num_labels=labels or 2,
    )
    with torch.device("meta"):
        model = BertForMaskedLM(config) if labels is None else BertForSequenceClassification(config)
    model.tie_weights()
    return model


@pytest.mark.parametrize("shape", BERTS, ids=str)
def test_bert_counts_are_those_of_the_real_models(shape: Shape) -> None:
    model = _bert(shape, None)
    tables = model.bert.embeddings
    embedding = sum(
        table.weight.numel()
        for table in (tables.word_embeddings, tables.position_embeddings, tables.token_type_embeddings)
    )
    head = model.cls.predictions.decoder
    total = sum(parameter.numel() for parameter in model.parameters())
    body = total - embedding - head.bias.numel()
    assert count_params(shape, 3000, 128, "bert") == {
        "total": total,
        "non_embedding": body,
        "matmul": body + head.weight.numel() + head.bias.numel(),
    }
    classifier = sum(parameter.numel() for parameter in _bert(shape, 5).parameters())
    assert count_classifier(shape, 3000, 128, 5, "bert") == classifier


def test_a_classifying_gpt2_is_counted() -> None:
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=1, num_labels=7)
    with torch.device("meta"):
        total = sum(p.numel() for p in GPT2ForSequenceClassification(config).parameters())
    assert count_classifier(Shape(2, 32, 1), 300, 64, 7) == total


def test_bert_base_has_its_published_count() -> None:
    """109,482,240: the encoder with its pooler, `BertModel`; 110M in Devlin 2018."""
    assert count_classifier(Shape(12, 768, 12), 30_522, 512, 0, "bert") == 109_482_240


def test_gpt2_small_has_its_published_counts() -> None:
    counts = count_params(Shape(12, 768, 12), vocab_size=50_257, context=1024)
    assert (counts["total"], counts["non_embedding"]) == (124_439_808, 85_056_000)


def test_quickstart_rungs_come_near_their_targets_and_grow_in_width_and_depth() -> None:
    shapes = [choose_shape(target, head_size=16) for target in QUICKSTART]
    sizes = [count_non_embedding(shape) for shape in shapes]
    assert sizes == [pytest.approx(target, rel=0.1) for target in QUICKSTART]
    assert sizes == sorted(set(sizes))
    for numbers in ([shape.n_embd for shape in shapes], [shape.n_layer for shape in shapes]):
        assert numbers == sorted(numbers)
        assert numbers[-1] > numbers[0]


@pytest.mark.parametrize("target", [1e5, 1e6, 1e7, 1e8, 1e9])
def test_larger_targets_are_met_closely_with_sane_depth(target: float) -> None:
    shape = choose_shape(target, head_size=64)
    assert count_non_embedding(shape) == pytest.approx(target, rel=0.15)
    assert shape.n_embd == 64 * shape.n_head
    assert 16 <= shape.n_embd / shape.n_layer <= 128


def test_gpt2_smalls_size_with_its_head_size_gives_gpt2_small() -> None:
    assert choose_shape(85_056_000, head_size=64) == Shape(12, 768, 12)


def test_a_target_below_the_smallest_shape_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"nearest: 1x32 with 12,768.*smaller ladder\.head_size"):
        choose_shape(5e3, head_size=32)


def test_shapes_are_read_as_layers_by_width() -> None:
    assert parse_shape("4x96", head_size=32) == Shape(n_layer=4, n_embd=96, n_head=3)


@pytest.mark.parametrize(
    "text", ["", "2", "2x", "x64", "0x64", "2x0", "2 x 64", "2x64x3", "-1x64", "2x64\n", "²x64"]
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write layers x width, such as 2x64"):
        parse_shape(text, head_size=32)


def test_a_width_that_heads_do_not_divide_names_the_nearest_that_they_do() -> None:
    with pytest.raises(ValueError, match="width 70 is not a multiple of head size 32; write 2x64"):
        parse_shape("2x70", head_size=32)


def test_rungs_are_named_by_size_and_get_their_seeds() -> None:
    rungs = build_rungs([Shape(1, 32, 1), Shape(12, 768, 12)], [2, 1])
    assert [(rung.name, rung.seeds) for rung in rungs] == [("13k", (0, 1)), ("85m", (0,))]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (3312, "3.3k"), (12_768, "13k"), (999_400, "999k"),
     (999_600, "1m"),
     (1_240_000, "1.2m"), (85_056_000, "85m"), (999_700_000, "1b"), (1.5e9, "1.5b"), (7e12, "7000b")],
)  # fmt: skip
def test_counts_are_short_for_people(count: float, text: str) -> None:
    assert human_count(count) == text
