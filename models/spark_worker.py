"""What runs on the workers of a Spark cluster: record batches in, labelled record batches out.

Spark sends a task's object along with the code. Each Python process of a worker unpacks the model once and keeps its
predictor for all tasks that come later.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from data.batch import Batch, EmptyError, ReadError, ReadOptions
from data.columns import ID_COLUMNS, TEXT_COLUMNS, find_column
from data.inputs import JSON_LINES, PARQUET, TSV
from data.json_lines import read_json_lines
from data.lines import Lines
from data.parquet import text_batch
from data.rows import Columns, PickedRows, RowPicker
from data.streams import Peekable, open_text
from data.tables import read_table
from data.writer import Csv, Format, JsonLines, LabelledBatch, Parquet, label_columns, plain, reject_line
from features.arrays import arrow_array, numpy_array
from features.strings import string_array
from models.drift import Watch
from models.predictor import BATCH_ARTICLES, BATCH_BYTES, Predictor
from models.progress import Totals
from models.provenance import model_digest
from models.scoring import Labels
from models.store import read_model, write_model

PATH: Final = "sektor_path"  # columns that `Script` gets beside those of the input
PLACE: Final = "sektor_place"
VALUE: Final = "value"  # the column of texts
ERROR: Final = "error"
NO_VALUE: Final = (None, "null", '""')  # ids that say nothing, as JSON texts

OUTPUTS: Final[dict[str, type[Format]]] = {kind.name: kind for kind in (JsonLines, Csv, Parquet)}


@dataclass(frozen=True)
class Bundle:
    """A predictor on its way to the workers: its model as the files of `models.store`, and its thresholds.

    Two are the same if they have the same model, told by its digest, and thresholds.
    """

    digest: str
    thresholds: tuple[tuple[str, float], ...]
    archive: bytes = field(compare=False, repr=False)

    @property
    def sectors(self) -> tuple[str, ...]:
        """The sectors the model knows, in their order."""
        return tuple(sector for sector, _ in self.thresholds)


def pack(predictor: Predictor) -> Bundle:
    """A predictor, to be sent."""
    archive = BytesIO()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        write_model(predictor.model, folder, card="")
        with zipfile.ZipFile(archive, "w") as packed:
            for path in folder.iterdir():
                packed.write(path, path.name)
    return Bundle(model_digest(predictor.model), tuple(predictor.thresholds.items()), archive.getvalue())


@lru_cache(maxsize=2)
def unpack(bundle: Bundle) -> Predictor:
    """The predictor that was sent, the same one for all tasks of a process: it remembers the words it has met."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(BytesIO(bundle.archive)) as packed:
            packed.extractall(folder)
        return Predictor(read_model(Path(folder)), dict(bundle.thresholds))


@dataclass(frozen=True)
class FrameTask:
    """Labels the rows of a DataFrame, all of them, in their order.

    names: of the columns of the records, in their order: Spark takes a dot in a name for something else, so that the
    columns have others on the way. text, title, id: those to label. kept: those to pass through, with their output
    names.
    """

    bundle: Bundle
    names: tuple[str, ...]
    text: str
    title: str | None
    id: str | None
    kept: dict[str, str]

    def __call__(self, records: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As `DataFrame.mapInArrow` wants it."""
        predictor = unpack(self.bundle)
        format = Parquet(predictor.sectors)
        for record in records:
            for start, stop in _pieces(record, BATCH_BYTES):
                part = record.slice(start, stop - start).rename_columns(list(self.names))
                yield self._labelled(part, predictor, format)

    def _labelled(self, record: pa.RecordBatch, predictor: Predictor, format: Parquet) -> pa.RecordBatch:
        names = list(dict.fromkeys(name for name in (self.text, self.title, self.id) if name is not None))
        rows = text_batch(record.select(names), names, 0, Path())
        picked = RowPicker(Columns(self.text, self.title, self.id)).pick(rows)
        labels = predictor.label(picked.texts, picked.titles)
        batch = LabelledBatch(rows, picked.places, picked.ids, labels, picked.texts, picked.titles)
        labelled = _labelled_records(format, batch)

        # A row without labels takes nulls; its place in the record is its line.
        source = np.zeros(record.num_rows, np.int64)
        found = np.zeros(record.num_rows, np.bool_)
        places = rows.lines[picked.places]
        source[places], found[places] = np.arange(len(places)), True
        labelled = labelled.take(arrow_array(source, valid=found))
        ids: list[str | None] = [None] * record.num_rows
        errors: list[str | None] = [None] * record.num_rows
        if self.id is not None:
            for place, given in zip(rows.lines.tolist(), rows.json_texts(self.id), strict=True):
                ids[place] = None if given is None or given in NO_VALUE else plain(given)
        for reject in picked.rejected:
            errors[reject.line] = reject.reason
        columns = {
            "id": string_array(ids),
            **{name: labelled.column(name) for name in format.own[1:]},
            **{name: record.column(column) for column, name in self.kept.items()},
            ERROR: string_array(errors),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


@dataclass
class Tally:
    """What some tasks have counted."""

    totals: Totals
    watch: Watch

    @classmethod
    def of(cls, sectors: tuple[str, ...]) -> Tally:
        """Nothing counted yet."""
        return cls(Totals(by_sector=dict.fromkeys((*sectors, "none"), 0)), Watch(sectors))

    def add(self, picked: PickedRows, labels: Labels) -> None:
        """Count a batch."""
        totals = self.totals
        totals.read += len(picked.rows) + len(picked.rows.rejects)
        totals.labelled += len(picked.places)
        totals.rejected += len(picked.rejected)
        totals.undecodable += picked.undecodable
        for name, count in zip(self.watch.sectors, labels.predicted.sum(axis=0).tolist(), strict=True):
            totals.by_sector[name] += count
        totals.by_sector["none"] += int((labels.primary < 0).sum())
        self.watch.add(labels, picked.texts, picked.titles)

    def merge(self, other: Tally) -> None:
        """Add what other tasks have counted."""
        totals = self.totals
        totals.read += other.totals.read
        totals.labelled += other.totals.labelled
        totals.rejected += other.totals.rejected
        totals.undecodable += other.totals.undecodable
        for name, count in other.totals.by_sector.items():
            totals.by_sector[name] += count
        self.watch.merge(other.watch)


class Tallies:
    """How Spark adds up tallies, as an accumulator's parameter."""

    def zero(self, value: Tally) -> Tally:
        """A tally of nothing."""
        return Tally.of(value.watch.sectors)

    def addInPlace(self, value: Tally, more: Tally) -> Tally:  # the name is Spark's
        """One with both."""
        value.merge(more)
        return value


@dataclass(frozen=True)
class FileTask:
    """Labels the rows of files as the batch script does, and gives them the form of its output.

    A record holds lines of text (`VALUE`) or rows of Parquet, each with the file it is of (`PATH`) and with where that
    stands in it (`PLACE`): the byte at which the part of the file begins that Spark reads in one go, or the row. The
    columns of Parquet come first, in the order of `known`, whatever they are called on the way.

    columns: names that the user gave. format, delimiter, encoding: of the input. known: the columns of the first rows,
    which make the header of a table. output: the format of the output. keep, explain: what it holds. tally: an
    accumulator of tallies, if counts are wanted. rejected: give the rejected rows, as lines of JSON, and no others.
    """

    bundle: Bundle
    columns: Columns
    format: str
    delimiter: str | None
    encoding: str
    known: tuple[str, ...]
    output: str
    keep: bool
    explain: bool
    tally: Any = None
    rejected: bool = False

    def __call__(self, records: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As `DataFrame.mapInArrow` wants it: texts of whole lines to be written, or rows of Parquet."""
        format = OUTPUTS[self.output](self.bundle.sectors, self.explain)
        picked = map(self._picker(format).pick, self._batches(records))
        yield from _rejected(picked) if self.rejected else self._labelled(picked, format)

    def header(self, format: Format) -> list[str]:
        """The output names of the columns passed through, where all rows have the same."""
        return [] if format.objects else list(self._picker(format).pick(self._first()).kept.values())

    def _labelled(self, picked_rows: Iterator[PickedRows], format: Format) -> Iterator[pa.RecordBatch]:
        predictor = unpack(self.bundle)
        tally = Tally.of(predictor.sectors)
        if not isinstance(format, Parquet) and (head := format.head(self.header(format))):
            yield _text_record(head)  # each task writes a file of its own
        for picked in picked_rows:
            labels = predictor.label(picked.texts, picked.titles)
            tally.add(picked, labels)
            ids = self._ids(picked, "null" if format.objects else '""')
            explanations = _explanations(predictor, picked) if self.explain else None
            batch = LabelledBatch(
                picked.rows, picked.places, ids, labels, picked.texts, picked.titles, picked.kept, explanations
            )
            if isinstance(format, Parquet):
                yield _labelled_records(format, batch)
            elif ids:
                yield _text_record(format.rows(batch))
        if self.tally is not None:
            self.tally.add(tally)

    def _picker(self, format: Format) -> RowPicker:
        own = label_columns(self.bundle.sectors, self.explain) if self.keep else None
        picker = RowPicker(self.columns, own, objects=format.objects, encoding=self.encoding)
        picker.skip(self._first())
        return picker

    def _first(self) -> Batch:
        """The first rows, without the rows."""
        return Batch({name: string_array([]) for name in self.known}, np.zeros(0, np.int64), "", False)

    def _batches(self, records: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        if self.format == PARQUET:
            yield from _table_batches(records, self.known)
            return
        pieces_of_all = _line_pieces(records, whole=self.format != JSON_LINES)
        for path, pieces in itertools.groupby(pieces_of_all, key=lambda piece: piece.path):
            batches = self.text_batches(path, (piece.lines for piece in pieces))
            yield from map(self._completed, batches) if self.format == JSON_LINES else batches

    def text_batches(self, path: str, pieces: Iterator[bytes]) -> Iterator[Batch]:
        """The rows of a text that comes in pieces; none of one that is blank.

        Raises ReadError where the text is none in this encoding, or a table without a header.
        """
        try:
            text, encoding = open_text(Peekable(_Pieces(pieces)), self.encoding)
        except ReadError as error:
            raise ReadError(f"{path}: {error}") from None
        lines = Lines(text, path, encoding)
        options = ReadOptions(BATCH_ARTICLES, BATCH_BYTES, encoding, None, self.delimiter)
        try:
            if self.format == JSON_LINES:
                yield from read_json_lines(lines, options)
            else:
                yield from read_table(lines, options, self.delimiter or ("\t" if self.format == TSV else None))
        except EmptyError:
            return

    def _completed(self, batch: Batch) -> Batch:
        """The batch with the columns that are looked for, null where its rows happen to lack them.

        Whether any of a thousand rows has a title says nothing: which rows come together is Spark's affair.
        """
        for wanted, usual in (
            (self.columns.text, TEXT_COLUMNS),
            (self.columns.title, ()),
            (self.columns.id, ()),
        ):
            names = usual if wanted is None else (wanted,)
            if names and find_column(batch.columns, None, names, "") is None:
                batch.columns[names[0]] = string_array([None] * len(batch))
        return batch

    def _ids(self, picked: PickedRows, none: str) -> list[str]:
        """The ids as JSON texts, `none` where a row has none: Spark does not know its number."""
        usual = ID_COLUMNS if self.columns.id is None else (self.columns.id,)
        identity = find_column(picked.rows.columns, None, usual, "id")
        if identity is None:
            return [none] * len(picked.ids)
        given = picked.rows.json_texts(identity)
        return [
            none if given[place] in NO_VALUE else text
            for place, text in zip(picked.places.tolist(), picked.ids, strict=True)
        ]


class _Piece(NamedTuple):
    path: str
    lines: bytes


class _Pieces:
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


def _line_pieces(records: Iterator[pa.RecordBatch], whole: bool) -> Iterator[_Piece]:
    """Consecutive lines of one file, their line ends restored.

    Raises ReadError if a file that has to be read as a whole was split: its records may go on over many lines.
    """
    for record in records:
        lines = _binary(record.column(VALUE)).to_pylist()
        places = numpy_array(record.column(PLACE))
        for path, start, stop in _runs(record):
            if whole and places[start:stop].any():
                raise ReadError(f"{path}: Spark has split it at byte {places[start:stop].max()}, expected it whole")
            yield _Piece(path, b"\n".join(lines[start:stop]) + b"\n")


def _table_batches(records: Iterator[pa.RecordBatch], names: Sequence[str]) -> Iterator[Batch]:
    """Consecutive rows of one Parquet file, as text."""
    for record in records:
        columns = record.select(range(len(names)))
        places = numpy_array(record.column(PLACE))
        for path, start, stop in _runs(record):
            yield text_batch(columns.slice(start, stop - start), names, int(places[start]) + 1, Path(path))


def _runs(record: pa.RecordBatch) -> Iterator[tuple[str, int, int]]:
    """The rows of one file: its name, and where they begin and end."""
    if not record.num_rows:
        return
    paths = record.column(PATH).dictionary_encode()
    bounds = np.flatnonzero(np.diff(numpy_array(paths.indices), prepend=-1, append=-1)).tolist()
    for start, stop in itertools.pairwise(bounds):
        yield shown_path(paths[start].as_py()), start, stop


def shown_path(uri: str) -> str:
    """The name of a file as a user would write it, from how Spark gives it: `file:/a%20b` is `/a b`."""
    name = unquote(uri)
    return "/" + name.removeprefix("file:").lstrip("/") if name.startswith("file:") else name


def _binary(texts: pa.Array) -> pa.Array:
    """Strings as bytes: Spark takes over what it reads unchecked."""
    return texts.view(pa.large_binary() if pa.types.is_large_string(texts.type) else pa.binary())


def _text_record(lines: bytes) -> pa.RecordBatch:
    """Whole lines as one row; the last line end comes from what writes it."""
    return pa.RecordBatch.from_arrays([string_array([lines.decode("utf-8").removesuffix("\n")])], [VALUE])


def _rejected(picked_rows: Iterator[PickedRows]) -> Iterator[pa.RecordBatch]:
    """The rejected rows as lines of JSON."""
    for picked in picked_rows:
        if picked.rejected:
            lines = "".join(reject_line(reject) + "\n" for reject in picked.rejected)
            yield _text_record(lines.encode("utf-8", "backslashreplace"))


def _labelled_records(format: Parquet, batch: LabelledBatch) -> pa.RecordBatch:
    """Labelled rows as the columns of a Parquet file."""
    schema = pa.ipc.read_schema(pa.py_buffer(format.head(list(batch.kept.values()))))
    return pa.ipc.read_record_batch(pa.py_buffer(format.rows(batch)), schema)


def _explanations(predictor: Predictor, picked: PickedRows) -> list[str]:
    titles = None if picked.titles is None else picked.titles.to_pylist()
    explained = predictor.explanations([text or "" for text in picked.texts.to_pylist()], titles)
    return [json.dumps(explanation.to_json(), ensure_ascii=False) for explanation in explained]


def _pieces(record: pa.RecordBatch, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Where parts of at most `BATCH_ARTICLES` rows, and of about so many bytes, begin and end."""
    rows = max(1, min(BATCH_ARTICLES, record.num_rows * most_bytes // max(1, record.nbytes)))
    for start in range(0, record.num_rows, rows):
        yield start, min(start + rows, record.num_rows)
