"""From a checkpoint folder and a data folder to Results, as a user would see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from eval.evaluate import evaluate
from eval.files import InputError, write_jsonl
from eval.results import Origin, Result, read_results, same, write_results
from eval.settings import EvalSettings
from tests.eval.kept import evaluate_kept

FAST = EvalSettings(bootstrap=50, samples=2)
TARGETS = ["Return the area.", "Return a list of names.", "Close the file.", "Return the list of names."]
LABELS = ["asyncio", "email", "json"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per task, with rows enough for an error bar."""
    root = tmp_path_factory.mktemp("data")
    words = "the cat sat on a mat and looked at the moon — naïve".split()
    rng = np.random.default_rng(0)

    def text(length: int) -> str:
        return " ".join(rng.choice(words, length))

    for split, count in (("train", 12), ("validation", 5), ("test", 7)):
        docs = [text(int(rng.integers(5, 90))) for _ in range(count)]
        write_jsonl(
            root / "perplexity" / f"{split}.jsonl.gz",
            [{"id": f"d{i}", "text": doc, "bytes": len(doc.encode())} for i, doc in enumerate(docs)],
        )
        write_jsonl(
            root / "docstrings" / f"{split}.jsonl",
            [
                {"id": f"f{i}", "source": f"def f{i}(x):\n    return {text(6)!r}", "target": TARGETS[i % 4]}
                for i in range(count)
            ],
        )
        write_jsonl(
            root / "modules" / f"{split}.jsonl",
            [{"id": f"m{i}", "text": text(8), "label": LABELS[min(i % 5, 2)]} for i in range(count)],
        )
    return root


def by_metric(results: list[Result], rung: str | None = None) -> dict[str, Result]:
    """The model's own results, or those of the baseline of that name."""
    wanted = [r for r in results if (r.rung == rung if rung else r.family != "baseline")]
    return {result.metric: result for result in wanted}


def test_perplexities_of_a_foreign_checkpoint(language_model: Path, data: Path, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    settings = EvalSettings(max_items=3)
    found = evaluate_kept(language_model, "perplexity", data / "perplexity", settings=settings)
    results = by_metric(found.results)
    assert list(results) == ["bits_per_byte", "token_perplexity", "word_perplexity", "byte_perplexity"]

    nats, num_bytes = np.sum([item["statistics"]["bits_per_byte"] for item in found.items], axis=0)
    tokens = sum(len(item["losses"]) for item in found.items)
    words = sum(len(item["input"].split()) for item in found.items)
    assert nats == pytest.approx(sum(sum(item["losses"]) for item in found.items), rel=1e-4)
    assert num_bytes == sum(len(item["input"].encode()) for item in found.items)
    assert results["bits_per_byte"].value == pytest.approx(nats / num_bytes / np.log(2))
    assert results["token_perplexity"].value == pytest.approx(np.exp(nats / tokens))
    assert results["word_perplexity"].value == pytest.approx(np.exp(nats / words))
    assert results["byte_perplexity"].value == pytest.approx(2 ** results["bits_per_byte"].value)
    assert [item["id"] for item in found.items] == ["d0", "d2", "d4"], "three of seven, evenly spaced"

    one = results["bits_per_byte"]
    assert one.rung == language_model.name
    params = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(language_model).parameters())
    assert one.params is not None
    assert (one.params["total"], one.n, one.stage, one.family) == (params, 3, "evaluate", "gpt2")
    assert one.missing["tokens"] == "a checkpoint from elsewhere does not say"
    assert one.missing["ceiling"] == "unbounded"
    assert "context:64|dtype:float32|stride:32" in (one.signature or "")


def test_the_origin_is_kept_and_a_file_holds_the_results(
    language_model: Path, data: Path, tmp_path: Path
) -> None:
    origin = Origin(
        run="quickstart",
        stage="pretrain",
        family="gpt2",
        objective="causal-lm",
        rung="r1-13k",
        params={"total": 3, "non_embedding": 1, "matmul": 2},
        tokens=100,
        seed=4,
    )
    found = evaluate(language_model, "perplexity", data / "perplexity", origin=origin)
    write_results(tmp_path / "results.jsonl", found.results)
    for result in read_results(tmp_path / "results.jsonl"):
        assert (result.run, result.stage, result.rung, result.seed) == ("quickstart", "pretrain", "r1-13k", 4)
        assert result.params == origin.params
        assert result.missing["flops"] == "not given by the run"
        assert result.model_fingerprint


def test_docstrings_are_scored_as_sacrebleu_scores_the_outputs(language_model: Path, data: Path) -> None:
    found = evaluate_kept(language_model, "code-to-docstring", data / "docstrings", settings=FAST)
    outputs = [item["output"] for item in found.items]
    references = [TARGETS[i % 4] for i in range(7)]
    results = by_metric(found.results)
    assert results["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(outputs, [references]).score)
    assert results["chrf"].value > 0
    assert "greedy|max_new_tokens:32|stop:eos,\\n|shots:0" in (results["bleu"].signature or "")
    assert all("\n" not in output for output in outputs)
    assert [sample["reference"] for sample in found.samples] == [references[0], references[3]], (
        "evenly spaced"
    )
    assert found.samples[0]["prompt"].startswith("def f0(x):")
    assert found.samples[0]["prompt"].endswith("# docstring:")


def test_the_best_constant_is_chosen_on_validation_and_scored_on_test(
    language_model: Path, data: Path
) -> None:
    found = evaluate_kept(language_model, "code-to-docstring", data / "docstrings", settings=FAST)
    validation, test = ([TARGETS[i % 4] for i in range(count)] for count in (5, 7))
    best = max(TARGETS, key=lambda text: sacrebleu.corpus_bleu([text] * 5, [validation]).score)
    constant = by_metric(found.results, "best-constant")["bleu"]
    assert constant.value == pytest.approx(sacrebleu.corpus_bleu([best] * 7, [test]).score)
    assert (constant.family, constant.stage, constant.params) == ("baseline", "evaluate", None)
    assert constant.missing["params"] == "a baseline has no model"
    assert "best of all by BLEU on validation" in (constant.signature or "")


def test_classification_with_its_majority_baseline(classifier: Path, data: Path) -> None:
    found = evaluate_kept(classifier, "module-classification", data / "modules", settings=FAST)
    right = [item["reference"] == item["output"] for item in found.items]
    accuracy = by_metric(found.results)["accuracy"]
    assert accuracy.value == pytest.approx(np.mean(right))
    assert accuracy.stderr == pytest.approx(np.std(right, ddof=1) / np.sqrt(7))
    majority = by_metric(found.results, "majority-class")["accuracy"]
    assert majority.value == pytest.approx(3 / 7), "json: 6 of 12 train labels, 3 of 7 test labels"
    assert majority.data_fingerprint == accuracy.data_fingerprint


@pytest.mark.parametrize(
    ("model", "task", "folder"),
    [
        ("language_model", "perplexity", "perplexity"),
        ("language_model", "code-to-docstring", "docstrings"),
        ("classifier", "module-classification", "modules"),
    ],
)
def test_the_same_again_with_other_batches(
    model: str, task: str, folder: str, data: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = request.getfixturevalue(model)
    first = evaluate(checkpoint, task, data / folder, settings=FAST).results
    again = evaluate(checkpoint, task, data / folder, settings=FAST).results
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    small = evaluate(checkpoint, task, data / folder, settings=FAST.model_copy(update={"batch_tokens": 1}))
    for a, b in zip(first, small.results, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-5)
        assert b.signature == a.signature


def test_n_is_of_the_items_that_a_metric_counts(language_model: Path, tmp_path: Path) -> None:
    """An empty document has no byte: with one other there is no spread, rather than none at all."""
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": "the cat"}, {"id": "b", "text": ""}])
    (result,) = (
        one
        for one in evaluate(language_model, "perplexity", tmp_path).results
        if one.metric == "bits_per_byte"
    )
    assert (result.n, result.stderr) == (1, None)
    assert "one item has no spread" in result.missing["stderr"]


def test_labels_the_model_was_not_trained_on_are_refused(classifier: Path, tmp_path: Path) -> None:
    rows = [{"id": str(i), "text": "x", "label": label} for i, label in enumerate(["email", "xml"])]
    for split in ("train", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    with pytest.raises(
        InputError, match=r"id2label of config\.json has asyncio, email, json where .* has email, xml"
    ):
        evaluate(classifier, "module-classification", tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ([{"id": "a"}], r"row 1: no field 'text'"),
        ([{"id": "a", "text": 3}], r"row 1: text is 3; a text is wanted"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], r"row 2: id 'a' was used before"),
    ],
)
def test_bad_rows_are_named(
    rows: list[dict[str, Any]], said: str, language_model: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(InputError, match=said):
        evaluate(language_model, "perplexity", tmp_path)


def test_missing_data_and_unknown_tasks_are_named(language_model: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither test\.jsonl nor test\.jsonl\.gz"):
        evaluate(language_model, "perplexity", tmp_path)
    with pytest.raises(InputError, match="task 'ppl' is not known; the tasks are perplexity"):
        evaluate(language_model, "ppl", data)
    with pytest.raises(InputError, match=r"eval\.stride: 80 is more than the context, 64 tokens"):
        evaluate(language_model, "perplexity", data / "perplexity", settings=EvalSettings(stride=80))


def test_the_origins_fields_are_the_results_fields() -> None:
    fields = {field.name for field in dataclasses.fields(Result)}
    assert {field.name for field in dataclasses.fields(Origin)} <= fields
