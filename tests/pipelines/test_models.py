"""Models: drawn from their seed, loaded with any head, refused in one line, plain on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from eval.files import InputError
from eval.loading import count_params as evaluation_counts
from pipelines.fast import tune_for_training
from pipelines.ladder import Shape, count_params
from pipelines.models import SpecialIds, build_model, initial_std, load_for, save_model
from tests.pipelines.tiny import CONTEXT, PAD, VOCABULARY, tiny_model, weights

IDS = torch.arange(5, 17)[None, :]
LABELS = ["no", "yes", "perhaps"]


@pytest.fixture(params=["gpt2", "bert"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    tiny_model(family=request.param).save_pretrained(tmp_path / "saved")
    return request.param, tmp_path / "saved"


def _tokenizer() -> Any:
    words = {f"w{index}": index for index in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")))


def _edit(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def _refused(objective: str, folder: Path | str, labels: list[str] | None = None) -> str:
    with pytest.raises(InputError) as refused:
        load_for(objective, folder, labels, seed=0)
    text = str(refused.value)
    assert text.startswith(f"{folder}: ")
    assert "\n" not in text
    return text


def test_a_gpt2s_first_weights_are_transformers_own_at_the_house_deviation() -> None:
    ours = build_model(
        "gpt2", Shape(2, 48, 3), vocab_size=70, context=12, special=SpecialIds(0, 0, 1), seed=5
    )
    torch.manual_seed(5)
    std = 0.02 * (768 / 48) ** 0.5
    shape = {"n_layer": 2, "n_embd": 48, "n_head": 3, "n_positions": 12}
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=70, initializer_range=std, **shape))
    expected = weights(theirs)
    for name, value in weights(ours).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_a_built_model_has_its_counts_its_deviation_and_no_dropout(family: str) -> None:
    shape = Shape(2, 64, 2)
    model = build_model(
        family, shape, vocab_size=300, context=32, special=SpecialIds(2, 3, 0), seed=0
    ).train()
    total = sum(parameter.numel() for parameter in model.parameters())
    counts = count_params(shape, 300, 32, family)
    assert counts["total"] == total
    assert counts == evaluation_counts(model)  # what is planned is what evaluation finds
    assert float(model.get_input_embeddings().weight.detach()[4:].std()) == pytest.approx(
        initial_std(64), rel=0.05
    )
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, model(input_ids=IDS).logits)
        dropping = build_model(
            family, shape, vocab_size=300, context=32, special=SpecialIds(2, 3, 0), seed=0, dropout=0.3
        ).train()
        assert not torch.equal(dropping(input_ids=IDS).logits, dropping(input_ids=IDS).logits)


def test_initial_std_is_gpt2s_at_its_width() -> None:
    assert initial_std(768) == pytest.approx(0.02)
    assert initial_std(192) == pytest.approx(0.04)


@pytest.mark.parametrize(("objective", "outputs"), [
    ("classification", 3), ("multi-label", 3), ("tagging", 3), ("regression", 1), ("span", 2),
])  # fmt: skip
def test_a_new_head_is_drawn_from_the_seed_on_the_same_body(
    saved: tuple[str, Path], objective: str, outputs: int
) -> None:
    family, folder = saved
    labels = LABELS if outputs == 3 else None
    one, same, other = (load_for(objective, folder, labels, seed=seed) for seed in (1, 1, 2))
    source, heads = weights(tiny_model(family=family)), 0
    for name, value in weights(one).items():
        assert torch.equal(value, weights(same)[name])
        if name in source:
            assert torch.equal(value, source[name]), name
        elif value.ndim == 2:
            heads += 1
            assert not torch.equal(value, weights(other)[name]), name
            assert name.startswith("bert.pooler") or len(value) == outputs
    assert heads
    assert one.config.num_labels == outputs
    if labels:
        assert one.config.id2label == dict(enumerate(LABELS))


def test_a_language_model_comes_back_as_it_was(saved: tuple[str, Path]) -> None:
    family, folder = saved
    objective = {"gpt2": "causal-lm", "bert": "masked-lm"}[family]
    source = weights(tiny_model(family=family))
    loaded = weights(load_for(objective, folder, None, seed=9))
    assert loaded.keys() == source.keys()
    for name, value in loaded.items():
        assert torch.equal(value, source[name]), name


def test_a_head_for_other_labels_is_drawn_anew(saved: tuple[str, Path], tmp_path: Path) -> None:
    first = load_for("classification", saved[1], LABELS, seed=0)
    first.save_pretrained(tmp_path / "classifier")
    again = load_for("classification", tmp_path / "classifier", LABELS, seed=1)
    for name, value in weights(again).items():
        assert torch.equal(value, weights(first)[name]), name
    assert load_for("classification", tmp_path / "classifier", ["a", "b"], seed=1).num_labels == 2


def test_half_precision_weights_are_trained_in_float32(saved: tuple[str, Path], tmp_path: Path) -> None:
    tiny_model(family=saved[0]).half().save_pretrained(tmp_path / "half")
    loaded = load_for("classification", tmp_path / "half", LABELS, seed=0)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_dropout_is_the_models_own_or_as_given(saved: tuple[str, Path]) -> None:
    family, folder = saved
    _edit(folder, **{{"gpt2": "resid_pdrop", "bert": "hidden_dropout_prob"}[family]: 0.25})
    own, given = (load_for("tagging", folder, LABELS, 0, dropout=share) for share in (None, 0.5))
    rates = [{m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} for model in (own, given)]
    assert 0.25 in rates[0]
    assert rates[1] == {0.5}


def test_what_cannot_be_learnt_or_read_is_refused(saved: tuple[str, Path], tmp_path: Path) -> None:
    family, folder = saved
    unfit = {"gpt2": "masked-lm", "bert": "causal-lm"}[family]
    assert f"a {family} cannot learn {unfit}" in _refused(unfit, folder)
    assert "cannot be loaded" in _refused("classification", tmp_path / "absent", LABELS)
    broken = folder / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    assert "cannot be loaded" in _refused("classification", folder, LABELS)
    assert "is a llama" in _refused("classification", _edit(folder, model_type="llama"), LABELS)


def test_code_of_a_models_own_is_never_run(saved: tuple[str, Path]) -> None:
    folder = saved[1]
    (folder / "code.py").write_text("raise SystemExit('it ran')")
    name = "AutoModelForSequenceClassification"
    _edit(folder, auto_map={name: "code.Model", "AutoConfig": "code.Config"})
    assert "never run" in _refused("classification", folder, LABELS)


def test_a_model_without_the_head_or_a_layer_is_refused(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **shape)
    BertModel(config).save_pretrained(tmp_path)
    assert "has no trained cls.predictions" in _refused("masked-lm", tmp_path)
    load_for("classification", tmp_path, LABELS, seed=0)
    _edit(tmp_path, num_hidden_layers=2)
    assert "has no trained bert.encoder.layer.1" in _refused("classification", tmp_path, LABELS)


def test_pickled_weights_are_read_as_weights_only(tmp_path: Path) -> None:
    model = tiny_model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    loaded = load_for("causal-lm", tmp_path, None, seed=3)
    assert torch.equal(loaded.transformer.wte.weight, model.transformer.wte.weight)
    ran = tmp_path / "ran"
    torch.save({"transformer.wte.weight": _Touches(ran)}, tmp_path / "pytorch_model.bin")
    assert "a pickle of more than tensors" in _refused("causal-lm", tmp_path)
    assert not ran.exists()


class _Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_tuned_models_folder_gives_plain_transformers_the_same_logits(
    saved: tuple[str, Path], tmp_path: Path
) -> None:
    family, _ = saved
    tuned = tune_for_training(tiny_model(family=family), on_cpu=True).eval()
    save_model(tuned, _tokenizer(), tmp_path / "model")
    heads: Any = {"gpt2": AutoModelForCausalLM, "bert": AutoModelForMaskedLM}[family]
    plain = heads.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        torch.testing.assert_close(
            plain(input_ids=IDS).logits, tuned(input_ids=IDS).logits, rtol=1e-4, atol=1e-5
        )
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    assert written.get("activation_function", written.get("hidden_act")) in ("gelu_new", "gelu")
    assert not (tmp_path / "model.tmp").exists()


def test_a_classifying_gpt2_without_padding_token_takes_several_rows_in_plain_transformers(
    tmp_path: Path,
) -> None:
    model = build_model(
        "gpt2",
        Shape(1, 16, 1),
        vocab_size=VOCABULARY,
        context=CONTEXT,
        special=SpecialIds(0, 0, None),
        seed=0,
    )
    model.save_pretrained(tmp_path / "published")
    classifier = load_for("classification", tmp_path / "published", LABELS, seed=0)
    save_model(classifier, _tokenizer(), tmp_path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    rows = torch.tensor([[9, 8, 7, 6], [9, 8, 0, 0]])
    with torch.no_grad():
        together = plain(input_ids=rows, attention_mask=(rows > 0).long()).logits
        alone = plain(input_ids=rows[1:, :2]).logits
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_special_tokens_come_from_the_tokenizer() -> None:
    tokenizer = _tokenizer()
    tokenizer.add_special_tokens({"bos_token": "w0", "eos_token": "w0"})
    assert SpecialIds.of(tokenizer) == SpecialIds(0, 0, None)
    tokenizer.add_special_tokens({"pad_token": "w1", "cls_token": "w2", "sep_token": "w3"})
    assert SpecialIds.of(tokenizer) == SpecialIds(2, 3, PAD)
