"""What no model is needed for: the most frequent label, and the one sentence that scores best everywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sacrebleu.metrics.bleu import BLEU

from eval.metrics.bleu import make_bleu


def majority_label(labels: Sequence[str]) -> str:
    """The most frequent label; among equals the first in alphabetical order."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def best_constant(candidates: Sequence[str], references: Sequence[str], tokenize: str = "words") -> str:
    """The candidate with the highest corpus BLEU when it is the prediction for every reference.

    All distinct candidates are tried. A constant's n-gram matches are looked up in an index of the
    references (n-gram -> how often in each reference that has it), so thousands of candidates cost less than
    a second; the score is sacreBLEU's own formula. Among equals the first in alphabetical order.
    `tokenize`: what BLEU counts, see `eval.settings.Scoring`.
    """
    bleu: BLEU = make_bleu(tokenize)
    index, reference_length = _index_ngrams([_tokens(bleu, text) for text in references])
    best, best_score = "", -1.0
    for candidate in sorted(set(candidates)):
        tokens = _tokens(bleu, candidate)
        correct, total = [0] * 4, [0] * 4
        for ngram, count in _ngrams(tokens).items():
            order = len(ngram) - 1
            total[order] += count * len(references)
            held = index.get(ngram, [])
            correct[order] += len(held) if count == 1 else sum(min(count, times) for times in held)
        score = BLEU.compute_bleu(correct, total, len(tokens) * len(references), reference_length).score
        if score > best_score:
            best, best_score = candidate, score
    return best


def _tokens(bleu: BLEU, text: str) -> list[str]:
    return bleu._preprocess_segment(text).split()


def _ngrams(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, 5)
        for start in range(len(tokens) - order + 1)
    )


def _index_ngrams(texts: Sequence[Sequence[str]]) -> tuple[dict[tuple[str, ...], list[int]], int]:
    index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for tokens in texts:
        for ngram, count in _ngrams(tokens).items():
            index[ngram].append(count)
    return index, sum(len(tokens) for tokens in texts)
