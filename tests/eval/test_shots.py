"""Solved examples: the same for every item, never the item itself, even over labels."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from eval.files import InputError
from eval.tasks import MultipleChoice, PromptedClassification, make_task
from eval.tasks.base import Generation
from eval.tasks.settings import TaskSettings
from eval.tasks.shots import few_shots

LABELS = (("bad", "terrible"), ("good", "great"))


def choices(shots: int) -> MultipleChoice:
    return MultipleChoice(name="mine", shots=shots)


def questions(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"t{n}", "query": f"Question {n}?", "choices": [f"yes {n}", f"no {n}"], "answer": n % 2}
        for n in range(count)
    ]


def reviews(*labels: str) -> list[dict[str, Any]]:
    return [{"id": f"t{n}", "query": f"Review {n}:", "label": label} for n, label in enumerate(labels)]


def shown(prefix: str) -> list[str]:
    return re.findall(r"(?:Question|Review) (\d+)", prefix)


def test_examples_are_written_as_rows_are_asked() -> None:
    (row,) = questions(1)
    assert few_shots(choices(1), [row]).prefix(questions(2)[1]) == "Question 0? yes 0\n\n"
    prompted = PromptedClassification(name="p", verbalizers=LABELS, separator=" It was ", shots=1)
    assert few_shots(prompted, reviews("good")).prefix({"query": "?"}) == "Review 0: It was great\n\n"
    files = {"train": "a.csv", "test": "b.csv"}
    written = make_task("g", TaskSettings(kind="generation", files=files, cue="\nDE:", shots=1))
    assert isinstance(written, Generation)
    pair = {"id": "a", "source": "cat ", "target": "Katze"}
    assert few_shots(written, [pair]).prefix({"source": "dog"}) == "cat\nDE: Katze\n\n"


def test_the_draw_is_the_same_for_every_item_and_order_and_another_for_another_seed() -> None:
    rows = questions(50)
    drawn = few_shots(choices(5), rows)
    prefixes = {drawn.prefix({"query": f"new {n}", "choices": ["a", "b"]}) for n in range(9)}
    assert len(prefixes) == 1
    (prefix,) = prefixes
    assert len(shown(prefix)) == 5
    assert few_shots(choices(5), rows[::-1]).prefix({"query": "x", "choices": []}) == prefix
    assert few_shots(choices(5), rows, seed=1).prefix({"query": "x", "choices": []}) != prefix


def test_a_signature_tells_which_examples_there_are() -> None:
    told = few_shots(choices(2), questions(9)).told
    assert told.startswith("shots:2-")
    assert few_shots(choices(2), questions(9)[::-1]).told == told
    others = [row | {"query": f"{row['query']} Really?"} for row in questions(9)]
    assert few_shots(choices(2), others).told != told
    assert few_shots(choices(0), []).told == "shots:0"


def test_an_example_gives_way_where_it_is_the_item() -> None:
    rows = questions(50)
    drawn = few_shots(choices(4), rows)
    usual = shown(drawn.prefix({"query": "new", "choices": ["a", "b"]}))
    steps_in = set()
    for number in usual:
        item = rows[int(number)] | {"id": "another", "group": "g"}  # its content is what tells
        others = shown(drawn.prefix(item))
        assert number not in others
        assert [one for one in others if one in usual] == [one for one in usual if one != number]
        steps_in |= set(others) - set(usual)
    assert len(steps_in) == 1, "the next one drawn steps in, whichever is left out"


@pytest.mark.parametrize("shots", range(1, 9))
def test_labels_are_as_even_as_can_be_also_without_the_item(shots: int) -> None:
    rows = reviews(*["good"] * 40, *["bad"] * 10)
    task = PromptedClassification(name="p", verbalizers=LABELS, shots=shots)
    drawn = few_shots(task, rows)
    for item in rows:
        counts = Counter(re.findall("great|terrible", drawn.prefix(item)))
        assert sum(counts.values()) == shots
        assert max(counts.values()) - (min(counts.values()) if len(counts) == 2 else 0) <= 1


def test_a_rare_label_is_made_up_for_by_the_others() -> None:
    task = PromptedClassification(name="p", verbalizers=LABELS, shots=6)
    prefix = few_shots(task, reviews(*["good"] * 9, "bad")).prefix({"query": "?"})
    assert Counter(re.findall("great|terrible", prefix)) == {"great": 5, "terrible": 1}


def test_too_few_train_rows_are_a_mistake() -> None:
    same = [row | {"query": "Question 0?", "choices": ["a", "b"]} for row in questions(9)]
    with pytest.raises(InputError, match="mine: 2 solved examples are wanted, and 1 different train rows"):
        few_shots(choices(2), same)
    rows = questions(2)
    drawn = few_shots(choices(2), rows)
    with pytest.raises(InputError, match="2 solved examples are wanted, and 1 different train rows can be"):
        drawn.prefix(rows[0])
    assert few_shots(choices(0), []).prefix(rows[0]) == ""
