"""Keep account of what a preparation leaves out or changes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5
EXCERPT = 80  # characters


@dataclass
class Tally:
    """How often something happened, and where it did first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


Removed = dict[str, Tally]
"""Reason -> its tally. An example is `id: the text's beginning`; a repeat's, `id = the id it repeats: …`."""


def note(removed: Removed, reason: str, example: str, text: str = "", count: int = 1) -> None:
    """Count `count` more for a reason, with an example of it as long as there are few."""
    tally = removed.setdefault(reason, Tally())
    tally.count += count
    if len(tally.examples) < EXAMPLES:
        tally.examples.append(f"{example}: {excerpt(text)}" if text else example)


def note_repeats(removed: Removed, repeats: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Add what `dedupe.find_repeats` found, and return the ids to leave out."""
    for reason, pairs in repeats.items():
        for repeat, first in pairs.items():
            note(removed, reason, f"{repeat} = {first}")
    return {repeat for pairs in repeats.values() for repeat in pairs}


def merge(removed: Removed, later: Removed) -> None:
    """Add to `removed` what a later part of the work found."""
    for reason, found in later.items():
        tally = removed.setdefault(reason, Tally())
        tally.count += found.count
        tally.examples += found.examples[: EXAMPLES - len(tally.examples)]


def summarise(removed: Removed) -> dict[str, dict[str, Any]]:
    """For each reason the count and the first few examples, as JSON."""
    return {reason: {"count": t.count, "examples": t.examples} for reason, t in sorted(removed.items())}


def excerpt(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 4 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}…"
