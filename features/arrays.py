"""Numbers from numpy to Arrow and back, without importing pandas.

`pyarrow.array(ndarray)` and `Array.to_numpy` import pandas wherever it is installed, which costs a process 0.3 s and
40 MB. See also `features.strings`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


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
