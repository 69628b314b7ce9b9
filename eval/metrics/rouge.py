"""ROUGE (Lin 2004) as Google's rouge_score computes it: the mean over items of each item's F-measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.base import Array, RatioMetric, TextMetric, Texts, check_texts
from eval.metrics.rouge_tokens import RougeTokenizer

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True, kw_only=True)
class Rouge(RatioMetric, TextMetric):
    """One of `NAMES`; statistics (F-measure, 1).

    `tokenize` and `stemmer`: see `eval.settings.Scoring`. Of several references, `references` best: the one
    with the highest ROUGE-1 counts, the first among equals, for all of `NAMES` (Cachola 2020); average: the
    mean over all. `num_refs`: references an item has, -1 for different numbers. rougeLsum compares sentences,
    which are split at newlines.
    """

    tokenize: str = "words"
    stemmer: bool = True
    references: str = "best"
    num_refs: int = 1

    def statistics(self, predictions: Sequence[str], references: Texts) -> Array:
        """(items, 2): the item's F-measure in 0–1, and one."""
        lists = check_texts(predictions, references)
        table = _measure_all(self._tokenizer, self.references, tuple(predictions), tuple(map(tuple, lists)))
        return np.column_stack([table[:, NAMES.index(self.name)], np.ones(len(table))])

    def tokens(self, text: str) -> list[str]:
        """What is counted: no punctuation, but with `char`."""
        return self._tokenizer.tokenize(text)

    def signature(self) -> str:
        """Name, tokens, stemmer, version, how sentences are split, how several references are used."""
        parts = [self.name, f"tok:{self.tokenize}", f"stemmer:{'yes' if self._stems else 'no'}"]
        parts.append(f"rouge_score:{version('rouge-score')}")
        if self.name == "rougeLsum":
            parts.append("sentences:newline")
        if self.num_refs != 1:
            parts.append("references:" + ("average" if self.references == "average" else "best-by-rouge1"))
        return "|".join(parts)

    @property
    def _stems(self) -> bool:
        return self.stemmer and self.tokenize == "words"

    @property
    def _tokenizer(self) -> RougeTokenizer:
        return _make_tokenizer(self.tokenize, self._stems)


@lru_cache(maxsize=8)
def _make_tokenizer(tokenize: str, stems: bool) -> RougeTokenizer:
    return RougeTokenizer(tokenize, stems)


@lru_cache(maxsize=1)  # a task's metrics ask one after the other for the same texts
def _measure_all(
    tokenizer: RougeTokenizer, how: str, predictions: tuple[str, ...], references: tuple[tuple[str, ...], ...]
) -> NDArray[np.float64]:
    """(items, 4): F-measures of `NAMES`."""
    pairs = zip(predictions, references, strict=True)
    return np.array([_measure(tokenizer, how, prediction, texts) for prediction, texts in pairs])


def _measure(tokenizer: RougeTokenizer, how: str, prediction: str, references: tuple[str, ...]) -> Array:
    """(4,): the F-measures of `NAMES` against the best reference, or on average."""
    if how == "average":
        return np.mean([_score(tokenizer, NAMES, text, prediction) for text in references], axis=0)
    best = references[0]
    if len(references) > 1:
        by_rouge1 = [_score(tokenizer, NAMES[:1], text, prediction)[0] for text in references]
        best = references[int(np.argmax(by_rouge1))]
    return np.array(_score(tokenizer, NAMES, best, prediction))


def _score(tokenizer: RougeTokenizer, names: Sequence[str], reference: str, prediction: str) -> list[float]:
    # Of one sentence against one, the union of longest common subsequences is the longest itself.
    single = "\n" not in reference and "\n" not in prediction
    wanted = [name for name in names if name != "rougeLsum" or not single]
    scores = _make_scorer(tokenizer, tuple(wanted)).score(reference, prediction)
    if single:
        scores["rougeLsum"] = scores.get("rougeL")
    return [float(scores[name].fmeasure) for name in names]


@lru_cache(maxsize=16)
def _make_scorer(tokenizer: RougeTokenizer, names: tuple[str, ...]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(names), tokenizer=tokenizer)
