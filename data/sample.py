"""The few rows of a long input that are kept for a closer look: those with the smallest keys.

With keys that are hashes of row numbers they are a uniform sample of the input; with keys that say how sure a model was
they are the least sure. Rows are kept in a journal and read back one at a time, so memory does not grow with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, overload

import numpy as np
import numpy.typing as npt

from data.checkpoint import Journal

ENTRY: Final = np.dtype([("key", "<f8"), ("number", "<i8"), ("start", "<i8"), ("length", "<i8")])

Row = TypeVar("Row")


class RowSample:
    """The `limit` rows with the smallest keys, of equal ones the first; which does not depend on how rows are batched.

    Parameters: rows and index, the journals, which may hold what a run before had kept; limit, at least 1.
    """

    def __init__(self, rows: Journal, index: Journal, limit: int) -> None:
        self.limit = limit
        self._rows = rows
        self._index = index
        self._entries = np.frombuffer(index.read(0, index.size), ENTRY)
        self._cut()

    def add(
        self, numbers: npt.NDArray[np.int64], keys: npt.NDArray[np.float64], row: Callable[[int], Mapping[str, Any]]
    ) -> None:
        """Offer rows that come after all before: (n,) numbers in the input, (n,) keys; row(place) is kept as JSON."""
        enough = self._entries["key"].max() if len(self._entries) == self.limit else np.inf
        chosen = np.flatnonzero(keys < enough)
        if len(chosen) > self.limit:
            chosen = np.sort(chosen[np.argsort(keys[chosen], kind="stable")[: self.limit]])
        if not len(chosen):
            return
        entries = np.zeros(len(chosen), ENTRY)
        entries["key"], entries["number"] = keys[chosen], numbers[chosen]
        lines = [json.dumps(row(place)).encode("ascii") + b"\n" for place in chosen.tolist()]
        entries["length"] = [len(line) for line in lines]
        entries["start"] = self._rows.size + np.concatenate(([0], np.cumsum(entries["length"])))[:-1]
        self._rows.append(b"".join(lines))
        self._index.append(entries.tobytes())
        self._entries = np.concatenate((self._entries, entries))
        self._cut()

    def _cut(self) -> None:
        if len(self._entries) > self.limit:
            order = np.argsort(self._entries["key"], kind="stable")[: self.limit]
            self._entries = self._entries[np.sort(order)]  # in the order of the input, of equal keys the first

    def kept(self, build: Callable[[int, Mapping[str, Any]], Row]) -> Sequence[Row]:
        """The rows kept, in the order of the input; each is read, and built of its number and JSON, when asked for."""
        return _Kept(self._rows, self._entries, build)


class _Kept(Sequence[Row]):
    def __init__(
        self, rows: Journal, entries: npt.NDArray[np.void], build: Callable[[int, Mapping[str, Any]], Row]
    ) -> None:
        self._rows = rows
        self._entries = entries
        self._build = build

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return _Kept(self._rows, self._entries[place], self._build)
        entry = self._entries[place]
        line = self._rows.read(int(entry["start"]), int(entry["length"]))
        return self._build(int(entry["number"]), json.loads(line))


def uniform_keys(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Numbers (n,) hashed to 0 up to 1, evenly: splitmix64 (Steele, Lea and Flood, 2014)."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) / 2.0**64
