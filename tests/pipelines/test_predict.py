"""Predictions are transformers' own, one a row, and are those that evaluation scored."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from pyarrow import parquet
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from eval.files import InputError, read_jsonl, write_jsonl
from eval.tasks.settings import TaskSettings
from pipelines.using.inputs import InputRow, read_inputs
from pipelines.using.outputs import open_output
from pipelines.using.predict import predict
from pipelines.using.predictor import load_predictor
from pipelines.using.task_file import TaskFile, read_task_file, write_task_file
from tests.eval.kept import evaluate_kept
from tests.pipelines.saved import TEXTS, labels, save

LABELS = labels("bad", "good", "odd")


def rows(*values: dict[str, Any]) -> Iterator[InputRow]:
    return (InputRow(number, f"row {number}", one) for number, one in enumerate(values, start=1))


def answers(
    folder: Path, *values: dict[str, Any], batch_tokens: int = 4096, **columns: str
) -> list[dict[str, Any]]:
    return list(predict(load_predictor(folder, columns), rows(*values), batch_tokens=batch_tokens))


def texts(*values: str) -> list[dict[str, Any]]:
    return [{"text": value} for value in values]


def own(folder: Path, definition: dict[str, Any], objective: str, max_tokens: int = 48) -> Path:
    write_task_file(
        folder, TaskFile(task="mine", definition=definition, objective=objective, max_tokens=max_tokens)
    )
    return folder


def scores_of_transformers(folder: Path, *values: Any) -> list[dict[str, float]]:
    """Label -> score of each text or pair, read alone."""
    oracle = pipeline("text-classification", model=str(folder), top_k=None)
    return [{one["label"]: one["score"] for one in oracle([value])[0]} for value in values]


@pytest.mark.parametrize("made", ["BertForSequenceClassification", "GPT2ForSequenceClassification"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_labels_and_probabilities_are_those_of_transformers_pipeline(
    tmp_path: Path, made: str, batch_tokens: int
) -> None:
    folder = save(tmp_path, made, **LABELS)
    found = answers(folder, *texts(*TEXTS), batch_tokens=batch_tokens)
    for answer, wanted in zip(found, scores_of_transformers(folder, *TEXTS), strict=True):
        assert answer["probabilities"] == pytest.approx(wanted, abs=1e-5)
        assert answer["label"] == max(wanted, key=lambda name: wanted[name])
    assert len({answer["label"] for answer in found}) > 1, "a model that always says the same proves little"


def test_pairs_are_read_as_pairs(tmp_path: Path) -> None:
    folder = save(tmp_path, "BertForSequenceClassification", **LABELS)
    (found,) = answers(folder, {"text": TEXTS[0], "text_pair": TEXTS[1]})
    (wanted,) = scores_of_transformers(folder, {"text": TEXTS[0], "text_pair": TEXTS[1]})
    assert found["probabilities"] == pytest.approx(wanted, abs=1e-5)
    (alone,) = answers(folder, {"text": TEXTS[0]})
    assert alone["probabilities"] != found["probabilities"]


def test_label_sets_and_numbers_are_those_of_transformers_pipeline(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "a", "BertForSequenceClassification", problem_type="multi_label_classification", **LABELS
    )
    found = answers(folder, *texts(*TEXTS))
    for answer, wanted in zip(found, scores_of_transformers(folder, *TEXTS), strict=True):
        assert answer["probabilities"] == pytest.approx(wanted, abs=1e-5)
        assert answer["labels"] == [name for name in answer["probabilities"] if wanted[name] > 0.5]
    folder = save(tmp_path / "b", "GPT2ForSequenceClassification", problem_type="regression", num_labels=1)
    values = [answer["value"] for answer in answers(folder, *texts(*TEXTS))]
    oracle = pipeline("text-classification", model=str(folder), function_to_apply="none")
    assert values == pytest.approx([oracle(text)[0]["score"] for text in TEXTS], abs=1e-4)


def test_tags_are_those_of_each_words_first_piece(tmp_path: Path) -> None:
    folder = save(tmp_path, "BertForTokenClassification", **LABELS)
    words = TEXTS[3].split()
    found = answers(folder, {"words": words}, {"text": TEXTS[3]})
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForTokenClassification.from_pretrained(folder),
    )
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        best = model(**encoded).logits[0].argmax(-1).tolist()
    places = encoded.word_ids()
    wanted = [model.config.id2label[best[places.index(word)]] for word in range(len(words))]
    assert found[0]["tags"] == wanted == found[1]["tags"]
    assert len(set(wanted)) > 1


def test_the_answer_of_a_span_is_the_likeliest_and_stands_where_it_says(tmp_path: Path) -> None:
    folder = save(tmp_path, "BertForQuestionAnswering")
    question, context = "a cat", "the dog ran to the park"
    (found,) = answers(folder, {"question": question, "context": context})
    assert context[found["start"] : found["end"]] == found["answer"] != ""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForQuestionAnswering.from_pretrained(folder),
    )
    encoded = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        logits = model(**encoded)
    inside = [place for place, which in enumerate(encoded.sequence_ids(0)) if which == 1]
    start, end = logits.start_logits[0], logits.end_logits[0]
    best = max(
        ((float(start[a] + end[b]), a, b) for a in inside for b in inside if a <= b < a + 30),
        key=lambda one: one[0],
    )
    assert found["answer"] == context[offsets[best[1]][0] : offsets[best[2]][1]]
    assert found["score"] == pytest.approx(best[0], abs=1e-4)
    assert found["no_answer_score"] == pytest.approx(float(start[0] + end[0]), abs=1e-4)


@pytest.mark.parametrize("made", ["BertForSequenceClassification", "GPT2ForSequenceClassification"])
def test_a_taught_model_predicts_what_evaluation_scored(tmp_path: Path, made: str) -> None:
    """Framed and cut as there: at the task's own length, which is less than the model's."""
    definition = {"kind": "classification", "files": {"test": ["x.csv"]}, "columns": {"text": "review"}}
    folder = own(save(tmp_path / "model", made, **LABELS), definition, "classification", max_tokens=12)
    data = [{"id": str(n), "text": text, "label": "good"} for n, text in enumerate(TEXTS)]
    write_jsonl(tmp_path / "test.jsonl", data)
    from eval.settings import EvalSettings
    from eval.tasks import make_task

    task = make_task("mine", TaskSettings(**definition))
    scored = evaluate_kept(folder, task, tmp_path, settings=EvalSettings(context=12)).items
    found = answers(folder, *({"review": row["text"], "id": row["id"]} for row in data))
    assert [(answer["id"], answer["label"]) for answer in found] == [
        (item["id"], item["output"]) for item in scored
    ]
    assert all(answer["truncated"] for answer in found)
    by_own_name = answers(folder, *texts(*TEXTS))
    assert [one["label"] for one in by_own_name] == [one["label"] for one in found]


def test_a_writing_model_predicts_what_evaluation_scored(tmp_path: Path) -> None:
    definition = {"kind": "generation", "cue": " =>", "max_new_tokens": 8, "files": {"test": ["x.csv"]}}
    folder = own(save(tmp_path / "model", "GPT2LMHeadModel"), definition, "conditional-generation")
    data = [{"id": str(n), "source": text, "target": "x"} for n, text in enumerate([*TEXTS, "cat " * 60])]
    write_jsonl(tmp_path / "test.jsonl", data)
    from eval.tasks import make_task

    scored = evaluate_kept(folder, make_task("mine", TaskSettings(**definition)), tmp_path).items
    found = answers(folder, *data)
    assert [answer["output"] for answer in found] == [item["output"] for item in scored]
    assert [answer["truncated"] for answer in found] == [False] * 4 + [True]
    assert any(answer["output"] for answer in found)


def test_a_model_taught_with_a_template_reads_rows_through_it(tmp_path: Path) -> None:
    definition = {
        "kind": "generation",
        "prompt": "{{ title }}: {{ body }} =>",
        "max_new_tokens": 8,
        "files": {"test": ["x.csv"]},
    }
    folder = own(save(tmp_path / "model", "GPT2LMHeadModel"), definition, "conditional-generation")
    rows = [{"title": "cat", "body": text} for text in TEXTS]
    whole = [{"source": f"cat: {text} =>"} for text in TEXTS]
    found = answers(folder, *rows)
    assert [one["output"] for one in found] == [one["output"] for one in answers(folder, *whole)]
    assert any(one["output"] for one in found)
    other = [{"source": f"dog: {text}"} for text in TEXTS]
    assert [one["output"] for one in found] != [one["output"] for one in answers(folder, *other)]


def test_what_is_cut_is_said_and_what_just_fits_is_not(tmp_path: Path) -> None:
    folder = save(tmp_path, "BertForSequenceClassification", **LABELS)
    fits, cut = answers(folder, *texts("a " * 46, "a " * 47))  # [CLS] and [SEP] make 48
    assert (fits["truncated"], cut["truncated"]) == (False, True)
    assert fits["probabilities"] == cut["probabilities"]


def test_rows_without_what_is_needed_name_what_is_there(tmp_path: Path) -> None:
    folder = save(tmp_path, "BertForSequenceClassification", **LABELS)
    with pytest.raises(
        InputError, match=r"row 1: no column 'text' for text; there are review, stars; name one"
    ):
        answers(folder, {"review": "x", "stars": 1})
    assert answers(folder, {"review": "x"}, text="review")[0]["id"] == 1
    with pytest.raises(InputError, match="no column 'body' for text; there are text"):
        answers(folder, {"text": "x"}, text="body")
    with pytest.raises(InputError, match="row 2: text is 3; a text is wanted"):
        answers(folder, {"text": "x"}, {"text": 3})


@pytest.mark.parametrize("made", ["GPT2LMHeadModel", "BertForMaskedLM"])
def test_a_language_model_without_a_task_is_refused(tmp_path: Path, made: str) -> None:
    with pytest.raises(InputError, match=f"a language model without a task \\({made}\\)"):
        load_predictor(save(tmp_path, made), {})


def test_broken_weights_and_task_files_are_one_line(tmp_path: Path) -> None:
    folder = own(
        save(tmp_path, "BertForSequenceClassification", **LABELS),
        {"kind": "classification"},
        "classification",
    )
    whole = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_text('{"model": {"vocab": 3}}')
    with pytest.raises(InputError, match="cannot be loaded"):
        load_predictor(folder, {})
    (folder / "tokenizer.json").write_bytes(whole)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_predictor(folder, {})
    (folder / "stepladder.json").write_text('{"task": "x"}')
    with pytest.raises(InputError, match="no task file"):
        load_predictor(folder, {})


def test_the_task_file_says_the_task_and_no_file_names(tmp_path: Path) -> None:
    own(
        tmp_path,
        {"kind": "generation", "cue": "->", "files": {"test": ["/home/me/x.csv"]}},
        "conditional-generation",
    )
    found = read_task_file(tmp_path)
    assert found is not None
    assert found.make().cue == "->"
    assert "/home/me" not in (tmp_path / "stepladder.json").read_text()
    assert read_task_file(tmp_path / "elsewhere") is None


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    data = [{"text": "a, b"}, {"text": "ü\u2028c"}, {"text": ""}]
    write_jsonl(tmp_path / "a.jsonl", data)
    write_jsonl(tmp_path / "a.jsonl.gz", data)
    parquet.write_table(pyarrow.Table.from_pylist(data), tmp_path / "a.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    (tmp_path / "a.txt").write_text("a, b\nü\u2028c\n\n", encoding="utf-8")
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text"])
        writer.writeheader()
        writer.writerows(data)
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet", "a.parquet.gz", "a.txt", "a.csv"):
        found = list(read_inputs(str(tmp_path / name)))
        assert [row.values for row in found] == data, name
        assert [row.number for row in found] == [1, 2, 3]


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    """The broken line is met when it is come to, not before: nothing is held that is not needed."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\nbroken\n')
    found = read_inputs(str(tmp_path / "a.jsonl"))
    assert next(found).values == {"text": "x"}
    with pytest.raises(InputError, match=r"a.jsonl:2: not JSON"):
        next(found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "has no rows"),
        ("a.jsonl", b"[1]\n", "not an object but a list"),
        ("a.jsonl", b'{"text": "a \\ud800"}\n', r"a.jsonl:1: holds half a character \(\\ud800\)"),
        ("a.jsonl", b'{"n": ' + b"1" * 5000 + b"}\n", "a.jsonl:1: not JSON .a number of too many digits"),
        ("a.csv", b"text,n\nx,1,2\n", r"a.csv:2: has other columns than the 2 of the first line"),
        ("a.parquet", b"PAR1", "not a whole parquet file"),
        ("a.bin", b"\x7fELF\0\0", "no text"),
        ("a.txt", b"gr\xfc\xdfe", "0xfc is not UTF-8"),
        ("a.jsonl.gz", b"no gzip", "not a whole gzip file"),
    ],
)
def test_files_that_are_something_else_are_one_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        list(read_inputs(str(tmp_path / name)))
    assert "\n" not in str(caught.value)


def test_csv_has_a_column_a_label_and_is_whole_or_absent(tmp_path: Path) -> None:
    answer = {"id": 1, "labels": ["a", "b"], "probabilities": {"a": 0.5, "b": 0.75}, "truncated": False}
    with open_output(tmp_path / "out.csv", None) as write:
        write(answer)
        assert not (tmp_path / "out.csv").exists()
    text = (tmp_path / "out.csv").read_text()
    assert text == 'id,labels,probabilities.a,probabilities.b,truncated\n1,"a, b",0.5,0.75,false\n'
    with contextlib.suppress(ZeroDivisionError), open_output(tmp_path / "b.jsonl", None) as write:
        write(answer)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    with open_output(tmp_path / "c.jsonl", None) as write:
        write(answer)
    assert list(read_jsonl(tmp_path / "c.jsonl")) == [json.loads(json.dumps(answer))]
