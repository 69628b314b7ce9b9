"""Filters leave out what repeats itself and nothing that does not; masks hide addresses and nothing else."""

from __future__ import annotations

import random

import pytest

from pipelines import corpus_stdlib
from pipelines.clean import clean
from pipelines.filters import MAX_REPETITION, find_fault, mask, repetition

WORDS = [f"w{n}" for n in range(2000)]


def _by_definition(text: str) -> float:
    """The two shares with sets of tuples and a mark for every word."""
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    marked = [False] * len(words)
    for start in range(len(words) - 9):
        run = tuple(words[start : start + 10])
        if run in seen:
            marked[start : start + 10] = [True] * 10
        seen.add(run)
    lines = [line.strip() for line in text.split("\n")]
    again = sum(len(line) for n, line in enumerate(lines) if line in lines[:n])
    return max(sum(marked) / len(words), again / sum(map(len, lines)))


@pytest.mark.parametrize("repeated", [0, 5, 9, 10, 11, 40, 150])
@pytest.mark.parametrize("end", [" ", "\n"])
def test_repetition_is_what_its_definition_says(repeated: int, end: str) -> None:
    words = random.Random(repeated).sample(WORDS, 300)
    text = " ".join(words[:150]) + end + " ".join(words[:repeated]) + end + " ".join(words[150:])
    assert repetition(text) == pytest.approx(_by_definition(text))
    assert (repetition(text) > 0) == (repeated >= 10)


def test_short_texts_may_repeat_themselves() -> None:
    assert repetition("la la la " * 30) == 0
    assert find_fault("la la la " * 40, 32, 0.6) == "repeats itself"
    assert find_fault("la la la " * 40, 32, None) is None


def test_the_default_leaves_the_standard_library_alone() -> None:
    documents = [*corpus_stdlib.read_stdlib({})][::9]
    assert len(documents) > 80
    faults = {d.id: find_fault(clean(d.text), 1, MAX_REPETITION) for d in documents if d.text.strip()}
    assert not {name: fault for name, fault in faults.items() if fault}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to ann.lee+x@mail.example.co.uk, please.", "Write to <EMAIL>, please."),
        ("<bob@example.org> wrote:", "<<EMAIL>> wrote:"),
        ("@decorator\ndef f(a, b): return a@b", None),
        ("git@host:path is no address, nor a@b", None),
        ("from 8.8.8.8:53 to 10.0.0.1 and 127.0.0.1", "from <IP_ADDRESS>:53 to 10.0.0.1 and 127.0.0.1"),
        ("2001:4860:4860::8888 answers, ::1 too", "<IP_ADDRESS> answers, ::1 too"),
        ("at 12:30:45 version 1.2.3 and 999.1.1.1 and 1.2.3.4.5, x[1::2]", None),
    ],
)
def test_masks(text: str, masked: str | None) -> None:
    assert mask(text, ["email", "ip"])[0] == (masked or text)


def test_masks_are_counted_and_only_those_asked_for_are_applied() -> None:
    text = "a@x.org b@x.org 9.9.9.9"
    assert mask(text, ["email", "ip"]) == ("<EMAIL> <EMAIL> <IP_ADDRESS>", {"email": 2, "ip": 1})
    assert mask(text, ["ip"]) == ("a@x.org b@x.org <IP_ADDRESS>", {"ip": 1})
    assert mask(text, []) == (text, {})
