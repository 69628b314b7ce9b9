"""Turn texts into one long array of token ids on disk, a batch at a time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eval.files import InputError
from pipelines.corpus_document import open_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

BATCH_CHARS = 2**20  # encoded at a time: enough for all cores, and little memory
BATCH_DOCUMENTS = 4096
AHEAD = 2  # batches that are encoded before the one at hand is written


@dataclass(frozen=True)
class Written:
    """A finished stream: its tokens, the bytes of UTF-8 they stand for, how many are unknown words."""

    tokens: int
    bytes: int
    unknown: int


class TokenWriter:
    """Append ids to a 1-D `.npy` file; the file says how many there are when it is closed."""

    def __init__(self, file: IO[bytes], dtype: type[np.unsignedinteger[Any]]) -> None:
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


def write_stream(path: Path, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Written:
    """Write the ids of all texts to `path`, uint16 (uint32 above 65,536 ids), readable with `np.load`.

    With an end-of-text token each text follows one; with BERT's [SEP] each is followed by one. Special
    tokens that a text spells out are text. Encoding runs on all cores, in threads of `tokenizers`.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    divider, before = divider_id(tokenizer)
    unknown_id = tokenizer.unk_token_id if tokenizer.unk_token_id != divider else None
    size = unknown = 0
    with open_atomic(path) as file:
        writer = TokenWriter(file, dtype)
        for batch, encoded in _encoded(_backend(tokenizer), _batches(texts)):
            size += sum(len(text) if text.isascii() else len(text.encode()) for text in batch)
            ids = _join(encoded, divider, before, dtype)
            unknown += 0 if unknown_id is None else int(np.count_nonzero(ids == unknown_id))
            writer.append(ids)
        writer.close()
    return Written(writer.size, size, unknown)


def divider_id(tokenizer: PreTrainedTokenizerBase) -> tuple[int, bool]:
    """(id of the token between documents, whether it stands before each rather than after)."""
    if is_bert_like(tokenizer):
        return tokenizer.sep_token_id, False
    return tokenizer.bos_token_id, True


def is_bert_like(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether texts stand between a [CLS] and a [SEP], with a [MASK] for some words."""
    return None not in (tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token)


def _join(encoded: list[Any], divider: int, before: bool, dtype: type[Any]) -> NDArray[Any]:
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

    with ThreadPoolExecutor(max_workers=1) as pool, _bare(backend):
        waiting: deque[tuple[list[str], Any]] = deque()
        for batch in batches:
            waiting.append((batch, pool.submit(encode, batch)))
            if len(waiting) > AHEAD:
                texts, future = waiting.popleft()
                yield texts, future.result()
        for texts, future in waiting:
            yield texts, future.result()


@contextlib.contextmanager
def _bare(backend: Any) -> Iterator[None]:
    """The tokenizer without truncation and padding, and with special tokens in texts taken as text."""
    as_text, truncation, padding = backend.encode_special_tokens, backend.truncation, backend.padding
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    try:
        yield
    finally:
        backend.encode_special_tokens = as_text
        if truncation:
            backend.enable_truncation(**truncation)
        if padding:
            backend.enable_padding(**padding)


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not hasattr(backend, "encode_batch_fast"):
        raise InputError(
            f"tokenizer.pretrained: {tokenizer.name_or_path!r} is a {type(tokenizer).__name__}, which has no "
            "fast form (tokenizer.json); choose another"
        )
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
