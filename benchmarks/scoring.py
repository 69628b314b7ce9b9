"""Score texts with errors beside the libraries' own bootstraps, and print the table.

    python benchmarks/scoring.py [--pairs 3000] [--replicates 1000]

Made sentences of 8 to 25 words and copies with words left out, changed and moved are scored by BLEU and by
ROUGE-1, -2 and -L, each with a standard error: through `eval.metrics`; by sacreBLEU's own bootstrap; by
rouge_score and its `BootstrapAggregator`. Values are compared. Imports are not counted. Target: everything
of this package in 10 s on two cores. How fast a machine is, is not a test: the exit code is 0.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from coverage import corrupt, make_sentence
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import BootstrapAggregator
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from eval.metrics import metric_by_name, score

TARGET = 10.0  # seconds, of all four with their errors
ROUGES = ("rouge1", "rouge2", "rougeL")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    references = [make_sentence(rng) for _ in range(options.pairs)]
    predictions = [corrupt(text, rng) for text in references]
    print("| metric | ours | library | times | value | ± |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    total = 0.0
    for names, library in ((("bleu",), by_sacrebleu), (ROUGES, by_rouge_score)):
        own, values, errors = measure(lambda names=names: ours(names, predictions, references, options))
        theirs, expected, _ = measure(lambda library=library: library(predictions, references, options))
        assert np.allclose(values, expected, rtol=1e-9), (names, values, expected)
        total += own
        shown = [" / ".join(f"{value:.4g}" for value in found) for found in (values, errors)]
        cells = [" ".join(names), f"{own:.1f} s", f"{theirs:.1f} s", f"{theirs / own:.1f}x", *shown]
        print(f"| {' | '.join(cells)} |")
    print(f"\nall of ours: {total:.1f} s (target {TARGET:g})")


Found = tuple[list[float], list[float]]


def measure(scored: Callable[[], Found]) -> tuple[float, list[float], list[float]]:
    """Seconds, values and standard errors."""
    Tokenizer13a.__call__.cache_clear()  # sacreBLEU keeps what it has cut: who comes second would profit
    began = time.perf_counter()
    values, errors = scored()
    return time.perf_counter() - began, values, errors


def ours(
    names: tuple[str, ...], predictions: list[str], references: list[str], options: argparse.Namespace
) -> Found:
    """Statistics of every pair, then value and error of each metric."""
    metrics = [metric_by_name(name) for name in names]
    found = [
        score(metric, metric.statistics(predictions, references), replicates=options.replicates, seed=0)
        for metric in metrics
    ]
    return [one.value for one in found], [float(one.stderr or 0) for one in found]


def by_sacrebleu(predictions: list[str], references: list[str], options: argparse.Namespace) -> Found:
    """Its own bootstrap; `_ci` is half the width of 95 %."""
    bleu = BLEU().corpus_score(predictions, [references], n_bootstrap=options.replicates)
    return [bleu.score], [bleu._ci / 1.96]


def by_rouge_score(predictions: list[str], references: list[str], options: argparse.Namespace) -> Found:
    """Its scorer and aggregator, as `evaluate`'s ROUGE uses them; the low and high end are of 95 %."""
    scorer = RougeScorer(list(ROUGES), use_stemmer=True)
    aggregator = BootstrapAggregator(n_samples=options.replicates)
    scores = [scorer.score(*pair) for pair in zip(references, predictions, strict=True)]
    for one in scores:
        aggregator.add_scores(one)
    found = aggregator.aggregate()
    means = [float(np.mean([one[name].fmeasure for one in scores])) for name in ROUGES]
    return means, [(found[name].high.fmeasure - found[name].low.fmeasure) / 3.92 for name in ROUGES]


if __name__ == "__main__":
    main()
