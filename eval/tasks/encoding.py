"""Turn task rows into token ids, the same way for fine-tuning and for evaluation: all kinds of tasks.

What frames a text is `framing`'s; `spans` and `tags` beside this module are the two kinds that need more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError
from eval.tasks.base import Classification, Generation, MultiLabel, Regression, Row
from eval.tasks.framing import (
    Encoded,
    begin_id,
    encode_texts,
    end_id,
    frame,
    is_bert_like,
    pad_id,
    stop_ids,
)
from eval.tasks.spans import SpanWindow, encode_spans
from eval.tasks.tags import TagRow, encode_tags

__all__ = [
    "Encoded",
    "Pair",
    "Prompt",
    "SpanWindow",
    "TagRow",
    "begin_id",
    "encode_for_label",
    "encode_pairs",
    "encode_prompts",
    "encode_spans",
    "encode_tags",
    "encode_targets",
    "encode_texts",
    "end_id",
    "has_pairs",
    "is_bert_like",
    "pad_id",
    "stop_ids",
]


@dataclass(frozen=True)
class Prompt:
    """What is read before writing; `cut` says that it is not the whole of it."""

    ids: list[int]
    cut: bool


@dataclass(frozen=True)
class Pair:
    """A source to read and a target to write, as token ids; both together fit the context."""

    prompt: list[int]
    target: list[int]


def encode_prompts(
    task: Generation,
    tokenizer: Any,
    rows: Sequence[Row],
    context: int,
    before: Sequence[str] = (),
    *,
    begin: bool = True,
) -> list[Prompt]:
    """What the model reads before it writes: begin token, solved examples, source, cue.

    Without `begin` the begin token stands only where there is nothing else.

    At most context - max_new_tokens. A long source loses its end, since a function's beginning says most, or
    where the task keeps the end its beginning; the cue always stands, and source and cue are encoded apart,
    so that a cut never changes the cue's tokens. `before`: each row's solved examples, which lose their
    beginning.
    """
    (cue,) = encode_texts(tokenizer, [task.cue])
    room = context - task.max_new_tokens - len(cue) - 1
    if room < 1:
        raise InputError(f"context {context}: too short for {task.name}; {context - room + 1} is the least")
    sources = encode_texts(tokenizer, [task.source(row) for row in rows])
    examples = encode_texts(tokenizer, list(before)) if any(before) else [[]] * len(rows)
    prompts = []
    for example, source in zip(examples, sources, strict=True):
        kept = source[:room] if task.keeps == "start" else source[max(0, len(source) - room) :]
        shown = example[max(0, len(example) - (room - len(kept))) :]
        cut = len(kept) < len(source) or len(shown) < len(example)
        text = [*shown, *kept, *cue]
        prompts.append(Prompt([begin_id(tokenizer), *text] if begin or not text else text, cut))
    return prompts


def encode_targets(task: Generation, tokenizer: Any, rows: Sequence[Row]) -> list[list[int]]:
    """The tokens to be written, at most `max_new_tokens`; no end token."""
    targets = encode_texts(tokenizer, [task.target(row) for row in rows])
    return [target[: task.max_new_tokens] for target in targets]


def encode_pairs(task: Generation, tokenizer: Any, rows: Sequence[Row], context: int) -> list[Pair]:
    """Prompts with the targets to learn: target tokens then the end token, at most `max_new_tokens` in all.

    A target cut at that length has no end token: the text did not end there.
    """
    prompts = encode_prompts(task, tokenizer, rows, context)
    targets = encode_targets(task, tokenizer, rows)
    end = end_id(tokenizer)
    return [
        Pair(prompt.ids, [*target, end][: task.max_new_tokens])
        for prompt, target in zip(prompts, targets, strict=True)
    ]


def encode_for_label(
    task: Classification | MultiLabel | Regression, tokenizer: Any, rows: Sequence[Row], context: int
) -> list[Encoded]:
    """What a classifier reads of each row: its text, or its text and `text_pair`; at most `context` tokens.

    A text too long loses its end; of a pair always the longer one does (Devlin 2018). To a GPT-2 no end token
    is added: where PAD and EOS are one token, the model would take it for padding.
    """
    text = task.text if isinstance(task, Classification) else _text
    firsts = encode_texts(tokenizer, [text(row) for row in rows])
    if not has_pairs(task, rows):
        return [frame(tokenizer, first, None, context) for first in firsts]
    seconds = encode_texts(tokenizer, [str(row["text_pair"]) for row in rows])
    return [frame(tokenizer, first, second, context) for first, second in zip(firsts, seconds, strict=True)]


def has_pairs(task: Classification | MultiLabel | Regression, rows: Iterable[Row]) -> bool:
    """Whether rows have a `text_pair`; `InputError` where some have, and others do not."""
    paired = [("text_pair" in row) for row in rows]
    if any(paired) and not all(paired):
        raise InputError(
            f"{task.name}: {sum(paired)} of {len(paired)} rows have a text_pair; give all one, or none"
        )
    return any(paired)


def _text(row: Row) -> str:
    return str(row["text"])
