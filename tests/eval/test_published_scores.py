"""Metrics against scores published with real data sets; skipped where those are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.files import read_jsonl
from eval.metrics import metric_by_name, score


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


def test_the_first_sentence_of_an_abstract_scores_what_rouge_score_gave_it(stepladder_data: Path) -> None:
    rows = list(read_jsonl(stepladder_data / "scitldr" / "test.jsonl.gz"))
    leads, summaries = [row["sentences"][0] for row in rows], [row["summary"] for row in rows]
    for name, published in (("rouge1", 25.79), ("rouge2", 9.32), ("rougeL", 20.12)):
        metric = metric_by_name(name)
        found = score(metric, metric.statistics(leads, summaries), replicates=2, seed=0)
        assert 100 * found.value == pytest.approx(published, abs=5e-3)
