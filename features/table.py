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
    """The places of keys in an array of them; written once, then only read.

    Open addressing with linear probing at a load of an eighth or less: a few passes of numpy settle all keys asked
    for, at a cost that does not grow with the table, and equal keys are compared in full. (`pyarrow.compute.index_in`
    would build its table anew at every call.) Slots hold places only and the keys lie close together, so that what is
    asked for most stays in the processor's cache.

    Parameters: keys, one array (n_keys,) for each integer that a key is made of, each key once.
    """

    def __init__(self, *keys: Keys):
        n_keys = keys[0].size
        bits = max(int(8 * n_keys).bit_length(), 4)
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._places = np.full(1 << bits, ABSENT, np.int32)
        # One key more, behind the others: `ABSENT` as a place asks for the last.
        self._keys = tuple(np.concatenate((key, np.zeros(1, key.dtype))) for key in keys)
        places, slots = np.arange(n_keys), self._slots(keys)
        while places.size:
            free = places[self._places[slots[places]] == ABSENT]
            self._places[slots[free]] = free  # of several keys that want one slot the last gets it
            places = places[self._places[slots[places]] != places]
            slots[places] = (slots[places] + 1) & self._last

    @property
    def keys(self) -> tuple[Keys, ...]:
        """The keys, in order: as they were given."""
        return tuple(key[:-1] for key in self._keys)

    def find(self, *keys: Keys) -> npt.NDArray[np.int32]:
        """The place of each key among those given, `ABSENT` for one that is not there: (n,)."""
        slots = self._slots(keys)
        found = self._places.take(slots)
        # A slot that is free answers `ABSENT`, which is right; one that holds another key sends the search on.
        left = self._others(found, keys).nonzero()[0]
        slots = slots[left]
        while left.size:
            slots = (slots + 1) & self._last
            there = self._places.take(slots)
            found[left] = there
            on = self._others(there, tuple(key[left] for key in keys)).nonzero()[0]
            left, slots = left[on], slots[on]
        return found

    def _others(self, places: npt.NDArray[np.int32], keys: tuple[Keys, ...]) -> npt.NDArray[np.bool_]:
        """Where a place holds another key than the one asked for: (n,)."""
        others: npt.NDArray[np.bool_] = self._keys[0].take(places) != keys[0]
        for stored, key in zip(self._keys[1:], keys[1:], strict=True):
            others |= stored.take(places) != key
        others &= places != ABSENT
        return others

    def _slots(self, keys: tuple[Keys, ...]) -> Positions:
        mixed = keys[0].astype(np.uint64) * _FACTOR
        for key in keys[1:]:
            mixed ^= key
            mixed *= _FACTOR
        mixed >>= self._shift
        return mixed.view(np.int64)
