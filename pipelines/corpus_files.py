"""Read a corpus from the reader's own files: .txt, .jsonl, .csv and .parquet, each also as .gz.

A row of a table is a document. With twenty files or more, every text file is a document and the split is
by file. With fewer there would be none to spare, so the split is by document, and text files are cut into
documents: at the first blank line after 4,000 characters, or at the first line end after 16,000. With
`document_start`, a line that the expression is found in opens a new document instead.

Files may be named split by split (`{train: …, validation: …, test: …}`): then nothing is split here.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_lines
from pipelines.corpus_document import SPLITS, Document
from pipelines.corpus_tables import READERS, text_columns

MANY_FILES = 20  # at 5 % for validation and as much for the test, a file each
PIECE = 4_000  # characters
LONGEST_PIECE = 16_000


def files_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    """`files-<16 hex digits>` of the names and contents.

    `InputError` for a file that is missing or empty, and a table whose first row lacks the text's column.
    """
    found = find_splits(settings["files"], base)
    for path in (path for paths in found.values() for path in paths.values() if kind(path) in READERS):
        next(_some(READERS[kind(path)](path, text_columns(settings)), path), None)
    hashes = {s: [[name, hash_file(path)] for name, path in paths.items()] for s, paths in found.items()}
    return f"files-{hash_json(hashes.get(None) or {str(split): names for split, names in hashes.items()})}"


def read_files(settings: Mapping[str, Any], base: Path) -> Iterator[Document]:
    """The documents of all files, by file name, one at a time; of named splits, train comes last.

    `InputError` says which file and row cannot be read, and which file holds no text.
    """
    splits = find_splits(settings["files"], base)
    start = compile_start(settings.get("document_start"))
    by_file = sum(map(len, splits.values())) >= MANY_FILES
    for split in sorted(splits, key=lambda split: split == "train"):
        for name, path in splits[split].items():
            whole = by_file and start is None and kind(path) == ".txt"
            texts = _texts(path, settings, start, whole)
            for number, text in enumerate(_some(texts, path), start=1):
                document = name if whole else f"{name}#{number}"
                yield Document(document, text, group=name if by_file else document, split=split)


def find_splits(files: Any, base: Path) -> dict[str | None, dict[str, Path]]:
    """Split (None: all of them are still to be split) -> name -> path of the files that `corpus.files` names.

    Raises `InputError` as `find_files` does, for a split that is not named, and a file named in two of them.
    """
    if not isinstance(files, Mapping):
        return {None: find_files(files, base)}
    lacking = [split for split in SPLITS if not files.get(split)]
    if lacking:
        raise InputError(
            f"corpus.files: names no files for {' and '.join(lacking)}; give train, validation and test each "
            "theirs, or a plain list to be split here"
        )
    found: dict[str | None, dict[str, Path]] = {split: find_files(files[split], base) for split in SPLITS}
    seen: dict[str, str | None] = {}
    for split, paths in found.items():
        for name in paths:
            if name in seen:
                raise InputError(
                    f"corpus.files: {name} is named for {seen[name]} and for {split}; choose one"
                )
            seen[name] = split
    return found


def find_files(patterns: Sequence[str] | str, base: Path) -> dict[str, Path]:
    """Name (relative to `base` where it lies below it) -> path of every file that a pattern matches, sorted.

    Raises `InputError` for a pattern that matches nothing, a file of unknown kind, a folder, an empty file.
    """
    found: dict[str, Path] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        place = str(base / Path(pattern).expanduser())
        matches = glob.glob(place, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not matches:
            raise InputError(f"corpus.files: {pattern!r} matches no file in {base}; check the name")
        for path in map(Path, matches):
            _check(path)
            found[path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()] = path
    return dict(sorted(found.items()))


def cut(lines: Iterable[str]) -> Iterator[str]:
    """Consecutive pieces of a text given by lines, none of them broken; together they are the text."""
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= LONGEST_PIECE or (size >= PIECE and not line.strip()):
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def cut_at(lines: Iterable[str], start: re.Pattern[str], path: Path) -> Iterator[str]:
    """Pieces of a text given by lines, each from a line that `start` is found in; the first may lack one.

    Raises `InputError` when no line has it: the file would be one document.
    """
    piece: list[str] = []
    found = False
    for line in lines:
        if start.search(line.rstrip("\r\n")):
            found = True
            if piece:
                yield "".join(piece)
            piece = []
        piece.append(line)
    if not found:
        raise InputError(
            f"{path}: no line matches corpus.document_start: {start.pattern!r}; mend it or remove it"
        )
    yield "".join(piece)


def compile_start(pattern: str | None) -> re.Pattern[str] | None:
    """`corpus.document_start`, compiled; `InputError` when it is no regular expression."""
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise InputError(
            f"corpus.document_start: {pattern!r} is not a regular expression ({error}); mend it"
        ) from error


def kind(path: Path) -> str:
    """The suffix that says how a file is read, in lower case, without `.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _texts(
    path: Path, settings: Mapping[str, Any], start: re.Pattern[str] | None, whole: bool
) -> Iterable[str]:
    if kind(path) != ".txt":
        return READERS[kind(path)](path, text_columns(settings))
    if whole:
        return ["".join(read_lines(path))]
    return cut_at(read_lines(path), start, path) if start else cut(read_lines(path))


def _some(texts: Iterable[str], path: Path) -> Iterator[str]:
    """The texts; `InputError` when all of them are empty."""
    there = False
    for text in texts:
        there = there or bool(text)
        yield text
    if not there:
        raise InputError(f"{path}: no text in it; remove it from corpus.files")


def _check(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: links to a file that is not there; mend it, or take it from corpus.files")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the files in it, such as {path.name}/*.txt")
    if kind(path) not in (".txt", *READERS):
        wanted = ", ".join([".txt", *READERS])
        raise InputError(f"{path}: unknown kind of file; wanted {wanted}, or one of these with .gz")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; remove it from corpus.files or put text in it")
