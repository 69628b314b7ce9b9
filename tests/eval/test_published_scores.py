"""Metrics against scores published with real data sets; skipped where those are not there."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from eval.files import read_jsonl
from eval.metrics import metric_by_name, score
from eval.settings import Scoring


@pytest.mark.parametrize(
    ("split", "language", "bleu", "chrf"),
    [
        ("test_2016_flickr", "de", 0.4783, 16.3447),
        ("test_2017_mscoco", "de", 0.0349, 14.8281),
        ("test_2016_flickr", "fr", 0.6722, 17.4825),
    ],
)
def test_the_untranslated_source_scores_what_sacrebleu_gave_it(
    stepladder_data: Path, split: str, language: str, bleu: float, chrf: float
) -> None:
    rows = list(read_jsonl(stepladder_data / "multi30k" / f"{split}.jsonl.gz"))
    sources, references = [row["en"] for row in rows], [row[language] for row in rows]
    for name, published in (("bleu", bleu), ("chrf", chrf)):
        metric = metric_by_name(name)
        found = score(metric, metric.statistics(sources, references), replicates=2, seed=0)
        assert found.value == pytest.approx(published, abs=5e-5)
        assert found.n == len(rows)


def test_outputs_on_multi30k_score_and_sign_as_sacrebleu_does(stepladder_data: Path) -> None:
    """Outputs of middling quality: the German captions without every fifth word, some words swapped."""
    rows = list(read_jsonl(stepladder_data / "multi30k" / "test_2016_flickr.jsonl.gz"))
    references = [row["de"] for row in rows]
    outputs = [_spoil(text, seed) for seed, text in enumerate(references)]
    oracles: dict[str, Any] = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF(), "ter": sacrebleu.TER()}
    for name, oracle in oracles.items():
        metric = metric_by_name(name)
        expected = oracle.corpus_score(outputs, [references])
        assert 20 < expected.score < 90
        assert metric.value(metric.statistics(outputs, references)) == pytest.approx(expected.score, abs=1e-9)
        assert metric.signature() == str(oracle.get_signature())


def _spoil(text: str, seed: int) -> str:
    words = [word for place, word in enumerate(text.split()) if (place + seed) % 5]
    if seed % 3 == 0:
        words[1:3] = words[1:3][::-1]
    return " ".join(words)


# README of the data set, test split, with rouge_score 0.1.2: ROUGE-1, ROUGE-2, ROUGE-L.
SCITLDR = {
    ("first sentence", True): (31.29, 11.42, 24.08),
    ("first sentence", False): (28.24, 10.45, 22.35),
    ("first sentence, author's summary only", True): (25.79, 9.32, 20.12),
    ("first sentence, author's summary only", False): (22.97, 8.58, 18.45),
    ("title", True): (40.40, 20.33, 33.68),
    ("title", False): (36.59, 18.83, 31.46),
    ("best single sentence", True): (49.34, 26.05, 39.95),
    ("best single sentence", False): (45.75, 24.89, 37.75),
}


@pytest.mark.parametrize(("row", "stemmer"), SCITLDR)
def test_scitldr_scores_as_its_readme_says(stepladder_data: Path, row: str, stemmer: bool) -> None:
    papers = _papers(stepladder_data)
    references = [paper["references"] for paper in papers]
    if row.startswith("first sentence"):
        outputs = [paper["sentences"][0] for paper in papers]
    else:
        outputs = [paper["title"] for paper in papers] if row == "title" else _oracle(papers, stemmer)
    if row.endswith("author's summary only"):
        references = [[paper["summary"]] for paper in papers]
    found = []
    for name in ("rouge1", "rouge2", "rougeL"):
        metric = metric_by_name(name, num_refs=-1, scoring=Scoring(stemmer=stemmer))
        found.append(100 * metric.value(metric.statistics(outputs, references)))
    assert [round(value, 2) for value in found] == list(SCITLDR[row, stemmer])


@lru_cache(maxsize=1)
def _papers(folder: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "scitldr" / "test.jsonl.gz"))


def _oracle(papers: list[dict[str, Any]], stemmer: bool) -> list[str]:
    """Each abstract's sentence with the highest ROUGE-1 against any of its references."""
    pairs = [(sentence, paper["references"]) for paper in papers for sentence in paper["sentences"]]
    metric = metric_by_name("rouge1", num_refs=-1, scoring=Scoring(stemmer=stemmer))
    scores = iter(metric.statistics(*map(list, zip(*pairs, strict=True)))[:, 0])
    return [max(paper["sentences"], key=lambda _: next(scores)) for paper in papers]
