"""Turn texts into arrays of token ids on disk, a shard of a split at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eval.files import InputError, hash_json, open_atomic, read_json, write_json
from pipelines.corpus_members import Part, cut, read_members
from pipelines.parallel import cores, map_in_order
from pipelines.token_shards import Shard, shard_name, write_index

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

SHARD_BYTES = 2**30  # of JSON lines to a shard: at four bytes a token 2^28 tokens, half a gigabyte
BATCH_CHARS = 2**20  # encoded at a time: enough for all cores, and little memory
BATCH_DOCUMENTS = 4096
AHEAD = 2  # batches that are encoded before the one at hand is written


@dataclass(frozen=True)
class Encoding:
    """How texts become ids, in a form that another process can be given.

    `file` is a tokenizer.json. `divider` stands `before` each text, or after it. `threads` (None: those of
    the machine) encode in each process.
    """

    file: Path
    fingerprint: str
    divider: int
    before: bool
    unknown: int | None
    dtype: str
    threads: int | None = None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Encoding:
        """That of a tokenizer that was saved in the folder: uint16, above 65,536 ids uint32.

        With an end-of-text token each text follows one; with BERT's [SEP] each is followed by one. Raises
        InputError for one without a fast form.
        """
        file = folder / "tokenizer.json"
        if getattr(tokenizer, "backend_tokenizer", None) is None or not file.is_file():
            raise InputError(
                f"tokenizer.pretrained: {tokenizer.name_or_path!r} is a {type(tokenizer).__name__}, "
                "which has no fast form (tokenizer.json); choose another"
            )
        divider, before = divider_id(tokenizer)
        unknown = tokenizer.unk_token_id if tokenizer.unk_token_id != divider else None
        dtype = "uint16" if len(tokenizer) <= 2**16 else "uint32"
        fingerprint = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        return cls(file, fingerprint, divider, before, unknown, dtype)


@dataclass(frozen=True)
class Written:
    """A finished shard: its tokens, the bytes of UTF-8 they stand for, how many are unknown words.

    `found`: it was finished before.
    """

    tokens: int
    bytes: int
    unknown: int
    found: bool = False


class TokenWriter:
    """Append ids to a 1-D `.npy` file; the file says how many there are when it is closed."""

    def __init__(self, file: IO[bytes], dtype: str) -> None:
        self._file, self._dtype, self.size = file, np.dtype(dtype), 0
        self._write_header()

    def append(self, ids: NDArray[Any]) -> None:
        """Write these ids after those before."""
        ids.astype(self._dtype, copy=False).tofile(self._file)
        self.size += len(ids)

    def close(self) -> None:
        """Put the final number of ids into the header, which numpy pads so that any number fits."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self.size,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def write_split(how: Encoding, corpus_dir: Path, out: Path, split: str, processes: int) -> list[Written]:
    """Write the shards of a split, as many at once as there are processes; what each came to, in order."""
    parts = cut(read_members(corpus_dir / f"{split}.jsonl.gz"), SHARD_BYTES)
    processes = min(processes, len(parts))
    if processes > 1:
        how = replace(how, threads=max(1, cores() // processes))
    work = [(out / shard_name(split, number), part) for number, part in enumerate(parts)]
    return list(map_in_order(partial(write_shard, how), work, processes, alone=1))


def finish_split(how: Encoding, out: Path, split: str, done: Sequence[Written]) -> None:
    """Write the index of a split whose shards are there, and remove what is no part of it.

    Receipts stay: a kill may come before the stage's manifest is written.
    """
    named = [Shard(shard_name(split, number), shard.tokens) for number, shard in enumerate(done)]
    shards = [shard for shard in named if shard.tokens]  # decontamination may leave nothing of a part
    write_index(out, split, how.dtype, shards)
    kept = {shard.file for shard in shards}
    for path in out.glob(f"{split}-*.npy"):
        if path.name not in kept:
            path.unlink()
            receipt_of(path).unlink(missing_ok=True)


def write_shard(how: Encoding, work: tuple[Path, Part]) -> Written:
    """Write the ids of a part of a corpus to a path, readable with `np.load`, unless they are there.

    A shard is there when its receipt (`.<name>.json` beside it) says that it was made of the same part by
    the same tokenizer, and it still has the hash that it had then.
    """
    path, part = work
    if how.threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(how.threads)  # asked for by the first encoding of a process
    source = hash_json([how.fingerprint, how.divider, how.before, how.dtype, part.fingerprint])
    receipt = receipt_of(path)
    found = _finished(path, receipt, source)
    if found is not None:
        return found
    done = write_tokens(path, how, part.texts())
    told = {"tokens": done.tokens, "bytes": done.bytes, "unknown": done.unknown}
    write_json(receipt, {"source": source, "sha256": _sha256(path), **told})
    return done


def write_tokens(path: Path, how: Encoding, texts: Iterable[str]) -> Written:
    """Write the ids of all texts to a file. Special tokens that a text spells out are text."""
    size = unknown = 0
    with open_atomic(path) as file:
        writer = TokenWriter(file, how.dtype)
        for batch, encoded in _encoded(_load(how.file, how.fingerprint), _batches(texts)):
            size += sum(len(text) if text.isascii() else len(text.encode()) for text in batch)
            ids = _join(encoded, how.divider, how.before, how.dtype)
            unknown += 0 if how.unknown is None else int(np.count_nonzero(ids == how.unknown))
            writer.append(ids)
        writer.close()
    return Written(writer.size, size, unknown)


def receipt_of(path: Path) -> Path:
    """Where it is written how a shard was made."""
    return path.with_name(f".{path.name}.json")


def _finished(path: Path, receipt: Path, source: str) -> Written | None:
    if not (path.is_file() and receipt.is_file()):
        return None
    try:
        told = read_json(receipt)
        if (told["source"], told["sha256"]) != (source, _sha256(path)):
            return None
        return Written(int(told["tokens"]), int(told["bytes"]), int(told["unknown"]), found=True)
    except (ValueError, KeyError, TypeError):  # a receipt that a full disk or a bad one left
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def divider_id(tokenizer: PreTrainedTokenizerBase) -> tuple[int, bool]:
    """(id of the token between documents, whether it stands before each rather than after)."""
    if is_bert_like(tokenizer):
        return tokenizer.sep_token_id, False
    return tokenizer.bos_token_id, True


def is_bert_like(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether texts stand between a [CLS] and a [SEP], with a [MASK] for some words."""
    return None not in (tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token)


def _join(encoded: list[Any], divider: int, before: bool, dtype: str) -> NDArray[Any]:
    lengths = [len(one) for one in encoded]
    ids = np.full(sum(lengths) + len(lengths), divider, dtype=dtype)
    place = 0
    for one, length in zip(encoded, lengths, strict=True):
        ids[place + before : place + before + length] = one.ids
        place += length + 1
    return ids


def _encoded(backend: Any, batches: Iterable[list[str]]) -> Iterator[tuple[list[str], list[Any]]]:
    """Batches with their encodings, in order; the next ones are encoded while the last is being written."""

    def encode(batch: list[str]) -> list[Any]:
        return backend.encode_batch_fast(batch, add_special_tokens=False)

    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[tuple[list[str], Any]] = deque()
        for batch in batches:
            waiting.append((batch, pool.submit(encode, batch)))
            if len(waiting) > AHEAD:
                texts, future = waiting.popleft()
                yield texts, future.result()
        for texts, future in waiting:
            yield texts, future.result()


@lru_cache(maxsize=1)
def _load(file: Path, fingerprint: str) -> Any:
    """The tokenizer without truncation and padding, and with special tokens in texts taken as text."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(file))
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    return backend


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARS or len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
