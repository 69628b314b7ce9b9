"""Decide which files are for training, validation and test: by hash, the same on every machine.

A split is by group (a source file and all documents made from it). Within each stratum (a package) every
split gets its share of bytes, so that a package to be recognised in the test is also there to be learnt
from.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pipelines.corpus_document import SPLITS, Document

SMALLEST_STRATUM = 10  # groups; smaller strata are pooled, for they cannot spare a file for each split
LARGEST_SHARE = 1.5  # times the share asked for; a strict limit would test only on a package's smallest files


def split_documents(
    documents: Sequence[Document], validation_fraction: float, test_fraction: float
) -> dict[str, list[Document]]:
    """Documents of each split, in their given order; a split stays empty when there are too few groups."""
    of_group: dict[str, str] = {}
    for sizes in _strata(documents):
        whole = sum(sizes.values())
        of_group |= dict.fromkeys(sizes, "train")
        for split, fraction in (("test", test_fraction), ("validation", validation_fraction)):
            left = {group: size for group, size in sizes.items() if of_group[group] == "train"}
            quota = fraction * whole
            chosen = choose(left, quota, limit=LARGEST_SHARE * quota, at_least=min(1, len(left) - 1))
            of_group |= dict.fromkeys(chosen, split)
    splits: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for document in documents:
        splits[of_group[document.group]].append(document)
    return splits


def thin(documents: Sequence[Document], max_bytes: int) -> list[Document]:
    """About `max_bytes` of the documents: whole groups, every stratum by its share."""
    strata = _strata(documents)
    whole = sum(sum(sizes.values()) for sizes in strata)
    if whole <= max_bytes:
        return list(documents)
    kept: set[str] = set()
    for sizes in strata:  # three groups each, so that there can be one for every split
        quota = max_bytes * sum(sizes.values()) / whole
        kept |= choose(sizes, quota, limit=quota, at_least=min(3, len(sizes)))
    return [document for document in documents if document.group in kept]


def choose(sizes: Mapping[str, int], quota: float, *, limit: float, at_least: int) -> set[str]:
    """Groups taken in the order of their hashes until they have `quota` bytes.

    A group that would bring them over `limit` bytes is passed over; when fewer than `at_least` can be had
    so, the smallest are added.
    """
    chosen: set[str] = set()
    total = 0
    for group in sorted(sizes, key=_hash):
        if total >= quota:
            break
        if total + sizes[group] <= limit:
            chosen.add(group)
            total += sizes[group]
    others = sorted(sizes.keys() - chosen, key=lambda group: (sizes[group], group))
    return chosen.union(others[: max(0, at_least - len(chosen))])


def _strata(documents: Iterable[Document]) -> list[Counter[str]]:
    """For each stratum the bytes of its groups; small strata are one together."""
    strata: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        strata[document.stratum][document.group] += len(document.text.encode())
    pooled: Counter[str] = Counter()
    large = []
    for _, sizes in sorted(strata.items()):
        if len(sizes) < SMALLEST_STRATUM:
            pooled.update(sizes)
        else:
            large.append(sizes)
    return [*large, pooled] if pooled else large


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
