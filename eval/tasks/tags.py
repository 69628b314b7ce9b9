"""Words with their tags as token ids, each word's tag at one of its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.files import InputError
from eval.tasks.base import Row, Tagging
from eval.tasks.framing import encode_texts, frame_tokens, is_bert_like

IGNORED = -100  # torch's own mark of a position without a target


@dataclass(frozen=True)
class TagRow:
    """Some consecutive words of a row. `targets` has a label's index where a word is tagged, else IGNORED.

    `places` are those positions, word by word; `first` is the row's index of the first word, `row` the row's.
    """

    ids: list[int]
    types: list[int]
    targets: list[int]
    places: list[int]
    first: int
    row: int


def encode_tags(
    task: Tagging, tokenizer: Any, rows: Sequence[Row], labels: Sequence[str], context: int
) -> list[TagRow]:
    """Rows of at most `context` tokens; a longer one is cut, between words, into several, so none is lost.

    A BERT tags a word at its first piece (Devlin 2018); a GPT-2, which reads from left to right, at its last,
    where it has read the word. Raises `InputError` for a tag that is none of `labels`.
    """
    place = {label: index for index, label in enumerate(labels)}
    pieces = _Pieces(tokenizer, rows)
    before, _, after = frame_tokens(tokenizer)
    room = context - len(before) - len(after)
    if room < 1:
        raise InputError(f"context {context}: too short for {task.name}; {context - room + 1} is the least")
    found = []
    for index, row in enumerate(rows):
        if unknown := sorted(set(row["tags"]) - set(labels)):
            raise InputError(
                f"{task.name}: tag {unknown[0]!r} is not in the train rows; add rows, or remove it"
            )
        words = [pieces.of(word, first=number == 0)[:room] for number, word in enumerate(row["words"])]
        tags = [place[tag] for tag in row["tags"]]
        for first, last in _cuts([len(word) for word in words], room):
            found.append(_tag_row(tokenizer, words[first:last], tags[first:last], first, index))
    return found


class _Pieces:
    """The tokens of each word, every different word encoded once."""

    def __init__(self, tokenizer: Any, rows: Sequence[Row]) -> None:
        # Byte-level tokenizers keep the space before a word in its first token.
        self._space = "" if is_bert_like(tokenizer) else " "
        self._unknown = tokenizer.unk_token_id
        words = {word for row in rows for word in row["words"]}
        texts = sorted(words | {self._space + word for word in words})
        self._of = dict(zip(texts, encode_texts(tokenizer, texts), strict=True))

    def of(self, word: str, *, first: bool) -> list[int]:
        """At least one token: what a tokenizer drops altogether is unknown to it."""
        tokens = self._of[word if first else self._space + word]
        return tokens or ([] if self._unknown is None else [self._unknown])


def _cuts(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """[first, last) of consecutive groups of words, each of at most `room` tokens."""
    cuts, first, size = [], 0, 0
    for number, tokens in enumerate(sizes):
        if size + tokens > room and number > first:
            cuts.append((first, number))
            first, size = number, 0
        size += tokens
    return [*cuts, (first, len(sizes))]


def _tag_row(tokenizer: Any, words: list[list[int]], tags: list[int], first: int, row: int) -> TagRow:
    before, _, after = frame_tokens(tokenizer)
    bert = is_bert_like(tokenizer)
    ids, targets, places = list(before), [IGNORED] * len(before), []
    for word, tag in zip(words, tags, strict=True):
        at = 0 if bert else len(word) - 1
        places.append(len(ids) + at)
        ids += word
        targets += [tag if number == at else IGNORED for number in range(len(word))]
    ids += after
    targets += [IGNORED] * len(after)
    return TagRow(ids, [0] * len(ids) if bert else [], targets, places, first, row)
