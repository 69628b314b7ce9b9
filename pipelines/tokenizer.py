"""Train or load a tokenizer, and turn a prepared corpus into streams of token ids."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError
from pipelines.corpus_members import read_members, spread
from pipelines.parallel import cores
from pipelines.token_stream import Encoding, finish_split, is_bert_like, write_split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END = "<|endoftext|>"  # id 0: stands before every document, ends every answer
PAD = "<|pad|>"  # id 1
MOST_LETTERS = 1000  # of a WordPiece vocabulary; words with others are [UNK]
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
SMALLEST_VOCABULARY = 2 + 256  # the two specials and every byte
STREAMS = ("train", "validation")
# Of text, that a tokenizer is trained on at most, in megabytes spread evenly: more changes its pieces
# little, and takes memory for every different word.
MOST_TO_TRAIN_ON = 256_000_000


def prepare_tokens(
    settings: Mapping[str, Any], corpus_dir: Path, out: Path, *, processes: int | None = None
) -> dict[str, Any]:
    """Write `out/tokenizer/` and the token streams `out/{train,validation}.json` with their shards.

    `settings` is a recipe's `tokenizer` with `context`, in tokens, and the models' `family`. A stream is
    every document in order with the end-of-text token before it (BERT: with [SEP] after it), as uint16
    (uint32 above 65,536 ids); a shard, `train-00000.npy`, holds what `SHARD_BYTES` of corpus come to.
    `processes` (None: one a core, but no more than shards) changes nothing in the files. Shards that an
    earlier attempt finished are kept.
    Facts: vocab_size, tokens, shards and bytes_per_token per split, unknown (BERT: the share of [UNK]) per
    split, trained_on (bytes), speed. Raises `InputError` for a vocabulary that the corpus cannot fill,
    a tokenizer that cannot be loaded, a corpus smaller than one window (context + 1 tokens).
    """
    context = settings["context"]
    speed: dict[str, dict[str, float]] = {}
    facts: dict[str, Any] = {}
    if settings.get("pretrained"):
        tokenizer = load_tokenizer(
            settings["pretrained"], context, settings["family"], settings.get("revision")
        )
    else:
        sample = Sample(corpus_dir, MOST_TO_TRAIN_ON)
        began = time.perf_counter()
        tokenizer = _train(settings, sample, context)
        speed["train"] = _rate(sample.bytes, time.perf_counter() - began)
        facts["trained_on"] = sample.bytes
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out / "tokenizer")
    how = Encoding.of(tokenizer, out / "tokenizer")
    written = {}
    for split in STREAMS:
        began = time.perf_counter()
        written[split] = write_split(how, corpus_dir, out, split, processes or cores())
        made = sum(shard.bytes for shard in written[split] if not shard.found)
        speed[f"encode {split}"] = _rate(made, time.perf_counter() - began)
    tokens = {split: sum(shard.tokens for shard in done) for split, done in written.items()}
    for split, count in tokens.items():
        if count < context + 1:
            raise InputError(
                f"corpus: the {split} split has {count} tokens, fewer than one window of "
                f"context + 1 = {context + 1}; give more text or a smaller context"
            )
    for split, done in written.items():
        finish_split(how, out, split, done)
    if is_bert_like(tokenizer):
        unknown = {split: sum(shard.unknown for shard in done) for split, done in written.items()}
        facts["unknown"] = {split: unknown[split] / tokens[split] for split in STREAMS}
    size = {split: sum(shard.bytes for shard in done) for split, done in written.items()}
    return {
        "vocab_size": len(tokenizer),
        "tokens": tokens,
        "shards": {split: sum(shard.tokens > 0 for shard in done) for split, done in written.items()},
        "bytes_per_token": {split: size[split] / tokens[split] for split in STREAMS},
        **facts,
        "speed": speed,
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
    _require_size(bpe.get_vocab_size(), vocab_size)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def train_wordpiece(
    texts: Iterable[str], vocab_size: int, context: int, lowercase: bool = True
) -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer as BERT's (Devlin 2018) of exactly `vocab_size` ids, the first five its specials.

    Texts are encoded as [CLS] a [SEP], pairs as [CLS] a [SEP] b [SEP] with token types 0 and 1. With
    `lowercase`, capitals and accents are taken off. The texts pass twice. Raises `InputError` as
    `train_tokenizer` does.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    pieces = Tokenizer(models.WordPiece(unk_token=BERT[1]))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters, inner = _alphabet(texts, pieces)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        # Left to itself it numbers the inner letters in the order of a hash table, other in every process,
        # and joins pieces of equal frequency by their numbers: the same texts would give other vocabularies.
        special_tokens=[*BERT, *(f"##{letter}" for letter in inner)],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    pieces.train_from_iterator(iter(texts), trainer)
    if pieces.get_vocab_size() > vocab_size:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size} is too small; the letters of the corpus alone need "
            f"{pieces.get_vocab_size()}"
        )
    _require_size(pieces.get_vocab_size(), vocab_size)
    return BertTokenizer(
        vocab=pieces.get_vocab(),
        do_lower_case=lowercase,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def _alphabet(texts: Iterable[str], pieces: Any) -> tuple[list[str], list[str]]:
    """The thousand most frequent letters of the texts, and those that may stand inside a word."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    normal: Counter[str] = Counter()
    for letter, count in counts.items():
        for part in pieces.normalizer.normalize_str(letter).strip():
            normal[part] += count
    chosen = sorted(sorted(normal, key=lambda letter: (-normal[letter], letter))[:MOST_LETTERS])
    words = {letter: pieces.normalizer.normalize_str(f"a{letter}a") for letter in chosen}
    inner = [letter for letter in chosen if len(pieces.pre_tokenizer.pre_tokenize_str(words[letter])) == 1]
    return chosen, inner


def load_tokenizer(
    name: str, context: int, family: str, revision: str | None = None
) -> PreTrainedTokenizerBase:
    """A tokenizer by folder or hub name; without a padding token (GPT-2's) it pads with its end of text.

    Raises `InputError` when it cannot be loaded, is not the family's kind, or has no token to put between
    documents.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except Exception as error:  # the library raises a bare one for a broken tokenizer.json
        raise InputError(
            f"tokenizer.pretrained: {name!r} cannot be loaded; give a folder that save_pretrained wrote, "
            "or a hub name while online"
        ) from error
    tokenizer.model_max_length = context
    bert = is_bert_like(tokenizer) and tokenizer.pad_token is not None
    if bert != (family == "bert"):
        lacks = "has [CLS], [SEP], [MASK] and [PAD]" if bert else "lacks [CLS], [SEP], [MASK] or [PAD]"
        raise InputError(
            f"tokenizer.pretrained: {name!r} {lacks}, which does not suit a {family}; choose another"
        )
    if bert:
        return tokenizer
    if tokenizer.eos_token is None:
        raise InputError(
            f"tokenizer.pretrained: {name!r} has no end-of-text token to divide documents; choose another"
        )
    if tokenizer.bos_token is None:
        tokenizer.bos_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class Sample:
    """The training texts of a corpus; of a corpus of more than `most` bytes, about so many, evenly spread.

    `bytes` is what has been given out since it was last begun.
    """

    def __init__(self, corpus_dir: Path, most: int) -> None:
        self.bytes = 0
        whole = read_members(corpus_dir / "train.jsonl.gz")
        self._parts = [whole] if whole.bytes <= most else list(spread(whole, most))

    def __iter__(self) -> Iterator[str]:
        self.bytes = 0
        for part in self._parts:
            for text in part.texts():
                self.bytes += len(text.encode())
                yield text


def _train(settings: Mapping[str, Any], texts: Iterable[str], context: int) -> PreTrainedTokenizerBase:
    if settings.get("train") == "wordpiece":
        lowercase = settings.get("lowercase", True)
        return train_wordpiece(texts, settings["vocab_size"], context, lowercase)
    return train_tokenizer(iter(texts), settings["vocab_size"], context)


def _require_size(there: int, wanted: int) -> None:
    if there < wanted:
        raise InputError(
            f"tokenizer.vocab_size: the corpus supports {there} ids, not {wanted}; "
            f"ask for {there} or fewer, or give more text"
        )


def _rate(size: int, seconds: float) -> dict[str, float]:
    megabytes = size / 1e6
    return {
        "megabytes": round(megabytes, 3),
        "seconds": round(seconds, 3),
        "megabytes_per_s": round(megabytes / seconds, 2),
    }
