"""A hash table in numpy: the values of whole arrays of keys at once."""

from __future__ import annotations

import math
import os
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=np.generic)
Keys = npt.NDArray[np.unsignedinteger[Any]]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

_FUNCTIONS: Final = 16  # hash functions that are tried for a table, of which the first nearly always does
_TRIALS: Final = 2048  # multipliers that are tried for the buckets of a table, which takes some hundreds at most
_LARGEST: Final = 2**15 - 1  # keys of a bucket; more count as so many, for numpy sorts numbers of 16 bits fast
_HALF: Final = np.uint64(32)
_ALL_OF: Final = {2: 0x0101, 4: 0x01010101}  # so many bools that are True, as one integer


class HashTable(Generic[Value]):
    """A value for each key; written once, then only read.

    A perfect hash function by "hash and displace" (R. Pagh, 1999): keys are dealt into buckets of one or two, and
    each bucket has a multiplier, found by trial, that gives each of its keys a slot of its own. So a look-up takes the
    same few passes of numpy whether keys are there or not, at a cost that does not grow with the table; the key in the
    slot is compared in full. (`pyarrow.compute.index_in` would build its table anew at every call.)

    Parameters: keys, each once: (n_keys,), or (n_keys, 2) or (n_keys, 4) where so many numbers make a key; values,
    (n_keys,); missing, the value of a key that is not there. Raises ValueError for a key that stands twice.
    """

    def __init__(self, keys: Keys, values: npt.NDArray[Value], missing: int):
        bits = max((len(keys) + len(keys) // 4).bit_length(), 3)  # four fifths of the slots are taken, or fewer
        self._shift, self._bucket_shift = np.uint64(64 - bits), np.uint64(65 - bits)
        for _ in range(_FUNCTIONS):
            self._addend, self._factor, *factors = _odd_numbers(2 * math.prod(keys.shape[1:]))
            self._factors = list(zip(factors[::2], factors[1::2], strict=True))  # for a key's second number, third, ...
            found = _slots_apart(self._mixed(keys), self._bucket_shift, self._shift)
            if found is not None:
                break
        else:
            raise ValueError("found keys that no hash function tells apart, expected each once")
        self._slots, self._multipliers = found
        # A slot that is free, as slot 0 always is, has the value of what is missing, and the first key,
        # whose own slot is another.
        self._keys = np.empty((1 << bits, *keys.shape[1:]), keys.dtype)
        self._keys[:] = keys[0] if len(keys) else 0
        self._values = np.full(1 << bits, missing, values.dtype)
        self._keys[self._slots], self._values[self._slots] = keys, values

    def __len__(self) -> int:
        return self._slots.size

    @property
    def keys(self) -> Keys:
        """The keys, as they were given."""
        return self._keys[self._slots]

    @property
    def values(self) -> npt.NDArray[Value]:
        """Their values: (n_keys,)."""
        return self._values[self._slots]

    def get(self, keys: Keys) -> npt.NDArray[Value]:
        """The value of each of some keys, `missing` for one that is not there: (n,)."""
        slots, there = self._places(keys)
        # The slot of another key becomes slot 0. By a product, because a choice (`where`, a mask as index) takes
        # several times as long where the processor cannot foretell it.
        slots *= there
        return self._values.take(slots)

    def find(self, keys: Keys) -> tuple[Positions, npt.NDArray[Value]]:
        """Which of some keys are there, as places in `keys`, and the values of these: (n_found,) each."""
        slots, there = self._places(keys)
        found = there.nonzero()[0] if len(self) else np.zeros(0, np.int64)
        return found, self._values.take(slots.take(found))

    def _places(self, keys: Keys) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """The only slot where each key can be, and whether it is there: (n,) each."""
        mixed = self._mixed(keys)
        multiplied = self._multipliers.take((mixed >> self._bucket_shift).view(np.int64))
        multiplied *= mixed
        multiplied >>= self._shift
        slots = multiplied.view(np.int64)
        same = self._keys.take(slots, axis=0) == keys
        if same.ndim == 2:  # (n, 2) or (n, 4) bools: those of a key as one integer
            same = same.view(f"u{same.shape[1]}")[:, 0] == _ALL_OF[same.shape[1]]
        return slots, same

    def _mixed(self, keys: Keys) -> Numbers:
        """Keys as numbers whose upper bits are well mixed: (n,)."""
        first, *rest = (keys,) if keys.ndim == 1 else keys.T
        mixed: Numbers = first.astype(np.uint64, copy=False) * self._factor
        for column, (before, behind) in zip(rest, self._factors, strict=True):
            # A product's lower bits know nothing of the upper ones: without this, words that differ only in their 8th
            # and their 16th letter would be few numbers.
            mixed ^= mixed >> _HALF
            mixed *= before
            mixed ^= column
            mixed *= behind
        mixed += self._addend  # else the key 0 would become 0, which no multiplier moves
        return mixed


def _slots_apart(mixed: Numbers, bucket_shift: np.uint64, shift: np.uint64) -> tuple[Positions, Numbers] | None:
    """A slot of its own for each key, none of them 0, (n_keys,), and the multipliers of the buckets, (n_buckets,).

    Parameters: mixed, the keys (n_keys,); shifts, which leave of 64 bits those of a bucket, and those of a slot.
    Returns None if the multipliers that were tried did not suffice.
    """
    buckets = (mixed >> bucket_shift).view(np.int64)
    n_buckets, n_slots = 1 << 64 - int(bucket_shift), 1 << 64 - int(shift)
    multipliers, slots = np.ones(n_buckets, np.uint64), np.empty(mixed.size, np.int64)
    taken, claims, fails = np.zeros(n_slots, np.bool_), np.empty(n_slots, np.int64), np.zeros(n_buckets, np.bool_)
    taken[0] = True
    trials = iter(_odd_numbers(_TRIALS))
    # Buckets of many keys first, while there is room; all of a size together.
    sizes = np.bincount(buckets).clip(max=_LARGEST).astype(np.int16).take(buckets)
    order = sizes.argsort(kind="stable")[::-1]
    for left in np.split(order, np.bincount(sizes)[:0:-1].cumsum()):
        numbers, of_bucket = mixed.take(left), buckets.take(left)
        while left.size:
            multiplier = next(trials, None)
            if multiplier is None:
                return None
            wanted = ((numbers * multiplier) >> shift).view(np.int64)
            claimants = np.arange(left.size)
            claims[wanted] = claimants  # the last one stays
            fails[of_bucket.compress((claims.take(wanted) != claimants) | taken.take(wanted))] = True
            failed = fails.take(of_bucket)
            fails[of_bucket] = False
            placed = ~failed
            its_slots = wanted.compress(placed)
            slots[left.compress(placed)] = its_slots
            taken[its_slots] = True
            multipliers[of_bucket.compress(placed)] = multiplier
            left, numbers, of_bucket = (values.compress(failed) for values in (left, numbers, of_bucket))
    return slots, multipliers


def _odd_numbers(n: int) -> Numbers:
    """Random numbers, odd so that to multiply by them loses nothing: (n,).

    They are the system's, so that no one can write words that all fall into one bucket; what a table says does not
    depend on them.
    """
    return np.frombuffer(os.urandom(8 * n), np.uint64) | np.uint64(1)
