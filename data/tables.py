"""CSV -> batches of text columns.

Quotes are as in RFC 4180 and strict, so that a broken one is found where it begins. Blocks of lines are cut into
records and fields by numpy, without Python's lock. Where a block leaves the least doubt, such as a quote that is
neither at the edge of its field nor doubled, or undecodable bytes, it is read again line by line; both ways give the
same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.batch import Batch, EmptyError, ReadError, ReadOptions, Reject, json_string
from data.columns import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, refuse_repeated
from data.grouping import groups
from data.lines import BLOCK, MAX_ROW, Line, Lines, is_utf8, shown, through_first_text, without_line_end
from features.arrays import arrow_array
from features.strings import string_array

DELIMITERS = ",;\t|"
MAX_HEADER_NAME = 120  # characters; anything longer is an article, not the name of a column
QUOTE, LINE_FEED, CARRIAGE_RETURN = b'"\n\r'


class Record(NamedTuple):
    """A CSV record: its physical lines, and its fields or what is wrong with it."""

    lines: list[Line]
    fields: list[str]
    problem: str | None


class Piece(NamedTuple):
    """Consecutive records.

    lines     int64 array of shape (records,): the line, from 1, on which each begins
    sizes     int64 array of shape (records,): their bytes
    bad       int64 array: which of the records, in order, are the rejects
    rejects   those
    columns   the other records' fields, an array of strings each kept column
    """

    lines: NDArray[np.int64]
    sizes: NDArray[np.int64]
    bad: NDArray[np.int64]
    rejects: list[Reject]
    columns: list[pa.StringArray]

    def part(self, start: int, stop: int) -> Piece:
        first, last = np.searchsorted(self.bad, (start, stop)).tolist()
        rows = stop - start - (last - first)
        return Piece(
            self.lines[start:stop],
            self.sizes[start:stop],
            self.bad[first:last] - start,
            self.rejects[first:last],
            [column.slice(start - first, rows) for column in self.columns],
        )


def read_table(lines: Lines, options: ReadOptions, delimiter: str | None) -> Iterator[Batch]:
    """The rows under the header of a CSV text; without a delimiter it is told from the header.

    A table of only a header is one batch without rows. Raises ReadError for a header that is none, EmptyError
    when there is nothing at all.
    """
    start = through_first_text(lines)
    declared = re.fullmatch(r'("?)sep=(.)\1\r?\n?', start[-1].text, re.IGNORECASE) if start else None
    if declared:  # written by spreadsheet programs above the header
        delimiter = delimiter or declared[2]
        start = through_first_text(lines)
    if not start:
        raise EmptyError(f"{lines.path}: empty, expected a header line and rows")
    lines.put_back(start[-1:])
    delimiter = delimiter or _delimiter(start[-1].text)
    reader = _TableReader(lines, delimiter, options)
    names = [reader.names[index] for index in reader.kept]
    found = False
    for pieces in groups(reader, options):
        found = True
        columns = {
            name: pa.concat_arrays([piece.columns[place] for piece in pieces]) for place, name in enumerate(names)
        }
        numbers = np.concatenate([np.delete(piece.lines, piece.bad) for piece in pieces])
        rejects = [reject for piece in pieces for reject in piece.rejects]
        yield Batch(columns, numbers, lines.path, False, rejects, delimiter=delimiter)
    if not found:
        empty = {name: string_array([]) for name in names}
        yield Batch(empty, np.zeros(0, dtype=np.int64), lines.path, False, delimiter=delimiter)


class _TableReader:
    """The records of a table, piece by piece; `names` are its columns, `kept` the places of those asked for."""

    def __init__(self, lines: Lines, delimiter: str, options: ReadOptions):
        self._lines = lines
        self._delimiter = delimiter
        header = self._record()
        assert header is not None, "a line was put back"
        self.names = _names(header, lines.path)
        self.kept = [place for place, name in enumerate(self.names) if options.keeps(name)]

    def __iter__(self) -> Iterator[Piece]:
        lines = self._lines
        while True:
            block = lines.block()
            text = self._utf8(block)
            before = through = lines.number
            clean = False
            if text:
                piece, size, taken, clean = self._cut(block, text)
                lines.take(size, taken)
                if piece is not None:
                    yield piece
                if clean and taken:
                    continue
            if not clean:  # otherwise it is but a record longer than the block
                through = before + block.count(b"\n")
            records, fault = self._in_turn(through)
            if len(records.lines):
                yield records
            if fault is not None:
                raise fault
            if not len(records.lines):
                return

    def _utf8(self, block: bytes) -> bytes | None:
        """The block in UTF-8, line for line; None where a line needs a closer look."""
        if not block or len(self._delimiter.encode()) > 1 or b"\0" in block:
            return None
        try:
            if self._lines.encoding == "utf-8":
                return block if is_utf8(block) else None
            # By the line, for some encodings carry a state on to the next.
            text = "\n".join(raw.decode(self._lines.encoding) for raw in block.split(b"\n"))
            same = text.count("\n") == block.count(b"\n") and "\0" not in text
            return text.encode("utf-8") if same else None
        except UnicodeError:  # UTF-7 even decodes half a character
            return None

    def _cut(self, block: bytes, text: bytes) -> tuple[Piece | None, int, int, bool]:
        """The whole records at the beginning of a block, which is `text` in UTF-8, as far as there is no doubt about
        them; the bytes and the lines of the block they take; whether there is no doubt about the rest of it.
        """
        delimiter = ord(self._delimiter)
        data = np.frombuffer(text, dtype=np.uint8)  # ends with a line feed
        feeds = np.flatnonzero(data == LINE_FEED)
        quotes = np.flatnonzero(data == QUOTE)
        # Quotes open and close in turn, a doubled one closes and opens again. Each must then stand at the edge of a
        # field or beside another; from the first that does not, there is doubt.
        opening, closing = quotes[::2], quotes[1::2]
        before, after = data[opening - 1], data[closing + 1]
        opens = (before == delimiter) | (before == LINE_FEED) | (before == QUOTE)
        doubled = after == QUOTE
        closes = (after == delimiter) | (after == LINE_FEED) | doubled
        closes |= (after == CARRIAGE_RETURN) & (data[np.minimum(closing + 2, len(data) - 1)] == LINE_FEED)
        wrong = np.concatenate((opening[~opens], closing[~closes]))
        certain = int(wrong.min()) if len(wrong) else len(data)

        ends = _outside(feeds[: np.searchsorted(feeds, certain)], quotes)
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1))[: len(ends)]
        stops = ends - (data[ends - 1] == CARRIAGE_RETURN)
        strange = np.flatnonzero((data[starts] == CARRIAGE_RETURN) & (stops > starts))  # blank, or not
        if len(strange):
            starts, ends, stops = (array[: strange[0]] for array in (starts, ends, stops))
        clean = certain == len(data) and not len(strange)
        if not len(ends):
            return None, 0, 0, clean

        first_lines = np.searchsorted(feeds, starts)
        last_lines = np.searchsorted(feeds, ends)
        taken = int(last_lines[-1]) + 1
        raw_feeds = feeds if block is text else np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == LINE_FEED)
        line_starts = np.concatenate(([0], raw_feeds + 1))
        delimiters = _outside(np.flatnonzero(data[: ends[-1]] == delimiter), quotes)
        first = np.searchsorted(delimiters, starts)
        fields = np.searchsorted(delimiters, ends) - first + 1

        filled = stops > starts
        good = filled & (fields == len(self.names))
        bad = np.flatnonzero(good[filled] ^ True)
        numbers = first_lines[filled] + self._lines.number + 1
        rejects = [
            self._reject(number, self._miscounted(count), text[start : end + 1].decode("utf-8"))
            for number, count, start, end in zip(
                numbers[bad].tolist(), fields[filled][bad].tolist(), starts[filled][bad], ends[filled][bad], strict=True
            )
        ]
        first, starts, stops = first[good], starts[good], stops[good]
        columns = []
        for place in self.kept:
            begins = delimiters[first + place - 1] + 1 if place else starts
            finishes = delimiters[first + place] if place < len(self.names) - 1 else stops
            column = _slices(text, data, begins, finishes)
            columns.append(pc.replace_substring(column, '""', '"') if doubled.any() else column)
        sizes = (line_starts[last_lines + 1] - line_starts[first_lines])[filled]
        return Piece(numbers, sizes, bad, rejects, columns), int(line_starts[taken]), taken, clean

    def _in_turn(self, through: int) -> tuple[Piece, ReadError | None]:
        """The next records, read line by line: at least one, if any is left, and those that go on up to the line
        `through`, but no more than a block; and what kept from reading on.
        """
        numbers: list[int] = []
        sizes: list[int] = []
        rows: list[list[str]] = []
        bad: list[int] = []
        rejects: list[Reject] = []
        last = size = 0
        fault: ReadError | None = None
        while not numbers or (last < through and size < BLOCK):
            try:
                record = self._record()
            except ReadError as error:
                fault = error
                break
            if record is None:
                break
            last = record.lines[-1].number
            problem = record.problem
            if problem is None and len(record.fields) != len(self.names):
                problem = self._miscounted(len(record.fields))
            if problem is None:
                rows.append(record.fields)
            else:
                text = "".join(line.text for line in record.lines)
                bad.append(len(numbers))
                rejects.append(self._reject(record.lines[0].number, problem, text))
            numbers.append(record.lines[0].number)
            sizes.append(sum(line.size for line in record.lines))
            size += sizes[-1]
        columns = [string_array([row[place] for row in rows]) for place in self.kept]
        return Piece(_integers(numbers), _integers(sizes), _integers(bad), rejects, columns), fault

    def _miscounted(self, fields: int) -> str:
        return f"{fields} fields, expected {len(self.names)} as in the header"

    def _reject(self, number: int, problem: str, text: str) -> Reject:
        return Reject(self._lines.path, number, problem, shown(text, self._lines.encoding))

    def _record(self) -> Record | None:
        """The next record, None at the end. One with a broken quote is its first line alone."""
        line = self._lines.line()
        while line is not None and not line.text.strip("\r\n"):
            line = self._lines.line()
        if line is None:
            return None
        taken = [line]
        problem = None
        if '"' in line.text:
            fields, problem = _quoted_fields(taken, self._lines, self._delimiter)
            if problem is not None:
                self._lines.put_back(taken[1:])
                del taken[1:]
        else:
            fields = without_line_end(line.text).split(self._delimiter)
        return Record(taken, fields, next((line.problem for line in taken if line.problem), problem))


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _outside(places: NDArray[np.int64], quotes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the places, in order, that have an even number of quotes before them."""
    return places[np.searchsorted(quotes, places) % 2 == 0] if len(quotes) else places


def _slices(
    text: bytes, data: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> pa.StringArray:
    """The fields of the text (its bytes are `data`) that begin and end there, without quotes around them."""
    quoted = data[starts] == QUOTE
    offsets = np.empty(2 * len(starts), dtype=np.int32)  # of each field and of what is between it and the next
    offsets[::2] = starts + quoted
    offsets[1::2] = stops - quoted
    fields_and_gaps = pa.StringArray.from_buffers(max(0, len(offsets) - 1), pa.py_buffer(offsets), pa.py_buffer(text))
    return fields_and_gaps.take(arrow_array(np.arange(0, len(offsets), 2)))


def _delimiter(header: str) -> str:
    """The delimiter of a header line.

    The candidate that cuts out the most names usual for articles, then the one that is there most often
    outside quotes, then the first of `DELIMITERS`.
    """
    bare = re.sub(r'"[^"]*"?', lambda quoted: re.sub(r"[,;\t|]", " ", quoted[0]), header)
    usual = {*TEXT_COLUMNS, *TITLE_COLUMNS, *ID_COLUMNS}

    def rank(delimiter: str) -> tuple[int, int]:
        names = bare.split(delimiter)
        return sum(name.strip().strip('"').casefold() in usual for name in names), len(names)

    return max(DELIMITERS, key=rank)


def _names(header: Record, path: str) -> list[str]:
    """The names of the columns, `column_3` where the third has none."""
    place = f"{path}:{header.lines[0].number}: header"
    if header.problem:
        raise ReadError(f"{place}: {header.problem}")
    if not any(name.strip() for name in header.fields):
        raise ReadError(f"{place}: found no names, expected the names of the columns, such as id,title,text")
    for name in header.fields:
        if (
            len(name) > MAX_HEADER_NAME
            or re.search(r"[\r\n]", name)
            or re.fullmatch(r"[-+]?\d+([.,]\d+)?", name.strip())
        ):
            shown_name = json_string(name if len(name) < 40 else name[:40] + "...")
            raise ReadError(f"{place}: found {shown_name}, expected the names of the columns, such as id,title,text")
    names = [name if name.strip() else f"column_{number}" for number, name in enumerate(header.fields, start=1)]
    refuse_repeated(names, place)
    return names


def _quoted_fields(taken: list[Line], lines: Lines, delimiter: str) -> tuple[list[str], str | None]:
    """The fields of the record that begins on the line in `taken`, and what is wrong with its quotes.

    Lines that a quoted field goes on to are drawn from `lines` and added to `taken`.
    """
    fields: list[str] = []
    text, at, size = taken[0].text, 0, len(taken[0].text)
    while True:
        if not text.startswith('"', at):
            end = text.find(delimiter, at)
            if end < 0:
                return [*fields, without_line_end(text[at:])], None
            fields.append(text[at:end])
            at = end + 1
            continue
        opened, pieces = taken[-1].number, []
        at += 1
        while (end := _closing_quote(text, at)) < 0:
            pieces.append(text[at:])
            line = lines.line() if size < MAX_ROW else None
            if line is None:
                return fields, f"the quote opened on line {opened} is never closed"
            taken.append(line)
            text, at, size = line.text, 0, size + len(line.text)
        pieces.append(text[at:end])
        fields.append("".join(pieces).replace('""', '"'))
        at = end + 1
        if not without_line_end(text[at : at + 2]):
            return fields, None
        if not text.startswith(delimiter, at):
            return fields, (
                f"the quote opened on line {opened} is closed on line {taken[-1].number} at character {at}, "
                f"expected {delimiter!r} or the end of the line after it"
            )
        at += 1


def _closing_quote(text: str, at: int) -> int:
    """Where the first quote from `at` on stands that is not doubled, or -1."""
    end = text.find('"', at)
    while end >= 0 and text.startswith('"', end + 1):
        end = text.find('"', end + 2)
    return end
