"""A hash table in numpy: looks up whole arrays of keys at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features.arrays import places_of_few

Keys = npt.NDArray[np.unsignedinteger[Any]]
Positions = npt.NDArray[np.int64]

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP, 6.4)


class HashTable:
    """The places of keys in an array of them; written once, then only read.

    Open addressing with linear probing at a load of a quarter or less: a few passes of numpy settle all keys asked
    for, at a cost that does not grow with the table, and equal keys are compared in full. (`pyarrow.compute.index_in`
    would build its table anew at every call.) Slots hold places only and the keys lie close together, so that what is
    asked for most stays in the processor's cache. Of keys that want the same slot the first gets it: give those that
    are asked for most before the others.

    Parameters: keys, each once: (n_keys,), or (n_keys, 2) where two numbers make a key.

    Attributes: absent, the place that `find` gives a key that is not there: behind all others, so that an array of
    what belongs to each key can hold there what belongs to none. It is not -1, because numpy asks of each place whether
    it is negative, and answers that the processor cannot foretell slow a look-up down.
    """

    def __init__(self, keys: Keys):
        self.absent = n_keys = len(keys)
        bits = max(int(4 * n_keys).bit_length(), 4)
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._places = np.full(1 << bits, n_keys, np.int32)
        self._keys = np.concatenate((keys, np.zeros((1, *keys.shape[1:]), keys.dtype)))
        places, slots = np.arange(n_keys), self._slots(keys)
        while places.size:
            free = places[self._places[slots[places]] == n_keys][::-1]
            self._places[slots[free]] = free  # what is written last stays
            places = places[self._places[slots[places]] != places]
            slots[places] = (slots[places] + 1) & self._last

    @property
    def keys(self) -> Keys:
        """The keys, in order: as they were given."""
        return self._keys[:-1]

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        """The place of each of some keys among those given, `absent` for one that is not there: (n,)."""
        slots = self._slots(keys)
        found = self._places.take(slots)
        # A slot that is free answers `absent`, which is right; one that holds another key sends the search on.
        left = self._others(found, keys)
        slots, keys = slots.take(left), keys.take(left, axis=0)
        while left.size:
            slots = (slots + 1) & self._last
            there = self._places.take(slots)
            found[left] = there
            on = self._others(there, keys)
            left, slots, keys = left.take(on), slots.take(on), keys.take(on, axis=0)
        return found

    def _others(self, places: npt.NDArray[np.int32], keys: Keys) -> Positions:
        """Which of the places (n,) hold another key than the one asked for."""
        differ = self._keys.take(places, axis=0) != keys
        # Both numbers as one. Words are mostly there, pairs of stems mostly not.
        others = places_of_few(differ.view(np.uint16)[:, 0] != 0) if differ.ndim == 2 else differ.nonzero()[0]
        return others.compress(places.take(others) != self.absent)

    def _slots(self, keys: Keys) -> Positions:
        first, *rest = (keys,) if keys.ndim == 1 else keys.T
        mixed = first.astype(np.uint64, copy=False) * _FACTOR
        for numbers in rest:
            mixed ^= numbers
            mixed *= _FACTOR
        mixed >>= self._shift
        return mixed.view(np.int64)
