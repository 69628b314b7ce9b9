"""Cleaning repairs what is broken, and leaves source code and typography alone."""

from __future__ import annotations

import ast

import pytest

from pipelines.clean import clean


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("\ufeffone\r\ntwo\rthree", "one\ntwo\nthree\n"),
        ("The caf\u00c3\u00a9 is open", "The caf\u00e9 is open\n"),
        ("cafe\u0301", "caf\u00e9\n"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc\n"),
        ("\n\n    indented\n\n", "    indented\n"),
        (" \n\t\n", ""),
        ("", ""),
    ],
    ids=["line ends", "mojibake", "decomposed", "control characters", "margins", "white space", "empty"],
)
def test_repairs(broken: str, whole: str) -> None:
    assert clean(broken) == whole
    assert clean(whole) == whole


def test_code_and_typography_stay() -> None:
    code = "def f(x):\n\tif x:\n\t    return '\u201cquoted\u201d \ufb01 &amp; \uff21'\n"
    text = f"{code}\x0c\n# \u2028 in a comment\n"
    assert clean(text) == text
    assert ast.dump(ast.parse(clean(text))) == ast.dump(ast.parse(text))
