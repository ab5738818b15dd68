"""A hash table in numpy: looks up whole arrays of keys at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.unsignedinteger[Any]]
Positions = npt.NDArray[np.int64]

ABSENT: Final = -1
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP, 6.4)


class HashTable:
    """Keys, each made of one integer or of several, with a number for each; written once, then only read.

    Open addressing with linear probing at a load of an eighth or less: a few passes of numpy settle all keys asked
    for, at a cost that does not grow with the table, and equal keys are compared in full. (`pyarrow.compute.index_in`
    would build its table anew at every call.)

    Parameters: keys, one array (n_keys,) for each integer that a key is made of, each key once; numbers, (n_keys,),
    from 0 to 2**31 - 1.
    """

    def __init__(self, keys: tuple[Keys, ...], numbers: npt.NDArray[np.integer[Any]]):
        bits = max(int(8 * numbers.size).bit_length(), 4)
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._numbers = np.full(1 << bits, ABSENT, np.int32)
        self._keys = tuple(np.zeros(1 << bits, key.dtype) for key in keys)
        places, slots = np.arange(numbers.size), self._slots(keys)
        while places.size:
            free = places[self._numbers[slots[places]] == ABSENT]
            self._numbers[slots[free]] = free  # of several keys that want one slot the last gets it
            places = places[self._numbers[slots[places]] != places]
            slots[places] = (slots[places] + 1) & self._last
        for stored, key in zip(self._keys, keys, strict=True):
            stored[slots] = key
        self._numbers[slots] = numbers

    def find(self, *keys: Keys) -> npt.NDArray[np.int32]:
        """The number of each key, `ABSENT` for one that is not there: (n,)."""
        slots = self._slots(keys)
        found = self._numbers.take(slots)
        # A slot that is free answers `ABSENT`, which is right; one that holds another key sends the search on.
        wrong = self._keys[0].take(slots) != keys[0]
        for stored, key in zip(self._keys[1:], keys[1:], strict=True):
            wrong |= stored.take(slots) != key
        wrong &= found != ABSENT
        left = wrong.nonzero()[0]
        slots = slots[left]
        while left.size:
            slots = (slots + 1) & self._last
            found[left] = self._numbers.take(slots)
            other = found[left] != ABSENT
            different = np.zeros(left.size, bool)
            for stored, key in zip(self._keys, keys, strict=True):
                different |= stored.take(slots) != key[left]
            on = (different & other).nonzero()[0]
            left, slots = left[on], slots[on]
        return found

    def _slots(self, keys: tuple[Keys, ...]) -> Positions:
        mixed = keys[0].astype(np.uint64) * _FACTOR
        for key in keys[1:]:
            mixed = (mixed ^ key) * _FACTOR
        mixed >>= self._shift
        return mixed.view(np.int64)
