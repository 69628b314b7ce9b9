"""Build or load the Hugging Face model of a rung; what lies on disk is always a plain transformers folder."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from eval.files import InputError
from pipelines.known_models import KnownModel, read_config
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
# Objectives that a head is drawn for where the model has none; a language model's has to be there.
NEW_HEADS = ("classification", "multi-label", "regression", "span", "tagging")
_NOT_FOR = {"gpt2": ("masked-lm",), "bert": ("causal-lm", "conditional-generation")}
OUTPUTS = {"regression": 1, "span": 2}  # a number; the first and the last token
DROPOUTS = {
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}
_NO_CONVERSION = "DISABLE_SAFETENSORS_CONVERSION"  # an environment variable of transformers


@dataclass(frozen=True)
class SpecialIds:
    """A tokenizer's special tokens: where a text begins and ends, and padding."""

    begin: int
    end: int
    pad: int | None
    """None: a published GPT-2's has none."""

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


def _dropouts(family: str, share: float) -> dict[str, Any]:
    return dict.fromkeys(DROPOUTS[family], share)


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
        **_dropouts("gpt2", dropout),
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
        **_dropouts("bert", dropout),
    )


def load_for(
    objective: str,
    folder: Path | str,
    labels: Sequence[str] | None,
    seed: int,
    dropout: float | None = None,
    revision: str | None = None,
) -> Any:
    """A saved model, or one of the hub, in float32 with the head of `objective`.

    `labels` names the head's outputs; a new head is drawn from `seed`. `dropout` None: the model's own. Code
    of its own is never run; pickled weights, where there are no safetensors, are read by torch's
    `weights_only`. Raises InputError for what is no GPT-2 or BERT, wants code, cannot learn the objective, or
    lacks weights that are not a new head's.
    """
    config, known = _config(folder, revision)
    if objective in _NOT_FOR.get(known.family, ()):
        raise InputError(f"{folder}: a {known.family} cannot learn {objective}; choose another family")
    for name, value in _head_settings(objective, labels).items():
        setattr(config, name, value)
    if dropout is not None:
        for name, value in _dropouts(known.family, dropout).items():
            setattr(config, name, value)
        config.classifier_dropout = dropout
    if known.family == "gpt2" and config.pad_token_id is None:
        config.pad_token_id = config.eos_token_id  # else transformers' own classifier takes one row at a time
    torch.manual_seed(seed)
    with _quiet():
        try:
            model, info = HEADS[objective].from_pretrained(
                folder,
                config=config,
                revision=revision,
                trust_remote_code=False,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # a head for other labels is drawn anew
                output_loading_info=True,
            )
        except UnpicklingError as error:
            raise InputError(
                f"{folder}: its weights are a pickle of more than tensors, which is not read; "
                "choose another, or save it as safetensors"
            ) from error
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise _cannot_load(folder, error) from error
    new = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    if lost := sorted(key for key in new if objective not in NEW_HEADS or not _in_head(key)):
        raise InputError(f"{folder}: has no trained {lost[0]}, which {objective} needs; choose another model")
    return model


def _config(folder: Path | str, revision: str | None) -> tuple[Any, KnownModel]:
    """The model's configuration, read as data first, so that nothing foreign is built or run."""
    try:
        raw, _ = PreTrainedConfig.get_config_dict(folder, revision=revision)
    except (OSError, ValueError) as error:
        raise _cannot_load(folder, error) from error
    known = read_config(raw, str(folder))
    kinds: dict[str, Any] = {"gpt2": GPT2Config, "bert": BertConfig}
    return kinds[known.family].from_dict(raw), known


def _head_settings(objective: str, labels: Sequence[str] | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if objective in OUTPUTS:
        settings["num_labels"] = OUTPUTS[objective]
    elif labels is not None:
        names = dict(enumerate(labels))
        settings |= {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    if objective in PROBLEMS:
        settings["problem_type"] = PROBLEMS[objective]
    return settings


def _in_head(key: str) -> bool:
    return key.startswith(("score.", "classifier.", "qa_outputs.", "bert.pooler."))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and tables: what they would say is checked, and said in one line.

    Nor is the hub asked to convert pickled weights of a repository, which transformers would do unasked.
    """
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    asks = os.environ.get(_NO_CONVERSION)
    os.environ[_NO_CONVERSION] = "1"
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
        if asks is None:
            del os.environ[_NO_CONVERSION]
        else:
            os.environ[_NO_CONVERSION] = asks


def _cannot_load(folder: Path | str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"{folder}: cannot be loaded ({reason}); check the name, or save the model again")


def save_model(
    model: Any, tokenizer: Any, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write the `save_pretrained` layout beside `folder`, then rename it: the folder is whole or absent.

    `weights` are written in place of those the model holds, where it is sharded.
    """
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    with _quiet():
        model.save_pretrained(beside, state_dict=weights)
        tokenizer.save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
