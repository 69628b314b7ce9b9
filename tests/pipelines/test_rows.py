"""Rows are cut cleanly out of real source, split as the corpus is, and never ask for what was trained on."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, read_jsonl
from eval.tasks import TASKS
from pipelines.corpus import prepare_corpus
from pipelines.corpus_document import SPLITS, Document, read_documents, write_documents
from pipelines.rows import ROWS, prepare_rows
from pipelines.rows_code_completion import completion_rows
from pipelines.rows_code_to_docstring import docstring_rows, first_sentence
from pipelines.source_functions import read_functions

SOURCE = '''\
"""A module."""

@decorated(
    "argument")
def plain(x):
    """Add one to a number.

    At length.
    """

    # why one
    text = """
  less indented
    """
    return x + 1


class Box:
    @property
    def size(self):
        "The size of the box. A second sentence."
        def inner(): return 1
        return inner()

    @size.setter
    def size(self, value):
        """Set the size of the box."""
        self._size = value

    async def only_said(self):
        """Says what it would do."""

    def on_one_line(self): "Do nothing at all."; return None

    def silent(self):
        return 2
'''


def _functions() -> dict[str, Any]:
    return {function.id.split(":")[1]: function for function in read_functions("p/m.py", SOURCE)}


def test_functions_are_named_and_moved_to_the_margin() -> None:
    functions = _functions()
    assert list(functions) == [
        "plain",
        "Box.size",
        "Box.size@2",
        "Box.only_said",
        "Box.on_one_line",
        "Box.silent",
    ], "inner functions are part of the outer one"
    assert functions["Box.silent"].source == "def silent(self):\n    return 2\n"
    assert functions["Box.size@2"].source.startswith("@size.setter\ndef size(self, value):\n    ")


def test_the_docstring_is_cut_out_and_nothing_else() -> None:
    functions = _functions()
    assert functions["plain"].bare == (
        '@decorated(\n    "argument")\ndef plain(x):\n    # why one\n'
        '    text = """\n  less indented\n    """\n    return x + 1\n'
    )
    assert functions["Box.size@2"].bare == "@size.setter\ndef size(self, value):\n    self._size = value\n"
    for unusable in ("Box.only_said", "Box.on_one_line", "Box.silent"):
        assert functions[unusable].bare is None


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return it. And more.", "Return it."),
        ("Return the\n  value\nof it.\n\nMore.", "Return the value of it."),
        ("Return e.g. the value (see PEP 8). Then stop.", "Return e.g. the value (see PEP 8)."),
        ("Does it work? Yes.", "Does it work?"),
        ("Version 3.11 of it", "Version 3.11 of it"),
        ("", ""),
    ],
)
def test_first_sentence(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


@pytest.mark.parametrize("docstring", ["Too short.", "f(x) -> int", ">>> f(1) is an example", "word " * 50])
def test_docstrings_that_cannot_be_scored_are_left_out(docstring: str) -> None:
    source = f'def f(x):\n    """{docstring}"""\n    return x\n'
    assert docstring_rows(read_functions("m.py", source)) == []
    assert docstring_rows(read_functions("m.py", source.replace(docstring, "Return x as it is.")))


# --- rows of a corpus made for the purpose


def _write_corpus(folder: Path, splits: dict[str, dict[str, str]]) -> Path:
    for split, members in splits.items():
        documents = [Document(name, text, group=name) for name, text in members.items()]
        write_documents(folder / f"{split}.jsonl.gz", documents)
    return folder


def _function(name: str, target: str, *lines: str) -> str:
    return f'def {name}(x):\n    """{target}"""\n' + "".join(f"    {line}\n" for line in lines)


def _read(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {split: list(read_jsonl(folder / f"{split}.jsonl")) for split in SPLITS}


def test_test_rows_that_repeat_training_rows_are_dropped(tmp_path: Path) -> None:
    body = [f"x = x + value{n}" for n in range(40)]
    shared = _function("shared", "Do the shared thing.", "return x")
    train = shared + _function("long", "Do the long thing.", *body)
    validation = shared + _function("own_b", "Do a thing of b.", "return x + 2")
    test = (
        _function("shared", "Say the same otherwise.", "return x")
        + _function("long", "Do nearly the long thing.", *body, "return x")
        + _function("own_c", "Do a thing of c.", "return [x]")
    )
    splits = {"train": {"a.py": train}, "validation": {"b.py": validation}, "test": {"c.py": test}}
    corpus = _write_corpus(tmp_path / "corpus", splits)
    facts = prepare_rows("code-to-docstring", corpus, tmp_path / "rows")
    rows = _read(tmp_path / "rows")
    assert [row["id"] for row in rows["train"]] == ["a.py:shared", "a.py:long"]
    assert [row["id"] for row in rows["validation"] + rows["test"]] == ["b.py:own_b", "c.py:own_c"]
    assert facts["rows"] == {"train": 2, "validation": 1, "test": 1}
    exact, near = (facts["removed"][f"{kind} duplicate"]["examples"] for kind in ("exact", "near"))
    assert exact == ["b.py:shared = a.py:shared", "c.py:shared = a.py:shared"]
    assert near == ["c.py:long = a.py:long"]


@pytest.mark.parametrize("task", sorted(ROWS))
def test_a_corpus_without_python_says_so(tmp_path: Path, task: str) -> None:
    corpus = _write_corpus(tmp_path / "corpus", {split: {"a.txt": "Only prose.\n"} for split in SPLITS})
    with pytest.raises(InputError, match=rf"{task}: .*Python") as error:
        prepare_rows(task, corpus, tmp_path / "rows")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "rows").exists()


# --- rows of the real standard library


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of 4 MB of this Python's library, and the rows of both tasks."""
    folder = tmp_path_factory.mktemp("made")
    settings = {"source": "python-stdlib", "max_bytes": 4_000_000, "near_duplicates": False}
    fractions = {"validation_fraction": 0.05, "test_fraction": 0.05}
    prepare_corpus(settings | fractions, folder, folder / "corpus")
    for task in ROWS:
        prepare_rows(task, folder / "corpus", folder / task)
    return folder


@pytest.mark.parametrize("task", sorted(ROWS))
def test_no_text_repeats_and_rows_stay_in_their_files_split(made: Path, task: str) -> None:
    rows = _read(made / task)
    field = ROWS[task][0]
    texts = Counter(" ".join(row[field].split()) for members in rows.values() for row in members)
    assert texts.most_common(1)[0][1] == 1
    ids = Counter(row["id"] for members in rows.values() for row in members)
    assert ids.most_common(1)[0][1] == 1
    for split, members in rows.items():
        files = {name for name, _ in read_documents(made / "corpus", split)}
        assert {row["id"].split(":")[0] for row in members} <= files


def test_sources_parse_and_do_not_hold_their_answer(made: Path) -> None:
    rows = [row for members in _read(made / "code-to-docstring").values() for row in members]
    assert len(rows) > 1000
    for row in rows:
        (definition,) = ast.parse(row["source"]).body
        assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
        assert definition.name == re.split("[:.@]", row["id"].partition(":")[2].split("@")[0])[-1]
        assert len(row["source"]) <= 1200
        assert "\n" not in row["target"]
        assert len(row["target"].split()) >= 3
    told = [row["id"] for row in rows if row["target"] in row["source"]]
    assert len(told) < 0.005 * len(rows), "a comment or a message may say it again, rarely"


def test_packages_are_balanced_masked_and_in_every_split(made: Path) -> None:
    rows = _read(made / "module-classification")
    labels = sorted({row["label"] for row in rows["train"]})
    assert len(labels) >= 4
    for members in rows.values():
        assert sorted({row["label"] for row in members}) == labels
        assert Counter(row["label"] for row in members).most_common(1)[0][1] < 0.4 * len(members)
        for row in members:
            assert row["id"].startswith(f"{row['label']}/")
            words = re.findall("[a-z0-9]+", re.sub("[A-Z]", lambda match: match[0].lower(), row["text"]))
            assert not set(words) & set(labels)
            assert len(row["text"]) <= 800


@pytest.mark.parametrize("task", sorted(ROWS))
def test_the_rows_are_what_the_task_reads(made: Path, task: str) -> None:
    fields = {*TASKS[task].fields, "group"}
    rows = [row for members in _read(made / task).values() for row in members]
    assert all(set(row) == fields for row in rows)
    assert all(row["id"].startswith(f"{row['group']}:") for row in rows), "a group is a file's functions"


def test_the_same_corpus_gives_the_same_rows(made: Path, tmp_path: Path) -> None:
    prepare_rows("module-classification", made / "corpus", tmp_path)
    for split in SPLITS:
        name = f"{split}.jsonl"
        assert (tmp_path / name).read_bytes() == (made / "module-classification" / name).read_bytes()


def test_a_line_in_the_middle_is_what_completion_asks_for() -> None:
    source = '''def total(values):
    """Add them up, return the sum."""
    sum = 0
    for value in values:
        # one by one
        sum += value * 2
    return sum
'''
    (row,) = completion_rows(read_functions("m.py", source))
    assert row == {
        "id": "m.py:total",
        "group": "m.py",
        "source": "def total(values):\n    sum = 0\n    for value in values:\n        # one by one\n",
        "target": "        sum += value * 2",
    }
    assert completion_rows(read_functions("m.py", "def short(x):\n    return x\n")) == []
    brackets = "def f(x):\n    y = [\n    ]\n    (\n    )\n"
    assert completion_rows(read_functions("m.py", brackets)) == [], "no line that says anything"


def test_completed_lines_stand_where_the_source_ends(made: Path) -> None:
    rows = [row for members in _read(made / "code-completion").values() for row in members]
    assert len(rows) > 1000
    for row in rows:
        assert row["source"].endswith("\n")
        assert len(row["source"]) <= 1200
        assert "\n" not in row["target"]
        assert row["target"].strip()
        assert not row["target"].strip().startswith("#")
