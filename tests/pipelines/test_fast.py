"""Tuned models against transformers' own: loss, gradients, and what lies on disk."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from pipelines.fast import keep_freed_memory, tune_for_training
from pipelines.fused_loss import head_nats


def _gpt2(**more: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    settings = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} | more
    shape = {"vocab_size": 61, "n_positions": 150, "n_layer": 2, "n_embd": 32, "n_head": 2}
    config = GPT2Config(**shape, bos_token_id=0, eos_token_id=0, initializer_range=0.1, **settings)
    return GPT2LMHeadModel(config).train()


def _bert(**more: Any) -> BertForMaskedLM:
    torch.manual_seed(0)
    settings = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} | more
    config = BertConfig(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=150,
        initializer_range=0.1,
        **settings,
    )
    return BertForMaskedLM(config).train()


def _gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _ids(length: int = 140) -> torch.Tensor:
    return torch.randint(61, (3, length), generator=torch.Generator().manual_seed(1))


def test_gpt2_loss_and_gradients_are_transformers_own() -> None:
    plain, tuned, ids = _gpt2(), tune_for_training(_gpt2(), on_cpu=True), _ids()
    expected = plain(input_ids=ids, labels=ids).loss
    states = tuned.transformer(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    nats, count = head_nats(states, tuned.lm_head.weight, ids[:, 1:])
    expected.backward()
    (nats / count).backward()

    torch.testing.assert_close(nats / count, expected)
    theirs = _gradients(plain)
    ours = _gradients(tuned)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_bert_loss_and_gradients_are_transformers_own(padded: bool) -> None:
    plain, tuned, ids = _bert(), tune_for_training(_bert(), on_cpu=True), _ids()
    mask = (torch.arange(140)[None, :] < torch.tensor([[140], [90], [3]])).long() if padded else None
    labels = ids if mask is None else ids.masked_fill(mask == 0, -100)
    for model in (plain, tuned):
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    for name, gradient in _gradients(plain).items():
        torch.testing.assert_close(_gradients(tuned)[name], gradient, rtol=1e-4, atol=1e-6)


def test_bf16_gradients_stay_close() -> None:
    ids, found = _ids(), []
    for model, low in ((_gpt2(), False), (tune_for_training(_gpt2(), on_cpu=True), True)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        found.append(torch.cat([gradient.flatten() for gradient in _gradients(model).values()]))
    exact, rounded = found
    assert (rounded - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("make", [_gpt2, _bert])
def test_what_is_saved_is_what_an_untuned_model_saves(make: Any, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "plain")
    tune_for_training(make(), on_cpu=True).save_pretrained(tmp_path / "tuned")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "tuned" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()


def test_a_tuned_folder_gives_plain_transformers_the_same_logits(tmp_path: Path) -> None:
    tuned = tune_for_training(_gpt2(), on_cpu=True)
    tuned.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(_ids()).logits, tuned.eval()(_ids()).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "dropout"), [(_gpt2(attn_pdrop=0.5), "attn"), (_bert(attention_probs_dropout_prob=0.5), "bert")]
)
def test_attention_dropout_is_still_drawn(model: Any, dropout: str) -> None:
    tuned = tune_for_training(model, on_cpu=True)
    logits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            logits.append(tuned(input_ids=_ids()).logits)
    assert not torch.equal(*logits)


def test_another_activation_is_left_alone() -> None:
    model = _gpt2(activation_function="relu")
    before = model(input_ids=_ids()).logits
    after = tune_for_training(model, on_cpu=True)(input_ids=_ids()).logits
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    if not keep_freed_memory():
        pytest.skip("not glibc")
    import resource

    def faults() -> int:
        torch.ones(2**22)  # 16 MB: 4,096 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    # what alignment cuts off goes to a cache of seven pieces per size, and until that is full each tensor
    # stands a little further on
    for _ in range(16):
        faults()
    before = faults()
    assert faults() - before < 1000
