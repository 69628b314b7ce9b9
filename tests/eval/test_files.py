"""Files arrive whole, bytes are reproducible, and mistakes are told with their place."""

from __future__ import annotations

import gzip
import hashlib
import math
import time
from pathlib import Path

import pytest

from eval.files import (
    InputError,
    hash_file,
    hash_json,
    read_jsonl,
    read_sealed,
    read_text,
    write_atomic,
    write_json,
    write_jsonl,
)


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_atomic(path, "old")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("eval.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    assert not list(tmp_path.iterdir())


def test_jsonl_round_trip_and_gz_bytes_do_not_depend_on_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": "a", "text": "naïve\u2028line"}, {"id": "b", "text": "x\ny"}]
    assert write_jsonl(tmp_path / "one.jsonl.gz", rows) == 2
    monkeypatch.setattr(time, "time", lambda: 1.0)
    write_jsonl(tmp_path / "two.jsonl.gz", rows)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    assert list(read_jsonl(tmp_path / "one.jsonl.gz")) == rows


def test_hashes_are_sha256_and_ignore_key_order(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_file(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()[:16]
    assert hash_json({"b": 1, "a": [1, 2]}) == hashlib.sha256(b'{"a":[1,2],"b":1}').hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.txt", b"ab\ncd\xff", r"t\.txt:2: byte 5 \(0xff\) is not UTF-8"),
        ("t.txt.gz", b"plain", r"t\.txt\.gz: not a whole gzip file"),
        ("t.txt.gz", gzip.compress(b"hello world" * 99, mtime=0)[:-12], r"t\.txt\.gz: not a whole gzip file"),
    ],
)
def test_text_that_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        read_text(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_mistakes_not_tracebacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "absent")
    with pytest.raises(InputError, match="is a folder"):
        read_text(tmp_path)


def test_broken_json_lines_say_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n\n{"id": \n')
    with pytest.raises(InputError, match=r"rows\.jsonl:3: not JSON"):
        list(read_jsonl(path))
    path.write_text('{"id": 1}\n[2]\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not an object but a list"):
        list(read_jsonl(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"n": ' + "9" * 5000 + "}", r"not JSON \(a number of too many digits\)"),
        ('{"n": ' + "[" * 100_000 + "]" * 100_000 + "}", r"not JSON \(nested too deeply\)"),
        (r'{"text": "a \ud83d b"}', r"holds half a character \(\\ud83d\)"),
        (r'{"\udc00": "a"}', r"holds half a character \(\\udc00\)"),
    ],
)
def test_json_that_no_row_can_hold_is_a_mistake_and_not_a_crash(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"rows\.jsonl:2: {said}; mend or remove"):
        list(read_jsonl(path))


def test_whole_characters_may_be_spelt_by_halves(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(r'{"text": "\ud83d\ude00"}')
    assert list(read_jsonl(path)) == [{"text": "\N{GRINNING FACE}"}]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_lines_are_read_as_they_are_asked_for(tmp_path: Path, ending: str) -> None:
    """What is wrong further down is not come to yet: no more of a file is in memory than a line."""
    path = tmp_path / f"rows.jsonl{ending}"
    data = b'\xef\xbb\xbf{"id": 1}\n{"id": "\xff"}\n'
    path.write_bytes(gzip.compress(data, mtime=0) if ending else data)
    rows = read_jsonl(path)
    assert next(rows) == {"id": 1}
    with pytest.raises(InputError, match=r"rows\.jsonl(\.gz)?:2: byte 21 \(0xff\) is not UTF-8"):
        next(rows)


@pytest.mark.parametrize("held", ["NaN", "Infinity", '"\\ud83d"'])
def test_a_sealed_file_of_what_nobody_could_have_sealed_was_altered(held: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(f'{{"value": {held}, "sha256": "0123456789abcdef"}}')
    with pytest.raises(InputError, match=r"run\.json: does not have the hash it was written with"):
        read_sealed(path)
