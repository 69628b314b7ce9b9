"""Decide which files are for training, validation and test: by hash, the same on every machine.

A split is by group (a source file and all documents made from it), known by the first 64 bits of the SHA-256
of its name. Within each stratum (a package) every split gets its share of bytes, so that a package to be
recognised in the test is also there to be learnt from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.corpus_document import SPLITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALLEST_STRATUM = 10  # groups; smaller strata are pooled, for they cannot spare a file for each split
LARGEST_SHARE = 1.5  # times the share asked for; a strict limit would test only on a package's smallest files
TRAIN, VALIDATION, TEST = range(len(SPLITS))


@dataclass(frozen=True)
class Groups:
    """Different groups in the order of their hashes, each with its bytes and its stratum; `of` a document."""

    sizes: NDArray[np.int64]
    strata: NDArray[np.uint64]
    of: NDArray[np.int64]


def name_hash(name: str) -> int:
    """The first 64 bits of the SHA-256 of a name: groups are taken in this order."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def group(groups: NDArray[np.uint64], strata: NDArray[np.uint64], sizes: NDArray[np.integer]) -> Groups:
    """The groups of documents, from each document's group, stratum (both as hashes) and bytes."""
    import numpy as np

    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    whole = np.bincount(of, weights=sizes, minlength=len(first)).astype(np.int64)
    return Groups(whole, strata[first], of)


def split_documents(groups: Groups, validation_fraction: float, test_fraction: float) -> NDArray[np.uint8]:
    """For each document the place of its split in `SPLITS`; a split stays empty when groups are too few."""
    import numpy as np

    of_group = np.full(len(groups.sizes), TRAIN, dtype=np.uint8)
    for members in _strata(groups):
        whole = int(groups.sizes[members].sum())
        for split, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
            left = members[of_group[members] == TRAIN]
            quota = fraction * whole
            limit, at_least = LARGEST_SHARE * quota, min(1, len(left) - 1)
            of_group[left[choose(groups.sizes[left], quota, limit=limit, at_least=at_least)]] = split
    return of_group[groups.of]


def thin(groups: Groups, max_bytes: int, at_least: int = 3) -> NDArray[np.bool_]:
    """Which documents to keep for about `max_bytes`: whole groups, every stratum by its share.

    `at_least` groups of each, so that there can be one for every split.
    """
    import numpy as np

    whole = int(groups.sizes.sum())
    kept = np.full(len(groups.sizes), whole <= max_bytes)
    if whole > max_bytes:
        for members in _strata(groups):
            quota = max_bytes * int(groups.sizes[members].sum()) / whole
            fewest = min(at_least, len(members))
            kept[members[choose(groups.sizes[members], quota, limit=quota, at_least=fewest)]] = True
    return kept[groups.of]


def choose(sizes: NDArray[np.int64], quota: float, *, limit: float, at_least: int) -> list[int]:
    """Places of groups, taken in their order until they have `quota` bytes.

    A group that would bring them over `limit` bytes is passed over; when fewer than `at_least` can be had
    so, the smallest are added.
    """
    import numpy as np

    chosen: list[int] = []
    total = 0
    for place in range(len(sizes)):
        if total >= quota:
            break
        size = int(sizes[place])
        if total + size <= limit:
            chosen.append(place)
            total += size
    if len(chosen) < at_least:
        others = np.setdiff1d(np.arange(len(sizes)), chosen)
        smallest = others[np.argsort(sizes[others], kind="stable")]
        chosen += smallest[: at_least - len(chosen)].tolist()
    return chosen


def _strata(groups: Groups) -> Iterator[NDArray[np.int64]]:
    """The places of the groups of each stratum; small strata are one together."""
    import numpy as np

    _, of, sizes = np.unique(groups.strata, return_inverse=True, return_counts=True)
    small = sizes[of] < SMALLEST_STRATUM
    for stratum in np.flatnonzero(sizes >= SMALLEST_STRATUM):
        yield np.flatnonzero(of == stratum)
    if small.any():
        yield np.flatnonzero(small)
