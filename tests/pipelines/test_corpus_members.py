"""The parts of a packed split: all documents once, read apart as together; damage is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.files import InputError
from pipelines.corpus import prepare_corpus
from pipelines.corpus_document import read_documents, to_line
from pipelines.corpus_members import cut, index_of, pack, read_members, spread, write_members
from tests.pipelines.corpora import settings


def _write(path: Path, sizes: list[int]) -> None:
    """A member for each number, of so many documents."""
    lines = [b"".join(to_line(f"{m}-{n}", f"text {m} {n} é") for n in range(s)) for m, s in enumerate(sizes)]
    write_members(path, map(pack, lines))


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=12), size=st.integers(1, 400))
def test_parts_hold_all_documents_once_and_in_order(
    sizes: list[int], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    _write(folder / "train.jsonl.gz", sizes)
    expected = [text for _, text in read_documents(folder, "train")]
    whole = read_members(folder / "train.jsonl.gz")
    parts = cut(whole, size)
    assert list(whole.texts()) == expected
    assert [text for part in parts for text in part.texts()] == expected
    assert sum(part.bytes for part in parts) == whole.bytes
    assert all(part.bytes >= size for part in parts[:-1])
    some = [text for part in spread(whole, size) for text in part.texts()]
    assert [text for text in expected if text in some] == some


def test_a_prepared_corpus_has_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.corpus_build.BATCH_CHARS", 2000)
    for number in range(40):
        text = "".join(f"line {number} {line} of words\n" for line in range(30))
        (tmp_path / f"{number:02}.txt").write_text(text, encoding="utf-8")
    prepare_corpus(settings(files=["*.txt"]), tmp_path, tmp_path / "out", processes=1)
    whole = read_members(tmp_path / "out" / "train.jsonl.gz")
    assert len(whole.members) > 5
    assert list(whole.texts()) == [text for _, text in read_documents(tmp_path / "out", "train")]
    unpacked = gzip.decompress((tmp_path / "out" / "train.jsonl.gz").read_bytes())
    assert whole.bytes == len(unpacked)


def test_damage_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    _write(path, [3, 3, 3])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(InputError, match=r"train\.jsonl\.gz: broken \(.*; delete its stage folder"):
        list(read_members(path).texts())
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=rf"{len(whole) - 1} bytes, where its index says {len(whole)}"):
        read_members(path)
    path.write_bytes(whole)
    index_of(path).write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"train\.members\.npy: broken"):
        read_members(path)
    np.save(index_of(path), np.zeros(3))
    with pytest.raises(InputError, match="not an index of gzip members"):
        read_members(path)
    index_of(path).unlink()
    with pytest.raises(InputError, match=r"train\.members\.npy: broken"):
        read_members(path)
