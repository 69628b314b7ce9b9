"""Tables for a terminal and for Markdown, and numbers as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Table = list[dict[str, str]]

# Columns of words; numbers stand to the right.
_WORDS = frozenset(
    ("model", "task", "part", "split", "metric", "baseline", "verdict", "rows", "settings", "folder")
)
_FOLDED = frozenset(("model", "task", "part", "baseline"))  # those broken into lines


def print_table(console: Console, table: Table, title: str | None = None) -> None:
    """A table in a terminal; columns without anything in them are left out."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    columns = _columns(table)
    shown = RichTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        words = name in _WORDS or name == columns[0]
        # a number that is cut, or broken in two, reads as another one: those lines rather grow too long
        widest = None if name in _FOLDED else max(len(name), *(len(row[name]) for row in table))
        shown.add_column(name, justify="left" if words else "right", min_width=widest, overflow="fold")
    for row in table:
        shown.add_row(*(Text(row[name]) for name in columns))
    console.print(shown, crop=False)


def markdown_table(table: Table) -> str:
    """The same as Markdown; nothing for a table without rows."""
    if not table:
        return ""
    columns = _columns(table)
    sides = [":--" if name in _WORDS or name == columns[0] else "--:" for name in columns]
    lines = [columns, sides, *([row[name] for name in columns] for row in table)]
    return "\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines)


def escape(text: str) -> str:
    """A text that cannot end a cell or a line."""
    return text.replace("|", "\\|").replace("\n", " ")


def count(number: int, noun: str) -> str:
    """As `1 item`, `1,000 items`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def number(value: float | None) -> str:
    """Four digits; nothing for nothing."""
    return "" if value is None else f"{value:.4g}"


def _columns(table: Table) -> list[str]:
    """The columns that any row has something in."""
    return [name for name in table[0] if any(row[name] for row in table)]
