"""Words and n-grams of a text as 64-bit numbers, the same in every process, to compare texts in bulk."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD = re.compile(r"\w+")
KEPT = 500_000  # words whose numbers a process remembers
ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: its powers are odd and far apart

_numbers: dict[str, int] = {}


def word_hashes(text: str) -> NDArray[np.uint64]:
    """A number for each word (letters, digits, underscores) of the text, the same for either case."""
    import numpy as np

    words = WORD.findall(text)
    if len(_numbers) > KEPT:
        _numbers.clear()
    for word in set(words).difference(_numbers):
        digest = hashlib.blake2b(word.lower().encode("utf-8", "surrogatepass"), digest_size=8).digest()
        _numbers[word] = int.from_bytes(digest, "little")
    return np.fromiter(map(_numbers.__getitem__, words), dtype=np.uint64, count=len(words))


def gram_hashes(words: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """A number for each run of `n` of the words, in order; empty when there are fewer.

    A polynomial in the words' numbers, modulo 2^64, its two halves then mixed.
    """
    import numpy as np

    if len(words) < n:
        return np.empty(0, dtype=np.uint64)
    runs = len(words) - n + 1
    sums = np.zeros(runs, dtype=np.uint64)
    for place in range(n):  # faster than one product with a window of n columns
        sums += words[place : place + runs] * np.uint64(pow(ODD, place + 1, 2**64))
    return sums ^ (sums >> np.uint64(32))
