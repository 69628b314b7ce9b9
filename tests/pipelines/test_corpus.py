"""A corpus holds the text of its source, once, in splits that share no file; bad sources say what to do."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from eval.files import InputError, read_jsonl
from pipelines import corpus_build, corpus_hub, corpus_stdlib, corpus_steps
from pipelines.corpus import prepare_corpus, source_fingerprint
from pipelines.corpus_document import SPLITS
from pipelines.corpus_files import cut

TEXTS = [
    f"Document {n} tells of {n * n} things.\nIt has a second line: \N{BLACK CHESS KNIGHT}.\n"
    for n in range(60)
]


def settings(**chosen: Any) -> dict[str, Any]:
    """A recipe's `corpus` with its defaults."""
    return {
        "source": None,
        "files": None,
        "hub": None,
        "config": None,
        "revision": None,
        "split": "train",
        "text_column": "text",
        "validation_fraction": 0.05,
        "test_fraction": 0.05,
        "near_duplicates": False,  # the texts above differ by a number
        "max_bytes": None,
    } | chosen


def read(corpus: Path) -> dict[str, dict[str, str]]:
    return {split: {r["id"]: r["text"] for r in read_jsonl(corpus / f"{split}.jsonl.gz")} for split in SPLITS}


def everything(corpus: Path) -> list[str]:
    return sorted(text for members in read(corpus).values() for text in members.values())


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


def _jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS))


def _csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["n", "text"], *([n, text] for n, text in enumerate(TEXTS))])


def _parquet(path: Path) -> None:
    parquet.write_table(pyarrow.table({"n": list(range(len(TEXTS))), "text": TEXTS}), path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("kind", "write"), [("jsonl", _jsonl), ("csv", _csv), ("parquet", _parquet)])
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
        ("rows.parquet", b"no parquet at all", r"rows\.parquet: not a whole parquet file"),
        ("rows.txt.gz", b"not gzip", r"rows\.txt\.gz: not a whole gzip file"),
        ("rows.parquet.gz", b"not gzip", r"rows\.parquet\.gz: not a whole parquet file"),
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


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path: Path) -> None:
    _parquet(tmp_path / "data.parquet")
    with pytest.raises(InputError, match=r"no column 'body'; set corpus\.text_column to one of n, text"):
        prepare_corpus(settings(files=["data.parquet"], text_column="body"), tmp_path, tmp_path / "out")


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "DATA.JSONL").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    prepare_corpus(settings(files=["DATA.JSONL"]), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)


# --- splits that are named, documents that open with a line


def books(names: range) -> str:
    return "".join(
        f"= Book {n} =\n" + "".join(f"Paragraph {k} of {n} and {n * k}.\n" for k in range(9)) for n in names
    )


@pytest.fixture
def named(tmp_path: Path) -> dict[str, Any]:
    """Settings for books in three files, one a split."""
    for split, names in (("train", range(5)), ("validation", range(5, 7)), ("test", range(7, 9))):
        (tmp_path / f"{split}.txt.gz").write_bytes(gzip.compress(books(names).encode()))
    files = {split: [f"{split}.txt.gz"] for split in SPLITS}
    return settings(files=files, document_start="^= .+ =$")


def test_named_splits_stay_and_a_line_opens_a_document(named: dict[str, Any], tmp_path: Path) -> None:
    facts = prepare_corpus(named, tmp_path, tmp_path / "out")
    assert facts["documents"] == {"train": 5, "validation": 2, "test": 2}
    found = read(tmp_path / "out")
    assert list(found["train"]) == [f"train.txt.gz#{n}" for n in range(1, 6)]
    for split, names in (("train", range(5)), ("validation", range(5, 7)), ("test", range(7, 9))):
        assert "".join(found[split].values()) == books(names)
    assert source_fingerprint(named, tmp_path) != source_fingerprint(
        named | {"files": named["files"] | {"validation": ["test.txt.gz"], "test": ["validation.txt.gz"]}},
        tmp_path,
    )


def test_a_named_test_keeps_its_documents_and_training_loses_what_repeats_them(
    named: dict[str, Any], tmp_path: Path
) -> None:
    with gzip.open(tmp_path / "train.txt.gz", "at") as file:
        file.write(books(range(7, 8)).upper())
    facts = prepare_corpus(named | {"document_start": "^= .+ =$"}, tmp_path, tmp_path / "out")
    assert facts["documents"] == {"train": 5, "validation": 2, "test": 2}
    (example,) = facts["removed"]["exact duplicate"]["examples"]
    assert example.startswith("train.txt.gz#6 = test.txt.gz#1: ")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"document_start": "^(= "}, r"corpus\.document_start: '\^\(= ' is not a regular expression"),
        ({"document_start": "^## "}, r"\.txt\.gz: no line matches corpus\.document_start: '\^## '"),
        ({"files": {"train": ["train.txt.gz"]}}, r"names no files for validation and test"),
        (
            {"files": {split: ["train.txt.gz"] for split in SPLITS}},
            r"train\.txt\.gz is named for train and for valid",
        ),
        ({"max_bytes": 10, "document_start": None}, r"corpus\.max_bytes: 10 is too small: .* 1,\d\d\d bytes"),
    ],
)
def test_settings_that_cannot_be_met_say_why(
    named: dict[str, Any], tmp_path: Path, chosen: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        prepare_corpus(named | chosen, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_more_bytes_than_there_are_is_told(tmp_path: Path) -> None:
    _jsonl(tmp_path / "data.jsonl")
    facts = prepare_corpus(settings(files=["data.jsonl"], max_bytes=10**6), tmp_path, tmp_path / "out")
    (note,) = facts["notes"]
    size = sum(facts["bytes"].values())
    assert note == f"corpus.max_bytes asks for 1,000,000 bytes; the source has {size:,}, all used"


# --- what is left out or masked, and in how many processes


def _many(folder: Path) -> Path:
    """A table of 1,500 rows in which every kind of thing to be removed occurs."""
    words = [f"word{n}" for n in range(900)]
    rows = []
    for n in range(1_500):
        chance = random.Random(n)
        rows.append(
            " ".join(chance.choices(words, k=150)) + f" write to me{n}@example.com at 8.8.{n % 256}.8\n"
        )
    rows[10] = rows[3].upper()
    rows[20] = rows[4].replace(" write", " do write")
    rows[30] = "the same line again and again\n" * 60
    rows[40] = "short"
    folder.mkdir()
    (folder / "data.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return folder


def test_any_number_of_processes_gives_the_same_files_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_steps, "BATCH_CHARS", 40_000)
    monkeypatch.setattr(corpus_build, "BATCH_CHARS", 40_000)
    base = _many(tmp_path / "base")
    (tmp_path / "task.jsonl").write_text(
        json.dumps({"id": "1", "text": " ".join(["never seen"] * 10)}) + "\n"
    )
    chosen = settings(
        files=["data.jsonl"],
        near_duplicates=True,
        max_repetition=0.6,
        mask=["email", "ip"],
        decontaminate=True,
    )
    facts = [
        prepare_corpus(chosen, base, tmp_path / f"{n}", against=[tmp_path / "task.jsonl"], processes=n)
        for n in (1, 2)
    ]
    assert [fact.pop("speed")["clean"]["processes"] for fact in facts] == [1, 2]
    assert facts[0] == facts[1]
    for split in SPLITS:
        one, two = ((tmp_path / n / f"{split}.jsonl.gz").read_bytes() for n in ("1", "2"))
        assert one == two
    removed = facts[0]["removed"]
    assert {reason: tally["count"] for reason, tally in removed.items()} == {
        "empty or too short": 1,
        "exact duplicate": 1,
        "near duplicate": 1,
        "repeats itself": 1,
        "masked: email": 1_498,
        "masked: ip": 1_498,
    }
    assert removed["near duplicate"]["examples"][0].startswith("data.jsonl#21 = data.jsonl#5: word")
    assert removed["repeats itself"]["examples"][0].startswith("data.jsonl#31: the same line again")
    assert "@" not in str(removed["masked: email"])
    assert not any("@example" in text or "8.8." in text for text in everything(tmp_path / "1"))


def test_training_loses_what_it_shares_with_evaluation_rows(tmp_path: Path) -> None:
    asked = "which of the seven small towns on the northern shore was first to build a lighthouse of stone"
    long = [" ".join(f"{n}w{k}" for k in range(80)) for n in range(8)]
    rows = [*TEXTS, f"{TEXTS[0]} {asked.title()}!", "\n\n".join([*long[:4], f"So {asked}?", *long[4:]])]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "q", "text": asked, "label": "x"}) + "\n")
    chosen = settings(files=["data.jsonl"], validation_fraction=0.02, test_fraction=0.02)
    facts = prepare_corpus(chosen, tmp_path, tmp_path / "out", against=[tmp_path / "test.jsonl"])
    train = read(tmp_path / "out")["train"]
    assert "data.jsonl#61" not in train
    assert train["data.jsonl#62"].split() == " ".join(long).split()
    assert facts["bytes"]["train"] == sum(len(text.encode()) for text in train.values())
    assert facts["words"]["train"] == sum(len(text.split()) for text in train.values())
    assert facts["documents"]["train"] == len(train)
    removed = {reason: tally["examples"][0] for reason, tally in facts["removed"].items()}
    assert removed["shared with an evaluation set"].startswith("data.jsonl#61: Which Of The Seven")
    assert removed["paragraphs shared with an evaluation set"].startswith("data.jsonl#62: which of the")
    off = prepare_corpus(
        chosen | {"decontaminate": False}, tmp_path, tmp_path / "off", against=[tmp_path / "test.jsonl"]
    )
    assert off["removed"] == {}


# --- the hub


def test_a_folder_of_the_hubs_kind_loads(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    _jsonl(tmp_path / "set" / "train.jsonl")
    chosen = settings(hub=str(tmp_path / "set"))
    prepare_corpus(chosen, tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)
    with pytest.raises(InputError, match=r"no column 'body'.*one of text, n"):
        prepare_corpus(chosen | {"text_column": "body"}, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "failure", [ConnectionError("Couldn't reach it\nat all"), ValueError("Unknown split")]
)
def test_a_hub_that_cannot_be_reached_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match=r"'wikitext' cannot be loaded.*network.*corpus\.files") as error:
        prepare_corpus(settings(hub="wikitext"), tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_hub_name_without_a_network_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library's own failure, not one of ours: the tests run offline."""
    with pytest.raises(InputError, match=r"'no-such/data-set' cannot be loaded"):
        prepare_corpus(settings(hub="no-such/data-set"), tmp_path, tmp_path / "out")
    assert capfd.readouterr() == ("", ""), "the client's own noise"


def test_a_stream_is_read_no_further_than_max_bytes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    _jsonl(tmp_path / "set" / "train.jsonl")
    asked = sum(len(text.encode()) for text in TEXTS[:30])
    facts = prepare_corpus(settings(hub=str(tmp_path / "set"), max_bytes=asked), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS[:30])
    assert (facts["revision"], facts["missing"]) == (None, {"revision": "a folder"})


@pytest.mark.parametrize("files", [1, 2, 3])
def test_ranks_share_a_stream_without_loss_or_repeat(tmp_path: Path, files: int) -> None:
    """Fewer files than ranks, as many, and a number that the ranks do not divide."""
    (tmp_path / "set").mkdir()
    for number in range(files):
        table = pyarrow.table({"text": TEXTS[number::files]})
        parquet.write_table(table, tmp_path / "set" / f"train-{number}.parquet")
    chosen = settings(hub=str(tmp_path / "set"))
    shares = [list(corpus_hub.read_hub(chosen, None, rank, 2)) for rank in range(2)]
    assert all(shares)
    assert sorted(d.text for share in shares for d in share) == sorted(TEXTS)
    assert len({d.id for share in shares for d in share}) == len(TEXTS)


def test_the_commit_that_the_hub_names_is_read_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, asked = "c0" * 20, []

    def load(*_: Any, **named: Any) -> Any:
        asked.append((named["revision"], named["streaming"]))
        rows = datasets.Dataset.from_dict({"text": TEXTS})
        return rows.to_iterable_dataset()

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: SimpleNamespace(sha=commit))
    monkeypatch.setattr(datasets, "load_dataset", load)
    facts = prepare_corpus(settings(hub="some/set", revision="main"), tmp_path, tmp_path / "out")
    assert facts["revision"] == commit
    assert asked == [(commit, True)]
    assert everything(tmp_path / "out") == sorted(TEXTS)


def test_the_fingerprint_of_a_hub_set_needs_no_network(tmp_path: Path) -> None:
    plain = source_fingerprint(settings(hub="wikitext"), tmp_path)
    assert plain == source_fingerprint(settings(hub="wikitext"), tmp_path)
    others = [{"config": "wikitext-2"}, {"revision": "abc"}, {"split": "test"}, {"hub": "other"}]
    assert len({plain, *(source_fingerprint(settings(hub="wikitext") | o, tmp_path) for o in others)}) == 5
