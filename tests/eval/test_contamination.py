"""Shared n-grams are found as their definition says, common phrases are not held against a text."""

from __future__ import annotations

import random
import re
from textwrap import shorten

import pytest

from eval.contamination import check, compare, find_overlaps, gram_words, index_sets, row_texts

WORDS = [f"word{n}" for n in range(5000)]


def _text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def _rows(**texts: str) -> list[dict[str, str]]:
    return [{"id": name, "text": text} for name, text in texts.items()]


def _grams(text: str, n: int) -> set[tuple[str, ...]]:
    """The definition, with sets of tuples."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


@pytest.mark.parametrize("shared", [0, 11, 12, 13, 14, 60])
def test_a_text_is_contaminated_by_thirteen_words_in_a_row(shared: int) -> None:
    asked = [_text(0), _text(1)]
    piece = " ".join(asked[1].split()[:shared])
    text = f"{_text(2)} {piece.upper()}, {_text(3)}"
    index = index_sets([asked])
    assert index.size == len(_grams(asked[0], 13) | _grams(asked[1], 13))
    report = check(_rows(clean=_text(4), mixed=text), index)
    expected = bool(_grams(text, 13) & _grams(asked[1], 13))
    assert expected == (shared >= 13)
    assert (report.rows, report.contaminated) == (2, int(expected))
    assert report.examples == ((("mixed", piece.upper()),) if expected else ())


def test_what_more_than_ten_texts_share_is_a_common_phrase() -> None:
    phrase = _text(0, 20)
    index = index_sets([[phrase]])
    for number, contaminated in ((10, 10), (11, 0)):
        texts = {f"{n}": f"{_text(n + 1)} {phrase}" for n in range(number)}
        report = check(_rows(**texts, other=_text(99)), index)
        assert (report.rows, report.contaminated) == (number + 1, contaminated)
        assert len(report.examples) == min(contaminated, 5)


@pytest.mark.parametrize(
    ("lengths", "n"),
    [
        ([3, 4, 5], 8),
        ([10] * 100, 10),
        ([*[9] * 6, *[40] * 94], 9),
        ([*[9] * 4, *[40] * 96], 13),
        ([500], 13),
    ],
)
def test_n_is_the_fifth_percentile_between_eight_and_thirteen(lengths: list[int], n: int) -> None:
    assert gram_words(lengths) == n


def test_sets_of_short_and_of_long_texts_are_each_searched_by_their_own_n() -> None:
    short, long = _text(0, 9), _text(1, 50)
    index = index_sets([[short], [long], ["too short"]])
    assert sorted(index.grams) == [8, 9, 13]
    piece = " ".join(long.split()[:10])
    report = check(_rows(a=f"x {short} x", b=f"x {long} x", c=f"x {piece} x", d="too short"), index)
    assert [name for name, _ in report.examples] == ["a", "b"]


def test_overlaps_are_places_in_the_text_as_it_stands() -> None:
    """Capitals and signs of more than one letter when lowered must not move the places."""
    asked = _text(0, 30)
    first, second = asked.split()[:14], asked.split()[13:30]
    text = f"İİİ — “{', '.join(first).title()}!” {_text(1)}\n{'  '.join(second)}"
    places = find_overlaps(text, index_sets([[asked]]))
    found = [text[place.start : place.end] for place in places]
    assert found == [", ".join(first).title(), "  ".join(second)]
    assert find_overlaps(_text(2), index_sets([[asked]])) == []


def test_an_empty_set_finds_nothing() -> None:
    assert check(_rows(a=_text(0)), index_sets([[], [""]])).contaminated == 0


def test_the_texts_of_a_row_are_not_its_names() -> None:
    row = {
        "id": "1", "text": "a", "text_pair": "b", "label": "c", "labels": ["d"], "group": "e", "value": 1.5,
        "words": ["f", "g"], "tags": ["h", "i"], "references": ["j", "k"],
        "answers": [{"text": "l", "start": 0}],
    }  # fmt: skip
    assert list(row_texts(row)) == ["a", "b", "f g", "j", "k"]


def test_rows_are_compared_by_all_their_texts_and_counted_once() -> None:
    asked = [
        {"id": "a", "source": _text(0), "references": [_text(1), _text(2)], "label": _text(9)},
        {"id": "b", "source": _text(3), "references": [_text(4)], "label": _text(9)},
    ]
    inside = " ".join(_text(2).split()[20:40])
    train = [
        {"id": "t", "source": f"x {inside} y", "references": [_text(1)]},
        {"id": "u", "source": _text(9)},
    ]
    report = compare(asked, train)
    assert report.facts() == {"count": 1, "of": 2, "examples": [f"a: {shorten(_text(1), 100)}"]}
    common = [{"id": f"{n}", "source": _text(1)} for n in range(11)]
    assert compare(asked, common[:10]).contaminated == 1
    assert compare(asked, common).contaminated == 0, "more than ten rows have it: a phrase"
    assert compare(asked, []).contaminated == compare([{"id": "e", "source": ""}], train).contaminated == 0
