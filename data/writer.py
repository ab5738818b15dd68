"""Labelled rows -> JSONL, CSV or Parquet, written beside their place and moved there when complete.

The counterpart of `data.reader`: ids and kept columns come out as they came in, labels in the form each format is good
at: JSON lists and objects; in CSV `ev|automotive` and one column a sector; in Parquet a list column and one a sector.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data.reader import Batch, Reject, json_string
from features.arrays import arrow_array
from features.strings import string_array

STANDARD_OUTPUT: Final = "-"
PROBABILITY: Final = "probability_"  # opens the names of the probability columns in CSV and Parquet
DIGITS: Final = 6  # significant digits of a probability in text formats
NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')


class WriteError(ValueError):
    """An output that cannot be written; the message is one line and names the file."""


class Labels(Protocol):
    """What the writers need of the labels of n rows; `models.scoring.Labels` has it."""

    @property
    def predicted(self) -> npt.NDArray[np.bool_]: ...
    @property
    def primary(self) -> npt.NDArray[np.int64]: ...
    @property
    def probabilities(self) -> npt.NDArray[np.float64]: ...
    @property
    def coverage(self) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """A batch with its labels.

    rows: the batch as read. picked: (n,), which of its rows were labelled. ids: (n,), each row's id as JSON text (of a
    JSONL input as it stood there). labels: those of the n rows. texts and titles: string arrays (n,), what was
    labelled. kept: input columns to pass through, with their output names.
    """

    rows: Batch
    picked: npt.NDArray[np.int64]
    ids: list[str]
    labels: Labels
    texts: pa.StringArray
    titles: pa.StringArray | None
    kept: dict[str, str]


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turns a failure to write into a WriteError that names the file; a broken pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error


class Partial:
    """A file written under a name of its own, beside its place, and moved there when complete.

    The name is no one else's, so that runs with one output do not mix; without `overwrite` the first of them to finish
    takes the place and the others are refused. Raises WriteError.
    """

    def __init__(self, place: Path, overwrite: bool):
        self.place = place
        self.overwrite = overwrite
        refuse_to_replace(place, overwrite)
        with naming(place):
            descriptor, name = tempfile.mkstemp(prefix=".sektor-", suffix=".partial", dir=place.parent)
            os.close(descriptor)
        self.path = Path(name)

    def publish(self) -> None:
        """Move the complete file to its place."""
        with naming(self.place):
            mask = os.umask(0)
            os.umask(mask)
            self.path.chmod(0o666 & ~mask)  # a temporary file is its owner's alone
            if not self.overwrite:
                refuse_to_replace(self.place, self.overwrite)
                with suppress(OSError):  # where a file system knows no links, the check must do
                    os.link(self.path, self.place)
                    self.path.unlink()
                    return
                refuse_to_replace(self.place, self.overwrite)
            os.replace(self.path, self.place)

    def discard(self) -> None:
        """Remove the file, unless it has been moved to its place."""
        self.path.unlink(missing_ok=True)


class Writer(ABC):
    """Writes labelled batches to `path`; nothing stands there until `close`.

    Use as a context manager: leaving it after an error removes what was begun. `overwrite` allows a file that stands
    there to be replaced. Raises WriteError.
    """

    to_file = True

    def __init__(self, path: Path, sectors: Sequence[str], overwrite: bool = False):
        self.path = path
        self.sectors = tuple(sectors)
        self._file = Partial(path, overwrite) if self.to_file else None
        with naming(path):
            self._open()

    @property
    def _partial(self) -> Path:
        assert self._file is not None
        return self._file.path

    @abstractmethod
    def _open(self) -> None: ...

    def write(self, batch: LabelledBatch) -> None:
        """Append the rows of a batch."""
        with naming(self.path):
            self._write(batch)

    @abstractmethod
    def _write(self, batch: LabelledBatch) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Complete what was begun and close it."""

    @abstractmethod
    def _abandon(self) -> None:
        """Close what was begun, whatever state it is in."""

    def close(self) -> None:
        """Complete the file and move it to its place."""
        with naming(self.path):
            self._finish()
        if self._file is not None:
            self._file.publish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        except BaseException:
            kind = BaseException
            raise
        finally:
            if kind is not None:
                with suppress(OSError):
                    self._abandon()
                if self._file is not None:
                    self._file.discard()


def refuse_to_replace(path: Path, overwrite: bool) -> None:
    """Raises WriteError if something stands at `path` that may not be replaced by a file."""
    if path.is_dir():
        raise WriteError(f"{path}: is a folder, expected the name of a file")
    if path.exists() and not overwrite:
        raise WriteError(f"{path}: exists already; give another name or --overwrite")


class JsonLinesWriter(Writer):
    """One JSON object a line."""

    _stream: BinaryIO

    def _open(self) -> None:
        self._stream = self._partial.open("wb")

    def _write(self, batch: LabelledBatch) -> None:
        kept = [(json_string(name), batch.rows.json_texts(column)) for column, name in batch.kept.items()]
        names = [json_string(sector) for sector in self.sectors]
        lines = []
        for place, row in enumerate(batch.picked.tolist()):
            sectors = ", ".join(
                name for name, said in zip(names, batch.labels.predicted[place].tolist(), strict=True) if said
            )
            primary = names[batch.labels.primary[place]] if batch.labels.primary[place] >= 0 else "null"
            probabilities = ", ".join(
                f"{name}: {p:.{DIGITS}g}"
                for name, p in zip(names, batch.labels.probabilities[place].tolist(), strict=True)
            )
            line = (
                f'{{"id": {batch.ids[place]}, "sectors": [{sectors}], "primary": {primary}, '
                f'"probabilities": {{{probabilities}}}, "coverage": {batch.labels.coverage[place]:.{DIGITS}g}'
            )
            for name, texts in kept:
                if texts[row] is not None:
                    line += f", {name}: {texts[row]}"
            lines.append(line + "}\n")
        self._stream.write("".join(lines).encode())

    def _finish(self) -> None:
        self._stream.close()

    def _abandon(self) -> None:
        self._stream.close()


class StandardOutputWriter(JsonLinesWriter):
    """JSON lines on standard output, batch by batch: who reads it sees each as soon as it is labelled."""

    to_file = False

    def _open(self) -> None:
        if sys.stdout is None:
            raise WriteError("standard output is closed, expected it open for -o -")
        self._stream = sys.stdout.buffer

    def _write(self, batch: LabelledBatch) -> None:
        super()._write(batch)
        self._stream.flush()

    def _abandon(self) -> None: ...

    def close(self) -> None:
        """Nothing is left to do: every batch was flushed."""


class CsvWriter(Writer):
    """Comma-separated with a header; sectors joined by `|`, one probability column a sector."""

    _stream: BinaryIO

    def _open(self) -> None:
        self._stream = self._partial.open("wb")
        self._begun = False

    def _write(self, batch: LabelledBatch) -> None:
        self._begin(batch.kept.values())
        kept = [batch.rows.column(column).to_pylist() for column in batch.kept]
        lines = []
        for place, row in enumerate(batch.picked.tolist()):
            said = batch.labels.predicted[place].tolist()
            primary = batch.labels.primary[place]
            cells = [
                plain(batch.ids[place]),
                "|".join(sector for sector, yes in zip(self.sectors, said, strict=True) if yes),
                self.sectors[primary] if primary >= 0 else "",
                *(f"{p:.{DIGITS}g}" for p in batch.labels.probabilities[place].tolist()),
                f"{batch.labels.coverage[place]:.{DIGITS}g}",
                *("" if texts[row] is None else texts[row] for texts in kept),
            ]
            lines.append(csv_line(cells))
        self._stream.write("".join(lines).encode())

    def _begin(self, kept: Iterable[str]) -> None:
        if not self._begun:
            self._stream.write(csv_line([*_label_columns(self.sectors), *kept]).encode())
            self._begun = True

    def _finish(self) -> None:
        self._begin([])
        self._stream.close()

    def _abandon(self) -> None:
        self._stream.close()


class ParquetWriter(Writer):
    """A list column of sectors, one probability column a sector, kept columns as text."""

    def _open(self) -> None:
        self._partial.open("wb").close()
        self._parquet: pq.ParquetWriter | None = None

    def _schema(self, kept: Sequence[str]) -> pa.Schema:
        types = {"id": pa.string(), "sectors": pa.list_(pa.string()), "primary": pa.string()}
        types |= {name: pa.float64() for name in _label_columns(self.sectors)[3:]}
        return pa.schema([*types.items(), *((name, pa.string()) for name in kept)])

    def _write(self, batch: LabelledBatch) -> None:
        schema = self._schema(list(batch.kept.values()))
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._partial, schema, compression="zstd")
        names = string_array(self.sectors)
        place = arrow_array(np.nonzero(batch.labels.predicted)[1])
        offsets = np.concatenate(([0], np.cumsum(batch.labels.predicted.sum(axis=1)))).astype(np.int32)
        primary = arrow_array(batch.labels.primary, valid=batch.labels.primary >= 0)
        picked = arrow_array(batch.picked)
        columns = [
            string_array([plain(text) for text in batch.ids]),
            pa.ListArray.from_arrays(arrow_array(offsets), names.take(place)),
            names.take(primary),
            *(arrow_array(column) for column in batch.labels.probabilities.T),
            arrow_array(batch.labels.coverage),
            *(batch.rows.column(column).take(picked) for column in batch.kept),
        ]
        self._parquet.write_table(pa.Table.from_arrays(columns, schema=schema))

    def _finish(self) -> None:
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._partial, self._schema([]), compression="zstd")
        self._parquet.close()

    def _abandon(self) -> None:
        if self._parquet is not None:
            self._parquet.close()


WRITERS: dict[str, type[Writer]] = {
    ".jsonl": JsonLinesWriter,
    ".ndjson": JsonLinesWriter,
    ".csv": CsvWriter,
    ".parquet": ParquetWriter,
}


def open_writer(path: str, sectors: Sequence[str], overwrite: bool = False) -> Writer:
    """The writer for a path by its extension; `-` is JSONL on standard output. Raises WriteError."""
    kind = writer_for(path)
    if kind is StandardOutputWriter:
        return kind(Path("standard output"), sectors, overwrite=True)
    return kind(Path(path), sectors, overwrite)


def writer_for(path: str) -> type[Writer]:
    """The kind of writer for a path. Raises WriteError for an extension there is none for."""
    if path == STANDARD_OUTPUT:
        return StandardOutputWriter
    kind = WRITERS.get(Path(path).suffix.lower())
    if kind is None:
        raise WriteError(f"{path}: unknown extension {Path(path).suffix!r}, expected one of {', '.join(WRITERS)}")
    return kind


def reject_line(reject: Reject) -> str:
    """A rejected row as one line of JSON: path, line, reason, raw."""
    return json.dumps(
        {"path": reject.path, "line": reject.line, "reason": reject.reason, "raw": reject.raw},
        ensure_ascii=False,
    )


def csv_line(cells: Sequence[str]) -> str:
    """A row of CSV, quoted as in RFC 4180.

    Python's `csv.writer` leaves a carriage return unquoted where lines end in a newline alone, and readers then take it
    for the end of the row.
    """
    quoted = ('"' + cell.replace('"', '""') + '"' if NEEDS_QUOTES.search(cell) else cell for cell in cells)
    return ",".join(quoted) + "\n"


def plain(json_text: str) -> str:
    """A JSON value as it stands in CSV and Parquet: a string's characters, any other value's JSON text."""
    return str(json.loads(json_text)) if json_text.startswith('"') else json_text


def label_columns(sectors: Sequence[str]) -> list[str]:
    """The names that outputs give to their own columns, in all formats."""
    return [*_label_columns(sectors), "probabilities"]


def _label_columns(sectors: Sequence[str]) -> list[str]:
    return ["id", "sectors", "primary", *(PROBABILITY + sector for sector in sectors), "coverage"]
