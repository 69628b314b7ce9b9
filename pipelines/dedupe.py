"""Find documents that repeat an earlier one, exactly or nearly.

Nearly means a Jaccard similarity of at least 0.8 between the sets of five-word shingles (Broder 1997; the setting of
GPT-3 and of The Pile is of this kind). MinHash with locality-sensitive hashing only proposes pairs; each is then checked on
the sets themselves, so that nothing is dropped by an unlucky hash.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE_WORDS = 5
THRESHOLD = 0.8
PERMUTATIONS = 128
_WORD = re.compile(r"\w+")


def find_exact(texts: Sequence[str]) -> dict[int, int]:
    """Index of each text that equals an earlier one but for white space and case -> index of that first one."""
    first: dict[bytes, int] = {}
    repeats: dict[int, int] = {}
    for index, text in enumerate(texts):
        digest = hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
        earlier = first.setdefault(digest, index)
        if earlier != index:
            repeats[index] = earlier
    return repeats


def find_near(texts: Sequence[str], threshold: float = THRESHOLD, seed: int = 1) -> dict[int, int]:
    """Index of each text that nearly repeats an earlier kept one -> index of the one it is most like.

    Deterministic in the order of the texts. Texts of fewer than five words are never near-duplicates.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    kept: dict[int, NDArray[np.uint64]] = {}
    repeats: dict[int, int] = {}
    for number, shingles in enumerate(_shingle_sets(texts)):
        if not len(shingles):
            continue
        sketch = MinHash(num_perm=PERMUTATIONS, seed=seed, hashfunc=int, scheme="affine32")
        sketch.update_batch(shingles & 0xFFFFFFFF)
        likeness = {other: jaccard(shingles, kept[other]) for other in sorted(index.query(sketch))}
        best = max(likeness, key=lambda other: likeness[other], default=None)
        if best is not None and likeness[best] >= threshold:
            repeats[number] = best
        else:
            index.insert(number, sketch)
            kept[number] = shingles
    return repeats


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """|a ∩ b| / |a ∪ b| of two sorted arrays without repeats."""
    import numpy as np

    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _shingle_sets(texts: Sequence[str]) -> Iterator[NDArray[np.uint64]]:
    """For each text the sorted 64-bit hashes of its five-word shingles: words are numbered once, then mixed in bulk."""
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
        yield np.unique(sums ^ (sums >> np.uint64(32)))  # MinHash takes the low half: let the high half count there
