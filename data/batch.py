"""Batches of rows, as they come out of every kind of article file, and the rows that could not be read."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.strings import string_array


class ReadError(ValueError):
    """An input that cannot be read, or not to its end; the message is one line and names the file."""


class EmptyError(ReadError):
    """An input that holds nothing at all."""


@dataclass(frozen=True)
class Reject:
    """A row that could not be read.

    `line` is the physical line, counted from 1, on which the row begins (for Parquet: the row); `raw` is the
    row as it stands there, with undecodable bytes shown as `\\xe9`.
    """

    path: str
    line: int
    reason: str
    raw: str


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of one file, column by column.

    columns   name -> Arrow string array, all of length `len(batch)`, null where the row has no value. JSON
              lines may differ in their keys: a batch holds the keys its own rows have, `column()` fills in
              nulls.
    lines     int64 array of shape (rows,): the line (Parquet: the row), from 1, on which each row begins
    path      the file the rows came from; for text files of a folder, which share batches, the folder
    json      whether the rows were JSON lines
    rejects   the rows in between that could not be read, in line order
    literals  name -> boolean array of shape (rows,): True where the column holds JSON text (a number, true,
              an object, an array, an explicit null) rather than a decoded string. A column without an entry
              holds strings only. JSON lines have it, and the numeric, boolean and nested columns of Parquet.
    offset    bytes on disk, compressed as they are, read so far in this call of `read`: what is done of
              `data.inputs.input_bytes`
    delimiter of CSV; None for other formats

    For plain output (CSV, Parquet) a column is written as it stands; for JSON output see `json_texts`.
    """

    columns: dict[str, pa.StringArray]
    lines: NDArray[np.int64]
    path: str
    json: bool
    rejects: list[Reject] = field(default_factory=list)
    literals: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    offset: int = 0
    delimiter: str | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str | None) -> pa.StringArray:
        """The column of that name, or nulls when no row of this batch has it (or `name` is None)."""
        if name is None or name not in self.columns:
            return string_array([None] * len(self))
        return self.columns[name]

    def literal(self, name: str | None) -> NDArray[np.bool_]:
        """Where the column holds JSON text rather than a string: boolean array of shape (rows,)."""
        found = self.literals.get(name) if name is not None else None
        return np.zeros(len(self), dtype=np.bool_) if found is None else found

    def json_texts(self, name: str) -> list[str | None]:
        """The column as JSON text, a row each: what was JSON comes out as it came in, `7` as 7 and `"7"` as
        "7".

        None where the row has no such key, so that the key can be left out again; an explicit null is
        "null". Rows of CSV and Parquet have every key, so there a missing value is "null" too.
        """
        absent = None if self.json else "null"
        return [
            ("null" if literal else absent) if text is None else text if literal else json_string(text)
            for text, literal in zip(self.column(name).to_pylist(), self.literal(name).tolist(), strict=True)
        ]


@dataclass(frozen=True)
class ReadOptions:
    """What a caller of `data.reader.read` asked for; see there."""

    batch_rows: int
    batch_bytes: int
    encoding: str
    columns: Collection[str] | None
    delimiter: str | None

    def keeps(self, name: str) -> bool:
        """Whether the column of that name was asked for."""
        return self.columns is None or name in self.columns


def json_string(text: str) -> str:
    """A string as JSON text, its characters kept as they are where JSON allows."""
    return json.dumps(text, ensure_ascii=False)
