"""Find documents that repeat an earlier one, exactly or nearly.

Nearly means a Jaccard similarity of at least 0.8 between the sets of five-word shingles (Broder 1997; Lee
2022 takes the same two numbers). MinHash with locality-sensitive hashing only proposes pairs; each is then
checked on the sets themselves, so that nothing is dropped by an unlucky hash.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE_WORDS = 5
THRESHOLD = 0.8
PERMUTATIONS = 128
SEED = 1  # of the permutations
BANDS = (25, 5)  # 25 bands of 5 rows propose a pair at the threshold with 1 - (1 - 0.8^5)^25 = 0.99995
_WORD = re.compile(r"\w+")


def find_repeats(texts: Mapping[str, str], *, near: bool = True) -> dict[str, dict[str, str]]:
    """Reason -> {id of a text: id of the earlier text that it repeats and that stays}.

    Exact: equal but for white space and case. Near: as above; texts of fewer than five words are never near.
    Deterministic in the texts and their order.
    """
    exact = _find_exact(texts)
    repeats = {"exact duplicate": exact}
    if near:
        distinct = {name: text for name, text in texts.items() if name not in exact}
        repeats["near duplicate"] = _find_near(distinct)
    return repeats


def _find_exact(texts: Mapping[str, str]) -> dict[str, str]:
    first: dict[bytes, str] = {}
    for name, text in texts.items():
        first.setdefault(_digest(text), name)
    return {name: first[_digest(text)] for name, text in texts.items() if first[_digest(text)] != name}


def _digest(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).digest()


def _find_near(texts: Mapping[str, str]) -> dict[str, str]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
    kept: dict[str, NDArray[np.uint64]] = {}
    repeats: dict[str, str] = {}
    for name, shingles in zip(texts, _shingle_sets(texts.values()), strict=True):
        if not len(shingles):
            continue
        sketch = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashfunc=int, scheme="affine32")
        sketch.update_batch(shingles & 0xFFFFFFFF)
        likeness = {other: jaccard(shingles, kept[other]) for other in sorted(index.query(sketch))}
        most_like = max(likeness, key=lambda other: likeness[other], default=None)
        if most_like is not None and likeness[most_like] >= THRESHOLD:
            repeats[name] = most_like
        else:
            index.insert(name, sketch)
            kept[name] = shingles
    return repeats


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """|a ∩ b| / |a ∪ b| of two sorted arrays without repeats."""
    import numpy as np

    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _shingle_sets(texts: Iterable[str]) -> Iterator[NDArray[np.uint64]]:
    """For each text the sorted 64-bit hashes of its shingles: words are numbered once, then mixed in bulk."""
    import numpy as np

    numbers: defaultdict[str, int] = defaultdict(count(1).__next__)
    factors = np.random.default_rng(0).integers(1, 2**63, size=SHINGLE_WORDS, dtype=np.uint64) * 2 + 1  # odd
    for text in texts:
        words = np.array([numbers[word] for word in _WORD.findall(text.lower())], dtype=np.uint64)
        if len(words) < SHINGLE_WORDS:
            yield np.empty(0, dtype=np.uint64)
            continue
        windows = np.lib.stride_tricks.sliding_window_view(words, SHINGLE_WORDS)
        sums = (windows * factors).sum(axis=1, dtype=np.uint64)  # modulo 2^64, the wrap-around intended
        yield np.unique(sums ^ (sums >> np.uint64(32)))  # so that the low half, MinHash's, has it all
