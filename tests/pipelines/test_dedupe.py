"""Repeats are found as the definition says, whatever the hashing does in between."""

from __future__ import annotations

import random
import re

import pytest

from pipelines.dedupe import find_repeats

WORDS = [f"word{number}" for number in range(500)]


def _text(seed: int, length: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def _jaccard(a: str, b: str) -> float:
    """The definition, with sets of tuples."""
    first, second = (
        {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
        for words in (re.findall(r"\w+", text.lower()) for text in (a, b))
    )
    return len(first & second) / len(first | second)


def test_exact_repeats_ignore_case_and_white_space_and_keep_the_first() -> None:
    texts = {"a": "To be,\n or not", "b": "something else", "c": "to be, or  NOT\n", "d": "to be or not"}
    assert find_repeats(texts)["exact duplicate"] == {"c": "a"}


@pytest.mark.parametrize("changed", [1, 3, 5, 6, 7, 8, 12, 40])
def test_near_repeats_agree_with_the_definition(changed: int) -> None:
    words = _text(0)
    other = list(words)
    for place in range(changed):
        other[place * 7] = "changed"
    texts = {"first": " ".join(words), "unrelated": " ".join(_text(1)), "second": " ".join(other)}
    likeness = _jaccard(texts["first"], texts["second"])
    found = find_repeats(texts)["near duplicate"]
    assert abs(likeness - 0.8) > 0.01, "the test would hang on the last digit"
    assert found == ({"second": "first"} if likeness >= 0.8 else {})


def test_near_repeats_can_be_left_in() -> None:
    words = _text(2)
    texts = {"a": " ".join(words), "b": " ".join([*words, "more"])}
    assert find_repeats(texts)["near duplicate"] == {"b": "a"}
    assert "near duplicate" not in find_repeats(texts, near=False)


def test_short_and_empty_texts_are_never_near() -> None:
    assert find_repeats({"a": "one two three", "b": "one two four", "c": "?"}) == {
        "exact duplicate": {},
        "near duplicate": {},
    }
