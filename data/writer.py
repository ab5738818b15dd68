"""Labelled rows as JSON lines, CSV and Parquet.

The counterpart of `data.reader`: ids and kept columns come out as they came in, labels in the form each format is good
at: JSON lists and objects; in CSV `ev|automotive` and one column a sector; in Parquet a list column and one a sector.

A format turns batch after batch into bytes that can be appended to what stands there, so that a file can be cut after
any batch and gone on with. Compressed text is a gzip member or Zstandard frame a batch, which every reader takes for
one stream. Parquet cannot be appended to: its batches are kept as an Arrow stream and turned into a file at the end.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from data.batch import Batch, Reject, json_string
from data.checkpoint import WriteError, naming
from features.arrays import arrow_array
from features.strings import string_array

STANDARD_OUTPUT: Final = "-"
PROBABILITY: Final = "probability_"  # opens the names of the probability columns in CSV and Parquet
EXPLANATION: Final = "explanation"
DIGITS: Final = 6  # significant digits of a probability in text formats
NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')
ROW_GROUP_ROWS: Final = 1 << 15  # of a Parquet file
ROW_GROUP_BYTES: Final = 32 << 20  # before compression; whichever is reached first


class Labels(Protocol):
    """What the formats need of the labels of n rows; `models.scoring.Labels` has it."""

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
    labelled. kept: input columns to pass through, with their output names. explanations: (n,), JSON objects; None
    for none.
    """

    rows: Batch
    picked: npt.NDArray[np.int64]
    ids: list[str]
    labels: Labels
    texts: pa.StringArray
    titles: pa.StringArray | None
    kept: dict[str, str] = field(default_factory=dict)
    explanations: list[str] | None = None


class Format(ABC):
    """How labelled batches become bytes, one after the other; safe to share between threads.

    Parameters: sectors, in the order of the labels' columns; explained, whether batches bring explanations.
    """

    objects = False  # whether each row names its columns, and so may have others than the row before
    name: str

    def __init__(self, sectors: Sequence[str], explained: bool = False) -> None:
        self.sectors = tuple(sectors)
        self.own = ["id", "sectors", "primary", *(PROBABILITY + sector for sector in self.sectors), "coverage"]
        if explained:
            self.own.append(EXPLANATION)

    def head(self, kept: Sequence[str]) -> bytes:
        """What stands above the first row, where `kept` are the output names of the columns passed through."""
        return b""

    @abstractmethod
    def rows(self, batch: LabelledBatch) -> bytes:
        """The rows of a batch."""

    def finish(self, journal: Path, metadata: Mapping[str, str]) -> Path:
        """The file made of what was appended, the head and the rows of all batches, which most often is the file.

        Parameters: metadata, for formats that have a place for it.
        """
        return journal


class JsonLines(Format):
    """One JSON object a line."""

    objects = True
    name = "jsonl"

    def rows(self, batch: LabelledBatch) -> bytes:
        kept = [(json_string(name), batch.rows.json_texts(column)) for column, name in batch.kept.items()]
        names = [json_string(sector) for sector in self.sectors]
        labels = batch.labels
        lines = []
        for place, (row, identity, predicted, primary, probabilities, coverage) in enumerate(
            zip(
                batch.picked.tolist(),
                batch.ids,
                labels.predicted.tolist(),
                labels.primary.tolist(),
                labels.probabilities.tolist(),
                labels.coverage.tolist(),
                strict=True,
            )
        ):
            sectors = ", ".join([name for name, said in zip(names, predicted, strict=True) if said])
            shown = ", ".join([f"{name}: {p:.{DIGITS}g}" for name, p in zip(names, probabilities, strict=True)])
            line = (
                f'{{"id": {identity}, "sectors": [{sectors}], "primary": {names[primary] if primary >= 0 else "null"}, '
                f'"probabilities": {{{shown}}}, "coverage": {coverage:.{DIGITS}g}'
            )
            if batch.explanations is not None:
                line += f', "{EXPLANATION}": {batch.explanations[place]}'
            for name, texts in kept:
                if texts[row] is not None:
                    line += f", {name}: {texts[row]}"
            lines.append(line + "}\n")
        return "".join(lines).encode()


class Csv(Format):
    """Comma-separated with a header; sectors joined by `|`, one probability column a sector."""

    name = "csv"

    def head(self, kept: Sequence[str]) -> bytes:
        return csv_line([*self.own, *kept]).encode()

    def rows(self, batch: LabelledBatch) -> bytes:
        kept = [batch.rows.column(column).to_pylist() for column in batch.kept]
        labels = batch.labels
        primaries = (*self.sectors, "")  # the place -1 stands for none
        lines = []
        for place, (row, identity, predicted, primary, probabilities, coverage) in enumerate(
            zip(
                batch.picked.tolist(),
                batch.ids,
                labels.predicted.tolist(),
                labels.primary.tolist(),
                labels.probabilities.tolist(),
                labels.coverage.tolist(),
                strict=True,
            )
        ):
            cells = [
                plain(identity),
                "|".join([sector for sector, yes in zip(self.sectors, predicted, strict=True) if yes]),
                primaries[primary],
                *[f"{p:.{DIGITS}g}" for p in probabilities],
                f"{coverage:.{DIGITS}g}",
            ]
            if batch.explanations is not None:
                cells.append(batch.explanations[place])
            cells += ["" if texts[row] is None else texts[row] for texts in kept]
            lines.append(csv_line(cells))
        return "".join(lines).encode()


class Parquet(Format):
    """A list column of sectors, one probability column a sector, kept columns as text.

    While it is being made, the schema and record batches of an Arrow stream.
    """

    name = "parquet"

    def _schema(self, kept: Sequence[str]) -> pa.Schema:
        types = {"id": pa.string(), "sectors": pa.list_(pa.string()), "primary": pa.string()}
        types |= {name: pa.float64() for name in self.own if name.startswith(PROBABILITY)}
        types |= {"coverage": pa.float64()}
        types |= {name: pa.string() for name in self.own if name == EXPLANATION}
        return pa.schema([*types.items(), *((name, pa.string()) for name in kept)])

    def head(self, kept: Sequence[str]) -> bytes:
        content: bytes = self._schema(kept).serialize().to_pybytes()
        return content

    def rows(self, batch: LabelledBatch) -> bytes:
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
            *([] if batch.explanations is None else [string_array(batch.explanations)]),
            *(batch.rows.column(column).take(picked) for column in batch.kept),
        ]
        schema = self._schema(list(batch.kept.values()))
        content: bytes = pa.RecordBatch.from_arrays(columns, schema=schema).serialize().to_pybytes()
        return content

    def finish(self, journal: Path, metadata: Mapping[str, str]) -> Path:
        """A Parquet file beside the journal, in row groups of at most `ROW_GROUP_ROWS` rows."""
        output = journal.with_name(f"{journal.name}.new")
        with pa.OSFile(str(journal)) as stream, pa.ipc.open_stream(stream) as reader:
            schema = reader.schema.with_metadata(dict(metadata))
            with pq.ParquetWriter(output, schema, compression="zstd") as writer:
                group: list[pa.RecordBatch] = []
                for batch in reader:
                    rows = sum(part.num_rows for part in group) + batch.num_rows
                    size = sum(part.nbytes for part in group) + batch.nbytes
                    if group and (rows > ROW_GROUP_ROWS or size > ROW_GROUP_BYTES):
                        _write_row_group(writer, group, schema)
                        group = []
                    group.append(batch)
                if group:
                    _write_row_group(writer, group, schema)
        return output


def _write_row_group(writer: pq.ParquetWriter, batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> None:
    table = pa.Table.from_batches(batches).replace_schema_metadata(schema.metadata)
    writer.write_table(table, row_group_size=max(1, table.num_rows))


class Compressed(Format):
    """Another format, compressed: a gzip member or Zstandard frame a batch."""

    GZIP: Final = 16 + zlib.MAX_WBITS

    def __init__(self, format: Format, codec: str) -> None:
        super().__init__(format.sectors)
        self.own = format.own
        self.objects = format.objects
        self.name = format.name
        self._format = format
        self._codec = codec

    def head(self, kept: Sequence[str]) -> bytes:
        return self._compress(self._format.head(kept))

    def rows(self, batch: LabelledBatch) -> bytes:
        return self._compress(self._format.rows(batch))

    def _compress(self, content: bytes) -> bytes:
        if not content:
            return b""
        if self._codec == "gzip":
            compressor = zlib.compressobj(wbits=self.GZIP)  # it writes no time into the header
            return compressor.compress(content) + compressor.flush()
        compressed: bytes = pa.Codec(self._codec).compress(content, asbytes=True)
        return compressed


FORMATS: Final[dict[str, type[Format]]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": Csv,
    ".parquet": Parquet,
}
CODECS: Final = {".gz": "gzip", ".zst": "zstd"}


def output_format(path: str | Path, sectors: Sequence[str], explained: bool = False) -> Format:
    """The format of a path, told from its extension, such as `.csv` or `.jsonl.gz`.

    Raises WriteError for an extension that there is no format for.
    """
    path = Path(path)
    codec = CODECS.get(path.suffix.lower())
    extension = (path.with_suffix("") if codec else path).suffix.lower()
    kind = FORMATS.get(extension)
    if kind is None:
        found = extension + (path.suffix if codec else "") or path.suffix
        raise WriteError(
            f"{path}: unknown extension {found!r}, expected one of {', '.join(FORMATS)}, "
            f"with {' or '.join(CODECS)} after a text format"
        )
    if codec is None:
        return kind(sectors, explained)
    if kind is Parquet:
        raise WriteError(f"{path}: Parquet is compressed as it is, expected {path.stem}")
    return Compressed(kind(sectors, explained), codec)


def stream_format(name: str, sectors: Sequence[str], explained: bool = False) -> Format:
    """The format of standard output by its name, `jsonl` or `csv`. Raises WriteError if that is closed."""
    if sys.stdout is None:
        raise WriteError("standard output is closed, expected it open for -o -")
    return {JsonLines.name: JsonLines, Csv.name: Csv}[name](sectors, explained)


def write_standard_output(content: bytes) -> None:
    """Write at once: who reads it sees each batch as soon as it is labelled. Raises WriteError, BrokenPipeError."""
    with naming("standard output"):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


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
    quoted = ['"' + cell.replace('"', '""') + '"' if NEEDS_QUOTES.search(cell) else cell for cell in cells]
    return ",".join(quoted) + "\n"


def plain(json_text: str) -> str:
    """A JSON value as it stands in CSV and Parquet: a string's characters, any other value's JSON text."""
    return str(json.loads(json_text)) if json_text.startswith('"') else json_text


def label_columns(sectors: Sequence[str], explained: bool = False) -> list[str]:
    """The names that outputs give to their own columns, in all formats."""
    return [*JsonLines(sectors, explained).own, "probabilities"]
