"""A context and the texts that may follow it, as token ids, divided as lm-evaluation-harness divides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.tasks.framing import begin_id, encode_texts


@dataclass(frozen=True)
class Continuations:
    """Token ids of a context and of what may follow it; `cut` says that the context lost its beginning.

    `failed`: why the model cannot be asked.
    """

    context: list[int]
    continuations: list[list[int]]
    cut: bool = False
    failed: str | None = None


def encode_continuations(
    tokenizer: Any,
    contexts: Sequence[str],
    texts: Sequence[Sequence[str]],
    context: int,
    *,
    begin: bool,
    encoder: bool,
) -> list[Continuations]:
    """Every context with its continuations, as long as `context` allows; the last token is not read.

    For a decoder context and continuation are encoded as one text, which is cut after as many tokens as the
    context alone has; white space at the context's end belongs to the continuation. (So does
    lm-evaluation-harness; where a merge reaches over the border the two belong to each other.) With `begin`,
    or without any context, the begin token comes first. For an `encoder` they are encoded apart; the model
    frames them. A context that is too long loses its beginning.
    """
    if encoder:
        before, room = [], context - 2
        heads = encode_texts(tokenizer, contexts)
        tails = _per_row(encode_texts(tokenizer, [one for row in texts for one in row]), texts)
    else:
        before, room = [begin_id(tokenizer)], context + 1
        moved = [(text[: len(text.rstrip())], text[len(text.rstrip()) :]) for text in contexts]
        heads = encode_texts(tokenizer, [text for text, _ in moved])
        whole = [text + space + one for (text, space), row in zip(moved, texts, strict=True) for one in row]
        joint = _per_row(encode_texts(tokenizer, whole), texts)
        tails = [[ids[len(head) :] for ids in row] for head, row in zip(heads, joint, strict=True)]
    return [
        _fit(before if begin or not head else [], head, rest, room)
        for head, rest in zip(heads, tails, strict=True)
    ]


def _fit(before: list[int], head: list[int], tails: list[list[int]], room: int) -> Continuations:
    space = room - max(map(len, tails)) - len(before)
    if min(map(len, tails)) < 1:
        return Continuations([], tails, failed="a continuation has no token of its own")
    if space < (0 if before else 1):
        return Continuations([], tails, failed="a continuation is longer than the context")
    kept = head[max(0, len(head) - space) :]
    return Continuations([*before, *kept], tails, cut=len(kept) < len(head))


def _per_row(flat: list[list[int]], rows: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """A flat list in pieces as long as the rows are."""
    pieces = iter(flat)
    return [[next(pieces) for _ in row] for row in rows]
