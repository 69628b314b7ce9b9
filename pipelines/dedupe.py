"""Find documents that repeat an earlier one, exactly or nearly.

Nearly means a Jaccard similarity of at least 0.8 between the sets of five-word shingles (Broder 1997; Lee
2022 takes the same two numbers). MinHash with locality-sensitive hashing only proposes pairs, of which marks
of the sets (one-permutation hashing, Li 2012) strike out those that are far from near, many at a time: where
documents share boilerplate, nearly all. Each pair left is checked on the sets themselves, so that nothing is
dropped by an unlucky hash.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from eval.ngrams import gram_hashes, word_hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE_WORDS = 5
THRESHOLD = 0.8
SEED = 1  # of the permutations
BANDS, ROWS = 25, 5  # propose a pair at the threshold with 1 - (1 - 0.8^5)^25 = 0.99995
MARKS = 256  # of a set: for each 256th of all hashes one byte of the least in it
MARKS_SHIFT = 56  # bits of a hash below those that say in which 256th it is
# A pair at the threshold shares fewer marks with 1 chance in 10^5: 4.3 standard deviations of the share.
SPREAD = 4.3 * (THRESHOLD * (1 - THRESHOLD)) ** 0.5
MOST_ALIKE = 500  # documents that one is compared with for each number: so the time is linear in documents
SHINGLES_AT_ONCE = 2048  # so that a long text's 125 permutations stay in the processor's cache
SHINGLES_KEPT = 2**25  # of documents lately compared, 256 MiB: many that are alike are read once
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Near:
    """What was found: place of a document -> place of the earlier, most similar one that stays."""

    repeats: dict[int, int]
    skipped: int
    """At most so many pairs were not compared, for too many documents share a number."""


def find_repeats(texts: Mapping[str, str], *, near: bool = True) -> dict[str, dict[str, str]]:
    """Reason -> {id of a text: id of the earlier text that it repeats and that stays}.

    Exact: equal but for white space and case. Near: as above; texts of fewer than five words are never near.
    Deterministic in the texts and their order.
    """
    import numpy as np

    names, values = list(texts), list(texts.values())
    digests = np.frombuffer(b"".join(map(digest, values)), dtype="<u8").reshape(-1, 2)
    first = find_exact(digests)
    repeats = {"exact duplicate": _named(first, names)}
    if near:
        distinct = np.flatnonzero(first < 0)
        sketches = np.array([sketch(values[i]) for i in distinct], dtype=np.uint32).reshape(-1, BANDS)
        found = find_near(sketches, lambda i: values[distinct[i]])
        original = {int(distinct[i]): int(distinct[j]) for i, j in found.repeats.items()}
        repeats["near duplicate"] = {names[i]: names[j] for i, j in original.items()}
    return repeats


def digest(text: str) -> bytes:
    """16 bytes that two texts share when they are equal but for white space and case."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).digest()[:DIGEST_BYTES]


def find_exact(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each of the digests (documents, 2) the place of the first equal one before it, else -1."""
    import numpy as np

    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    sorted_digests = digests[order]
    new = np.ones(len(digests), dtype=bool)
    new[1:] = (sorted_digests[1:] != sorted_digests[:-1]).any(axis=1)
    firsts = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(order) else order
    found = np.full(len(digests), -1, dtype=np.int64)
    found[order] = np.where(new, -1, firsts)
    return found


def sketch(text: str) -> NDArray[np.uint32]:
    """(25,) numbers, of which two texts share one or more when they are near; zeros for under five words."""
    import numpy as np

    shingles = shingle_set(text).astype(np.uint32)  # the low half
    if not len(shingles):
        return np.zeros(BANDS, dtype=np.uint32)
    factors, shifts, mixers = _permutations()
    least = np.full(BANDS * ROWS, 0xFFFFFFFF, dtype=np.uint32)
    for start in range(0, len(shingles), SHINGLES_AT_ONCE):
        permuted = np.multiply.outer(factors, shingles[start : start + SHINGLES_AT_ONCE])
        permuted += shifts[:, None]
        np.minimum(least, permuted.min(axis=1), out=least)
    rows = least.reshape(BANDS, ROWS).astype(np.uint64) * mixers
    mixed = rows.sum(axis=1, dtype=np.uint64)
    return np.maximum((mixed >> np.uint64(32)).astype(np.uint32), 1)  # 0 is for texts without any


def find_near(
    sketches: NDArray[np.uint32],
    text_of: Callable[[int], str],
    given: NDArray[np.bool_] | None = None,
) -> Near:
    """Find the documents that repeat an earlier one; those that are `given` stay, whatever they repeat.

    `sketches` (documents, 25); `text_of` gives a document's text and is asked only for those that share a
    number with another, of which 256 bytes each are remembered.
    """
    import numpy as np

    shared = _shared(sketches)
    places = np.flatnonzero(shared.any(axis=1))
    marks = np.zeros((len(places), MARKS), dtype=np.uint8)
    kept: defaultdict[tuple[int, int], array[int]] = defaultdict(lambda: array("q"))
    shingles = _Shingles(text_of)
    repeats: dict[int, int] = {}
    skipped = 0
    for number, place in enumerate(places.tolist()):
        marks[number] = mark(shingles(place))
        keys = [(band, int(sketches[place, band])) for band in np.flatnonzero(shared[place]).tolist()]
        if given is None or not given[place]:
            earlier = [kept[key][-MOST_ALIKE:] for key in keys]
            skipped += sum(len(kept[key]) - len(some) for key, some in zip(keys, earlier, strict=True))
            others = np.concatenate([np.frombuffer(some, dtype=np.int64) for some in earlier])
            likely = np.unique(places[others[_may_be_near(marks[number], marks[others])]]).tolist()
            likeness = {other: jaccard(shingles(place), shingles(other)) for other in likely}
            most_like = max(likeness, key=lambda other: likeness[other], default=None)
            if most_like is not None and likeness[most_like] >= THRESHOLD:
                repeats[place] = most_like
                continue
        for key in keys:
            kept[key].append(number)
    return Near(repeats, skipped)


def mark(shingles: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(256,) bytes, of which two sets share about the share of their Jaccard similarity; 0 for no hash."""
    import numpy as np

    begin = np.searchsorted(shingles, np.arange(MARKS, dtype=np.uint64) << np.uint64(MARKS_SHIFT))
    least = shingles[np.minimum(begin, len(shingles) - 1)]
    there = least >> np.uint64(MARKS_SHIFT) == np.arange(MARKS, dtype=np.uint64)
    return np.where(there, least % np.uint64(255) + np.uint64(1), 0).astype(np.uint8)


def _may_be_near(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the others (documents, 256) share so many marks with the one that they may be near it."""
    import numpy as np

    empty = one == 0
    more = np.count_nonzero(others[:, empty], axis=1)  # marks that the one lacks
    told = MARKS - np.count_nonzero(empty) + more  # marks of either
    same = (others == one).view(np.uint8).sum(axis=1, dtype=np.uint16)  # those that both lack, too
    alike = same - (np.count_nonzero(empty) - more)
    return alike >= THRESHOLD * told - SPREAD * np.sqrt(told)


def shingle_set(text: str) -> NDArray[np.uint64]:
    """The sorted hashes of the text's different shingles; empty for fewer than five words."""
    import numpy as np

    return np.unique(gram_hashes(word_hashes(text), SHINGLE_WORDS))


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """|a ∩ b| / |a ∪ b| of two sorted arrays without repeats, neither empty."""
    import numpy as np

    places = np.minimum(np.searchsorted(b, a), len(b) - 1)  # a tenth of intersect1d's time
    shared = int((b[places] == a).sum())
    return shared / (len(a) + len(b) - shared)


class _Shingles:
    """Shingle sets by document, kept until there are too many."""

    def __init__(self, text_of: Callable[[int], str]) -> None:
        self._text_of, self._size = text_of, 0
        self._sets: dict[int, NDArray[np.uint64]] = {}

    def __call__(self, place: int) -> NDArray[np.uint64]:
        if place not in self._sets:
            if self._size > SHINGLES_KEPT:
                self._sets.clear()
                self._size = 0
            self._sets[place] = shingle_set(self._text_of(place))
            self._size += len(self._sets[place])
        return self._sets[place]


def _shared(sketches: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which numbers (documents, 25) stand in the same band of another document, too."""
    import numpy as np

    shared = np.zeros(sketches.shape, dtype=bool)
    for band in range(BANDS):
        column = sketches[:, band]
        order = np.argsort(column, kind="stable")
        same = column[order][1:] == column[order][:-1]
        shared[order[1:][same], band] = True
        shared[order[:-1][same], band] = True
    return shared & (sketches != 0)


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64]]:
    """Odd factors and shifts of 125 permutations of 32 bits, and five odd factors to mix a band's rows."""
    import numpy as np

    random = np.random.default_rng(SEED)
    factors = random.integers(0, 2**31, size=BANDS * ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = random.integers(0, 2**32, size=BANDS * ROWS, dtype=np.uint32)
    mixers = random.integers(0, 2**63, size=ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return factors, shifts, mixers


def _named(first: NDArray[np.int64], names: list[str]) -> dict[str, str]:
    return {names[i]: names[first[i]] for i in (first >= 0).nonzero()[0].tolist()}
