"""A tiny tokenizer and tiny random checkpoints, saved as anybody would save them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

TEXT = """\
def area(width, height):
    \"\"\"Return the area of a rectangle.\"\"\"
    return width * height

The cat sat on the mat, and the dog — naïve as ever — looked at the moon. Numbers: 1, 2, 3, 44, 555.
Loss is counted in nats; bits per byte follow. A model that is larger is often better, but not always.
"""
LABELS = ["asyncio", "email", "json"]
CONTEXT = 64


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level BPE of 300 tokens: <|endoftext|> is 0, <|pad|> is 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([TEXT], trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=end, eos_token=end, pad_token="<|pad|>", model_max_length=CONTEXT
    )


def _save(network: Any, tokenizer: Any, folder: Path) -> Path:
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(tokenizer: Any, **more: Any) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        n_positions=CONTEXT,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        initializer_range=0.3,  # wide enough that outputs differ clearly between inputs
        **more,
    )


@pytest.fixture(scope="session")
def language_model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random GPT-2 with 2 layers, width 32 and 64 positions."""
    from transformers import GPT2LMHeadModel

    torch.manual_seed(1)
    return _save(GPT2LMHeadModel(_config(tokenizer)), tokenizer, tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="session")
def classifier(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random GPT-2 classifier over `LABELS`."""
    from transformers import GPT2ForSequenceClassification

    torch.manual_seed(2)
    names = dict(enumerate(LABELS))
    config = _config(tokenizer, id2label=names, label2id={name: index for index, name in names.items()})
    return _save(GPT2ForSequenceClassification(config), tokenizer, tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="session")
def wordpiece() -> Any:
    """A WordPiece tokenizer of 250 pieces, the first five its specials: [PAD] is 0."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=250, special_tokens=specials, show_progress=False)
    pieces.train_from_iterator([TEXT], trainer)
    return BertTokenizer(vocab=pieces.get_vocab(), do_lower_case=True, model_max_length=CONTEXT)


@pytest.fixture(scope="session")
def checkpoint(
    tokenizer: Any, wordpiece: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Makes the folder of a random model: `checkpoint("BertForMaskedLM", labels=None)`, each made once."""
    import transformers

    @lru_cache
    def make(head: str, labels: tuple[str, ...] | None = None) -> Path:
        named = {} if labels is None else {"id2label": dict(enumerate(labels))}
        if labels is not None:
            named["label2id"] = {name: index for index, name in enumerate(labels)}
        if head.startswith("GPT2"):
            config, own = _config(tokenizer, **named), tokenizer
        else:
            own = wordpiece
            config = transformers.BertConfig(
                num_hidden_layers=2,
                hidden_size=32,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=CONTEXT,
                vocab_size=len(wordpiece),
                initializer_range=0.3,
                **named,
            )
        torch.manual_seed(3)
        return _save(getattr(transformers, head)(config), own, tmp_path_factory.mktemp(head))

    return make
