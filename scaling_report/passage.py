"""run.json's `passage` -> what each rung found hard to guess in it: pieces with heat levels, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scaling_report.notation import fixed
from scaling_report.parts import Column, Passage, Piece, Strip, Table

HEAT_EDGES = (0.5, 1.0, 2.0, 4.0, 7.0)  # nats: a token is of the level that says how many of them it reaches


def read_passage(run: Mapping[str, Any]) -> Passage | None:
    """The passage as each rung read it, smallest first as in the run; None where none was kept."""
    passage = run.get("passage")
    if not passage:
        return None
    rungs = passage["rungs"]
    return Passage(
        document=str(passage["id"]),
        legend=_legend(),
        strips=tuple(_strip(one) for one in rungs),
        table=_table(rungs),
    )


def _strip(one: Mapping[str, Any]) -> Strip:
    pieces = tuple(
        Piece(text.replace("\n", "↵\n"), f"{fixed(nats, 2)} nats", _level(nats))
        for text, nats in zip(_pieces(one), one["nats"], strict=True)
    )
    mean = sum(one["nats"]) / len(one["nats"])
    return Strip(one["rung"], f"{fixed(mean, 2)} nats a token on average", pieces)


def _pieces(one: Mapping[str, Any]) -> list[str]:
    ends = [*one["starts"][1:], len(one["text"])]
    return [one["text"][start:end] for start, end in zip(one["starts"], ends, strict=True)]


def _level(nats: float) -> int:
    return sum(nats >= edge for edge in HEAT_EDGES)


def _legend() -> tuple[Piece, ...]:
    edges = [f"{edge:g}" for edge in HEAT_EDGES]
    words = [f"under {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges))]
    return tuple(Piece(text, "nats", level) for level, text in enumerate([*words, f"{edges[-1]} or more"]))


def _table(rungs: Sequence[Mapping[str, Any]]) -> Table | None:
    """A row a token, a column a rung; None where rungs cut the text differently."""
    first = rungs[0]
    if any((one["text"], one["starts"]) != (first["text"], first["starts"]) for one in rungs):
        return None
    columns = (Column("Token", numeric=False), *(Column(one["rung"]) for one in rungs))
    rows = tuple(
        (repr(text)[1:-1], *(fixed(one["nats"][place], 2) for one in rungs))
        for place, text in enumerate(_pieces(first))
    )
    return Table("Nats of every token", columns, rows)
