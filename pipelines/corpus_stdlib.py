"""Read the running interpreter's own standard library as a corpus: real text that is already there.

Three kinds of document: every source file; a page with the docstrings of each file, without code; every
topic of the language reference that `pydoc_data/topics.py` carries. A document's group is its file. So all
topics are in one split, as they have to be: they come from one file, and quote each other at length.

Left out: tests (`test` and `tests` folders at any depth), IDLE, the turtle demos, lib2to3, what others wrote
and Python carries along (ensurepip's bundle, `_vendor` folders), installed packages, and tables written by
programs (encodings, HTML entities, stringprep, msilib's schemas, the build's own configuration).
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import platform
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator, Set
from pathlib import Path

from eval.files import InputError
from pipelines.corpus_document import Document
from pipelines.removed import Removed, note

NOT_LIBRARY = {"site-packages", "dist-packages", "lib-dynload", "__pycache__", "ensurepip", "_vendor"}
NOT_PROSE_OR_CODE = {"encodings", "msilib", "pydoc_data", "__phello__"}
NOT_WANTED = {"test", "tests", "idlelib", "idle_test", "lib2to3", "turtledemo"}
LEFT_OUT_FOLDERS = NOT_LIBRARY | NOT_PROSE_OR_CODE | NOT_WANTED
LEFT_OUT_FILES = frozenset(("html/entities.py", "stringprep.py", "sitecustomize.py", "usercustomize.py"))
LEFT_OUT_BEGINNINGS = ("config-", "_sysconfigdata", "_sysconfig_vars")  # differ from build to build
TOPICS = "pydoc_data/topics.py"
MODULES = "(modules)"  # the stratum of all modules that belong to no package
SHORTEST_PAGE = 200  # characters; a page of fewer is a title with a line


def stdlib_folder() -> Path:
    """The folder of the standard library's source; `InputError` when this Python has it zipped or not."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    if not (folder / "asyncio" / "base_events.py").is_file():
        raise InputError(
            f"corpus.source: python-stdlib: no source files in {folder}; "
            "use a Python whose standard library is unpacked, or name your own text with corpus.files"
        )
    return folder


def stdlib_fingerprint() -> str:
    """`cpython-3.12.3-<16 hex digits>`: the interpreter and the hash of every file that would be read."""
    folder = stdlib_folder()
    digest = hashlib.sha256()
    for name in [*_source_names(folder), TOPICS]:
        data = _read_bytes(folder / name)
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return f"{platform.python_implementation().lower()}-{platform.python_version()}-{digest.hexdigest()[:16]}"


def source_bytes() -> int:
    """Bytes of all files that would be read; docstrings, which are documents of their own too, count once."""
    folder = stdlib_folder()
    return sum((folder / name).stat().st_size for name in [*_source_names(folder), TOPICS])


def read_stdlib(removed: Removed) -> Iterator[Document]:
    """Every document of the standard library, in the order of file names; the topics come last.

    Files that do not decode or do not parse are named in `removed` under the reason.
    """
    folder = stdlib_folder()
    for name in _source_names(folder):
        yield from _read_source(folder, name, removed)
    for topic, text in _read_topics(folder / TOPICS).items():
        yield Document(id=f"{TOPICS}#{topic}", text=text, group=TOPICS, stratum="pydoc_data")


def docstring_page(name: str, tree: ast.Module) -> str:
    """The docstrings of one module under their qualified names, in order; "" when there is little of them."""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    entries = [f"{title}\n\n{text}" for title, text in _docstrings(tree, module) if text]
    page = "\n\n".join(entries)
    return page + "\n" if len(page) >= SHORTEST_PAGE else ""


def parse_quietly(source: str) -> ast.Module:
    """`ast.parse` without the warnings of old escapes; raises SyntaxError or ValueError as it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _source_names(folder: Path) -> list[str]:
    """Sorted names, relative to the library and with forward slashes, of the source files that belong in."""
    names = []
    for place, folders, files in os.walk(folder):
        prefix = Path(place).relative_to(folder).as_posix().removeprefix(".")
        # Pruned in place: the tests alone are half of the library's files.
        folders[:] = [name for name in folders if not _left_out(name, LEFT_OUT_FOLDERS)]
        names += [f"{prefix}/{name}".removeprefix("/") for name in files if name.endswith(".py")]
    return sorted(name for name in names if not _left_out(name, LEFT_OUT_FILES))


def _left_out(name: str, exactly: Set[str]) -> bool:
    return name in exactly or name.startswith(LEFT_OUT_BEGINNINGS)


def _read_source(folder: Path, name: str, removed: Removed) -> Iterator[Document]:
    stratum = name.split("/")[0] if "/" in name else MODULES
    try:
        text = _decode(_read_bytes(folder / name))
        tree = parse_quietly(text)
    except (SyntaxError, ValueError):  # UnicodeDecodeError is a ValueError
        note(removed, "does not parse", name)
        return
    yield Document(id=name, text=text, group=name, stratum=stratum)
    page = docstring_page(name, tree)
    if page:
        yield Document(id=f"{name}#docstrings", text=page, group=name, stratum=stratum)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); mend this Python installation"
        ) from error


def _decode(data: bytes) -> str:
    """Source text by its own declared encoding (PEP 263), line ends as newlines."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding).read()


def _docstrings(node: ast.AST, title: str) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of a module, class or function and of all defined within, in order."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield title, (ast.get_docstring(node) or "").strip()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child, f"{title}.{child.name}")
        elif isinstance(child, ast.stmt | ast.excepthandler):  # an `if` or `try` may hold definitions
            yield from _docstrings(child, title)


def _read_topics(path: Path) -> dict[str, str]:
    """Topic -> text, from the one assignment of a literal that the file holds; {} when there is no file."""
    if not path.is_file():
        return {}
    for statement in parse_quietly(_decode(_read_bytes(path))).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            return dict(sorted(ast.literal_eval(statement.value).items()))
    return {}
