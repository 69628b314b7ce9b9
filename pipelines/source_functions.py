"""Take the functions out of Python source: each with its docstring, and cleanly without it."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.corpus_stdlib import parse_quietly

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A top-level function or a method: `id` is `package/module.py:Class.name`, `source` starts in column 0.

    `bare` is the source without the docstring: None where there is none, nothing but it, or no clean cut.
    """

    id: str
    file: str
    source: str
    bare: str | None
    docstring: str


def read_functions(file: str, text: str) -> Iterator[Function]:
    """The functions of one source file in order; those within another function count as part of it.

    A name defined again (a property's setter) gets `@2`, `@3`. Nothing comes from text that does not parse.
    """
    try:
        tree = parse_quietly(text)
    except (SyntaxError, ValueError):  # the corpus may hold a damaged file of its reader's
        return
    lines = text.split("\n")  # as the parser counts them; str.splitlines() would also cut at form feeds
    seen: Counter[str] = Counter()
    for name, node in _definitions(tree, ""):
        seen[name] += 1
        again = f"@{seen[name]}" if seen[name] > 1 else ""
        first = min(part.lineno for part in [node, *node.decorator_list]) - 1
        whole = range(first, node.end_lineno or node.lineno)
        yield Function(
            id=f"{file}:{name}{again}",
            file=file,
            source=_join(lines, whole, node.col_offset),
            bare=_without_docstring(lines, whole, node),
            docstring=inspect.cleandoc(ast.get_docstring(node) or ""),
        )


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt | ast.excepthandler):
            yield from _definitions(child, prefix)


def _without_docstring(lines: list[str], whole: range, node: Definition) -> str | None:
    """The source but for the docstring's lines and the blank lines under them; comments stay."""
    if ast.get_docstring(node) is None or len(node.body) == 1:
        return None
    docstring = node.body[0]
    begin, end = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
    shares_a_line = lines[begin][: docstring.col_offset].strip() or node.body[1].lineno <= end
    if shares_a_line:
        return None
    while not lines[end].strip():
        end += 1
    kept = [*range(whole.start, begin), *range(end, whole.stop)]
    return _join(lines, kept, node.col_offset)


def _join(lines: list[str], numbers: range | list[int], indent: int) -> str:
    """The lines, moved left by the definition's indent; those in strings may have less of it to lose."""
    margin = " " * indent
    return "\n".join(lines[number].removeprefix(margin).rstrip() for number in numbers) + "\n"
