"""Checkpoints and tokenizers unlike GPT-2's and BERT's: numbers that are right, or one line of why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from eval.evaluate import evaluate
from eval.files import InputError, write_jsonl
from eval.measuring import language
from eval.settings import EvalSettings
from eval.tasks import make_task
from eval.tasks.settings import TaskSettings
from tests.eval.conftest import TEXT
from tests.eval.kept import evaluate_kept

FAST = EvalSettings(bootstrap=20, samples=1)


def test_white_space_that_offsets_leave_out_is_counted_in_the_last_block(
    language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pythia's tokenizer says of it that it begins and ends where the text ends."""
    from tokenizers import processors

    monkeypatch.setattr(language, "BLOCK", 100)
    folder = shutil.copytree(language_model, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.save_pretrained(folder)
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": TEXT * 2 + "moon "}])
    found = evaluate_kept(folder, "perplexity", tmp_path, settings=FAST)
    usual = evaluate_kept(language_model, "perplexity", tmp_path, settings=FAST)
    for metric in ("bits_per_byte", "token_perplexity"):
        assert found.of(metric).value == pytest.approx(usual.of(metric).value)
        assert found.of(metric).stderr is not None


def test_errors_over_groups_are_not_said_to_be_over_blocks(language_model: Path, tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": TEXT, "group": "ab"[n % 2]} for n in range(4)]
    write_jsonl(tmp_path / "test.jsonl", rows)
    for result in evaluate(language_model, "perplexity", tmp_path, settings=FAST).results:
        assert "errors:by-group" in result.signature
        assert "errors:by-block" not in result.signature


@pytest.mark.parametrize(
    ("head", "task", "row"),
    [
        ("GPT2LMHeadModel", {"kind": "language-modelling"}, {"text": "the cat"}),
        (
            "GPT2LMHeadModel",
            {"kind": "multiple-choice"},
            {"query": "the", "choices": ["cat", "moon"], "answer": 0},
        ),
        ("GPT2LMHeadModel", {"kind": "cloze"}, {"context": "the", "target": "cat"}),
        ("GPT2LMHeadModel", {"kind": "bias-pairs"}, {"more": "the cat", "less": "the moon"}),
        ("GPT2LMHeadModel", {"kind": "memorisation", "prefix": 2, "suffix": 2}, {"text": TEXT}),
        (
            "GPT2LMHeadModel",
            {"kind": "generation", "metrics": ["exact_match"], "max_new_tokens": 4},
            {"source": "the", "target": "cat"},
        ),
        ("GPT2ForSequenceClassification", {"kind": "classification"}, {"text": "the", "label": "a"}),
        ("GPT2ForTokenClassification", {"kind": "tagging"}, {"words": ["the"], "tags": ["a"]}),
        (
            "BertForMaskedLM",
            {"kind": "language-modelling", "asks": "masked"},
            {"text": "the cat sat"},
        ),
    ],
)
def test_a_broken_model_is_refused_rather_than_scored(
    head: str, task: dict[str, Any], row: dict[str, Any], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """NaN is neither the likeliest nor the least likely; to argmin it is the first."""
    folder = checkpoint(head, None if "LM" in head else ("a", "b"))
    network = getattr(transformers, head).from_pretrained(folder)
    for module in network.modules():
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.constant_(module.weight, float("nan"))
    network.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "model")
    write_jsonl(tmp_path / "test.jsonl", [row | {"id": "a"}])
    made = make_task("odd", TaskSettings(files={"test": "test.jsonl"}, **task))
    with pytest.raises(InputError, match="the model gives NaN or infinity"):
        evaluate(tmp_path / "model", made, tmp_path, settings=FAST)


def _roberta(tokenizer: Any, folder: Path, head: str, **named: Any) -> Path:
    """A random RoBERTa whose table of positions has 34 rows: for 32 tokens, and two before them."""
    own = AutoTokenizer.from_pretrained(tokenizer)
    own.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"})
    config = transformers.RobertaConfig(
        num_hidden_layers=1,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
        vocab_size=len(own),
        pad_token_id=own.pad_token_id,
        type_vocab_size=1,
        **named,
    )
    torch.manual_seed(0)
    getattr(transformers, head)(config).save_pretrained(folder)
    own.save_pretrained(folder)
    return folder


def test_a_roberta_reads_as_much_as_it_has_positions_for(language_model: Path, tmp_path: Path) -> None:
    labels = {0: "a", 1: "b"}
    folder = _roberta(
        language_model,
        tmp_path / "model",
        "RobertaForSequenceClassification",
        id2label=labels,
        label2id={"a": 0, "b": 1},
    )
    task = make_task("odd", TaskSettings(files={"test": "test.jsonl"}, kind="classification"))
    write_jsonl(tmp_path / "test.jsonl", [{"id": "long", "text": TEXT, "label": "a"}])
    (result, *_) = evaluate(folder, task, tmp_path, settings=FAST).results
    assert "context:32|" in result.signature
    with pytest.raises(InputError, match=r"eval\.context: 33 is more than the model's 32 positions"):
        evaluate(folder, task, tmp_path, settings=EvalSettings(context=33))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", "broken", "cannot be loaded"),
        ("tokenizer.json", '{"a": 1}', "cannot be loaded"),
        ("config.json", "[]", "config.json holds no object"),
        ("tokenizer*.json", None, "has no tokenizer, or an empty one"),
    ],
)
def test_broken_files_are_one_line(
    name: str, content: str | None, said: str, language_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(language_model, tmp_path / "model")
    for path in folder.glob(name):
        path.unlink()
    if content is not None:
        (folder / name).write_text(content)
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": TEXT}])
    with pytest.raises(InputError, match=said):
        evaluate(folder, "perplexity", tmp_path)


def test_weights_of_another_shape_are_one_line(language_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(language_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_embd": 64}))
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": TEXT}])
    with pytest.raises(InputError, match="cannot be loaded"):
        evaluate(folder, "perplexity", tmp_path)


def _framed(language_model: Path, folder: Path) -> Path:
    """The decoder with a tokenizer that also has tokens to frame texts, as XGLM's has."""
    shutil.copytree(language_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.cls_token, tokenizer.sep_token = tokenizer.bos_token, tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


def test_a_decoder_is_asked_as_one_whatever_its_tokenizer_has(language_model: Path, tmp_path: Path) -> None:
    framed = _framed(language_model, tmp_path / "model")
    kinds = {
        "multiple-choice": {"query": "the cat", "choices": ["moon", "mat"], "answer": 0},
        "bias-pairs": {"more": "the cat sat", "less": "the moon sat"},
    }
    for kind, row in kinds.items():
        empty = {"id": "b", "query": "", "choices": ["cat", "mat"], "answer": 0}
        write_jsonl(tmp_path / "test.jsonl", [row | {"id": "a"}, *([empty] if "query" in row else [])])
        task = make_task("odd", TaskSettings(files={"test": "test.jsonl"}, kind=kind))
        one, other = (
            evaluate_kept(folder, task, tmp_path, settings=FAST) for folder in (framed, language_model)
        )
        assert [item["nats"] for item in one.items] == [item["nats"] for item in other.items]
        assert [r.signature for r in one.results] == [r.signature for r in other.results]
