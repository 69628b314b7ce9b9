"""Turn task rows into token ids, the same way for fine-tuning and for evaluation.

A tokenizer is any Hugging Face one; it is passed in, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError
from eval.tasks.base import Classification, Generation, Row


@dataclass(frozen=True)
class Pair:
    """A source to read and a target to write, as token ids; both together fit the context."""

    prompt: list[int]
    target: list[int]


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


def stop_ids(tokenizer: Any) -> list[int]:
    """The tokens that end a line of writing: the EOS, and every token with a line break in it."""
    ids = range(len(tokenizer))
    texts = tokenizer.batch_decode([[token] for token in ids])
    breaks = {token for token, text in zip(ids, texts, strict=True) if "\n" in text}
    return sorted({end_id(tokenizer), *breaks})


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


def encode_prompts(task: Generation, tokenizer: Any, rows: Sequence[Row], context: int) -> list[list[int]]:
    """What the model reads before it writes: begin token, source, cue; at most context - max_new_tokens.

    A long source loses its end, since a function's beginning says most; the cue always stands, and source and
    cue are encoded apart, so that a cut never changes the cue's tokens.
    """
    (cue,) = encode_texts(tokenizer, [task.cue])
    room = context - task.max_new_tokens - len(cue) - 1
    if room < 1:
        raise InputError(f"context {context}: too short for {task.name}; {context - room + 1} is the least")
    sources = encode_texts(tokenizer, [task.source(row) for row in rows])
    return [[begin_id(tokenizer), *source[:room], *cue] for source in sources]


def encode_pairs(task: Generation, tokenizer: Any, rows: Sequence[Row], context: int) -> list[Pair]:
    """Prompts with the targets to learn: target tokens then the end token, at most `max_new_tokens` in all.

    A target cut at that length has no end token: the text did not end there.
    """
    prompts = encode_prompts(task, tokenizer, rows, context)
    targets = encode_texts(tokenizer, [task.target(row) for row in rows])
    end = end_id(tokenizer)
    return [
        Pair(prompt, [*target, end][: task.max_new_tokens])
        for prompt, target in zip(prompts, targets, strict=True)
    ]


def encode_for_label(
    task: Classification, tokenizer: Any, rows: Sequence[Row], context: int
) -> list[list[int]]:
    """What the classifier reads: begin token, then the text's beginning; at most `context` tokens.

    No end token is added: where PAD and EOS are one token, the model would take it for padding.
    """
    texts = encode_texts(tokenizer, [task.text(row) for row in rows])
    return [[begin_id(tokenizer), *text[: context - 1]] for text in texts]
