"""Series of the same title, told apart in words: by family, stage, objective, run, data, signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_report.frame import Series

FAMILY_NAMES = {"gpt2": "GPT-2", "bert": "BERT"}
STAGE_NAMES = {
    "pretrain": "pretrained",
    "fetch": "as it came",
    "finetune": "fine-tuned",
    "evaluate": "evaluated",
}
FINGERPRINT_SIGNS = 8  # of a fingerprint: enough to tell two apart, short enough to read


def family_name(family: str | None) -> str:
    """How a family is spelt: GPT-2, BERT; another as it is."""
    return "family unknown" if family is None else FAMILY_NAMES.get(family, family)


def stage_name(stage: str) -> str:
    """The stage as a word for a model: pretrained, fine-tuned."""
    return STAGE_NAMES.get(stage, stage)


def data_name(fingerprint: str | None) -> str:
    """The data by the head of its fingerprint."""
    return "data unknown" if fingerprint is None else f"data {fingerprint[:FINGERPRINT_SIGNS]}"


def with_own_titles(series: Sequence[Series]) -> tuple[Series, ...]:
    """The series, those of the same title with what differs behind it.

    As few of the fields as do it, in the order of this module's first line; of signatures the parts that the
    others do not have.
    """
    by_title: dict[str, list[Series]] = {}
    for one in series:
        by_title.setdefault(one.title, []).append(one)
    return tuple(
        replace(one, title=f"{one.title} ({words})", apart=words)
        if len(same := by_title[one.title]) > 1 and (words := _difference(one, same))
        else one
        for one in series
    )


def _difference(one: Series, same: Sequence[Series]) -> str:
    fields: tuple[Callable[[Series], str], ...] = (
        lambda series: family_name(series.family),
        lambda series: stage_name(series.stage),
        lambda series: series.objective or "objective unknown",
        lambda series: series.run or "run unknown",
        lambda series: data_name(series.data_fingerprint),
        lambda series: _own_signature(series, same),
    )
    used: list[Callable[[Series], str]] = []
    for field in fields:
        more = [*used, field]
        if _distinct(same, more) > _distinct(same, used):
            used = more
    return ", ".join(words for field in used if (words := field(one))) or "another"


def _distinct(series: Sequence[Series], fields: Sequence[Callable[[Series], str]]) -> int:
    return len({tuple(field(one) for field in fields) for one in series})


def _own_signature(one: Series, same: Sequence[Series]) -> str:
    """The parts of a signature that not all of the others share; what has none but those is "as usual"."""
    parts = (one.signature or "signature unknown").split("|")
    shared = set.intersection(*(set((other.signature or "").split("|")) for other in same))
    return " ".join(part for part in parts if part not in shared) or "no further settings"


def free_id(words: str, taken: set[str]) -> str:
    """A slug that no other series has: the second of a name becomes `name-2`."""
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    number = 1
    while (free := slug if number == 1 else f"{slug}-{number}") in taken:
        number += 1
    taken.add(free)
    return free
