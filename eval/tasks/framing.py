"""Token ids around and between texts: what begins, divides and ends them, for GPT-2 and for BERT.

GPT-2-like tokenizers give a begin token, then the text, and no end; BERT-like ones, with [CLS] and [SEP],
give [CLS] a [SEP] b [SEP] with token types. A tokenizer is any Hugging Face one; it is passed in, so nothing
heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError

SEPARATOR = "\n"  # between two texts, where the tokenizer has no token for it


@dataclass(frozen=True)
class Encoded:
    """What a model reads of a row: token ids, and their types (0, 1 for a second text; none for GPT-2).

    `cut` says that a text lost its end.
    """

    ids: list[int]
    types: list[int]
    cut: bool = False


def is_bert_like(tokenizer: Any) -> bool:
    """Whether texts are framed by [CLS] and [SEP]."""
    return tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None


def begin_id(tokenizer: Any) -> int:
    """The token that begins a text: the tokenizer's BOS, else its EOS (GPT-2 has one token for both)."""
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return int(token_id)
    raise InputError("tokenizer: has neither BOS nor EOS token; set bos_token in tokenizer_config.json")


def end_id(tokenizer: Any) -> int:
    """The token that ends a text: the tokenizer's EOS."""
    if tokenizer.eos_token_id is None:
        raise InputError("tokenizer: has no EOS token; set eos_token in tokenizer_config.json")
    return int(tokenizer.eos_token_id)


def pad_id(tokenizer: Any) -> int:
    """The token that fills short rows: the tokenizer's PAD, else its EOS (GPT-2 has no PAD)."""
    return end_id(tokenizer) if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def stop_ids(tokenizer: Any, stops: Sequence[str] = ("\n",)) -> list[int]:
    """The tokens that end writing: the EOS, and every token with one of the `stops` in it."""
    ids = range(len(tokenizer))
    texts = tokenizer.batch_decode([[token] for token in ids]) if stops else []
    ends = {token for token, text in zip(ids, texts, strict=False) if any(stop in text for stop in stops)}
    return sorted({end_id(tokenizer), *ends})


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The bare token ids of each text: nothing added, nothing cut."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        split_special_tokens=True,
        verbose=False,
    )
    return [list(ids) for ids in encoded["input_ids"]]


def frame(tokenizer: Any, first: list[int], second: list[int] | None, context: int) -> Encoded:
    """One text or two with the tokens that frame them, cut to `context` tokens.

    BERT-like: [CLS] a [SEP], or [CLS] a [SEP] b [SEP] with types 0 and 1. GPT-2-like: begin a, or begin a, a
    line break, b.
    """
    before, between, after = frame_tokens(tokenizer)
    if second is None:
        kept = first[: max(0, context - len(before) - len(after))]
        ids = [*before, *kept, *after]
        types = [0] * len(ids) if is_bert_like(tokenizer) else []
        return Encoded(ids, types, cut=len(kept) < len(first))
    size = len(first) + len(second)
    first, second = _fit(first, second, context - len(before) - len(between) - len(after))
    head, tail = [*before, *first, *between], [*second, *after]
    types = [0] * len(head) + [1] * len(tail) if is_bert_like(tokenizer) else []
    return Encoded([*head, *tail], types, cut=len(first) + len(second) < size)


def frame_tokens(tokenizer: Any) -> tuple[list[int], list[int], list[int]]:
    """The tokens before the first text, between two texts, and after the last."""
    if is_bert_like(tokenizer):
        return [tokenizer.cls_token_id], [tokenizer.sep_token_id], [tokenizer.sep_token_id]
    return [begin_id(tokenizer)], encode_texts(tokenizer, [SEPARATOR])[0], []


def _fit(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Both texts without what is too much, taken from the end of the longer one until they are alike.

    The numbers are those of the `tokenizers` library's "longest_first".
    """
    room = max(0, room)
    shorter, longer = sorted((len(first), len(second)))
    if shorter + longer <= room:
        return first, second
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    sizes = (longer, shorter) if len(first) > len(second) else (shorter, longer)
    return first[: sizes[0]], second[: sizes[1]]
