"""Read the rows of a parquet file, also packed, some at a time; what it declares is looked at first."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from eval.files import InputError, open_bytes
from eval.safety import ALWAYS_BYTES, MOST_RATIO

ROWS = 1024  # read at a time
MOST_BATCH = 2**30  # bytes that so many rows may take
ALWAYS_CELLS = 10**7  # so many may be read of a file however small; above, so many for each byte of it:
CELLS_A_BYTE = 50  # Arrow's codes of labels that repeat take a bit or less


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    check: Callable[[Sequence[str]], None] = lambda names: None,
) -> Iterator[dict[str, Any]]:
    """The rows of a file in their order, of all columns or of `columns`; `check` hears the columns' names.

    Raises `InputError` for a file that is missing or broken, and for one that would unpack to far more than
    it is.
    """
    with open_bytes(path) as file, _from_its_end(file, path) as source:
        reading = _rows(source, path, columns, check)
        while (rows := _next(reading, path)) is not None:
            yield from rows


def _next(reading: Iterator[list[dict[str, Any]]], path: Path) -> list[dict[str, Any]] | None:
    """The next rows, or None; whatever Arrow cannot make of a damaged file becomes `InputError`."""
    import pyarrow

    try:
        return next(reading, None)
    except InputError:
        raise
    except (pyarrow.ArrowException, ValueError, OverflowError, KeyError, MemoryError) as error:
        raise _broken(path, error) from error
    except OSError as error:
        if error.errno is not None:  # the disk, not what is on it
            raise
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"{path}: not a whole parquet file ({reason}); make it again")


def _rows(
    source: BinaryIO | Path, path: Path, columns: Sequence[str] | None, check: Callable[[Sequence[str]], None]
) -> Iterator[list[dict[str, Any]]]:
    from pyarrow import parquet

    size = path.stat().st_size if isinstance(source, Path) else source.seek(0, io.SEEK_END)
    file = parquet.ParquetFile(source)
    _check_declared(file.metadata, columns, size, path)
    check(file.schema_arrow.names)
    for batch in file.iter_batches(ROWS, columns=None if columns is None else list(columns)):
        if batch.nbytes > MOST_BATCH:
            raise InputError(f"{path}: {ROWS} rows take {batch.nbytes:,} bytes; cut them")
        yield batch.to_pylist()


def _check_declared(metadata: Any, columns: Sequence[str] | None, size: int, path: Path) -> None:
    """Refuse columns that would unpack to far more than the file is, before they are unpacked."""
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    read = [number for number, name in enumerate(names) if columns is None or _is_of(name, columns)]
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    unpacked = sum(group.column(number).total_uncompressed_size for group in groups for number in read)
    cells = metadata.num_rows * max(1, len(read))
    if unpacked > max(ALWAYS_BYTES, MOST_RATIO * size) or cells > max(ALWAYS_CELLS, CELLS_A_BYTE * size):
        raise InputError(
            f"{path}: {size:,} bytes that unpack to {unpacked:,} and {metadata.num_rows:,} rows, as no "
            "honest table does; if it is what you want, write it as .jsonl, or in several files"
        )


def _is_of(leaf: str, columns: Sequence[str]) -> bool:
    """Whether a path in the file (`answers.text`) is one of the columns, or lies in one."""
    return any(leaf == column or leaf.startswith(f"{column}.") for column in columns)


@contextlib.contextmanager
def _from_its_end(file: BinaryIO, path: Path) -> Iterator[BinaryIO | Path]:
    """A file that can be read from its end, as parquet is: a packed one is unpacked, on disk."""
    if path.suffix.lower() != ".gz":
        yield path  # Arrow reads it without Python
        return
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(file, unpacked)
        yield unpacked
