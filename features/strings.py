"""Python strings to Arrow string arrays, without importing pandas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_BYTES = np.iinfo(np.int32).max


def string_array(values: Sequence[str | None]) -> pa.StringArray:
    """The values as a `pyarrow.StringArray` of the same length; None becomes null.

    A lone surrogate, which UTF-8 cannot hold, becomes "?". `pyarrow.array(list)` would give the same array,
    but it imports pandas wherever pandas is installed, which costs a child process 0.3 s and 40 MB.

    Raises OverflowError when the strings take more than 2 GiB together: a string array counts bytes in 32
    bits.
    """
    data, bounds = bytearray(), [0]
    for value in values:
        if value is not None:
            data += value.encode("utf-8", "replace")
        bounds.append(len(data))
    if None not in values:
        return _array(data, bounds)
    present = np.fromiter((value is not None for value in values), dtype=np.bool_, count=len(values))
    return _array(data, bounds, present)


def article_array(texts: Sequence[str], titles: Sequence[str] | None = None) -> pa.StringArray:
    """Articles, each `title + newline + text + newline`, or without a title if none are given: (n_articles,).

    The same array as `features.clean.articles_of` makes of two, with one copy instead of three. Raises OverflowError
    as `string_array` does.
    """
    data, bounds = bytearray(), [0]
    if titles is None:
        for text in texts:
            data += text.encode("utf-8", "replace")
            data += b"\n"
            bounds.append(len(data))
    else:
        for title, text in zip(titles, texts, strict=True):
            data += title.encode("utf-8", "replace")
            data += b"\n"
            data += text.encode("utf-8", "replace")
            data += b"\n"
            bounds.append(len(data))
    return _array(data, bounds)


def _array(data: bytearray, bounds: list[int], present: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """The strings that stand one after the other in `data`, null where they are not `present`, if any is not."""
    if bounds[-1] > MAX_BYTES:
        raise OverflowError(f"{bounds[-1]} bytes of text in one array, expected at most {MAX_BYTES}")
    bitmap = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    offsets = pa.py_buffer(np.array(bounds, np.int32))
    absent = 0 if present is None else present.size - int(present.sum())
    return pa.StringArray.from_buffers(len(bounds) - 1, offsets, pa.py_buffer(data), bitmap, absent)
