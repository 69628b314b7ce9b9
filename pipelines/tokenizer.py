"""Train or load a tokenizer, and turn a prepared corpus into memory-mappable streams of token ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError
from pipelines.corpus_document import read_documents

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END = "<|endoftext|>"  # id 0: stands before every document, ends every answer
PAD = "<|pad|>"  # id 1
SMALLEST_VOCABULARY = 2 + 256  # the two specials and every byte
STREAMS = ("train", "validation")
BATCH_DOCUMENTS = 256  # encoded at a time, so that a large corpus need not fit in memory as Python lists


def prepare_tokens(settings: Mapping[str, Any], corpus_dir: Path, out: Path) -> dict[str, Any]:
    """Write `out/tokenizer/` and `out/{train,validation}.npy`, 1-D arrays of token ids; return the facts.

    `settings` is a recipe's `tokenizer` with `context`, in tokens. A stream is every document in order
    with the end-of-text token before it, as uint16 (uint32 above 65,536 ids). Facts: vocab_size, tokens
    per split, bytes_per_token per split. Raises `InputError` for a vocabulary that the corpus cannot fill,
    a tokenizer that cannot be loaded, a corpus smaller than one window (context + 1 tokens).
    """
    import numpy as np

    context = settings["context"]
    if settings.get("pretrained"):
        tokenizer = load_tokenizer(settings["pretrained"], context)
    else:
        tokenizer = train_tokenizer(_texts(corpus_dir, "train"), settings["vocab_size"], context)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out / "tokenizer")
    tokens, sizes = {}, {}
    for split in STREAMS:
        stream, sizes[split] = _encode(tokenizer, _texts(corpus_dir, split))
        tokens[split] = len(stream)
        if len(stream) < context + 1:
            raise InputError(
                f"corpus: the {split} split has {len(stream)} tokens, fewer than one window of context + 1 = "
                f"{context + 1}; give more text or a smaller context"
            )
        np.save(out / f"{split}.npy", stream, allow_pickle=False)
    return {
        "vocab_size": len(tokenizer),
        "tokens": tokens,
        "bytes_per_token": {split: sizes[split] / tokens[split] for split in STREAMS},
    }


def train_tokenizer(texts: Iterator[str], vocab_size: int, context: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE (Radford 2019) of exactly `vocab_size` ids: 0 is end of text, 1 padding.

    Raises `InputError` when the texts do not support so many ids, with the largest number that they do.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < SMALLEST_VOCABULARY:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size} is too small; the bytes alone need {SMALLEST_VOCABULARY}"
        )
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    if bpe.get_vocab_size() < vocab_size:
        raise InputError(
            f"tokenizer.vocab_size: the corpus supports {bpe.get_vocab_size()} ids, not {vocab_size}; "
            f"ask for {bpe.get_vocab_size()} or fewer, or give more text"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(name: str, context: int) -> PreTrainedTokenizerBase:
    """A tokenizer by folder or hub name; without a padding token (GPT-2's) it pads with its end of text.

    Raises `InputError` when it cannot be loaded, or has no token to put between documents.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"tokenizer.pretrained: {name!r} cannot be loaded; give a folder that save_pretrained wrote, "
            "or a hub name while online"
        ) from error
    if tokenizer.eos_token is None:
        raise InputError(
            f"tokenizer.pretrained: {name!r} has no end-of-text token to divide documents; choose another"
        )
    if tokenizer.bos_token is None:
        tokenizer.bos_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = context
    return tokenizer


def _texts(corpus_dir: Path, split: str) -> Iterator[str]:
    return (text for _, text in read_documents(corpus_dir, split))


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Iterator[str]) -> tuple[Any, int]:
    """The stream of ids of all texts, and their size in bytes of UTF-8."""
    import numpy as np

    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    pieces, size = [np.empty(0, dtype=dtype)], 0
    while batch := list(islice(texts, BATCH_DOCUMENTS)):
        size += sum(len(text.encode()) for text in batch)
        encoded = tokenizer(
            batch,
            add_special_tokens=False,
            return_attention_mask=False,
            split_special_tokens=True,
            verbose=False,
        )
        for ids in encoded["input_ids"]:
            pieces.append(np.array([tokenizer.bos_token_id, *ids], dtype=dtype))
    return np.concatenate(pieces), size
