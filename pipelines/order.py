"""The order of an epoch's windows: a random permutation of any size that is computed place by place.

Nothing of it is kept, so an epoch of 10^12 windows takes no more memory than one of ten, and any process
finds any batch at once. It is the generalised Feistel cipher of Black and Rogaway ("Ciphers with arbitrary
finite domains", CT-RSA 2002, method 3) with a fast mixing function in the place of a secret one: good enough
for an order, no secret.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With so many, all permutations of three to six things are equally frequent over the keys; ten are too few.
ROUNDS = 16
BLOCK = 1024  # places computed at once, and kept with those of the last 63 blocks: 512 KiB


class Order:
    """A permutation of `range(count)`, decided by `seed` and `epoch` alone; `shift` is drawn beside it.

    A place is a pair (left, right) with left < a, right < b and a · b ≥ count. Each round adds a hash of one
    half to the other, modulo its size, which can be undone; pairs beyond `count` are put through again
    (cycle walking): there are fewer than a of them.
    """

    def __init__(self, count: int, seed: int, epoch: int) -> None:
        assert 0 < count < 2**62, count
        # of numpy's streams that of SeedSequence is the one promised to stay as it is
        drawn = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS + 1, np.uint64)
        self._count = np.uint64(count)
        left = math.isqrt(count - 1) + 1
        self._left, self._right = np.uint64(left), np.uint64(-(-count // left))
        self._keys, self._shift = drawn[:ROUNDS], int(drawn[ROUNDS])

    def shift(self, room: int) -> int:
        """A number from 0 to `room`, both included."""
        return self._shift % (room + 1)

    def at(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """What stands at these places of the order, (n,), each from 0 to count - 1."""
        found = self._permute(places.astype(np.uint64))
        while (beyond := found >= self._count).any():
            found[beyond] = self._permute(found[beyond])
        return found.astype(np.int64)

    def _permute(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        right, left = np.divmod(values, self._left)
        for one, other in zip(self._keys[::2], self._keys[1::2], strict=True):
            left = (left + _mix(right, one) % self._left) % self._left
            right = (right + _mix(left, other) % self._right) % self._right
        return right * self._left + left


def window_at(place: int, count: int, seed: int, epoch: int) -> int:
    """The window, of `count`, that stands at a place of an epoch's order."""
    return int(_block(place // BLOCK, count, seed, epoch)[place % BLOCK])


@lru_cache(maxsize=8)
def epoch_order(count: int, seed: int, epoch: int) -> Order:
    """The order of an epoch, made once."""
    return Order(count, seed, epoch)


@lru_cache(maxsize=64)
def _block(number: int, count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A stretch of the order: a thousand places take about as long as one."""
    places = np.arange(number * BLOCK, min((number + 1) * BLOCK, count))
    return epoch_order(count, seed, epoch).at(places)


def _mix(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """64 bits, of which each depends on all of value and key: the end of SplitMix64 (Steele 2014)."""
    mixed = values + key
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
