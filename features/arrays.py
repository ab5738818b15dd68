"""Numbers from numpy to Arrow and back, without importing pandas; pieces and spans; the few that a mask marks.

`pyarrow.array(ndarray)` and `Array.to_numpy` import pandas wherever it is installed, which costs a process 0.3 s and
40 MB. See also `features.strings`.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Number = TypeVar("Number", bound=np.generic)
Positions = npt.NDArray[np.int64]

_FEW: Final = 8192  # numbers; to call Arrow takes longer than to fetch so many


def arrow_array(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers (n,) as an Arrow array that shares their memory, null where not `valid` (n,)."""
    values = np.ascontiguousarray(values)
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [bitmap, pa.py_buffer(values)])


def numpy_array(array: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The numbers of an Arrow array without nulls, (n,); they share its memory if it is in one piece."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return np.asarray(np.from_dlpack(array))


def computed(function: str, *arrays: pa.Array) -> Any:
    """What an Arrow function makes of arrays, in memory from the C library.

    Arrow's own pool keeps apart what each thread has freed, and gives it back to the system in between: where two cores
    label new articles, some hundredths of the time went into getting it again.
    """
    return pc.call_function(function, list(arrays), memory_pool=pa.system_memory_pool())


def pieces(values: npt.NDArray[Number], bounds: Positions, which: Positions) -> npt.NDArray[Number]:
    """Pieces of an array, one after the other: piece i is `values[bounds[i] : bounds[i + 1]]`.

    Parameters: values, (n,), in one piece; bounds, (n_pieces + 1,), ascending; which, (n_wanted,), in any order.
    Returns an array of its own, which may be changed. Arrow copies a piece at one go, where an index would fetch number
    by number.
    """
    if values.size < _FEW:
        return values.take(ranges(bounds[which], bounds[which + 1] - bounds[which]))
    buffers = [None, pa.py_buffer(bounds * values.itemsize), pa.py_buffer(values)]
    binary = pa.Array.from_buffers(pa.large_binary(), bounds.size - 1, buffers)
    _, offsets, data = computed("array_take", binary, arrow_array(which)).buffers()
    size = np.frombuffer(offsets, np.int64)[which.size] // values.itemsize
    return np.frombuffer(data, values.dtype, size) if size else values[:0]


def ranges(starts: Positions, lengths: Positions) -> Positions:
    """The integers start, start + 1, ..., start + length - 1 of all spans, one span after the other."""
    total = lengths.cumsum()
    count = int(total[-1]) if total.size else 0
    places: Positions = np.arange(count, dtype=np.int64) + (starts - total + lengths).repeat(lengths)
    return places


def places_of_few(mask: npt.NDArray[np.bool_]) -> Positions:
    """What `mask.nonzero()[0]` gives, in half the time where few are true: (n_true,).

    Parameters: mask, (n,), in one piece. Eight places are passed over at a time where none of them is true.
    """
    whole = mask.size - mask.size % 8
    eights = mask[:whole].view(np.uint64)
    some = (eights != 0).nonzero()[0]
    inside = eights.take(some).view(np.bool_).nonzero()[0]
    places = some.take(inside >> 3)
    places <<= 3
    places += inside & 7
    rest = mask[whole:].nonzero()[0]
    return np.concatenate((places, rest + whole)) if rest.size else places
