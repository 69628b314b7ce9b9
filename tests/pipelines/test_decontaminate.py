"""A contaminated text loses the paragraphs that are shared and no others; a short one goes."""

from __future__ import annotations

import random

import pytest

from eval.contamination import index_sets
from pipelines.decontaminate import decontaminate

ASKED = "which of the seven small towns on the northern shore was first to build a lighthouse of stone"
INDEX = index_sets([[ASKED]])


def _paragraph(seed: int, words: int = 80) -> str:
    return " ".join(random.Random(seed).choices([f"w{n}" for n in range(3000)], k=words))


@pytest.mark.parametrize("end", ["\n", "\n\n", "\n \n"], ids=["lines", "blank lines", "lines of spaces"])
def test_the_shared_paragraph_is_cut(end: str) -> None:
    before, after = [_paragraph(n) for n in range(3)], [_paragraph(n) for n in range(3, 6)]
    text = end.join([*before, f"So, {ASKED}? Nobody knows.", *after]) + "\n"
    left, shared = decontaminate(text, INDEX)
    assert left == end.join([*before, *after]) + "\n"
    assert shared == ASKED


def test_a_paragraph_over_lines_goes_as_a_whole() -> None:
    wrapped = ASKED.replace(" on ", "\non ").replace(" first", "\nfirst")
    text = f"{_paragraph(0, 150)}\n\nA question:\n{wrapped}?\nAn answer.\n\n{_paragraph(1, 150)}\n"
    assert decontaminate(text, INDEX)[0] == f"{_paragraph(0, 150)}\n\n{_paragraph(1, 150)}\n"


def test_of_a_giant_paragraph_only_the_surroundings_go() -> None:
    before, after = _paragraph(0, 2000), _paragraph(1, 2000)
    left, _ = decontaminate(f"{before} {ASKED} {after}\n", INDEX)
    assert left == f"{before} "[:-200] + f" {after}\n"[200:]


def test_short_texts_and_those_of_many_pieces_go() -> None:
    assert decontaminate(f"{_paragraph(0, 100)}\n\n{ASKED}\n", INDEX) == (None, ASKED)
    many = "\n\n".join(f"{_paragraph(n)}\n\n{ASKED}" for n in range(11))
    assert decontaminate(many, INDEX)[0] is None
    mostly = f"{_paragraph(0, 190)}\n\n{ASKED} {_paragraph(1, 200)}\n"
    assert decontaminate(mostly, INDEX)[0] is None


def test_a_clean_text_stays_as_it_is() -> None:
    text = f"{_paragraph(0)}\n\n{ASKED[:40]}\n"
    assert decontaminate(text, INDEX) == (text, "")
