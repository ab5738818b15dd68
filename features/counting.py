"""How often each number stands in each row: the terms of documents, counted a batch at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from features.arrays import pieces

Numbers = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]

FILLING: Final = int(np.iinfo(np.int32).max)  # stands behind the numbers of a row; larger than any of them
_WIDTHS: Final = 1 << np.arange(4, 48, dtype=np.int64)  # 16, 32, 64, ...


def count_rows(numbers: Numbers, bounds: Positions, rows: Positions) -> tuple[Positions, Numbers, Positions]:
    """The distinct numbers of each row, ascending, and how often each stands there.

    Each row is sorted by itself, those of about the same length together: a processor sorts a few hundred numbers in
    its registers. To sort all rows at once takes three times as long, on some (AMD's Zen 4) thirty times.

    Parameters: numbers, (n,), not negative and below `FILLING`; bounds, (n_pieces + 1,), ascending from 0 to n: piece i
    is `numbers[bounds[i] : bounds[i + 1]]`; rows, (n_rows, k + 1), the k pieces that make up each row, and in the last
    column n_pieces, n_pieces + 1, ...: room for what fills it up.
    Returns: where each row begins and the last one ends, (n_rows + 1,); distinct numbers and their counts, (n_found,).
    """
    offsets = np.zeros(len(rows) + 1, np.int64)
    if not len(rows):
        return offsets, numbers[:0], offsets[:0]
    lengths = (bounds[1:] - bounds[:-1]).take(rows[:, :-1]).sum(axis=1)
    widths = _WIDTHS.take(_WIDTHS.searchsorted(lengths, side="right"))  # room for one number more, at least
    fillings = (widths - lengths).cumsum()
    order = widths.argsort(kind="stable")
    ordered = widths.take(order)
    ends = ordered.cumsum()
    # The rows one after the other, the narrow ones first.
    numbers = np.concatenate((numbers, np.full(fillings[-1], FILLING, np.int32)))
    values = pieces(numbers, np.concatenate((bounds, fillings + bounds[-1])), rows.take(order, axis=0).ravel())
    begin = 0
    for row in (*(ordered[1:] != ordered[:-1]).nonzero()[0].tolist(), -1):  # the last one of each width
        end = int(ends[row])
        values[begin:end].reshape(-1, int(ordered[row])).sort(axis=1)
        begin = end

    change = np.empty(values.size, np.bool_)
    change[0] = True
    np.not_equal(values[1:], values[:-1], out=change[1:])
    change[ends[:-1]] = True  # where a row begins that has no number
    first = change.nonzero()[0]
    counts = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=counts[:-1])
    counts[-1] = values.size - first[-1]
    found = values.take(first)
    # The last of each row is its filling.
    is_filling = found == FILLING
    last = is_filling.nonzero()[0]
    if ordered[0] == ordered[-1]:
        inside = ~is_filling
        np.subtract(last, np.arange(len(rows)), out=offsets[1:])
        return offsets, found.compress(inside), counts.compress(inside)
    # The rows come back into their order: pieces of what was found, of which every other one is filling.
    bounds = np.zeros(2 * len(rows) + 1, np.int64)
    bounds[1::2], bounds[2::2] = last, last + 1
    place = np.empty_like(order)
    place[order] = np.arange(0, 2 * len(rows), 2)
    np.cumsum((bounds[1:] - bounds[:-1]).take(place), out=offsets[1:])
    return offsets, pieces(found, bounds, place), pieces(counts, bounds, place)
