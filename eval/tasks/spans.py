"""Questions and contexts as windows of token ids, with the answer's first and last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError
from eval.tasks.base import Row, Span
from eval.tasks.framing import encode_texts, frame_tokens, is_bert_like

Offset = tuple[int, int]


@dataclass(frozen=True)
class SpanWindow:
    """A question with a part of its context.

    `start` and `end` are the positions of the answer's first and last token, both 0 (the first token of all)
    where the whole answer is not in this window. `offsets` has for every token of the context the characters
    [begin, end) it stands for, else None; `row` is the row's index.
    """

    ids: list[int]
    types: list[int]
    start: int
    end: int
    offsets: list[Offset | None]
    row: int


def encode_spans(
    task: Span, tokenizer: Any, rows: Sequence[Row], context: int, stride: int
) -> list[SpanWindow]:
    """Windows of at most `context` tokens, each moved on by at most `stride` tokens of the row's context.

    A question longer than a quarter of `context` loses its end. Where a row has several answers the first is
    the one to learn. Raises `InputError` for a tokenizer without offsets, and a `context` under 16 tokens.
    """
    if context < 16:
        raise InputError(f"context {context}: too short for {task.name}; 16 is the least")
    if not tokenizer.is_fast:
        raise InputError(f"tokenizer: {task.name} needs one that tells characters; use a fast tokenizer")
    questions = encode_texts(tokenizer, [row["question"] for row in rows])
    texts = tokenizer(
        [row["context"] for row in rows],
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
        split_special_tokens=True,
        verbose=False,
    )
    windows = []
    for index, row in enumerate(rows):
        offsets = [(int(a), int(b)) for a, b in texts["offset_mapping"][index]]
        question = questions[index][: context // 4]
        answer = _answer_tokens(row, offsets)
        windows += _windows(
            tokenizer, question, texts["input_ids"][index], offsets, answer, context, stride, index
        )
    return windows


def _windows(
    tokenizer: Any,
    question: list[int],
    tokens: list[int],
    offsets: list[Offset],
    answer: Offset | None,
    context: int,
    stride: int,
    row: int,
) -> list[SpanWindow]:
    before, between, after = frame_tokens(tokenizer)
    head = [*before, *question, *between]
    room = context - len(head) - len(after)
    step = max(1, min(stride, room))
    found = []
    for begin in range(0, max(1, len(tokens) - room + step), step):
        part = tokens[begin : begin + room]
        inside = answer is not None and begin <= answer[0] and answer[1] < begin + len(part)
        shift = len(head) - begin
        start, end = (answer[0] + shift, answer[1] + shift) if answer and inside else (0, 0)
        ids = [*head, *part, *after]
        types = [0] * len(head) + [1] * (len(ids) - len(head)) if is_bert_like(tokenizer) else []
        places: list[Offset | None] = [
            *[None] * len(head),
            *offsets[begin : begin + room],
            *[None] * len(after),
        ]
        found.append(SpanWindow(ids, types, start, end, places, row))
    return found


def _answer_tokens(row: Row, offsets: Sequence[Offset]) -> Offset | None:
    """The first and the last token of the row's first answer; None where there is no answer."""
    if not row["answers"]:
        return None
    answer = row["answers"][0]
    begin, end = answer["start"], answer["start"] + len(answer["text"])
    touched = [place for place, (first, last) in enumerate(offsets) if first < end and last > begin]
    return (touched[0], touched[-1]) if touched else None
