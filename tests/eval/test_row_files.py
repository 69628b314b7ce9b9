"""Rows stream from their file: checked once, chosen evenly, with a fingerprint of what was chosen."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, write_jsonl
from eval.tasks import TASKS, MultipleChoice, PromptedClassification, Task
from eval.tasks.rows import choose_evenly, open_rows, read_rows

TEXTS = TASKS["perplexity"]


def write(folder: Path, *rows: dict[str, Any], name: str = "test.jsonl") -> Path:
    write_jsonl(folder / name, rows)
    return folder


def texts(count: int) -> list[dict[str, Any]]:
    return [{"id": f"d{n}", "text": f"text {n}"} for n in range(count)]


@pytest.mark.parametrize("name", ["test.jsonl", "test.jsonl.gz"])
def test_rows_can_be_gone_through_again_and_again(tmp_path: Path, name: str) -> None:
    rows = open_rows(TEXTS, write(tmp_path, *texts(7), name=name), "test")
    assert len(rows) == 7
    assert list(rows) == list(rows) == texts(7) == read_rows(TEXTS, tmp_path, "test")
    first, second = iter(rows), iter(rows)
    assert (next(first), next(first), next(second)) == (texts(7)[0], texts(7)[1], texts(7)[0])


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 11, None])
def test_chosen_rows_are_those_that_a_list_gives(tmp_path: Path, count: int, wanted: int | None) -> None:
    rows = open_rows(TEXTS, write(tmp_path, *texts(count)), "test")
    few = choose_evenly(texts(count), wanted)
    assert list(rows.choose(wanted)) == few
    assert len(rows.choose(wanted)) == len(few)
    assert list(rows.choose(wanted).choose(2)) == choose_evenly(few, 2), "of those that were chosen"


def test_the_fingerprint_is_that_of_the_chosen_rows_whatever_the_file(tmp_path: Path) -> None:
    rows = open_rows(TEXTS, write(tmp_path / "a", *texts(9)), "test")
    packed = open_rows(TEXTS, write(tmp_path / "b", *texts(9), name="test.jsonl.gz"), "test")
    turned = [{"text": row["text"], "id": row["id"]} for row in choose_evenly(texts(9), 4)]
    few = open_rows(TEXTS, write(tmp_path / "c", *turned), "test")
    assert rows.fingerprint() == packed.fingerprint() != rows.choose(4).fingerprint() == few.fingerprint()
    changed = open_rows(TEXTS, write(tmp_path / "d", *texts(8), {"id": "d8", "text": "other"}), "test")
    assert changed.fingerprint() != rows.fingerprint()


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        write_jsonl(tmp_path / "test.jsonl", ({"id": f"{n}", "text": "word " * 200} for n in range(count)))
        tracemalloc.start()
        rows = open_rows(TEXTS, tmp_path, "test")
        assert sum(1 for _ in rows.choose(count // 2)) == count // 2
        rows.fingerprint()
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(10)  # what is imported the first time
    few, many = peak(100), peak(4000)
    assert many - few < 4000 * 100, "a tenth of the rows' own size, and less"


CHOICES = MultipleChoice(name="choices")
LABELS = PromptedClassification(name="labels", verbalizers=(("a", "x"), ("b", "y")))
CHOICE = {"id": "a", "query": "?", "choices": ["x", "y"], "answer": 1}


@pytest.mark.parametrize(
    ("task", "row", "said"),
    [
        (TEXTS, {"id": "a"}, "no field 'text'; perplexity rows have id, text"),
        (TEXTS, {"id": 1, "text": "x"}, "id is 1; a text is wanted"),
        (TEXTS, {"id": "a", "text": "x", "bytes": -1}, "bytes is -1; a whole number is wanted"),
        (
            CHOICES,
            CHOICE | {"choices": ["x"]},
            r"choices is \['x'\]; a list of two or more texts",
        ),
        (CHOICES, CHOICE | {"choices": ["x", "x"]}, "two or more texts, all different"),
        (CHOICES, CHOICE | {"answer": 2}, "answer is 2; the choices are 0 to 1"),
        (CHOICES, CHOICE | {"answer": "B"}, "answer is 'B'; a choice's number, from 0, is wanted"),
        (LABELS, {"id": "a", "query": "?", "label": "c"}, "label is 'c'; the labels of labels are a, b"),
        (
            TASKS["code-completion"],
            {"id": "a", "source": "x", "target": " "},
            "as exact_match needs",
        ),
        (
            TASKS["code-to-docstring"],
            {"id": "a", "source": "x", "target": "y", "references": ["y", ""]},
            "no text to compare with, as bleu needs; write a target",
        ),
        (
            TASKS["code-to-docstring"],
            {"id": "a", "source": "x", "target": "y", "references": "y"},
            "references is 'y'; a list of texts is wanted",
        ),
    ],
)
def test_a_row_that_is_not_canonical_is_told_by_its_number(
    tmp_path: Path, task: Task, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=rf"test\.jsonl: row 1: .*{said}"):
        open_rows(task, write(tmp_path, row), "test")


def test_files_without_rows_to_measure_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither test\.jsonl nor test\.jsonl\.gz"):
        open_rows(TEXTS, tmp_path, "test")
    with pytest.raises(InputError, match=r"test\.jsonl: no rows; perplexity needs at least one"):
        open_rows(TEXTS, write(tmp_path), "test")
    with pytest.raises(InputError, match=r"test\.jsonl: all 2 texts are empty; perplexity needs some"):
        open_rows(TEXTS, write(tmp_path, {"id": "a", "text": ""}, {"id": "b", "text": "\n"}), "test")
    with pytest.raises(InputError, match=r"test\.jsonl: row 9: id 'd3' was used before; give each row its"):
        open_rows(TEXTS, write(tmp_path, *texts(8), texts(8)[3], *texts(2)), "test")


def test_ids_that_only_their_hashes_share_are_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.tasks.rows._hash", lambda name: 7)
    assert len(open_rows(TEXTS, write(tmp_path, *texts(3)), "test")) == 3
