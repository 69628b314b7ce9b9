"""Keep account of what a preparation leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Removed = dict[str, list[str]]
"""Reason -> the ids that were left out for it; a repeat is named `id = the id it repeats`."""

EXAMPLES = 5


def note_repeats(removed: Removed, repeats: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Add what `dedupe.find_repeats` found, and return the ids to leave out."""
    for reason, pairs in repeats.items():
        if pairs:
            removed[reason] = [f"{repeat} = {first}" for repeat, first in pairs.items()]
    return {repeat for pairs in repeats.values() for repeat in pairs}


def summarise(removed: Removed) -> dict[str, dict[str, Any]]:
    """For each reason the count and the first few ids, as JSON."""
    return {
        reason: {"count": len(ids), "examples": ids[:EXAMPLES]} for reason, ids in sorted(removed.items())
    }
