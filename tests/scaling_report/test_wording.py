"""Sentences begin as sentences do, names as they are spelt."""

from __future__ import annotations

import pytest

from scaling_report.wording import capital


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bits per byte fall", "Bits per byte fall"),
        ("masked-LM loss falls", "Masked-LM loss falls"),
        ("chrF rises", "chrF rises"),
        ("ROUGE-1 rises", "ROUGE-1 rises"),
        ("", ""),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_a_name_is_spelt_otherwise(given: str, said: str) -> None:
    assert capital(given) == said
