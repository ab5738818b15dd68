"""Article files -> batches of text columns, shared by training and by batch prediction.

Every input column is text and nothing is inferred: a CSV id `007` stays `007`, the JSON number `1e5` stays
`1e5`. A row that cannot be read becomes a `Reject` with its line number and raw text; what makes the whole
input unreadable raises `ReadError`. Files are streamed: memory depends on the size of a batch and of the
longest row (at most 64 MiB; a longer row is rejected), not on the size of the input.

Which rows are rejected:

- JSONL: a line that is not valid JSON or not an object, holds a lone surrogate, a NUL or undecodable bytes.
  Blank lines are skipped. Of a repeated key the last value counts. NaN and Infinity, which Python writes
  although JSON has no such values, are read as null where they stand for a whole value.
- CSV: a row with more or fewer fields than the header, a quote that is not closed or is followed by more
  text, a NUL or undecodable bytes. Blank lines are skipped. A row with a broken quote gives up its first
  line only, and reading goes on at the line after it, so that one quote never swallows the rows below.
- Text files in a folder: an empty, binary or undecodable one.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.strings import string_array

TEXT_COLUMNS = ("text", "content", "body", "isi", "isi_berita", "artikel", "berita")
TITLE_COLUMNS = ("title", "judul", "headline")
ID_COLUMNS = ("id", "article_id", "id_artikel", "id_berita")

JSON_LINES_EXTENSIONS = (".jsonl", ".ndjson", ".jsonlines", ".json-lines")
CSV_EXTENSIONS = (".csv", ".tsv")
PARQUET_EXTENSIONS = (".parquet",)
TEXT_EXTENSIONS = (".txt",)
EXTENSIONS = JSON_LINES_EXTENSIONS + CSV_EXTENSIONS + PARQUET_EXTENSIONS + TEXT_EXTENSIONS

REPAIRS = {
    ".xlsx": "; save the workbook as CSV",
    ".xls": "; save the workbook as CSV",
    ".json": "; write one object a line and name it .jsonl",
    ".gz": "; unpack it first",
    ".zip": "; unpack it first",
}

STANDARD_INPUT = "-"
DELIMITERS = ",;\t|"
MAX_ROW = 64 << 20  # characters of one row; a legitimate article never comes near
MAX_HEADER_NAME = 120  # characters; anything longer is an article, not the name of a column
SAMPLE = 8192  # bytes looked at to tell text from binary
BINARY_SHARE = 0.1  # share of NUL and undecodable characters in the sample above which a file is binary
PARQUET_BUFFER = 1 << 20  # bytes read at once, so that a row group is streamed

SIGNATURES = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"PK\x03\x04": "a zip file or an Excel workbook; save it as CSV",
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"%PDF": "a PDF file; extract its text first",
    b"\xff\xfe": "UTF-16 text; give the encoding utf-16",
    b"\xfe\xff": "UTF-16 text; give the encoding utf-16",
}

Item = TypeVar("Item")


class ReadError(ValueError):
    """An input that cannot be read at all; the message is one line and names the file."""


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
    path      the file the rows came from; the folder for text files of a folder, which share batches
    json      whether the rows were JSON lines
    rejects   the rows in between that could not be read, in line order
    literals  name -> boolean array of shape (rows,): True where the column holds JSON text (a number, true,
              an object, an array, an explicit null) rather than a decoded string. A column without an entry
              holds strings only. JSON lines have it, and the numeric, boolean and nested columns of Parquet.

    For plain output (CSV, Parquet) a column is written as it stands; for JSON output see `json_texts`.
    """

    columns: dict[str, pa.StringArray]
    lines: NDArray[np.int64]
    path: str
    json: bool
    rejects: list[Reject] = field(default_factory=list)
    literals: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

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


def json_string(text: str) -> str:
    """A string as JSON text, its characters kept as they are where JSON allows."""
    return json.dumps(text, ensure_ascii=False)


def find_column(columns: Iterable[str], wanted: str | None, usual: Sequence[str], what: str) -> str | None:
    """The name of the column that holds `what` ("text", "title", ...), among the names of a batch.

    With `wanted` that column, in its exact spelling if there, else ignoring case; without it the first of
    the `usual` names there, ignoring case and surrounding blanks; None when there is none. JSON lines may
    lack a key in the first batch that comes later: look again in the next batch while None, and read with
    `Batch.column`.

    Raises ReadError, listing the columns found, when `wanted` is not there.
    """
    names = list(columns)
    if wanted is not None and wanted in names:
        return wanted
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.strip().casefold(), name)
    for candidate in usual if wanted is None else (wanted,):
        if candidate.strip().casefold() in folded:
            return folded[candidate.strip().casefold()]
    if wanted is None:
        return None
    raise ReadError(f"no column {wanted!r} for the {what}; the columns found are: {', '.join(names) or 'none'}")


def read(
    path: str | Path,
    *,
    batch_rows: int = 1024,
    batch_bytes: int = 16 << 20,
    encoding: str = "utf-8",
    columns: Collection[str] | None = None,
) -> Iterator[Batch]:
    """The articles of a file, a folder or standard input, in input order.

    path         .jsonl/.ndjson (one object a line); .csv (delimiter , ; tab or |, told from the header line)
                 or .tsv; .parquet; .txt (the whole file is one article: columns `id`, its name, and `text`);
                 a folder of these, read recursively in sorted order, hidden files and other extensions
                 skipped (the id of a text file is then its path in the folder); "-" for standard input: JSON
                 lines when its first non-blank character is "{", else one plain article
    batch_rows   most rows (and rejects) in a batch
    batch_bytes  characters from which a batch is closed, so that long rows do not fill the memory
    encoding     of text formats; a byte-order mark is dropped
    columns      the columns to keep, None for all

    A table without rows (a CSV of only a header) yields one batch of length 0. Raises ReadError for a
    missing, empty or binary file, an unknown extension or encoding, a folder without articles, a CSV without
    a header or with two columns of one name, and an unreadable Parquet file.
    """
    try:
        "".encode(encoding)
    except LookupError:
        raise ReadError(f"{path}: unknown encoding {encoding!r}") from None
    options = _Options(batch_rows, batch_bytes, encoding, None if columns is None else frozenset(columns))
    try:
        if str(path) == STANDARD_INPUT:
            yield from _read_standard_input(options)
        elif Path(path).is_dir():
            yield from _read_folder(Path(path), options)
        else:
            yield from _read_file(Path(path), options)
    except OSError as error:
        raise ReadError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from error


@dataclass(frozen=True)
class _Options:
    batch_rows: int
    batch_bytes: int
    encoding: str
    columns: frozenset[str] | None

    def keeps(self, name: str) -> bool:
        return self.columns is None or name in self.columns


class _Line(NamedTuple):
    """A physical line with its line end, and what is wrong with it."""

    number: int
    text: str
    problem: str | None = None


class _Literal(str):
    """JSON text, as opposed to a decoded JSON string."""

    __slots__ = ()


# Inputs


def _read_standard_input(options: _Options) -> Iterator[Batch]:
    path = "standard input"
    stream = _peekable(sys.stdin.buffer)
    _refuse_binary(stream, path, options.encoding)
    lines = _lines(stream, path, options.encoding)
    start = _through_first_text(lines)
    lines = itertools.chain(start, lines)
    if start and start[-1].text.lstrip().startswith("{"):
        yield from _read_json_lines(lines, path, options)
        return
    everything = list(lines)
    text = "".join(line.text for line in everything)
    if not text.strip():
        raise ReadError(f"{path}: empty, expected articles")
    problem = next((f"line {line.number}: {line.problem}" for line in everything if line.problem), None)
    if problem:
        raise ReadError(f"{path}: {problem}")
    yield from _row_batches([(1, len(text), {"id": STANDARD_INPUT, "text": text})], path, options)


def _read_folder(folder: Path, options: _Options) -> Iterator[Batch]:
    files = sorted(
        (
            path.relative_to(folder)
            for path in folder.rglob("*")
            if path.suffix.lower() in EXTENSIONS and path.is_file()
        ),
        key=lambda path: path.parts,
    )
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    found = False
    for plain, group in itertools.groupby(files, key=lambda path: path.suffix.lower() in TEXT_EXTENSIONS):
        if plain:
            articles = (_text_file(folder / path, path.as_posix(), options) for path in group)
            for batch in _row_batches(articles, str(folder), options):
                found = True
                yield batch
            continue
        for path in group:
            if (folder / path).stat().st_size == 0:
                continue  # an empty part file, as distributed writers leave
            for batch in _read_file(folder / path, options):
                found = True
                yield batch
    if not found:
        raise ReadError(f"{folder}: no articles in this folder, expected files named {', '.join(EXTENSIONS)}")


def _read_file(path: Path, options: _Options) -> Iterator[Batch]:
    if not path.exists():
        raise ReadError(f"{path}: no such file or folder")
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        hint = REPAIRS.get(extension, "")
        raise ReadError(f"{path}: unknown extension {extension!r}, expected one of {', '.join(EXTENSIONS)}{hint}")
    if path.is_file() and path.stat().st_size == 0:
        raise ReadError(f"{path}: empty file, expected articles")
    if extension in PARQUET_EXTENSIONS:
        yield from _read_parquet(path, options)
        return
    if extension in TEXT_EXTENSIONS:
        line, size, article = _text_file(path, path.name, options)
        if isinstance(article, Reject):
            raise ReadError(f"{path}: {article.reason}")
        yield from _row_batches([(line, size, article)], str(path), options)
        return
    with path.open("rb") as stream:
        _refuse_binary(stream, str(path), options.encoding)
        lines = _lines(stream, str(path), options.encoding)
        if extension in JSON_LINES_EXTENSIONS:
            yield from _read_json_lines(lines, str(path), options)
        else:
            yield from _read_csv(lines, str(path), "\t" if extension == ".tsv" else None, options)


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    """Standard input as a stream whose beginning can be looked at; a test may have put any stream there."""
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))


def _refuse_binary(stream: io.BufferedReader, path: str, encoding: str) -> None:
    """Raise ReadError when the beginning of the stream, which is not consumed, is no text in that
    encoding.
    """
    problem = _binary(stream.peek(SAMPLE)[:SAMPLE], encoding)
    if problem:
        raise ReadError(f"{path}: {problem}")


def _binary(sample: bytes, encoding: str) -> str | None:
    """Why a file that begins like this is no text in that encoding, or None."""
    text = sample.decode(encoding, "replace")
    odd = text.count("\ufffd") + text.count("\0")
    for signature, meaning in SIGNATURES.items():
        if sample.startswith(signature) and (odd or encoding.lower().replace("_", "-") in ("utf-8", "utf-8-sig")):
            return f"expected {encoding} text, found {meaning}"
    if odd > BINARY_SHARE * len(text):
        return f"expected {encoding} text, found a binary file or another encoding"
    return None


# Physical lines


def _lines(stream: IO[bytes], path: str, encoding: str) -> Iterator[_Line]:
    """The lines of a stream, numbered from 1; undecodable ones are marked, not raised."""
    if "\n".encode(encoding) != b"\n":
        yield from _wide_lines(stream, path, encoding)
        return
    number = 0
    while raw := stream.readline(MAX_ROW):
        number += 1
        if len(raw) == MAX_ROW and not raw.endswith(b"\n"):
            while (rest := stream.readline(MAX_ROW)) and not rest.endswith(b"\n"):
                pass
            yield _Line(number, raw[:1000].decode(encoding, "replace"), f"longer than {MAX_ROW} bytes")
            continue
        problem = None
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            text = raw.decode(encoding, "surrogateescape")
            problem = f"byte 0x{raw[error.start]:02x} at position {error.start + 1} is not {encoding}"
        if number == 1:
            text = text.removeprefix("\ufeff")
        if problem is None and "\0" in text:
            problem = "a NUL character"
        yield _Line(number, text, problem)


def _wide_lines(stream: IO[bytes], path: str, encoding: str) -> Iterator[_Line]:
    """The lines of an encoding whose line end is no single byte (UTF-16): a decoding fault loses the
    place.
    """
    reader = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
    try:
        for number, text in enumerate(reader, start=1):
            yield _Line(number, text.removeprefix("\ufeff") if number == 1 else text)
    except UnicodeError as error:
        raise ReadError(f"{path}: not {encoding}: {error}") from error
    finally:
        reader.detach()  # the stream is closed by whoever opened it


def _shown(text: str, encoding: str) -> str:
    """A raw row for a reject: without its line end, undecodable bytes as backslash escapes."""
    text = text.removesuffix("\n").removesuffix("\r")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode(encoding, "surrogateescape").decode(encoding, "backslashreplace")
    return text


# Rows to batches


def _groups(
    items: Iterable[tuple[int, int, Item | Reject]], options: _Options
) -> Iterator[tuple[NDArray[np.int64], list[Item], list[Reject]]]:
    """Items (line, characters, row or reject) gathered until a batch is full: the rows' lines, the rows, the
    rejects.
    """
    lines: list[int] = []
    rows: list[Item] = []
    rejects: list[Reject] = []
    size = 0
    for line, length, item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            lines.append(line)
            rows.append(item)
        size += length
        if len(rows) + len(rejects) >= options.batch_rows or size >= options.batch_bytes:
            yield np.array(lines, dtype=np.int64), rows, rejects
            lines, rows, rejects, size = [], [], [], 0
    if rows or rejects:
        yield np.array(lines, dtype=np.int64), rows, rejects


def _row_batches(
    items: Iterable[tuple[int, int, dict[str, str] | Reject]],
    path: str,
    options: _Options,
    *,
    json: bool = False,
) -> Iterator[Batch]:
    """Batches of rows that each bring their own columns."""
    for lines, rows, rejects in _groups(items, options):
        columns: dict[str, pa.StringArray] = {}
        literals: dict[str, NDArray[np.bool_]] = {}
        for name in filter(options.keeps, dict.fromkeys(itertools.chain.from_iterable(rows))):
            values = [row.get(name) for row in rows]
            columns[name] = string_array([None if value is _NULL else value for value in values])
            if json:
                mask = (type(value) is _Literal for value in values)
                literals[name] = np.fromiter(mask, dtype=np.bool_, count=len(values))
        yield Batch(columns, lines, path, json, rejects, literals)


def _text_file(path: Path, name: str, options: _Options) -> tuple[int, int, dict[str, str] | Reject]:
    """The one article of a text file as an item for `_row_batches`; `name` becomes its id."""
    content = path.read_bytes()
    problem = _binary(content[:SAMPLE], options.encoding)
    text = ""
    if problem is None:
        try:
            text = content.decode(options.encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            byte = content[error.start]
            problem = f"byte 0x{byte:02x} at position {error.start + 1} is not {options.encoding}"
        else:
            problem = "a NUL character" if "\0" in text else None if text.strip() else "empty file, expected an article"
    if problem is None:
        return 1, len(text), {"id": name, "text": text}
    return (
        1,
        len(content),
        Reject(str(path), 1, problem, content.decode(options.encoding, "backslashreplace")),
    )


# JSON lines

_NULL = _Literal("null")
_NULLS = ("null", "NaN", "Infinity", "-Infinity")
_JSON_SPACE = " \t\r\n"
_JSON_KINDS = {"[": "an array", '"': "a string", "n": "null", "t": "true", "f": "false"}
# Values are decoded only to find where they end; keeping numbers as text also spares Python's limit on their
# length.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def _read_json_lines(lines: Iterable[_Line], path: str, options: _Options) -> Iterator[Batch]:
    def items() -> Iterator[tuple[int, int, dict[str, str] | Reject]]:
        for number, text, problem in lines:
            row: dict[str, str] = {}
            if problem is None:
                if not text.strip(_JSON_SPACE):
                    continue
                try:
                    row = _json_row(_without_line_end(text))
                except ValueError as error:
                    problem = str(error)
                except RecursionError:
                    problem = "broken JSON: nested too deeply"
            reject = None if problem is None else Reject(path, number, problem, _shown(text, options.encoding))
            yield number, len(text), reject or row

    found = False
    for batch in _row_batches(items(), path, options, json=True):
        found = True
        yield batch
    if not found:
        raise ReadError(f"{path}: empty, expected one JSON object a line")


def _json_row(text: str) -> dict[str, str]:
    """The members of the JSON object on a line: strings decoded, everything else a `_Literal` of its own
    text.

    Raises ValueError saying what is wrong with the line.
    """
    row: dict[str, str] = {}
    try:
        at = _skip_space(text, 0)
        if text[at] != "{":
            _DECODER.raw_decode(text, at)
            raise ValueError(f"expected a JSON object, found {_JSON_KINDS.get(text[at], 'a number')}")
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
                literal = _Literal(text[start:at])
                row[name] = _NULL if literal in _NULLS else literal
            at = _skip_space(text, at)
            if text[at] not in ",}":
                raise json.JSONDecodeError("expected ',' or '}'", text, at)
            closed = text[at] == "}"
            if not closed:
                at = _skip_space(text, at + 1)
        if text[at + 1 :].strip(_JSON_SPACE):
            raise json.JSONDecodeError("more after the object", text, at + 1)
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} at character {error.pos + 1}") from None
    except IndexError:
        raise ValueError("broken JSON: the line ends inside the object") from None
    if "\\u" in text:
        try:
            "".join(itertools.chain(row, row.values())).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate (half a character, written as \\ud...) in a string") from None
    return row


def _skip_space(text: str, at: int) -> int:
    """The first position from `at` on that is no JSON white space; raises IndexError at the end of the
    text.
    """
    while text[at] in _JSON_SPACE:
        at += 1
    return at


# CSV


class _Record(NamedTuple):
    """A CSV record: its physical lines, and its fields or what is wrong with it."""

    lines: list[_Line]
    fields: list[str]
    problem: str | None


def _read_csv(lines: Iterator[_Line], path: str, delimiter: str | None, options: _Options) -> Iterator[Batch]:
    start = _through_first_text(lines)
    declared = re.fullmatch(r"sep=(.)\r?\n?", start[-1].text, re.IGNORECASE) if start else None
    if declared:  # written by spreadsheet programs above the header
        delimiter = declared[1]
        start = _through_first_text(lines)
    if not start:
        raise ReadError(f"{path}: empty, expected a header line and rows")
    records = _csv_records(itertools.chain(start[-1:], lines), delimiter or _delimiter(start[-1].text))
    header = next(records)
    names = _csv_names(header, path)
    kept = [(index, name) for index, name in enumerate(names) if options.keeps(name)]

    def items() -> Iterator[tuple[int, int, list[str] | Reject]]:
        for record in records:
            problem = record.problem
            if problem is None and len(record.fields) != len(names):
                problem = f"{len(record.fields)} fields, expected {len(names)} as in the header"
            first, size = record.lines[0].number, sum(len(line.text) for line in record.lines)
            if problem is None:
                yield first, size, record.fields
            else:
                raw = _shown("".join(line.text for line in record.lines), options.encoding)
                yield first, size, Reject(path, first, problem, raw)

    found = False
    for numbers, rows, rejects in _groups(items(), options):
        found = True
        columns = {name: string_array([row[index] for row in rows]) for index, name in kept}
        yield Batch(columns, numbers, path, False, rejects)
    if not found:
        yield Batch({name: string_array([]) for _, name in kept}, np.zeros(0, dtype=np.int64), path, False)


def _through_first_text(lines: Iterator[_Line]) -> list[_Line]:
    """The lines up to and with the first that is not blank; none when all are blank."""
    start: list[_Line] = []
    for line in lines:
        start.append(line)
        if line.text.strip():
            return start
    return []


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


def _csv_names(header: _Record, path: str) -> list[str]:
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
            shown = json_string(name if len(name) < 40 else name[:40] + "...")
            raise ReadError(f"{place}: found {shown}, expected the names of the columns, such as id,title,text")
    names = [name if name.strip() else f"column_{number}" for number, name in enumerate(header.fields, start=1)]
    _refuse_repeated(names, place)
    return names


def _refuse_repeated(names: Sequence[str], place: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ReadError(f"{place}: column {repeated[0]!r} is there more than once, expected different names")


def _csv_records(lines: Iterator[_Line], delimiter: str) -> Iterator[_Record]:
    """The records of a CSV file, quotes as in RFC 4180: strict, so that a broken quote is found where it
    begins.
    """
    put_back: deque[_Line] = deque()

    def following() -> _Line | None:
        return put_back.popleft() if put_back else next(lines, None)

    while (line := following()) is not None:
        if not line.text.strip("\r\n"):
            continue
        taken = [line]
        problem = None
        if '"' in line.text:
            fields, problem = _quoted_fields(taken, following, delimiter)
            if problem is not None:
                put_back.extendleft(reversed(taken[1:]))
                del taken[1:]
        else:
            fields = _without_line_end(line.text).split(delimiter)
        yield _Record(taken, fields, next((line.problem for line in taken if line.problem), problem))


def _quoted_fields(
    taken: list[_Line], following: Callable[[], _Line | None], delimiter: str
) -> tuple[list[str], str | None]:
    """The fields of the record that begins on the line in `taken`, and what is wrong with its quotes.

    Lines that a quoted field goes on to are drawn from `following` and added to `taken`.
    """
    fields: list[str] = []
    text, at, size = taken[0].text, 0, len(taken[0].text)
    while True:
        if not text.startswith('"', at):
            end = text.find(delimiter, at)
            if end < 0:
                return [*fields, _without_line_end(text[at:])], None
            fields.append(text[at:end])
            at = end + 1
            continue
        opened, pieces = taken[-1].number, []
        at += 1
        while (end := _closing_quote(text, at)) < 0:
            pieces.append(text[at:])
            line = following() if size < MAX_ROW else None
            if line is None:
                return fields, f"the quote opened on line {opened} is never closed"
            taken.append(line)
            text, at, size = line.text, 0, size + len(line.text)
        pieces.append(text[at:end])
        fields.append("".join(pieces).replace('""', '"'))
        at = end + 1
        if not _without_line_end(text[at : at + 2]):
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


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


# Parquet


def _read_parquet(path: Path, options: _Options) -> Iterator[Batch]:
    row = 1
    try:
        with pq.ParquetFile(path, buffer_size=PARQUET_BUFFER) as file:
            names = file.schema_arrow.names
            _refuse_repeated(names, str(path))
            kept = [name for name in names if options.keeps(name)]
            for records in file.iter_batches(batch_size=options.batch_rows, columns=kept):
                rows = max(1, records.num_rows * options.batch_bytes // max(1, records.nbytes, options.batch_bytes))
                for start in range(0, records.num_rows, rows):
                    part = records.slice(start, rows)
                    yield _parquet_batch(part, kept, row, path)
                    row += part.num_rows
            if row == 1:
                yield Batch({name: string_array([]) for name in kept}, np.zeros(0, dtype=np.int64), str(path), False)
    except (pa.ArrowException, OSError) as error:
        place = str(path) if row == 1 else f"{path}:{row}"
        raise ReadError(f"{place}: unreadable Parquet: {str(error).splitlines()[0]}") from error


def _parquet_batch(records: pa.RecordBatch, names: Sequence[str], row: int, path: Path) -> Batch:
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
            [
                None if value is None else json.dumps(dict(value) if pairs else value, ensure_ascii=False, default=str)
                for value in array.to_pylist()
            ]
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
