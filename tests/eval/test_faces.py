"""The metrics as `evaluate` modules: batches, several processes, no network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from eval.metrics import faces, metric_by_name, score
from eval.results import METRICS
from eval.settings import Scoring

OUTPUTS = ["the cat sat on the mat today", "a dog is here now", "", "numbers are large"]
REFERENCES = [["the cat sat on a mat today", "a cat sat"], ["a dog was here now"], ["x"], ["numbers are big"]]
TAGS = [["B-X", "O"], ["O", "B-Y"]]
INPUTS: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("bleu", "chrf", "ter", "exact_match", "f1"), (OUTPUTS, REFERENCES)),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), (OUTPUTS, REFERENCES)),
    **dict.fromkeys(("accuracy", "accuracy_norm"), (["a", "b", "a"], ["a", "a", "a"])),
    **dict.fromkeys(("f1_macro", "f1_micro", "mcc"), (["a", "b", "a"], ["a", "a", "b"])),
    "f1_entity": (TAGS, TAGS[::-1]),
    "calibration_error": ([0.9, 0.6], [True, False]),
    **dict.fromkeys(("pearson", "spearman"), ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])),
    **{
        name: ([True, False, True], None)
        for name in ("stereotype_share", "toxicity_share", "memorised_share")
    },
    **dict.fromkeys(("bits_per_byte", "token_perplexity", "word_perplexity"), ([3.0, 5.0], [2.0, 4.0])),
    **dict.fromkeys(("byte_perplexity", "masked_lm_loss", "pseudo_perplexity"), ([3.0, 5.0], [2.0, 4.0])),
    **dict.fromkeys(("answer_perplexity", "answer_bits_per_byte"), ([3.0, 5.0], [2.0, 4.0])),
}


def test_every_metric_has_a_face() -> None:
    assert set(faces.NAMES) == set(METRICS) == set(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_batches_give_the_metrics_own_value(name: str) -> None:
    predictions, references = INPUTS[name]
    metric = metric_by_name(name, ("a", "b"), num_refs=-1)
    statistics = metric.statistics(predictions, [] if references is None else references)
    wanted = metric.value(statistics)
    face = faces.load(name)
    for item in range(len(predictions)):
        chosen = {"predictions": predictions[item : item + 1]}
        if references is not None:
            chosen["references"] = references[item : item + 1]
        face.add_batch(**chosen)
    found = face.compute()
    assert found == {name: pytest.approx(wanted), "signature": metric.signature()}
    scored = score(metric, statistics, replicates=50, seed=0)
    assert (scored.value, scored.signature) == (pytest.approx(wanted), metric.signature())
    assert scored.stderr is not None


def test_labels_may_be_whole_numbers_or_sets() -> None:
    assert faces.load("accuracy").compute(predictions=[0, 1], references=[0, 0])["accuracy"] == 0.5
    assert faces.load("mcc").compute(predictions=[0, 1, 10], references=[0, 1, 10])["mcc"] == 1
    sets = {"predictions": [["a", "b"], ["b"], []], "references": [["a"], ["b", "c"], ["a"]]}
    assert faces.load("f1_micro").compute(**sets)["f1_micro"] == pytest.approx(2 * 2 / (3 + 4))


def test_texts_are_compared_as_told() -> None:
    texts = {"predictions": ["我昨天买了三本新书。"], "references": [["我昨天买了两本新书。", "我买了书"]]}
    oracle = sacrebleu.BLEU(tokenize="zh").corpus_score(
        texts["predictions"], [[one] for one in texts["references"][0]]
    )
    found = faces.load("bleu", scoring=Scoring(tokenize="zh")).compute(**texts)
    assert found["bleu"] == pytest.approx(oracle.score)
    assert "tok:zh" in found["signature"]
    average = faces.load("rouge1", scoring=Scoring(tokenize="char", references="average")).compute(**texts)
    assert average["rouge1"] == pytest.approx((0.9 + 8 / 14) / 2)


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="metric 'meteor' has no face"):
        faces.load("meteor")
    with pytest.raises(ValueError, match="bleu: no predictions"):
        faces.load("bleu").compute()
    with pytest.raises(ValueError, match="bleu: no predictions"):
        faces.load("bleu").compute(predictions=[], references=[])
    with pytest.raises(ValueError, match="Mismatch in the number of predictions"):
        faces.load("bleu").compute(predictions=OUTPUTS, references=[["a"] * 4, ["b"] * 4])


def _compute_part(folder: Path, process: int) -> Any:
    face = faces.load(
        "bleu", num_process=2, process_id=process, experiment_id="two", cache_dir=str(folder), timeout=60
    )
    face.add_batch(predictions=OUTPUTS[process::2], references=REFERENCES[process::2])
    return face.compute()


def test_several_processes_give_the_value_of_one(tmp_path: Path) -> None:
    """They meet in files, so that threads with a face each do as well as processes."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(partial(_compute_part, tmp_path), range(2))
    assert first == faces.load("bleu").compute(predictions=OUTPUTS, references=REFERENCES)
    assert second is None
