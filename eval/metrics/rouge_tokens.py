"""What ROUGE counts in a text: rouge_score's own words, words of any script, or characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# Chinese characters: the Unicode blocks of CJK ideographs, their extensions and compatibility forms.
_CHINESE = re.compile("([\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af])")


class RougeTokenizer:
    """A tokenizer as `rouge_score.rouge_scorer.RougeScorer` takes one; it remembers texts and stems.

    `tokenize` is one of `eval.settings.Scoring.tokenize`; only `words` are stemmed. All are lower case.
    """

    def __init__(self, tokenize: str, stems: bool) -> None:
        split: dict[str, Callable[[str], list[str]]] = {
            "words": _ascii_words(stems),
            "intl": words_of_any_script,
            "zh": chinese_characters_and_words,
            "char": characters,
        }
        self._split = lru_cache(maxsize=1 << 12)(split[tokenize])  # one text is compared with several

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text."""
        return self._split(text)


def words_of_any_script(text: str) -> list[str]:
    """Runs of letters, marks and digits of any script: a vowel sign is part of its word, unlike in `\\w`."""
    kept = (char if unicodedata.category(char)[0] in "LMN" else " " for char in text.lower())
    return "".join(kept).split()


def chinese_characters_and_words(text: str) -> list[str]:
    """Each Chinese character by itself, and words of other scripts."""
    return words_of_any_script(_CHINESE.sub(r" \1 ", text))


def characters(text: str) -> list[str]:
    """Every character but white space, punctuation too."""
    return list("".join(text.lower().split()))


def _ascii_words(stems: bool) -> Callable[[str], list[str]]:
    """rouge_score's own tokens: runs of a–z and 0–9, those of more than three letters stemmed by Porter's."""
    from rouge_score.tokenize import tokenize

    stemmer = _remembering_stemmer() if stems else None
    return lambda text: list(tokenize(text, stemmer))


def _remembering_stemmer() -> Any:
    """rouge_score's stemmer; a text's words come again and again, and a stem takes 20 µs."""
    from rouge_score.tokenizers import porter

    stemmer = porter.PorterStemmer()
    stemmer.stem = lru_cache(maxsize=1 << 16)(stemmer.stem)
    return stemmer
