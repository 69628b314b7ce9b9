"""Read a corpus's JSON lines one at a time: a file of any size takes the memory of its longest line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.files import parse_object, read_lines


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file, blank lines skipped; `InputError` names file and line.

    Texts may hold halves of characters: `clean` mends them, as it does other damage.
    """
    for number, line in enumerate(read_lines(path), start=1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.strip():
            yield number, parse_object(text, f"{path}:{number}", halves=True)
