"""Splits that are named stay; what is removed is counted, the same in any number of processes."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from pipelines import corpus_build, corpus_steps
from pipelines.corpus import prepare_corpus, source_fingerprint
from pipelines.corpus_document import SPLITS
from tests.pipelines.corpora import TEXTS, everything, read, settings, write_jsonl

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
    write_jsonl(tmp_path / "data.jsonl")
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
        prepare_corpus(
            chosen, base, tmp_path / f"{n}", against={"task": tmp_path / "task.jsonl"}, processes=n
        )
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
    facts = prepare_corpus(
        chosen, tmp_path, tmp_path / "out", against={"towns test": tmp_path / "test.jsonl"}
    )
    train = read(tmp_path / "out")["train"]
    assert "data.jsonl#61" not in train
    assert train["data.jsonl#62"].split() == " ".join(long).split()
    assert facts["bytes"]["train"] == sum(len(text.encode()) for text in train.values())
    assert facts["words"]["train"] == sum(len(text.split()) for text in train.values())
    assert facts["documents"]["train"] == len(train)
    removed = {reason: tally["examples"][0] for reason, tally in facts["removed"].items()}
    assert removed["shared with an evaluation set"].startswith("data.jsonl#61: Which Of The Seven")
    assert removed["paragraphs shared with an evaluation set"].startswith("data.jsonl#62: which of the")
    (told,) = facts["overlap"].pop("towns test")["examples"]
    assert told.startswith("q: which of the seven small towns")
    off = prepare_corpus(
        chosen | {"decontaminate": False},
        tmp_path,
        tmp_path / "off",
        against={"towns test": tmp_path / "test.jsonl"},
    )
    assert off["removed"] == {}
    assert "overlap" not in off, "nobody looked"
