"""Where the parts of a packed split begin, so that any number of processes can read it at once.

A split's file is many gzip members, each of about a megabyte of JSON lines. Beside `train.jsonl.gz` lies
`train.members.npy`, (members, 3) int64: bytes packed, bytes unpacked, CRC-32 of the latter, all as the
members' own trailers have them (RFC 1952).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError, open_atomic, parse_object

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKED, UNPACKED = 0, 1  # columns


@dataclass(frozen=True)
class Part:
    """Some members of a split's file that follow one another, from byte `offset` on; `members` (n, 3)."""

    path: Path
    offset: int
    members: NDArray[np.int64]

    @property
    def bytes(self) -> int:
        """Of JSON lines, unpacked."""
        return int(self.members[:, UNPACKED].sum())

    @property
    def fingerprint(self) -> str:
        """Of the content: sizes and checksums of the members."""
        return hashlib.sha256(self.members.astype("<i8").tobytes()).hexdigest()[:16]

    def texts(self) -> Iterator[str]:
        """The text of each document, in order; one member is unpacked at a time.

        Raises InputError where the file is not what its index says.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for packed, unpacked, _ in self.members.tolist():
                try:
                    lines = gzip.decompress(file.read(packed))  # which checks length and checksum
                except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                    raise _broken(self.path, str(error)) from error
                if len(lines) != unpacked:
                    raise _broken(self.path, f"{len(lines)} bytes, where the index says {unpacked}")
                for line in lines.splitlines():
                    yield parse_object(line.decode(), str(self.path), halves=True)["text"]


def pack(data: bytes) -> bytes:
    """`data` as one gzip member without a name or a time; members one after another are a gzip file."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


def write_members(path: Path, members: Iterable[bytes]) -> None:
    """Write gzip members of less than 4 GiB of lines each to a file, and their index beside it."""
    import numpy as np

    rows = array("q")
    with open_atomic(path) as file:
        for data in members:
            file.write(data)
            checksum, unpacked = struct.unpack("<II", data[-8:])
            rows.extend((len(data), unpacked, checksum))
    with open_atomic(index_of(path)) as file:
        np.save(file, np.frombuffer(rows, dtype=np.int64).reshape(-1, 3), allow_pickle=False)


def read_members(path: Path) -> Part:
    """All members of a split's file as one part. Raises InputError for a file without its index."""
    import numpy as np

    where = index_of(path)
    try:
        members: NDArray[Any] = np.load(where, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _broken(where, str(error)) from error
    if members.dtype != np.int64 or members.ndim != 2 or members.shape[1:] != (3,) or (members < 0).any():
        raise _broken(where, "not an index of gzip members")
    there, told = path.stat().st_size if path.is_file() else 0, int(members[:, PACKED].sum())
    if there != told:
        raise _broken(path, f"{there:,} bytes, where its index says {told:,}")
    return Part(path, 0, members)


def cut(whole: Part, size: int) -> list[Part]:
    """The part in parts of `size` bytes of lines or a member more, the last of what is left."""
    import numpy as np

    ends = np.cumsum(whole.members[:, UNPACKED])
    offsets = np.concatenate([[0], np.cumsum(whole.members[:, PACKED])]) + whole.offset
    parts = []
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = min(int(np.searchsorted(ends, before + size)) + 1, len(ends))
        parts.append(Part(whole.path, int(offsets[first]), whole.members[first:last]))
        first = last
    return parts


def spread(whole: Part, size: int) -> Iterator[Part]:
    """Single members with about `size` bytes of lines in all, evenly spread over the part."""
    import numpy as np

    there = len(whole.members)
    offsets = np.concatenate([[0], np.cumsum(whole.members[:, PACKED])]) + whole.offset
    count = min(there, max(1, round(there * size / max(1, whole.bytes))))
    for number in range(count):
        place = (2 * number + 1) * there // (2 * count)
        yield Part(whole.path, int(offsets[place]), whole.members[place : place + 1])


def index_of(path: Path) -> Path:
    """Where the index of a split's file lies."""
    return path.with_name(path.name.removesuffix(".jsonl.gz") + ".members.npy")


def _broken(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: broken ({reason}); delete its stage folder and run again")
