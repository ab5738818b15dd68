"""Which rows of a batch can be labelled, what is in which column, and which columns are passed through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.batch import Batch, ReadError, Reject, json_string
from data.columns import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, find_column
from features.arrays import arrow_array

DATE_COLUMNS: Final = ("date", "tanggal", "published_at", "publish_date", "pub_date", "tanggal_terbit", "created_at")


@dataclass(frozen=True)
class Columns:
    """The names of columns as the user gave them; None for the usual names."""

    text: str | None = None
    title: str | None = None
    id: str | None = None
    date: str | None = None


@dataclass(frozen=True, eq=False)
class PickedRows:
    """The rows of a batch that can be labelled, n of them, and those that cannot.

    rows: the batch. places: (n,), which of its rows. numbers: (n,), of these rows in the whole input, from 1.
    ids: (n,), JSON texts. texts, titles, dates: string arrays (n,), None where there is no such column. kept: the
    columns to pass through with their output names. rejected: the others, in line order. undecodable: how many of these
    are not in the encoding they were read in.
    """

    rows: Batch
    places: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    ids: list[str]
    texts: pa.StringArray
    titles: pa.StringArray | None
    dates: pa.StringArray | None
    kept: dict[str, str]
    rejected: list[Reject]
    undecodable: int


@dataclass
class _Found:
    """What is in which column of the file being read."""

    path: str = ""
    columns: dict[str, str | None] = field(default_factory=dict)


class RowPicker:
    """Goes through the batches of an input in their order.

    Parameters
    ----------
    columns: names that the user gave.
    own: names that the output gives to its own columns; None if no column of the input is passed through.
    objects: whether rows of the output name their columns. Else it is a table, whose columns are settled by its first
        batch, and a row with another is rejected rather than cut.
    dated: whether dates are wanted.
    encoding: in which the input is read.
    """

    def __init__(
        self,
        columns: Columns,
        own: Collection[str] | None = None,
        objects: bool = False,
        dated: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        self._wanted = columns
        self._own = own
        self._objects = objects
        self._dated = dated
        self._encoding = encoding
        self._found = _Found()
        self._before = 0  # rows of the batches before
        self._header: dict[str, str] | None = None  # input column -> output column, once a table's header is settled

    def skip(self, rows: Batch) -> None:
        """Pass over a batch that has been dealt with, remembering what it says of those after it."""
        _, _, identity = self._columns(rows)
        self._columns_kept(rows, identity)
        self._before += len(rows) + len(rows.rejects)

    def pick(self, rows: Batch) -> PickedRows:
        """The rows that can be labelled.

        Raises ReadError, naming the file, if there is no column of texts, or none of a name that was given.
        """
        text, title, identity = self._columns(rows)
        kept, reasons = self._columns_kept(rows, identity)
        _find_unfit(rows, text, title, reasons)
        places = np.array([place for place in range(len(rows)) if place not in reasons], dtype=np.int64)
        rejected = list(rows.rejects)
        undecodable = sum(reject.reason.endswith(f"is not {self._encoding}") for reject in rejected)
        if reasons:
            cells = {json_string(name): rows.json_texts(name) for name in rows.columns}
            for place, reason in reasons.items():
                row = ", ".join(
                    f"{name}: {values[place]}" for name, values in cells.items() if values[place] is not None
                )
                rejected.append(Reject(rows.path, int(rows.lines[place]), reason, f"{{{row}}}"))
            rejected.sort(key=lambda reject: reject.line)

        # Rows are numbered as they stand in the input, those set aside included.
        before = np.searchsorted([reject.line for reject in rows.rejects], rows.lines[places])
        numbers = self._before + places + before + 1
        self._before += len(rows) + len(rows.rejects)
        given = [None] * len(rows) if identity is None else rows.json_texts(identity)
        ids = [
            str(number) if given[place] in (None, "null", '""') else str(given[place])
            for place, number in zip(places.tolist(), numbers.tolist(), strict=True)
        ]
        chosen = arrow_array(places)
        date = self._found.columns.get("date")
        return PickedRows(
            rows,
            places,
            numbers,
            ids,
            rows.column(text).take(chosen),
            None if title is None else rows.column(title).take(chosen),
            None if date is None else rows.column(date).take(chosen),
            kept,
            rejected,
            undecodable,
        )

    def _columns(self, rows: Batch) -> tuple[str, str | None, str | None]:
        """The names of the text, title and id columns; those found in a file hold for the rest of it.

        Raises ReadError when there is none for the text, or none of a name that was given.
        """
        if rows.path != self._found.path:
            self._found = _Found(rows.path)
        found = self._found.columns
        if rows.columns or len(rows):  # else all rows so far are broken, and there is no telling
            for what, given, usual in (
                ("text", self._wanted.text, TEXT_COLUMNS),
                ("title", self._wanted.title, TITLE_COLUMNS),
                ("id", self._wanted.id, ID_COLUMNS),
                *((("date", self._wanted.date, DATE_COLUMNS),) if self._dated else ()),
            ):
                if found.get(what) is None:
                    try:
                        found[what] = find_column(rows.columns, given, usual, what)
                    except ReadError as error:
                        raise ReadError(f"{rows.path}: {error}") from None
            if found["text"] is None:
                raise ReadError(
                    f"{rows.path}: found no text column among {', '.join(rows.columns) or 'none'}; "
                    f"expected one of {', '.join(TEXT_COLUMNS)}, or name it with --text-column"
                )
        return found.get("text") or TEXT_COLUMNS[0], found.get("title"), found.get("id")

    def _columns_kept(self, rows: Batch, identity: str | None) -> tuple[dict[str, str], dict[int, str]]:
        """The input columns to pass through with their output names, and rows with a column that came too late."""
        if self._own is None:
            return {}, {}
        kept: dict[str, str] = {}
        for name in rows.columns:
            if name != identity:
                kept[name] = name
                while kept[name] in self._own or (kept[name] != name and kept[name] in rows.columns):
                    kept[name] = f"input_{kept[name]}"
        if self._objects:
            return kept, {}
        if self._header is None and kept:
            self._header = kept
        late: dict[int, str] = {}
        for name in (name for name in kept if name not in (self._header or {})):
            for place in (place for place, given in enumerate(rows.column(name).is_valid().to_pylist()) if given):
                late.setdefault(
                    place, f"column {name!r} is not among those of the first rows, which make the table's header"
                )
        return self._header or {}, late


def _find_unfit(rows: Batch, text: str, title: str | None, reasons: dict[int, str]) -> None:
    """Add the rows whose text is no text."""
    texts: Sequence[str | None] = rows.column(text).to_pylist()
    heads: Sequence[str | None] = rows.column(title).to_pylist()
    for place, (value, head, literal) in enumerate(zip(texts, heads, rows.literal(text).tolist(), strict=True)):
        if literal and value is not None:
            reasons[place] = f"{text} is {value[:40]}, expected a string"
        elif not (value or "").strip() and not (head or "").strip():
            reasons[place] = f"{text} is empty, expected an article"
