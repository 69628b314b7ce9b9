"""A corpus holds the text of its source, once, in splits that share no file; bad sources say what to do."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from eval.files import InputError
from pipelines import corpus_stdlib
from pipelines.corpus import prepare_corpus, source_fingerprint
from pipelines.corpus_document import SPLITS
from pipelines.corpus_files import cut
from tests.pipelines.corpora import TEXTS, everything, read, settings, write_jsonl

# --- the standard library


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library of 30 modules, with what must be left out, what cannot be parsed, and topics."""
    folder = tmp_path / "lib"

    def write(name: str, text: str | bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    for number in range(30):
        package = "asyncio" if number < 15 else "email"
        body = f'"""About {number}."""\n\n\ndef f{number}(x):\n    """Add {number}, as {"long " * 50}."""\n'
        write(f"{package}/m{number}.py", f"{body}    return x + {number}\n")
    for name in ("test/test_os.py", "email/test/test_email.py", "idlelib/run.py", "encodings/cp1252.py"):
        write(name, "raise AssertionError('this text is not wanted in any corpus')\n")
    write("site-packages/other/core.py", "raise AssertionError('this text is not wanted in any corpus')\n")
    write("_sysconfigdata__linux_.py", "raise AssertionError('this text is not wanted in any corpus')\n")
    write(
        "latin.py",
        "# -*- coding: latin-1 -*-\nNAME = 'caf\N{LATIN SMALL LETTER E WITH ACUTE}'\n".encode("latin-1"),
    )
    write("broken.py", "def f(:\n    return 'this does not parse'\n")
    write(
        "pydoc_data/topics.py",
        f"topics = {{'if': 'The \"if\" statement\\n{'x ' * 30}', 'for': '{'for all ' * 9}'}}\n",
    )
    monkeypatch.setattr(corpus_stdlib, "stdlib_folder", lambda: folder)
    return folder


def test_stdlib_reads_sources_docstrings_and_topics_and_nothing_unwanted(
    library: Path, tmp_path: Path
) -> None:
    facts = prepare_corpus(settings(source="python-stdlib"), tmp_path, tmp_path / "out")
    documents = {name: text for members in read(tmp_path / "out").values() for name, text in members.items()}
    assert documents["asyncio/m3.py"] == (library / "asyncio/m3.py").read_text()
    page = documents["asyncio/m3.py#docstrings"]
    assert page.startswith("asyncio.m3\n\nAbout 3.\n\nasyncio.m3.f3\n\nAdd 3, as long")
    assert "return" not in page
    assert documents["pydoc_data/topics.py#if"].startswith('The "if" statement\n')
    assert "caf\N{LATIN SMALL LETTER E WITH ACUTE}" in documents["latin.py"], (
        "read by its own declared encoding"
    )
    assert not [name for name, text in documents.items() if "not wanted" in text]
    assert facts["removed"] == {"does not parse": {"count": 1, "examples": ["broken.py"]}}


@pytest.mark.usefixtures("library")
def test_no_file_stands_in_two_splits_and_every_package_is_in_each(tmp_path: Path) -> None:
    prepare_corpus(settings(source="python-stdlib"), tmp_path, tmp_path / "out")
    files = {
        split: {name.split("#")[0] for name in members} for split, members in read(tmp_path / "out").items()
    }
    assert not files["train"] & files["validation"]
    assert not files["train"] & files["test"]
    assert not files["validation"] & files["test"]
    for names in files.values():
        assert {"asyncio", "email"} <= {name.split("/")[0] for name in names}


@pytest.mark.usefixtures("library")
def test_the_same_library_gives_the_same_bytes(tmp_path: Path) -> None:
    chosen = settings(source="python-stdlib", near_duplicates=True)
    facts = [prepare_corpus(chosen, tmp_path, tmp_path / name) for name in ("one", "two")]
    assert all(fact.pop("speed") for fact in facts)
    assert facts[0] == facts[1]
    for split in SPLITS:
        one, two = ((tmp_path / name / f"{split}.jsonl.gz").read_bytes() for name in ("one", "two"))
        assert one == two


def test_the_fingerprint_follows_what_is_read_and_nothing_else(library: Path, tmp_path: Path) -> None:
    before = source_fingerprint(settings(source="python-stdlib"), tmp_path)
    (library / "test/test_os.py").write_text("changed")
    assert source_fingerprint(settings(source="python-stdlib"), tmp_path) == before
    (library / "asyncio/m1.py").write_text("changed = 1")
    assert source_fingerprint(settings(source="python-stdlib"), tmp_path) != before


def test_a_zipped_library_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path / "python311.zip")})
    with pytest.raises(InputError, match=r"python311\.zip.*corpus\.files"):
        source_fingerprint(settings(source="python-stdlib"), tmp_path)


@pytest.mark.usefixtures("library")
def test_max_bytes_keeps_all_packages(tmp_path: Path) -> None:
    whole = prepare_corpus(settings(source="python-stdlib"), tmp_path, tmp_path / "whole")
    half = sum(whole["bytes"].values()) // 2
    facts = prepare_corpus(settings(source="python-stdlib", max_bytes=half), tmp_path, tmp_path / "half")
    assert 0.8 * half <= sum(facts["bytes"].values()) <= 1.1 * half
    assert {"asyncio", "email"} <= {name.split("/")[0] for name in read(tmp_path / "half")["train"]}


# --- the reader's own files


def _csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["n", "text"], *([n, text] for n, text in enumerate(TEXTS))])


def _parquet(path: Path) -> None:
    parquet.write_table(pyarrow.table({"n": list(range(len(TEXTS))), "text": TEXTS}), path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("kind", "write"), [("jsonl", write_jsonl), ("csv", _csv), ("parquet", _parquet)])
def test_tables_give_a_document_a_row(
    tmp_path: Path, kind: str, write: Callable[[Path], None], packed: bool
) -> None:
    path = tmp_path / f"data.{kind}"
    write(path)
    if packed:
        (tmp_path / f"data.{kind}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    facts = prepare_corpus(settings(files=["data.*"]), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)
    assert sum(facts["documents"].values()) == 60
    assert all(facts["documents"][split] in (3, 4) for split in ("validation", "test")), "5 % of 60, by hash"
    assert sum(facts["bytes"].values()) == sum(len(text.encode()) for text in TEXTS)
    assert sum(facts["words"].values()) == sum(len(text.split()) for text in TEXTS)


def test_many_text_files_are_a_document_each(tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS):
        (tmp_path / f"part{number}.txt").write_text(text, encoding="utf-8")
    prepare_corpus(settings(files=["part*.txt"]), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)


def test_one_text_file_is_cut_at_blank_lines(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {n}. " + "word " * 300 + "\n" for n in range(200)]
    (tmp_path / "book.txt.gz").write_bytes(gzip.compress("\n".join(paragraphs).encode()))
    facts = prepare_corpus(settings(files=["book.txt.gz"]), tmp_path, tmp_path / "out")
    pieces = everything(tmp_path / "out")
    assert sum(facts["documents"].values()) == len(pieces) == 67
    assert sorted(p for piece in pieces for p in piece.strip("\n").split("\n\n")) == sorted(
        p.strip("\n") for p in paragraphs
    )


@pytest.mark.parametrize(
    "text", ["", "a\n\nb", "line\n" * 9_000, "paragraph " * 500 + "\n\n" + "rest", "x" * 20_000]
)
def test_pieces_add_up_to_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


def test_exact_repeats_are_dropped_and_named(tmp_path: Path) -> None:
    rows = [*TEXTS, TEXTS[7].upper()]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    facts = prepare_corpus(settings(files=["data.jsonl"]), tmp_path, tmp_path / "out")
    (example,) = facts["removed"].pop("exact duplicate")["examples"]
    assert example.startswith("data.jsonl#61 = data.jsonl#8: DOCUMENT 7 TELLS OF 49 THINGS.")
    assert not facts["removed"]
    assert everything(tmp_path / "out") == sorted(TEXTS)


def test_the_fingerprint_of_files_follows_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    first = source_fingerprint(settings(files=["a.txt"]), tmp_path)
    assert source_fingerprint(settings(files=[str(tmp_path / "*.txt")]), tmp_path) == first
    (tmp_path / "a.txt").write_text("two")
    assert source_fingerprint(settings(files=["a.txt"]), tmp_path) != first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.txt", None, r"'absent\.txt' matches no file in .*; check the name"),
        ("empty.txt", b"", r"empty\.txt: is empty"),
        ("blank.txt", b"\n \n", r"no documents are left"),
        ("latin.txt", b"one\ncaf\xe9", r"latin\.txt:2: byte 7 \(0xe9\) is not UTF-8"),
        (
            "notes.docx",
            b"text",
            r"notes\.docx: unknown kind of file; wanted \.txt, \.jsonl, \.csv, \.parquet",
        ),
        ("folder", "folder", r"folder: is a folder; name the files in it, such as folder/\*\.txt"),
        (
            "rows.jsonl",
            b'{"body": "x", "n": 1}\n',
            r"rows\.jsonl: row 1: no column 'text'; .* one of body, n",
        ),
        ("rows.csv", b"body,n\nx,1\n", r"rows\.csv: no column 'text'; .* one of body, n"),
        ("rows.jsonl", b'{"text": 5}\n', r"rows\.jsonl: row 1, text: 5 is no text"),
        ("rows.jsonl", b'{"text": \n', r"rows\.jsonl:1: not JSON"),
        ("rows.jsonl", b'{"text": ' + b"[" * 100_000, r"rows\.jsonl:1: not JSON \(nested too deeply"),
        ("rows.csv", b'text,n\na,1\n"b,2\nc,3\n', r"rows\.csv:3: not CSV"),
        ("rows.csv", b"text,n\na,1\nb\n", r"rows\.csv:3: has other columns than the 2 of the first line"),
        ("rows.csv", b"text,n\na,1,2\n", r"rows\.csv:2: has other columns than the 2 of the first line"),
        ("rows.csv", b"text,n\na,1\n\xe9,2\n", r"rows\.csv: byte 0xe9 after line .* is not UTF-8"),
        ("rows.parquet", b"no parquet at all", r"rows\.parquet: not a whole parquet file"),
        ("rows.txt.gz", b"not gzip", r"rows\.txt\.gz: not a whole gzip file"),
        ("rows.parquet.gz", b"not gzip", r"rows\.parquet\.gz: not a whole gzip file"),
        (
            "one.txt",
            b"a single document that is long enough to keep\n",
            r"1 documents are too few for three splits",
        ),
    ],
)
def test_bad_files_say_where_and_what_to_do(
    tmp_path: Path, name: str, content: bytes | str | None, message: str
) -> None:
    if content == "folder":
        (tmp_path / name).mkdir()
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        prepare_corpus(settings(files=[name]), tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists(), "nothing is half-written"


def test_a_plan_looks_at_the_first_row_of_every_table(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl")
    for name, text in (("b.jsonl", '{"body": "x"}\n'), ("b.csv", "n,body\n1,x\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}.*no column 'text'; set corpus\.text_column to one of"):
            source_fingerprint(settings(files=["a.jsonl", name]), tmp_path)
    (tmp_path / "c.csv").write_text("n,text\n")
    with pytest.raises(InputError, match=r"c\.csv: no text in it; remove it from corpus\.files"):
        source_fingerprint(settings(files=["a.jsonl", "c.csv"]), tmp_path)
    (tmp_path / "c.csv").write_text("n,text\n1,\n2,x\n")
    assert source_fingerprint(settings(files=["a.jsonl", "c.csv"]), tmp_path)


def test_a_link_to_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone.txt").symlink_to(tmp_path / "absent.txt")
    with pytest.raises(InputError, match=r"gone\.txt: links to a file that is not there; mend it, or take"):
        source_fingerprint(settings(files=["gone.txt"]), tmp_path)


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path: Path) -> None:
    _parquet(tmp_path / "data.parquet")
    with pytest.raises(InputError, match=r"no column 'body'; set corpus\.text_column to one of n, text"):
        prepare_corpus(settings(files=["data.parquet"], text_column="body"), tmp_path, tmp_path / "out")


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "DATA.JSONL").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    prepare_corpus(settings(files=["DATA.JSONL"]), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)


def test_columns_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"n": n, "en": f"Dog number {n} runs over wet grass.", "de": f"Hund {n} rennt."} for n in range(40)
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    prepare_corpus(settings(files=["pairs.jsonl"], text_column=["en", "de"]), tmp_path, tmp_path / "out")
    assert set(everything(tmp_path / "out")) == {f"{row['en']}\n{row['de']}\n" for row in rows}


def test_half_a_character_in_a_corpus_is_mended(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) + "\n" for text in TEXTS]
    lines[3] = lines[3].replace("Document", r"\ud83dDocument")
    (tmp_path / "data.jsonl").write_text("".join(lines))
    prepare_corpus(settings(files=["data.jsonl"]), tmp_path, tmp_path / "out")
    mended = "\N{REPLACEMENT CHARACTER}" + TEXTS[3]
    assert everything(tmp_path / "out") == sorted([*TEXTS[:3], mended, *TEXTS[4:]])
