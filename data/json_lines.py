"""JSON lines -> batches: strings decoded, every other value kept as the text it is written in.

pyarrow decodes a batch at a time, without Python's lock, where all its rows are alike; what it refuses, and what it
would not give back as it was written (a float, an array), is decoded line by line.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from data.batch import Batch, EmptyError, ReadOptions, Reject, json_string
from data.grouping import groups
from data.lines import Lines, RawLine, shown, without_line_end
from features.strings import string_array

LINE_FEED, CARRIAGE_RETURN, BRACES = ord("\n"), ord("\r"), b"{}"
SPACE = " \t\r\n"
KINDS = {"[": "an array", '"': "a string", "n": "null", "t": "true", "f": "false"}
LARGEST = 1 << 30  # bytes given to pyarrow at once; its limit is 2 GiB
PATIENCE = 64  # batches after which pyarrow is tried again, at most


class Literal(str):
    """JSON text, as opposed to a decoded JSON string."""

    __slots__ = ()


NULL = Literal("null")
NULLS = ("null", "NaN", "Infinity", "-Infinity")
FLAT = {str, Literal}
CONSTANTS: dict[Any, Literal] = {None: NULL, True: Literal("true"), False: Literal("false")}
INTEGER = re.compile(r"-?[0-9]{1,18}")

# Values are decoded only to find where they end; keeping numbers as text also spares Python's limit on their
# length.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
# The same in one go for an object without nested values, whose numbers come out as they are written.
_FLAT_DECODER = json.JSONDecoder(parse_int=Literal, parse_float=Literal, parse_constant=lambda _: NULL)


class Stretch(NamedTuple):
    """Lines that are not blank, in the bytes they were read in.

    text      those bytes
    numbers   int64 array of shape (lines,): the number of each, from 1
    starts    int64 array of shape (lines,): where in `text` each begins
    ends      int64 array of shape (lines,): where its line feed stands, or would
    problem   what is wrong with the one line this is
    """

    text: bytes
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    problem: str | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        return self.ends - self.starts + 1

    def part(self, start: int, stop: int) -> Stretch:
        return Stretch(
            self.text, self.numbers[start:stop], self.starts[start:stop], self.ends[start:stop], self.problem
        )

    def lines(self) -> Iterator[RawLine]:
        for number, start, end in zip(self.numbers.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True):
            yield RawLine(number, self.text[start:end], self.problem)

    def filled(self) -> bytes:
        """The bytes from the first line to the last, with blank lines between them."""
        return self.text[self.starts[0] : self.ends[-1]]

    def holds_objects(self) -> bool:
        """Whether each line begins and ends as a JSON object does."""
        data = np.frombuffer(self.text, dtype=np.uint8)
        last = data[self.ends - 1]
        closed = (last == BRACES[1]) | ((last == CARRIAGE_RETURN) & (data[self.ends - 2] == BRACES[1]))
        return bool((data[self.starts] == BRACES[0]).all() and closed.all())


class Table(NamedTuple):
    """Columns and literals as in `Batch`."""

    columns: dict[str, pa.StringArray]
    literals: dict[str, NDArray[np.bool_]]


def read_json_lines(lines: Lines, options: ReadOptions) -> Iterator[Batch]:
    """The objects of a text in which each line is one.

    Raises EmptyError when there is no line but blank ones.
    """
    wait = pause = 0  # batches for which pyarrow is not tried, because it refused the one before
    found = False
    for stretches in groups(_stretches(lines), options):
        found = True
        table = None
        if pause:
            pause -= 1
        elif lines.encoding == "utf-8":
            table = decoded_together(stretches)
            wait = 0 if table is not None else min(2 * wait + 1, PATIENCE)
            pause = wait
        if table is None:
            yield _decoded_one_by_one(lines, stretches, options)
            continue
        columns = {name: column for name, column in table.columns.items() if options.keeps(name)}
        literals = {name: mask for name, mask in table.literals.items() if name in columns}
        numbers = np.concatenate([stretch.numbers for stretch in stretches])
        yield Batch(columns, numbers, lines.path, True, [], literals)
    if not found:
        raise EmptyError(f"{lines.path}: empty, expected one JSON object a line")


def _stretches(lines: Lines) -> Iterator[Stretch]:
    """All lines but blank ones."""
    while True:
        text, problem, first = lines.block(), None, lines.number + 1
        if text:
            data = np.frombuffer(text, dtype=np.uint8)
            ends = np.flatnonzero(data == LINE_FEED)
            starts = np.concatenate(([0], ends[:-1] + 1))
            lines.take(len(text), len(ends))
        elif (line := lines.raw_line()) is not None:
            first, text, problem = line
            data = np.frombuffer(text, dtype=np.uint8)
            starts = np.zeros(1, dtype=np.int64)
            ends = np.array([len(text.removesuffix(b"\n"))])
        else:
            return
        numbers = np.arange(first, first + len(ends), dtype=np.int64)
        blank = [
            place
            for place in np.flatnonzero(data[starts] != BRACES[0]).tolist()
            if not lines.decoded(RawLine(first + place, text[starts[place] : ends[place]])).text.strip(SPACE)
        ]
        if len(blank) < len(ends):
            numbers, starts, ends = (np.delete(array, blank) for array in (numbers, starts, ends))
            yield Stretch(text, numbers, starts, ends, problem)


def decoded_together(stretches: Sequence[Stretch]) -> Table | None:
    """The objects on these lines, decoded by pyarrow; None where it refuses a line, or might read it in another way
    than `json_row`.

    The first row says what a column holds: strings, integers, or true and false; whichever it is, null too. pyarrow is
    told the columns, and refuses other values, other keys and a key that is there twice.
    """
    # pyarrow would take several objects on a line, and one on several.
    if not all(stretch.problem is None and stretch.holds_objects() for stretch in stretches):
        return None
    head = stretches[0]
    try:
        first = flat_row(head.text[head.starts[0] : head.ends[0]].decode("utf-8"))
    except UnicodeDecodeError:
        return None
    fields = [(name, _kind(value)) for name, value in (first or {}).items()]
    if not fields or any(kind is None or '"' in name or "\\" in name for name, kind in fields):
        return None
    rows = sum(len(stretch.numbers) for stretch in stretches)
    text = b"\n".join(stretch.filled() for stretch in stretches)
    if len(text) > LARGEST:
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(text),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(fields), unexpected_field_behavior="error"
            ),
        )
        table.validate(full=True)  # of UTF-8, which pyarrow does not check while it reads
    except (pa.ArrowException, UnicodeError):
        return None
    if table.num_rows != rows:
        return None
    columns: dict[str, pa.StringArray] = {}
    literals: dict[str, NDArray[np.bool_]] = {}
    for name, kind in fields:
        column = table.column(name).combine_chunks()
        # A null that is there and a key that is not look alike. Every row has the key if it is there as often as there
        # are rows: quotes within strings are escaped, so this can only be a key, and no row has it twice.
        if column.null_count and text.count(json_string(name).encode() + b":") != rows:
            return None
        if kind == pa.int64() and b"-0" in text and not np.frombuffer(column.buffers()[1], dtype=np.int64).all():
            return None  # -0 would become 0
        if kind != pa.string():
            literals[name] = np.ones(rows, dtype=np.bool_)
            column = column.cast(pa.string())
        elif column.null_count:
            literals[name] = _nulls(column)
        columns[name] = column
    return Table(columns, literals)


def _kind(value: str) -> pa.DataType | None:
    """The Arrow type that holds a value and all alike exactly, or None."""
    if type(value) is str or value is NULL:
        return pa.string()
    if value in ("true", "false"):
        return pa.bool_()
    return pa.int64() if INTEGER.fullmatch(value) else None


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    nulls = column.is_null()
    bits = np.frombuffer(nulls.buffers()[1], dtype=np.uint8)
    return np.unpackbits(bits, bitorder="little")[nulls.offset : nulls.offset + len(nulls)].astype(np.bool_)


def _decoded_one_by_one(lines: Lines, stretches: Sequence[Stretch], options: ReadOptions) -> Batch:
    numbers: list[int] = []
    rows: list[dict[str, str]] = []
    rejects: list[Reject] = []
    nested = False  # as one row is, so are most
    for raw in itertools.chain.from_iterable(stretch.lines() for stretch in stretches):
        number, text, _, problem = lines.decoded(raw)
        if problem is None:
            try:
                row = None if nested else flat_row(text)
                nested = row is None
                rows.append(json_row(without_line_end(text)) if row is None else row)
                numbers.append(number)
                continue
            except ValueError as error:
                problem = str(error)
            except RecursionError:
                problem = "broken JSON: nested too deeply"
        rejects.append(Reject(lines.path, number, problem, shown(text, lines.encoding)))
    columns: dict[str, pa.StringArray] = {}
    literals: dict[str, NDArray[np.bool_]] = {}
    for name in filter(options.keeps, dict.fromkeys(itertools.chain.from_iterable(rows))):
        values = [row.get(name) for row in rows]
        if Literal in set(map(type, values)):
            mask = (type(value) is Literal for value in values)
            literals[name] = np.fromiter(mask, dtype=np.bool_, count=len(values))
            values = [None if value is NULL else value for value in values]
        columns[name] = string_array(values)
    return Batch(columns, np.array(numbers, dtype=np.int64), lines.path, True, rejects, literals)


def flat_row(text: str) -> dict[str, str] | None:
    """What `json_row` makes of a line, decoded in one go; None for a line that leaves anything to decide: one
    with a nested value or half a character, or that is no object.
    """
    try:
        row, end = _FLAT_DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if type(row) is not dict or text[end:].strip(SPACE):
        return None
    if not set(map(type, row.values())) <= FLAT:
        for name, value in row.items():
            if value is None or isinstance(value, bool):
                row[name] = CONSTANTS[value]
            elif type(value) not in FLAT:
                return None
    return row if _encodable(row) else None


def json_row(text: str) -> dict[str, str]:
    """The members of the JSON object on a line: strings decoded, everything else a `Literal` of its own
    text.

    Raises ValueError saying what is wrong with the line, RecursionError if it is nested too deeply.
    """
    row: dict[str, str] = {}
    try:
        at = _skip_space(text, 0)
        if text[at] != "{":
            _DECODER.raw_decode(text, at)
            raise ValueError(f"expected a JSON object, found {KINDS.get(text[at], 'a number')}")
        at = _skip_space(text, at + 1)
        closed = text[at] == "}"
        while not closed:
            if text[at] != '"':
                raise json.JSONDecodeError("expected a quoted key", text, at)
            name, at = _DECODER.raw_decode(text, at)
            at = _skip_space(text, at)
            if text[at] != ":":
                raise json.JSONDecodeError("expected ':'", text, at)
            start = _skip_space(text, at + 1)
            value, at = _DECODER.raw_decode(text, start)
            if text[start] == '"':
                row[name] = value
            else:
                literal = Literal(text[start:at])
                row[name] = NULL if literal in NULLS else literal
            at = _skip_space(text, at)
            if text[at] not in ",}":
                raise json.JSONDecodeError("expected ',' or '}'", text, at)
            closed = text[at] == "}"
            if not closed:
                at = _skip_space(text, at + 1)
        if text[at + 1 :].strip(SPACE):
            raise json.JSONDecodeError("more after the object", text, at + 1)
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} at character {error.pos + 1}") from None
    except IndexError:
        raise ValueError("broken JSON: the line ends inside the object") from None
    if not _encodable(row):
        raise ValueError("a lone surrogate (half a character, written as \\ud...) in a string")
    return row


def _skip_space(text: str, at: int) -> int:
    """The first position from `at` on that is no JSON white space; raises IndexError at the end of the
    text.
    """
    while text[at] in SPACE:
        at += 1
    return at


def _encodable(row: dict[str, str]) -> bool:
    """Whether all names and values are free of lone surrogates."""
    joined = "".join((*row, *row.values()))
    if not joined.isascii():  # which is known without a look at its characters
        try:
            joined.encode("utf-8")
        except UnicodeEncodeError:
            return False
    return True
