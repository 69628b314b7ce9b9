"""The parts a report is built of, its numbers already written out: the same for the page and for Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A table's column; numbers stand to the right and are not broken."""

    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of cells, each as long as `columns`. `anchors` (one a row, or none) link the rows' first cells."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Control:
    """A checkbox of a chart: it turns the scale of y to logarithmic, or a parameter of the chart on and off.

    `drives` is `log` or the parameter's name. With a `value` the parameter is a list of those switched off.
    """

    words: str
    drives: str
    value: str | None = None
    on: bool = True


@dataclass(frozen=True)
class Figure:
    """A chart: file name without suffix, what its tab says, Vega-Lite, its key as (mark, words) pairs.

    `again` is Python that makes `chart`, the same Vega-Lite, in the report's folder.
    """

    id: str
    tab: str
    description: str
    spec: dict[str, Any]
    key: tuple[tuple[str, str], ...] = ()
    controls: tuple[Control, ...] = ()
    again: str = ""


@dataclass(frozen=True)
class Section:
    """One metric: what was found in words, its charts (one an axis), the numbers behind them."""

    id: str
    group: str
    title: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    small_print: str


@dataclass(frozen=True)
class Sample:
    """One item and what each rung wrote for it, as (rung, text, whether it is the reference) triples."""

    task: str
    id: str
    prompt: str
    reference: str
    outputs: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class Piece:
    """A token's text, what it cost in words, and how hot that is: 0 to 5."""

    text: str
    cost: str
    level: int


@dataclass(frozen=True)
class Strip:
    """A passage as one rung read it."""

    rung: str
    mean: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Passage:
    """A piece of one document, token by token, under every rung; `legend` has a piece for each level."""

    document: str
    legend: tuple[Piece, ...]
    strips: tuple[Strip, ...]
    table: Table | None


@dataclass(frozen=True)
class Story:
    """The whole report in reading order; what is empty is left out. `facts` are (number, words) pairs."""

    run: str
    made: str | None
    headline: str
    lede: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    failures: Table | None
    hero: Section | None
    glance: Table | None
    sections: tuple[Section, ...]
    curves: Figure | None
    samples: tuple[Sample, ...]
    passage: Passage | None
    rungs: tuple[Table, ...]
    left_out: Table | None
    provenance: tuple[Table, ...]
    command: str | None
    recipe: str | None

    @property
    def groups(self) -> tuple[tuple[str, tuple[Section, ...]], ...]:
        """The sections after the hero under their groups' titles, both in the order of first appearance."""
        titles = dict.fromkeys(section.group for section in self.sections)
        return tuple((title, tuple(one for one in self.sections if one.group == title)) for title in titles)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every chart of the report, in reading order."""
        sections = (self.hero, *self.sections) if self.hero else self.sections
        charts = [figure for section in sections for figure in section.figures]
        return (*charts, self.curves) if self.curves else tuple(charts)
