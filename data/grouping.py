"""Rows to batches whose ends depend on the rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.batch import ReadError, ReadOptions


class Rows(Protocol):
    """Consecutive rows, those to be rejected included."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row as it stands in the input, shape (rows,)."""

    def part(self, start: int, stop: int) -> Self:
        """The rows from `start` up to `stop`."""


SomeRows = TypeVar("SomeRows", bound=Rows)


def groups(pieces: Iterable[SomeRows], options: ReadOptions) -> Iterator[list[SomeRows]]:
    """The pieces, cut where a batch is full: with `batch_rows` rows, or when its rows take `batch_bytes` bytes.

    If the pieces end in a ReadError, the rows before it are handed over first.
    """
    gathered: list[SomeRows] = []
    rows = size = 0
    fault: ReadError | None = None
    pieces = iter(pieces)
    while True:
        try:
            piece = next(pieces, None)
        except ReadError as error:
            fault, piece = error, None
        if piece is None:
            break
        sizes = piece.sizes
        ends = np.cumsum(sizes)
        start = 0
        while start < len(sizes):
            before = int(ends[start - 1]) if start else 0
            filling = int(np.searchsorted(ends, before + options.batch_bytes - size))  # the row that fills the batch
            stop = min(start + options.batch_rows - rows, filling + 1, len(sizes))
            gathered.append(piece if stop - start == len(sizes) else piece.part(start, stop))
            rows += stop - start
            size += int(ends[stop - 1]) - before
            start = stop
            if rows >= options.batch_rows or size >= options.batch_bytes:
                yield gathered
                gathered, rows, size = [], 0, 0
    if gathered:
        yield gathered
    if fault is not None:
        raise fault
