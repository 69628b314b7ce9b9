"""Where a fit may be saved without writing over what is not one."""

from __future__ import annotations

from pathlib import Path

from eval.files import InputError, read_json


def check_place(path: str | Path, table: str | None = None, where: str = "save") -> Path:
    """Where a fit may be saved: a new file, or a saved fit to replace.

    `table` is the file of the runs. Raises `InputError`, beginning with `where`, for whatever else is there.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{where}: {path} is a folder; name a file")
    if blocked := next((one for one in path.parents if one.exists() and not one.is_dir()), None):
        raise InputError(f"{where}: {blocked} is no folder; name another file")
    if not path.exists():
        return path
    if not path.is_file():
        raise InputError(f"{where}: {path} is no regular file; name another file")
    if table is not None and Path(table).is_file() and path.samefile(table):
        raise InputError(f"{where}: {path} is the table; name another file")
    try:
        value = read_json(path)
    except InputError:
        value = None
    if not (isinstance(value, dict) and {"format", "fitted", "parameters"} <= value.keys()):
        raise InputError(f"{where}: {path} is there and is no saved fit; name another file")
    return path
