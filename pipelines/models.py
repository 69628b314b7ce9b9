"""Build or load the Hugging Face model of a rung; what lies on disk is always a plain transformers folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from eval.files import InputError
from pipelines.ladder import TOKEN_TYPES, Shape

# GPT-2 small's initial standard deviation, 0.02, at its width of 768.
INITIAL_STD, INITIAL_STD_WIDTH = 0.02, 768

HEADS = {
    "causal-lm": AutoModelForCausalLM,
    "conditional-generation": AutoModelForCausalLM,
    "masked-lm": AutoModelForMaskedLM,
    "classification": AutoModelForSequenceClassification,
    "multi-label": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "span": AutoModelForQuestionAnswering,
    "tagging": AutoModelForTokenClassification,
}
PROBLEMS = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
DROPOUTS = {
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}


@dataclass(frozen=True)
class SpecialIds:
    """A tokenizer's special tokens: where a text begins and ends, and padding."""

    begin: int
    end: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialIds:
        """GPT-2's end of text and padding; BERT's [CLS], [SEP] and [PAD]."""
        begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        return cls(begin, end, tokenizer.pad_token_id)


def initial_std(width: int) -> float:
    """Standard deviation of initial weights: 0.02 * sqrt(768 / width).

    Variance goes as 1 / width (Yang 2022), so that activations and first logits are as large at every width
    as in GPT-2 small; 0.02 at width 32 leaves a network so quiet that a short run spends much of itself on
    waking it.
    """
    return INITIAL_STD * math.sqrt(INITIAL_STD_WIDTH / width)


def build_model(
    family: str,
    shape: Shape,
    *,
    vocab_size: int,
    context: int,
    special: SpecialIds,
    seed: int,
    dropout: float = 0.0,
) -> PreTrainedModel:
    """A GPT-2 or BERT of this shape with a language model's head, weights drawn from `seed` at `initial_std`.

    `dropout`: of embeddings, attention and residuals alike.
    """
    torch.manual_seed(seed)
    if family == "gpt2":
        return GPT2LMHeadModel(_gpt2_config(shape, vocab_size, context, special, dropout))
    assert family == "bert", family
    return BertForMaskedLM(_bert_config(shape, vocab_size, context, special, dropout))


def _gpt2_config(
    shape: Shape, vocab_size: int, context: int, special: SpecialIds, dropout: float
) -> GPT2Config:
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=context,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_head=shape.n_head,
        bos_token_id=special.begin,
        eos_token_id=special.end,
        pad_token_id=special.pad,
        initializer_range=initial_std(shape.n_embd),
        **dict.fromkeys(DROPOUTS["gpt2"], dropout),
    )


def _bert_config(
    shape: Shape, vocab_size: int, context: int, special: SpecialIds, dropout: float
) -> BertConfig:
    return BertConfig(
        vocab_size=vocab_size,
        max_position_embeddings=context,
        num_hidden_layers=shape.n_layer,
        hidden_size=shape.n_embd,
        num_attention_heads=shape.n_head,
        intermediate_size=4 * shape.n_embd,
        type_vocab_size=TOKEN_TYPES,
        pad_token_id=special.pad,
        initializer_range=initial_std(shape.n_embd),
        **dict.fromkeys(DROPOUTS["bert"], dropout),
    )


def load_for(
    objective: str,
    folder: Path | str,
    labels: Sequence[str] | None,
    seed: int,
    dropout: float | None = None,
    revision: str | None = None,
) -> Any:
    """A saved model, or one of the hub, with the head of `objective`; a new head is drawn from `seed`.

    `labels` names the head's outputs; without them regression has one and the others what the objective says.
    `dropout` None: the model's own. Raises InputError for what is no GPT-2 or BERT, or wants code of its own.
    """
    options: dict[str, Any] = {}
    if objective == "regression":
        options["num_labels"] = 1
    elif labels is not None:
        names = dict(enumerate(labels))
        options |= {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    if objective in PROBLEMS:
        options["problem_type"] = PROBLEMS[objective]
    config = _config(folder, revision)
    if dropout is not None:
        options |= dict.fromkeys(DROPOUTS[config.model_type], dropout)
    torch.manual_seed(seed)
    try:
        return HEADS[objective].from_pretrained(
            folder, revision=revision, trust_remote_code=False, dtype=torch.float32, **options
        )
    except (OSError, ValueError) as error:
        raise _cannot_load(folder, error) from error


def _config(folder: Path | str, revision: str | None) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _cannot_load(folder, error) from error
    if config.model_type not in DROPOUTS or getattr(config, "auto_map", None):
        raise InputError(f"{folder}: is a {config.model_type!r} model; name a plain gpt2 or bert")
    return config


def _cannot_load(folder: Path | str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"{folder}: cannot be loaded ({reason}); check the name, or save the model again")


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the `save_pretrained` layout beside `folder`, then rename it: the folder is whole or absent."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
