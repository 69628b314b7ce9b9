"""Count how often a score's error covers the truth: BLEU, ROUGE-1, accuracy and perplexity.

    python benchmarks/coverage.py [--draws 200] [--items 300] [--population 20000] [--replicates 1000]

Makes a large population of items (sentences of words with natural frequencies and copies of them with words
left out, changed and moved; right and wrong answers; documents of uneven lengths), whose value is the truth.
Test sets are drawn from it, and for each the interval value ± 1.96 standard errors as `eval.metrics.score`
gives it. Prints, as a Markdown table, how often it holds the truth, with the binomial error of that rate, and
the mean error claimed beside the deviation between the draws that it claims to be.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from eval.metrics import Array, ItemMetric, metric_by_name, score

CERTAIN = 1.96  # standard errors either way hold 95 % of a normal distribution


@dataclass(frozen=True)
class Population:
    """Items whose value is known: their metric, and its statistics (items, k)."""

    metric: ItemMetric
    statistics: Array


@dataclass(frozen=True)
class Coverage:
    """How many of the draws' intervals held the truth, and what the errors were worth."""

    truth: float
    held: int
    draws: int
    claimed: float  # mean standard error
    deviation: float  # standard deviation of the draws' values

    @property
    def rate(self) -> float:
        """The share that held it."""
        return self.held / self.draws

    @property
    def rate_stderr(self) -> float:
        """The binomial error of that share."""
        return float(np.sqrt(self.rate * (1 - self.rate) / self.draws))


def make_populations(items: int, seed: int) -> dict[str, Population]:
    """The four populations, by metric."""
    rng = np.random.default_rng(seed)
    references = [make_sentence(rng) for _ in range(items)]
    predictions = [corrupt(text, rng) for text in references]
    chances = rng.beta(4, 1.5, items)  # items are not equally hard
    right = (rng.random(items) < chances).astype(str)
    tokens = np.ceil(rng.lognormal(5, 0.8, items))
    nats = tokens * np.maximum(0.1, rng.normal(3.5, 0.6, items))
    texts = {name: metric_by_name(name) for name in ("bleu", "rouge1")}
    accuracy, perplexity = metric_by_name("accuracy"), metric_by_name("token_perplexity")
    return {
        **{
            name: Population(metric, metric.statistics(predictions, references))
            for name, metric in texts.items()
        },
        "accuracy": Population(accuracy, accuracy.statistics(right.tolist(), [str(True)] * items)),
        "token_perplexity": Population(perplexity, perplexity.statistics(nats, tokens)),
    }


def make_sentence(rng: np.random.Generator) -> str:
    """8 to 25 words, the k-th of 5,000 with a frequency of 1/k."""
    ranks = 5000.0 ** rng.random(rng.integers(8, 26))
    return " ".join(f"word{int(rank)}" for rank in ranks)


def corrupt(text: str, rng: np.random.Generator) -> str:
    """The sentence as a middling model might write it: some words out, some others, two halves swapped."""
    share = rng.beta(2, 4)  # models fail at whole sentences
    kept = [word for word in text.split() if rng.random() > 0.3 * share]
    words = [make_sentence(rng).split()[0] if rng.random() < share else word for word in kept]
    middle = len(words) // 2
    return " ".join(words[middle:] + words[:middle] if rng.random() < 0.2 else words)


def count_coverage(population: Population, *, items: int, draws: int, replicates: int, seed: int) -> Coverage:
    """Draw `draws` test sets of `items` each, and see whose interval holds the population's value."""
    metric, statistics = population.metric, population.statistics
    truth, rng = metric.value(statistics), np.random.default_rng(seed)
    values, errors = [], []
    for draw in range(draws):
        chosen = statistics[rng.integers(0, len(statistics), items)]
        found = score(metric, chosen, replicates=replicates, seed=draw)
        assert found.stderr is not None, found.reason
        values.append(found.value)
        errors.append(found.stderr)
    held = int((np.abs(np.array(values) - truth) <= CERTAIN * np.array(errors)).sum())
    return Coverage(truth, held, draws, float(np.mean(errors)), float(np.std(values, ddof=1)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--items", type=int, default=300, help="items in a test set")
    parser.add_argument("--population", type=int, default=20_000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| metric | truth | held | rate | its error | mean stderr | deviation of draws |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, population in make_populations(options.population, options.seed).items():
        found = count_coverage(
            population,
            items=options.items,
            draws=options.draws,
            replicates=options.replicates,
            seed=options.seed + 1,
        )
        cells = [name, f"{found.truth:.4f}", f"{found.held} of {found.draws}"]
        cells += [f"{found.rate:.3f}", f"{found.rate_stderr:.3f}"]
        cells += [f"{found.claimed:.4f}", f"{found.deviation:.4f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
