"""lm-evaluation-harness on a checkpoint, offline, with tasks of a folder that the test writes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from eval.results import METRICS, Origin, read_results, write_results
from eval.settings import EvalSettings

pytest.importorskip("lm_eval")

from eval.harness import (
    Filed,
    _index,
    _why_left_out,
    check_harness,
    load_harness,
    run_harness,
    task_fingerprint,
)

QUERIES = ["the cat sat on", "the dog looked at", "numbers are", "loss is counted in", "a model is"]
PAIRS = ["the mat|bits", "the moon|nats and bytes", "1, 2, 3|cat", "nats|dogs", "a|b"]
CHOICES = [pair.split("|") for pair in PAIRS]
TEXTS = ["The cat sat on the mat, and the dog looked.", "Loss is counted in nats.", "A model is larger."]
CHOOSE = """\
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{query}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
  - {{metric: brier_score, aggregation: brier_score, higher_is_better: false}}
metadata: {{version: 3.0}}
"""
ROLL = """\
task: tiny_text
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {folder}/text.jsonl}}}}
validation_split: validation
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - {{metric: word_perplexity}}
  - {{metric: byte_perplexity}}
  - {{metric: bits_per_byte}}
metadata: {{version: 1.0}}
"""
WRITE = """\
task: tiny_writing
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{query}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 4}}
filter_list:
  - name: first-word
    filter: [{{function: regex, regex_pattern: "(\\\\S+)"}}, {{function: take_first}}]
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        import datasets

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"query": query, "choices": choices, "answer": index % 2}
        for index, (query, choices) in enumerate(zip(QUERIES, CHOICES, strict=True))
    ]
    (folder / "choice.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "text.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    for name, text in (("choice", CHOOSE), ("text", ROLL), ("writing", WRITE)):
        (folder / f"{name}.yaml").write_text(text.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def filed(language_model: Path, tasks: Path) -> dict[str, Filed]:
    settings = EvalSettings(bootstrap=20)
    lm = load_harness(language_model, settings)
    origin = Origin(stage="evaluate", family="gpt2", objective="causal-lm", rung="tiny")
    return {
        name: run_harness(lm, name, origin, task_folder=tasks, settings=settings)[0]
        for name in ("tiny_choice", "tiny_text", "tiny_writing")
    }


def log_likelihoods(folder: Path, prefix: str, rest: str) -> list[float]:
    """Of every token of `rest` after `prefix` (a begin token where that is empty), by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    whole = tokenizer(prefix + rest)["input_ids"]
    start = len(tokenizer(prefix)["input_ids"]) if prefix else 0
    ids = [tokenizer.bos_token_id, *whole]
    with torch.no_grad():
        logs = network(torch.tensor([ids if not prefix else whole])).logits.log_softmax(-1)[0]
    shift = 0 if not prefix else -1
    return [float(logs[place + shift, whole[place]]) for place in range(start, len(whole))]


def test_choices_are_scored_as_transformers_alone_says(filed: dict[str, Filed], language_model: Path) -> None:
    found = filed["tiny_choice"]
    right, by_length = [], []
    for index, (query, choices) in enumerate(zip(QUERIES, CHOICES, strict=True)):
        likely = [sum(log_likelihoods(language_model, query, f" {choice}")) for choice in choices]
        right.append(likely.index(max(likely)) == index % 2)
        norm = [value / len(choice) for value, choice in zip(likely, choices, strict=True)]
        by_length.append(norm.index(max(norm)) == index % 2)
    results = {result.metric: result for result in found.results}
    assert results["accuracy"].value == pytest.approx(sum(right) / 5)
    assert results["accuracy_norm"].value == pytest.approx(sum(by_length) / 5)
    assert [item["statistics"]["accuracy"] for item in found.items] == [[float(one), 1.0] for one in right]
    spread = math.sqrt(sum((one - sum(right) / 5) ** 2 for one in right) / 4 / 5)
    assert results["accuracy"].stderr == pytest.approx(spread)


def test_a_rolling_perplexity_is_that_of_the_tokens(filed: dict[str, Filed], language_model: Path) -> None:
    nats = [-sum(log_likelihoods(language_model, "", text)) for text in TEXTS]
    words, size = sum(len(text.split()) for text in TEXTS), sum(len(text.encode()) for text in TEXTS)
    values = {result.metric: result.value for result in filed["tiny_text"].results}
    assert values["word_perplexity"] == pytest.approx(math.exp(sum(nats) / words), rel=1e-4)
    assert values["byte_perplexity"] == pytest.approx(math.exp(sum(nats) / size), rel=1e-4)
    assert values["bits_per_byte"] == pytest.approx(sum(nats) / size / math.log(2), rel=1e-4)
    items = filed["tiny_text"].items
    assert [item["statistics"]["bits_per_byte"][0] for item in items] == pytest.approx(nats, rel=1e-4)


def test_results_say_whose_they_are_and_can_be_filed(filed: dict[str, Filed], tmp_path: Path) -> None:
    (first, _), rolled = filed["tiny_choice"].results, filed["tiny_text"].results[0]
    assert (first.task, first.split, first.n, first.rung) == ("lm-eval:tiny_choice", "test", 5, "tiny")
    assert (rolled.split, rolled.n) == ("validation", 3)
    assert first.signature is not None
    assert (
        "lm-eval:acc|task-version:3.0|shots:0|filter:none|limit:none|context:64|dtype:float32|version:0."
        in (first.signature)
    )
    everything = [result for one in filed.values() for result in one.results]
    assert {result.metric for result in everything} <= set(METRICS)
    write_results(tmp_path / "results.jsonl", everything)
    assert read_results(tmp_path / "results.jsonl") == everything


def test_a_metric_without_a_name_here_is_listed(filed: dict[str, Filed]) -> None:
    assert filed["tiny_choice"].left_out == ["brier_score: no metric here has this meaning"]
    assert filed["tiny_text"].left_out == []


def test_filtered_outputs_are_a_task_of_their_own(filed: dict[str, Filed]) -> None:
    found = filed["tiny_writing"]
    assert [result.task for result in found.results] == ["lm-eval:tiny_writing:first-word"]
    assert [item["reference"] for item in found.items] == [
        "the mat",
        "nats and bytes",
        "1, 2, 3",
        "dogs",
        "a",
    ]
    assert all(isinstance(item["output"], str) for item in found.items)


def test_the_first_items_are_taken_where_fewer_are_asked_for(language_model: Path, tasks: Path) -> None:
    settings = EvalSettings(max_items=2)
    found = run_harness(
        load_harness(language_model, settings), "tiny_text", Origin(), task_folder=tasks, settings=settings
    )
    assert [result.n for result in found[0].results] == [2, 2, 2]
    assert "limit:2" in (found[0].results[0].signature or "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{{query}}", "{{nothing}}", "UndefinedError: 'nothing' is undefined"),
        ("choice.jsonl", "broken.jsonl", "DatasetGenerationError"),
        ("doc_to_target: answer", "doc_to_target: '{{answer.x.y}}'", "lm-eval tiny_choice: "),
    ],
)
def test_a_task_that_fails_says_so_in_one_line(
    language_model: Path, tasks: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    (tasks / "broken.jsonl").write_text('{"query": ')
    text = CHOOSE.format(folder=tasks)
    assert old in text
    (tmp_path / "choice.yaml").write_text(text.replace(old, new))
    settings = EvalSettings(bootstrap=20)
    lm = load_harness(language_model, settings)
    with pytest.raises(InputError, match="lm-eval tiny_choice: ") as found:
        run_harness(lm, "tiny_choice", Origin(), task_folder=tmp_path, settings=settings)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_f1_of_squads_script_is_on_another_scale_also_below_one() -> None:
    answers = ({"id": "a", "prediction_text": "x"}, {"id": "a", "answers": {"text": ["y"]}})
    assert "to 100" in (_why_left_out("f1", 0.7, [{"f1": answers}]) or "")
    assert _why_left_out("f1", 0.7, [{"f1": 0.5}, {"f1": 1.0}]) is None  # CoQA's: a share an item
    assert _why_left_out("f1", 0.7, [{"f1": (1, 0)}, {"f1": (1, 1)}]) is None  # labels


def test_unknown_tasks_and_missing_folders_are_named(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _index(tasks, False)
    monkeypatch.setattr("eval.harness._index", lambda *_: own)  # all of its own tasks take it seconds
    check_harness(["tiny_choice"], tasks)
    with pytest.raises(InputError, match=r"'tiny_chioce' is no task of lm-eval; did you mean tiny_choice"):
        check_harness(["tiny_chioce"], tasks)
    with pytest.raises(InputError, match="no such folder"):
        check_harness(["hellaswag"], tasks / "nowhere")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr("eval.harness.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'stepladder\[lm-eval\]'"):
        check_harness(["hellaswag"])


def test_a_task_file_that_changes_is_another_task(tasks: Path, tmp_path: Path) -> None:
    before = task_fingerprint("tiny_text", tasks)
    assert before == task_fingerprint("tiny_text", tasks)
    assert before != task_fingerprint("tiny_text", None)
    (tmp_path / "text.yaml").write_text("task: tiny_text")
    assert task_fingerprint("tiny_text", tmp_path) != before


def test_rows_that_change_outside_of_the_task_folder_are_another_task(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a"}')
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "text.yaml").write_text(ROLL.format(folder=tmp_path).replace("text.jsonl", "rows.jsonl"))
    before = task_fingerprint("tiny_text", folder)
    (tmp_path / "other.jsonl").write_text("not named")
    assert task_fingerprint("tiny_text", folder) == before
    rows.write_text('{"text": "b"}')
    assert task_fingerprint("tiny_text", folder) != before
