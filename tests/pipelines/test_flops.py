"""FLOPs against arithmetic done by hand, and against what torch counts in a real model."""

from __future__ import annotations

import pytest

from pipelines.flops import forward_flops_per_token, training_flops_per_token
from pipelines.ladder import Shape, count_non_embedding

SMALL = Shape(n_layer=2, n_embd=64, n_head=2)


def test_forward_is_the_sum_of_its_parts() -> None:
    """A token of 2x64 with 1000 outputs over 128 positions, part by part, two FLOPs a multiply-add."""
    width, layers, length, outputs = 64, 2, 128, 1000
    weights = layers * (3 * width * width + width * width + 4 * width * width + 4 * width * width)
    biases = layers * (3 * width + width + 4 * width + width)
    norms = (2 * layers + 1) * 2 * width
    scores_and_values = layers * (length * width + length * width)
    head = outputs * width
    assert forward_flops_per_token(SMALL, outputs, length) == 2 * (
        weights + biases + norms + scores_and_values + head
    )


def test_gpt2_smalls_forward_flops() -> None:
    """2 · (85,056,000 + 50,257 · 768) + 4 · 12 · 1024 · 768, worked out apart from the code."""
    assert forward_flops_per_token(Shape(12, 768, 12), 50_257, 1024) == 247_306_752 + 37_748_736


@pytest.mark.parametrize("length", [1, 17, 256])
def test_training_costs_three_forward_passes_at_any_length(length: int) -> None:
    assert training_flops_per_token(SMALL, 512, length) == 3 * forward_flops_per_token(SMALL, 512, length)


def test_torch_counts_the_same_products() -> None:
    """torch counts matrix products; the rest are biases and norms, a multiply-add each by convention."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import GPT2Config, GPT2LMHeadModel

    length, vocab_size = 48, 300
    config = GPT2Config(
        vocab_size=vocab_size, n_positions=64, n_embd=64, n_layer=2, n_head=2, attn_implementation="eager"
    )
    model = GPT2LMHeadModel(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros((1, length), dtype=torch.long), use_cache=False)
    vectors = count_non_embedding(SMALL) - 12 * SMALL.n_layer * SMALL.n_embd**2
    ours = forward_flops_per_token(SMALL, vocab_size, length)
    assert counter.get_total_flops() == length * (ours - 2 * vectors)


def test_torch_counts_the_same_products_in_bert() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertForMaskedLM

    length, vocab_size, layers, width = 48, 300, SMALL.n_layer, SMALL.n_embd
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=SMALL.n_head,
        intermediate_size=4 * width,
        attn_implementation="eager",
    )
    model = BertForMaskedLM(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros((1, length), dtype=torch.long))
    matrices = 12 * layers * width**2 + width**2
    vectors = count_non_embedding(SMALL, "bert") - matrices + vocab_size  # the head's bias among them
    ours = forward_flops_per_token(SMALL, vocab_size, length, "bert")
    assert counter.get_total_flops() == length * (ours - 2 * vectors)
    assert training_flops_per_token(SMALL, vocab_size, length, "bert") == 3 * ours
