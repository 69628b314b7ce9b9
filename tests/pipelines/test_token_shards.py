"""Streams in shards: read as one array, written alike by any number of processes, kept over a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.files import InputError
from pipelines import token_shards, token_stream
from pipelines.batches import PackedWindows
from pipelines.corpus_document import to_line
from pipelines.corpus_members import pack, write_members
from pipelines.token_shards import Shard, TokenStream, open_tokens, shard_name, write_index
from pipelines.token_stream import TokenWriter
from pipelines.tokenizer import prepare_tokens

SETTINGS = {"train": "bpe", "vocab_size": 270, "pretrained": None, "context": 16}


def _stream(folder: Path, pieces: list[np.ndarray]) -> TokenStream:
    for number, piece in enumerate(pieces):
        with (folder / shard_name("train", number)).open("wb") as file:
            writer = TokenWriter(file, str(piece.dtype))
            writer.append(piece)
            writer.close()
    shards = [Shard(shard_name("train", number), len(piece)) for number, piece in enumerate(pieces)]
    write_index(folder, "train", str(pieces[0].dtype), shards)
    return open_tokens(folder, "train")


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    slices=st.lists(st.tuples(st.integers(-70, 70), st.integers(-70, 70)), min_size=1, max_size=20),
    dtype=st.sampled_from(["uint16", "uint32"]),
)
def test_a_stream_is_sliced_as_its_shards_joined_are(
    sizes: list[int], slices: list[tuple[int, int]], dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = np.split(np.arange(sum(sizes), dtype=dtype), np.cumsum(sizes)[:-1])
    stream, joined = _stream(tmp_path_factory.mktemp("stream"), pieces), np.concatenate(pieces)
    assert len(stream) == len(joined)
    for start, stop in slices:
        found = stream[start:stop]
        assert found.dtype == joined.dtype
        assert np.array_equal(found, joined[start:stop]), (start, stop)
    assert np.array_equal(stream[:], joined)


def test_more_shards_than_files_that_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_shards, "OPEN_SHARDS", 3)
    pieces = np.split(np.arange(40, dtype=np.uint16), 10)
    stream = _stream(tmp_path, pieces)
    files = Path("/proc/self/fd")  # of Linux
    before = len(list(files.iterdir())) if files.is_dir() else None
    for start in np.random.default_rng(0).integers(0, 34, 200).tolist():
        assert stream[start : start + 6].tolist() == list(range(start, start + 6))
    if before is not None:
        assert len(list(files.iterdir())) <= before + 3
        del stream
        assert len(list(files.iterdir())) == before


def test_windows_of_shards_are_windows_of_one_array(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 60_000, 1001).astype(np.uint16)
    stream = _stream(tmp_path, np.split(whole, [10, 333, 334, 900]))
    one, other = PackedWindows(whole, 16, 6, seed=1), PackedWindows(stream, 16, 6, seed=1)
    for step in (0, 3, 9, 10, 11, 40):
        for name, value in one.batch(step).items():
            assert value.equal(other.batch(step)[name])


def test_a_part_that_is_not_what_the_index_says_is_named(tmp_path: Path) -> None:
    stream = _stream(tmp_path, [np.arange(50, dtype=np.uint16)] * 2)
    second = tmp_path / shard_name("train", 1)
    whole = second.read_bytes()

    second.write_bytes(whole[:-2])
    with pytest.raises(InputError, match=r"train-00001\.npy: not a token file \(.*; delete its stage folder"):
        stream[50:60]
    second.write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"train-00001\.npy: .*shorter than its 50 tokens"):
        open_tokens(tmp_path, "train")
    second.write_bytes(b"no numpy" * 100)
    with pytest.raises(InputError, match=r"train-00001\.npy: not a token file"):
        open_tokens(tmp_path, "train")[60:70]
    np.save(second, np.arange(50, dtype=np.int64))
    with pytest.raises(InputError, match=r"int64 \(50,\), where the index says uint16 \(50,\)"):
        open_tokens(tmp_path, "train")[60:70]
    second.unlink()
    with pytest.raises(InputError, match=r"train-00001\.npy: .*no such file"):
        open_tokens(tmp_path, "train")


def test_a_file_cut_while_it_is_read_ends_in_a_line_and_no_signal(tmp_path: Path) -> None:
    stream = _stream(tmp_path, [np.arange(5000, dtype=np.uint16)])
    assert stream[0:3].tolist() == [0, 1, 2]
    os.truncate(tmp_path / shard_name("train", 0), 1000)
    with pytest.raises(InputError, match="shorter than it was when it was opened"):
        stream[4000:4010]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"dtype": "object", "shards": [{"file": "train-00000.npy", "tokens": 5}]}',
        '{"dtype": "uint16", "shards": []}',
        '{"dtype": "uint16", "shards": [{"file": "../train-00000.npy", "tokens": 5}]}',
        '{"dtype": "uint16", "shards": [{"file": "train-00000.npy", "tokens": -5}]}',
        '{"dtype": "uint16", "shards": [{"file": "train-00000.npy", "tokens": "many"}]}',
    ],
)
def test_a_broken_index_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"train\.json: .*delete its stage folder and run again") as error:
        open_tokens(tmp_path, "train")
    assert "\n" not in str(error.value)


# --- shards as they are written


def make_corpus(folder: Path, members: int = 60) -> Path:
    """A corpus of `members` gzip members a split, of some documents each."""
    random = np.random.default_rng(0)
    words = ["def", "return", "for", "naïve", "x = 1", "\n", "import", "你好"]
    for split in ("train", "validation"):
        made = []
        for member in range(members):
            texts = [" ".join(random.choice(words, 80)) for _ in range(1 + member % 4)]
            made.append(pack(b"".join(to_line(f"{member}-{n}", text) for n, text in enumerate(texts))))
        write_members(folder / f"{split}.jsonl.gz", made)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_stream, "SHARD_BYTES", 10_000)


def test_shards_are_the_one_stream_cut_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    one = prepare_tokens(SETTINGS, corpus, tmp_path / "one", processes=1)
    monkeypatch.setattr(token_stream, "SHARD_BYTES", 10_000)
    many = prepare_tokens(SETTINGS, corpus, tmp_path / "many", processes=1)
    assert one["shards"] == {"train": 1, "validation": 1}
    assert many["shards"]["train"] > 5
    for split in ("train", "validation"):
        single = np.load(tmp_path / "one" / f"{split}-00000.npy")
        assert np.array_equal(open_tokens(tmp_path / "many", split)[:], single)
        assert one["tokens"][split] == many["tokens"][split] == len(single)
        assert one["bytes_per_token"][split] == many["bytes_per_token"][split]
    whole = (tmp_path / "one" / "train-00000.npy").read_bytes()
    np.save(tmp_path / "saved.npy", np.load(tmp_path / "one" / "train-00000.npy"))
    assert whole == (tmp_path / "saved.npy").read_bytes(), "the file that numpy saves"
    assert not list((tmp_path / "many").glob(".*.part"))


def test_a_shard_that_was_finished_is_not_made_again(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    facts = prepare_tokens(SETTINGS, corpus, tmp_path / "undisturbed", processes=1)
    made: list[str] = []
    write = token_stream.write_tokens

    def interrupted(path: Path, *rest: object) -> object:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(path.name)
        return write(path, *rest)

    monkeypatch.setattr(token_stream, "write_tokens", interrupted)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare_tokens(SETTINGS, corpus, out, processes=1)
    assert made == [shard_name("train", number) for number in range(4)]

    # of those, one was flipped in a bit since then, one cut short, and one's receipt is half there
    flipped = bytearray((out / made[1]).read_bytes())
    flipped[-1] ^= 1
    (out / made[1]).write_bytes(flipped)
    receipt = token_stream.receipt_of(out / made[2])
    receipt.write_text(receipt.read_text()[:20])
    again: list[str] = []
    monkeypatch.setattr(
        token_stream, "write_tokens", lambda path, *rest: (again.append(path.name), write(path, *rest))[1]
    )
    resumed = prepare_tokens(SETTINGS, corpus, out, processes=1)
    assert set(made) - set(again) == {made[0], made[3]}
    assert _files(out) == _files(tmp_path / "undisturbed")

    # killed once more, after the last shard and before its stage was finished
    again.clear()
    prepare_tokens(SETTINGS, corpus, out, processes=1)
    assert not again
    assert {k: v for k, v in resumed.items() if k != "speed"} == {
        k: v for k, v in facts.items() if k != "speed"
    }


def test_shards_of_another_corpus_are_not_taken_for_this_ones(tmp_path: Path, small_shards: None) -> None:
    corpus, other = make_corpus(tmp_path / "corpus"), make_corpus(tmp_path / "other", members=40)
    given = {"pretrained": str(tmp_path / "first" / "tokenizer"), "context": 16, "family": "gpt2"}
    prepare_tokens(SETTINGS, corpus, tmp_path / "first", processes=1)
    prepare_tokens(given, other, tmp_path / "expected", processes=1)
    work = prepare_tokens(given, corpus, tmp_path / "out", processes=1)
    assert work["shards"]["train"] > 4
    prepare_tokens(given, other, tmp_path / "out", processes=1)
    assert _files(tmp_path / "out") == _files(tmp_path / "expected")


_PREPARE = """
import sys
from pathlib import Path
from pipelines import token_stream
from pipelines.tokenizer import prepare_tokens
if __name__ == "__main__":
    token_stream.SHARD_BYTES = 150_000
    settings = {"train": "bpe", "vocab_size": 270, "pretrained": None, "context": 16}
    prepare_tokens(settings, Path(sys.argv[1]), Path(sys.argv[2]), processes=int(sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_midway_it_goes_on_to_identical_files_by_any_number_of_processes(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", members=3000)
    script = tmp_path / "prepare.py"
    script.write_text(_PREPARE, encoding="utf-8")
    out = tmp_path / "out"

    def command(folder: Path, processes: int) -> list[str]:
        return [sys.executable, str(script), str(corpus), str(folder), str(processes)]

    killed = subprocess.Popen(command(out, 2), cwd=Path(token_stream.__file__).parents[1])
    try:
        until = time.monotonic() + 120
        while len(list(out.glob(".train-*.npy.json"))) < 2 and time.monotonic() < until:
            assert killed.poll() is None, "it was to be killed in the midst of its work"
            time.sleep(0.005)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    finished = {path: path.stat().st_mtime_ns for path in out.glob("train-*.npy")}
    receipts = {path.name.removeprefix(".").removesuffix(".json") for path in out.glob(".train-*.npy.json")}
    assert len(receipts) >= 2
    assert not (out / "train.json").exists()
    time.sleep(1.5)  # until its processes have seen that it is gone

    subprocess.run(command(out, 3), check=True, cwd=Path(token_stream.__file__).parents[1])
    subprocess.run(command(tmp_path / "alone", 1), check=True, cwd=Path(token_stream.__file__).parents[1])
    for name in receipts:
        assert (out / name).stat().st_mtime_ns == finished[out / name], "not made again"
    left = {name: data for name, data in _files(out).items() if not name.endswith(".part")}
    assert left == _files(tmp_path / "alone")
