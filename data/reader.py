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
- Text files in a folder: an empty, binary, damaged or undecodable one.

Compressed data that is damaged or ends too early stops the reading with `ReadError`, after a batch of the rows before
it. The batches depend on the input and the options alone: reading again gives the same.
"""

from __future__ import annotations

import itertools
import string
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from data.batch import Batch, EmptyError, ReadError, ReadOptions, Reject, json_string
from data.columns import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, find_column
from data.inputs import (
    CSV,
    EXTENSIONS,
    FORMATS,
    JSON_LINES,
    PARQUET,
    STANDARD_INPUT,
    TEXT,
    TSV,
    InputFile,
    Inputs,
    find_inputs,
    fingerprint,
    input_bytes,
)
from data.json_lines import read_json_lines
from data.lines import BYTE_ORDER_MARK, Lines
from data.parquet import read_parquet
from data.streams import SAMPLE, Peekable, open_text
from data.tables import read_table
from data.text_files import Article, article_batches, read_article, read_file

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "ID_COLUMNS",
    "STANDARD_INPUT",
    "TEXT_COLUMNS",
    "TITLE_COLUMNS",
    "Batch",
    "EmptyError",
    "ReadError",
    "Reject",
    "find_column",
    "fingerprint",
    "input_bytes",
    "json_string",
    "read",
]

BLANK = BYTE_ORDER_MARK + string.whitespace
TAB = "\\t"  # as it is written where a tab is hard to type


def read(
    path: str | Path,
    *,
    batch_rows: int = 1024,
    batch_bytes: int = 16 << 20,
    encoding: str = "utf-8",
    columns: Collection[str] | None = None,
    format: str | None = None,
    delimiter: str | None = None,
) -> Iterator[Batch]:
    """The articles of a file, a folder, a pattern or standard input, in input order.

    path         .jsonl/.ndjson (one object a line); .csv (delimiter , ; tab or |, told from the header line, or
                 from a line `sep=;` above it) or .tsv; .parquet; .txt (the whole file is one article: columns
                 `id`, its name, and `text`); a folder of these, read recursively in sorted order, hidden files
                 and other extensions skipped (the id of a text file is then its path in the folder); a pattern
                 such as `news/**/*.csv.gz`; "-" for standard input: without a format JSON lines when its first
                 non-blank character is "{", else one plain article. Text formats may be packed with gzip or
                 zstd, `.jsonl.gz` or `.csv.zst`, which is told from the first bytes, of standard input too
    batch_rows   most rows (and rejects) in a batch
    batch_bytes  bytes of rows from which a batch is closed, so that long rows do not fill the memory
    encoding     of text formats; a byte-order mark is dropped
    columns      the columns to keep, None for all
    format       one of `FORMATS`, for all files whatever their names; None for what their extensions say
    delimiter    of CSV, one character, None to find out

    A table without rows (a CSV of only a header) yields one batch of length 0. Raises ReadError for a
    missing, empty or binary file, an unknown extension, format or encoding, a folder without articles, a CSV
    without a header or with two columns of one name, an unreadable Parquet file, and, after the rows before it, for
    compressed data that is damaged.
    """
    try:
        "".encode(encoding)
    except LookupError:
        raise ReadError(f"{path}: unknown encoding {encoding!r}") from None
    if format is not None and format not in FORMATS:
        raise ReadError(f"{path}: unknown format {format!r}, expected one of {', '.join(FORMATS)}")
    if delimiter == TAB:
        delimiter = "\t"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        raise ReadError(f"{path}: found the delimiter {delimiter!r}, expected one character such as ; or {TAB}")
    kept = None if columns is None else frozenset(columns)
    options = ReadOptions(batch_rows, batch_bytes, encoding, kept, delimiter)
    try:
        if str(path) == STANDARD_INPUT:
            yield from _read_standard_input(format, options)
        else:
            yield from _read_files(path, format, options)
    except OSError as error:
        raise ReadError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from error


def _read_files(path: str | Path, format: str | None, options: ReadOptions) -> Iterator[Batch]:
    inputs = find_inputs(path, format)
    found = False
    before = 0  # bytes on disk of the files that are done
    for files in _parts(inputs):
        size = sum(file.path.stat().st_size for file in files)
        try:
            for batch in _read_part(files, str(path), inputs.together, options):
                found = True
                yield replace(batch, offset=before + batch.offset)
        except EmptyError:
            if not inputs.together:
                raise
        before += size
    if not found:
        raise EmptyError(f"{path}: all {len(inputs.files)} files are empty, expected articles")


def _parts(inputs: Inputs) -> Iterator[list[InputFile]]:
    """The files in order, those together that share batches: text files of a folder."""
    for plain, files in itertools.groupby(inputs.files, key=lambda file: file.format == TEXT):
        if plain and inputs.together:
            yield list(files)
        else:
            yield from ([file] for file in files)


def _read_part(files: list[InputFile], given: str, together: bool, options: ReadOptions) -> Iterator[Batch]:
    """The batches of files that are read together, many only if they are text files; `offset` counts from them on."""
    if files[0].format == TEXT and together:
        return article_batches((_article(file, options.encoding) for file in files), given, options)
    [file] = files
    return _read_file(file, options)


def _article(file: InputFile, encoding: str) -> Article:
    with file.path.open("rb") as stream:
        return read_file(stream, file.name, str(file.path), encoding)


def _read_file(file: InputFile, options: ReadOptions) -> Iterator[Batch]:
    if file.path.is_file() and file.path.stat().st_size == 0:
        raise EmptyError(f"{file.path}: empty file, expected articles")
    if file.format == PARQUET:
        yield from read_parquet(file.path, options)
        return
    with file.path.open("rb") as stream:
        yield from _read_stream(stream, str(file.path), file.name, file.format, options)


def _read_standard_input(format: str | None, options: ReadOptions) -> Iterator[Batch]:
    if format == PARQUET:
        raise ReadError("standard input: Parquet has to be a file, expected one of the text formats")
    yield from _read_stream(sys.stdin.buffer, "standard input", STANDARD_INPUT, format, options)


def _read_stream(stream: BinaryIO, path: str, name: str, format: str | None, options: ReadOptions) -> Iterator[Batch]:
    """The batches of a stream; without a format that of JSON lines if it begins like them, else of one article."""
    raw = Peekable(stream)
    try:
        text, encoding = open_text(raw, options.encoding)
        if format is None:
            format = JSON_LINES if _begins_with_brace(text, encoding) else TEXT
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from error
    if format == TEXT:
        article = read_article(text, name, path, encoding)
        if article.reject is not None:
            raise ReadError(f"{path}: {article.reject.reason}")
        yield from article_batches([article._replace(read=raw.count)], path, options)
        return
    lines = Lines(text, path, encoding)
    if format in (CSV, TSV):
        batches = read_table(lines, options, options.delimiter or ("\t" if format == TSV else None))
    else:
        batches = read_json_lines(lines, options)
    for batch in batches:
        yield replace(batch, offset=raw.count)


def _begins_with_brace(text: Peekable, encoding: str) -> bool:
    """Whether the first character that is not blank is "{"."""
    size = SAMPLE
    while not (head := text.peek(size).decode(encoding, "ignore").lstrip(BLANK)) and len(text.peek(size)) == size:
        size *= 2
    return head.startswith("{")
