"""A split's token ids as one long stream that lies in several files: an index, and shards of ids.

The shards are read, not mapped: what was read is nobody's memory afterwards, and a file cut short is an
error with a name where a mapped one would end the process.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from eval.files import InputError, read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPEN_SHARDS = 64  # files a process keeps open
DTYPES = ("uint16", "uint32")


class Tokens(Protocol):
    """A stream of token ids; an array of them is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Shard:
    """One file of a stream, `<split>-00017.npy`: a 1-D array of so many ids."""

    file: str
    tokens: int


def shard_name(split: str, number: int) -> str:
    """The name of a split's shard, from 0 on."""
    return f"{split}-{number:05d}.npy"


def index_name(split: str) -> str:
    """The name of the file that says which shards a split has."""
    return f"{split}.json"


def write_index(folder: Path, split: str, dtype: str, shards: Sequence[Shard]) -> None:
    """Write `<split>.json`: dtype, tokens in all, and of each shard, in their order, file and tokens."""
    rows = [{"file": shard.file, "tokens": shard.tokens} for shard in shards]
    value = {"format": 1, "dtype": dtype, "tokens": sum(shard.tokens for shard in shards), "shards": rows}
    write_json(folder / index_name(split), value)


def open_tokens(folder: Path, split: str) -> TokenStream:
    """The stream of a prepared split. Raises InputError where its index or a shard is not as it should be."""
    path = Path(folder) / index_name(split)
    try:
        value = read_json(path)
        shards = [Shard(str(row["file"]), int(row["tokens"])) for row in value["shards"]]
        dtype = np.dtype(DTYPES[DTYPES.index(value["dtype"])])
        flat = all(Path(shard.file).name == shard.file and shard.tokens > 0 for shard in shards)
        if not (shards and flat):
            raise ValueError("no shards, or one without a name or tokens")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not there or not the index of a token stream; delete its stage folder and run again"
        ) from error
    return TokenStream(path.parent, dtype, shards)


class TokenStream:
    """Token ids in shards, one after another: `len(stream)`, and `stream[start:stop]` as one array.

    Any number of threads and processes may read one; a slice takes the memory of its own ids.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], shards: Sequence[Shard]) -> None:
        self._paths = [folder / shard.file for shard in shards]
        self._ends = list(accumulate(shard.tokens for shard in shards))
        self._dtype = dtype
        self._open: OrderedDict[int, tuple[int, int]] = OrderedDict()  # shard: (file, bytes before its ids)
        self._lock = threading.Lock()
        for number, path in enumerate(self._paths):  # before hours of training, not in the midst of them
            if not path.is_file():
                raise _broken(path, "no such file")
            if path.stat().st_size < self._tokens(number) * dtype.itemsize:
                raise _broken(path, f"shorter than its {self._tokens(number):,} tokens")

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, places: slice, /) -> NDArray[Any]:
        start, stop, step = places.indices(len(self))
        assert step == 1, places
        out = np.empty(max(0, stop - start), dtype=self._dtype)
        done, number = 0, bisect_right(self._ends, start)
        while done < len(out):
            first = self._ends[number] - self._tokens(number)
            count = min(stop, self._ends[number]) - (start + done)
            self._read(number, start + done - first, out[done : done + count])
            done, number = done + count, number + 1
        return out

    def __del__(self) -> None:
        for file, _ in getattr(self, "_open", {}).values():
            os.close(file)

    def _tokens(self, number: int) -> int:
        return self._ends[number] - (self._ends[number - 1] if number else 0)

    def _read(self, number: int, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the ids of a shard from its `start`-th on."""
        into = out.view(np.uint8)
        with self._lock:
            file, before = self._opened(number)
            place = before + start * self._dtype.itemsize
            while len(into):
                got = os.pread(file, len(into), place)
                if not got:
                    raise _broken(self._paths[number], "shorter than it was when it was opened")
                into[: len(got)] = np.frombuffer(got, np.uint8)
                into, place = into[len(got) :], place + len(got)

    def _opened(self, number: int) -> tuple[int, int]:
        """The file of a shard, and where its ids begin."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= OPEN_SHARDS:
            file, _ = self._open.popitem(last=False)[1]
            os.close(file)
        path = self._paths[number]
        before = _header_bytes(path, self._dtype, self._tokens(number))
        self._open[number] = os.open(path, os.O_RDONLY), before
        return self._open[number]


def _header_bytes(path: Path, dtype: np.dtype[Any], tokens: int) -> int:
    """Bytes before the ids of a shard, which must be as many as the index says, and of its kind."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version} of the format")
            shape, _, found = np.lib.format.read_array_header_1_0(file)
            before = file.tell()
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from error
    if (shape, found) != ((tokens,), dtype):
        raise _broken(path, f"{found} {shape}, where the index says {dtype} ({tokens},)")
    if path.stat().st_size != before + tokens * dtype.itemsize:
        raise _broken(path, f"{path.stat().st_size:,} bytes, where its header says {tokens:,} tokens")
    return before


def _broken(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: not a token file ({reason}); delete its stage folder and run again")
