"""A full or closed disk, told to the reader in one line whatever library met it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from eval.files import InputError

# Libraries in other languages (safetensors, Arrow) raise errors of their own with this text in them.
FULL = "No space left on device"
FREE_BYTES = 256 * 1024


def disk_is_full(folder: Path, error: BaseException) -> bool:
    """Whether `error` came from a full disk: by its number, its words, or because next to nothing is free."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return FULL in str(error) or shutil.disk_usage(folder).free < FREE_BYTES


def as_input_error(error: Exception, folder: Path) -> InputError:
    """`error`, met while working in `folder`, as a place, what is wrong there and a remedy."""
    place = (error.filename if isinstance(error, OSError) else None) or folder
    if disk_is_full(folder, error):
        return InputError(
            f"{place}: no space left on the disk; free some, then the same command goes on from here"
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
    return InputError(f"{place}: {reason}; mend that, then the same command goes on from here")
