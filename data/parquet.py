"""Parquet -> batches of text columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.batch import Batch, ReadError, ReadOptions, Reject
from data.columns import refuse_repeated
from features.strings import string_array

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
PARQUET_BUFFER = 1 << 20  # bytes read at once, so that a row group is streamed


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Batch]:
    """The rows of a Parquet file.

    A file without rows is one batch without rows. Raises ReadError for an unreadable file and for two columns
    of one name; where a row group is damaged, after the rows before it.
    """
    row = 1
    try:
        with pq.ParquetFile(path, buffer_size=PARQUET_BUFFER) as file:
            names = file.schema_arrow.names
            size, all_rows = path.stat().st_size, max(1, file.metadata.num_rows)
            refuse_repeated(names, str(path))
            kept = [name for name in names if options.keeps(name)]
            for records in file.iter_batches(batch_size=options.batch_rows, columns=kept):
                rows = max(1, records.num_rows * options.batch_bytes // max(1, records.nbytes, options.batch_bytes))
                for start in range(0, records.num_rows, rows):
                    part = records.slice(start, rows)
                    batch = text_batch(part, kept, row, path)
                    row += part.num_rows
                    yield replace(batch, offset=size * (row - 1) // all_rows)
            if row == 1:
                yield Batch({name: string_array([]) for name in kept}, np.zeros(0, dtype=np.int64), str(path), False)
    except (pa.ArrowException, OSError) as error:
        place = str(path) if row == 1 else f"{path}:{row}"
        raise ReadError(f"{place}: unreadable Parquet: {str(error).splitlines()[0]}") from error


def text_batch(records: pa.RecordBatch, names: Sequence[str], row: int, path: Path) -> Batch:
    """The rows of one record batch, the first of them numbered `row`."""
    columns: dict[str, pa.StringArray] = {}
    literals: dict[str, NDArray[np.bool_]] = {}
    undecodable: dict[int, str] = {}
    for name, array in zip(names, records.columns, strict=True):
        columns[name], literal = _text_column(array)
        if literal is not None:
            literals[name] = literal
        for index in _undecodable(columns[name]):
            undecodable.setdefault(index, f"column {name!r} is not utf-8")
    numbers = np.arange(row, row + records.num_rows, dtype=np.int64)
    if not undecodable:
        return Batch(columns, numbers, str(path), False, [], literals)
    values = {name: _decoded(column) for name, column in columns.items()}
    rejects = [
        Reject(
            str(path),
            row + index,
            reason,
            _row_text(values, index),
        )
        for index, reason in sorted(undecodable.items())
    ]
    good = [index for index in range(records.num_rows) if index not in undecodable]
    columns = {name: string_array([column[index] for index in good]) for name, column in values.items()}
    literals = {name: mask[good] for name, mask in literals.items()}
    return Batch(columns, numbers[good], str(path), False, rejects, literals)


def _row_text(values: dict[str, list[str | None]], index: int) -> str:
    return json.dumps({name: column[index] for name, column in values.items()}, ensure_ascii=False)


def _text_column(array: pa.Array) -> tuple[pa.StringArray, NDArray[np.bool_] | None]:
    """A Parquet column as strings, and where they are JSON text (None: nowhere).

    Strings and bytes are taken over unchecked. Floats are written as Python writes them, nested values as
    JSON, dates and the like as Arrow writes them.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_string(kind):
        return array, None
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string()), None
    if pa.types.is_binary(kind):
        return array.view(pa.string()), None
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.binary()).view(pa.string()), None
    if pa.types.is_nested(kind):
        pairs = pa.types.is_map(kind)
        return string_array(
            [None if value is None else _ENCODER.encode(dict(value) if pairs else value) for value in array.to_pylist()]
        ), np.ones(len(array), dtype=np.bool_)
    if pa.types.is_floating(kind):
        floats = array.to_pylist()
        finite = np.fromiter((value is not None and math.isfinite(value) for value in floats), np.bool_, len(floats))
        return string_array([None if value is None else str(value) for value in floats]), finite
    number = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    try:
        texts = pc.cast(array, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = string_array([None if value is None else str(value) for value in array.to_pylist()])
    return texts, np.ones(len(array), dtype=np.bool_) if number else None


def _undecodable(array: pa.StringArray) -> list[int]:
    """The indices of the strings that are not UTF-8: Parquet readers do not check."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return [index for index, value in enumerate(_bytes(array)) if value is not None and not _is_utf8(value)]
    return []


def _decoded(array: pa.StringArray) -> list[str | None]:
    """The strings, bytes that are not UTF-8 as backslash escapes."""
    return [None if value is None else value.decode("utf-8", "backslashreplace") for value in _bytes(array)]


def _bytes(array: pa.StringArray) -> list[bytes | None]:
    values: list[bytes | None] = array.view(pa.binary()).to_pylist()
    return values


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
