"""Repeats are found as the definition says, whatever the hashing does in between."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from pipelines import dedupe
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


def _letters(count: int, own: int) -> dict[str, str]:
    """Letters that share 400 words and have some of their own: about 0.6 alike, or less."""
    words = [f"w{number}" for number in range(20_000)]
    shared = random.Random(0).choices(words, k=400)
    return {str(n): " ".join([*shared, *random.Random(n + 1).choices(words, k=own)]) for n in range(count)}


def test_documents_that_share_boilerplate_are_hardly_ever_compared_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []
    whole = dedupe.jaccard
    monkeypatch.setattr(dedupe, "jaccard", lambda a, b: compared.append(1) or whole(a, b))
    letters = _letters(200, 130)
    words = letters["7"].split()
    repeats = {"again": " ".join([*words[:440], "or", *words[441:]]), "more": " ".join([*words, "so", "on"])}
    assert find_repeats(letters | repeats)["near duplicate"] == {"again": "7", "more": "7"}
    assert len(compared) < 0.02 * 200 * 199 / 2


@pytest.mark.parametrize("own", [8, 40, 60, 90])
def test_near_repeats_among_many_that_are_alike_are_those_of_the_definition(own: int) -> None:
    """Likenesses all around the threshold: what stays is decided by each document's place."""
    letters = _letters(40, own)
    expected: dict[str, str] = {}
    for name, text in letters.items():
        likeness = {
            other: _jaccard(text, letters[other])
            for other in list(letters)[: int(name)]
            if other not in expected
        }
        best = max(likeness, key=lambda other: likeness[other], default=None)
        if best is not None and likeness[best] >= 0.8:
            expected[name] = best
    assert find_repeats(letters)["near duplicate"] == expected


def test_where_too_many_are_alike_the_latest_are_compared_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = list(_letters(60, 130).values())
    texts.append(texts[0] + " and so on")
    sketches = np.array([dedupe.sketch(text) for text in texts])
    assert dedupe.find_near(sketches, texts.__getitem__) == dedupe.Near({60: 0}, 0)
    monkeypatch.setattr(dedupe, "MOST_ALIKE", 10)
    capped = dedupe.find_near(sketches, texts.__getitem__)
    assert capped.repeats == {60: 0}, "by the numbers that only these two share"
    assert capped.skipped > 500
