"""The batch script on Spark: files in, a folder of files out.

    python predict.py --engine spark --master spark://HOST:7077 hdfs://news/2024 -o hdfs://labels/2024.parquet

Rows are read, rejected, labelled and written by the very code of the batch script, only elsewhere: Spark hands lines of
text or rows of Parquet to the workers and takes back what is to be written.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from data.batch import Batch, ReadError
from data.checkpoint import WriteError
from data.columns import ID_COLUMNS, find_column
from data.inputs import FORMAT_OF, JSON_LINES, PARQUET, STANDARD_INPUT, TEXT
from data.rows import RowPicker
from data.streams import is_wide
from data.writer import FORMATS, STANDARD_OUTPUT, Parquet
from features.strings import string_array
from models.batch import Job, Outcome, TooManyRejects
from models.drift import warnings
from models.predictor import BATCH_ARTICLES, Predictor
from models.provenance import description, software
from models.spark import label_schema
from models.spark_session import (
    Files,
    FoundFile,
    SparkError,
    faults,
    map_records,
    numbered,
    read_whole_files,
    send_code,
    session,
)
from models.spark_worker import OUTPUTS, PATH, PLACE, VALUE, FileTask, Tallies, Tally, pack, shown_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LOCAL: Final = "local[*]"
READ_AS: Final = FORMAT_OF | {".json": JSON_LINES}  # Spark itself writes lines of JSON under that name
PACKED: Final = (".gz", ".zst", ".bz2")  # what Spark unpacks
GLOB: Final = re.compile(r"([\\*?\[\]{}])")  # what Spark would take for a pattern in a name
PART: Final = re.compile(r"part-(\d+)-.*-c(\d+)\.")  # how Spark names the files it writes
DONE: Final = "_SUCCESS"  # stands beside them once all are there
TOLD_EVERY: Final = 10.0  # seconds


def run(job: Job, predictor: Predictor, master: str = LOCAL, tell: Callable[[str], None] | None = None) -> Outcome:
    """Label files as the batch script does: rows are read, rejected, labelled and written by the same rules.

    The output is a folder of files, in the format of its extension or without one in Parquet. Its rows come in no
    order, and a row without an id gets none, since its number is not known. Lines of JSON are counted from where the
    part begins that Spark gave to one task. Rejected rows go to the folder `<output>.rejects`, what the output was made
    of to `<output>.meta.json`. All of it appears when it is finished; until then it is in `<output>.partial`.

    Input: Parquet, JSON lines (which may be called .json) or CSV, files, folders or patterns, all of one format,
    wherever Spark can read: file:, hdfs:, s3a: ... A CSV file is read by one task, for its rows may hold line ends;
    JSON lines and Parquet are split among many. Every worker must reach input and output by the names given.

    Parameters: job, without listing, report, review and resume; its `workers` are Spark's affair. master: see
    `models.spark_session.session`. tell: is told now and then how far Spark is.

    Raises ReadError, WriteError, TooManyRejects or SparkError, ValueErrors of one line.
    """
    output = _checked(job)
    with session(master) as spark:
        started = perf_counter()
        files = Files(spark)
        found = _inputs(job, files)
        outputs = _Outputs(files, output, job.overwrite)
        outputs.refuse([file.name for file in found.files])
        if found.format not in (JSON_LINES, PARQUET):
            read_whole_files(spark)
        task = _task(job, predictor, spark, found)
        send_code(spark)
        with outputs.partial(), _telling(spark, tell):
            tally = _write_labels(spark, found, task, files.name(outputs.labels))
            totals = tally.totals
            if job.max_rejects is not None and job.max_rejects.exceeded(totals, ended=True):
                raise TooManyRejects(
                    f"{totals.rejected:,} of {totals.read:,} rows rejected, more than --max-rejects {job.max_rejects}"
                )
            if totals.rejected:
                _write_rejects(spark, found, task, files.name(outputs.rejected))
            notes = warnings(predictor.model.training, tally.watch, job.by_hand)
            if find_column(task.known, None, ID_COLUMNS if job.columns.id is None else (job.columns.id,), "id") is None:
                notes.append("no column of ids, and on Spark rows have no numbers: name one, or pass columns through")
            outputs.write_meta(_described(job, predictor, task, found, tally, notes))
            outputs.publish()
        seconds = perf_counter() - started
    return Outcome(totals, totals.read, seconds, Path(f"{output}.rejects") if totals.rejected else None, notes)


def _checked(job: Job) -> str:
    """The output. Raises ValueError for what Spark does not do."""
    for option, given in (
        ("--report", job.report),
        ("--review", job.review),
        ("--resume", job.resume),
        ("standard input", STANDARD_INPUT in job.inputs),
        ("standard output", job.output == STANDARD_OUTPUT),
    ):
        if given:
            raise SparkError(f"--engine spark does not do {option}, expected --engine local")
    if job.output is None:
        raise SparkError("--engine spark writes a folder, expected -o with its name")
    try:
        wide = is_wide(job.encoding)
    except LookupError:
        raise ReadError(f"unknown encoding {job.encoding!r}") from None
    if wide:
        raise ReadError(f"--encoding {job.encoding}: expected one whose line end is one byte, or --engine local")
    _output_format(job.output)
    return job.output.rstrip("/")


def _output_format(output: str) -> str:
    extension = PurePosixPath(output).suffix.lower()
    if not extension:
        return Parquet.name
    if extension not in FORMATS:
        raise WriteError(f"{output}: unknown extension {extension!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[extension].name


# Input


@dataclass(frozen=True)
class _Found:
    """The files to read, all of one format and none of them empty."""

    files: list[FoundFile]
    format: str


def _inputs(job: Job, files: Files) -> _Found:
    """Raises ReadError if there is nothing to read, or not all of it is of one format that Spark can split up."""
    found: list[FoundFile] = []
    formats: dict[str, str] = {}
    for given in job.inputs:
        usable = {file: job.format or READ_AS.get(_extension(file.name)) for file in files.find(given)}
        if not any(usable.values()):
            what = f"expected files named {', '.join(READ_AS)}" if files.exists(given) else "no such file or folder"
            raise ReadError(f"{given}: {what}")
        for file, format in usable.items():
            if format is not None:
                found.append(file)
                formats.setdefault(format, shown_path(file.name))
    if TEXT in formats:
        raise ReadError(f"{formats[TEXT]}: one text a file, expected JSON lines, CSV or Parquet, or --engine local")
    if len(formats) > 1:
        shown = " and ".join(f"{format} ({name})" for format, name in formats.items())
        raise ReadError(f"found {shown}, expected one format at a time")
    filled = [file for file in dict.fromkeys(found) if file.size]
    if not filled:
        raise ReadError(f"{', '.join(job.inputs)}: all {len(found)} files are empty, expected articles")
    return _Found(filled, *formats)


def _extension(name: str) -> str:
    path = PurePosixPath(name)
    if path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    return path.suffix.lower()


def _lines(spark: SparkSession, files: Sequence[FoundFile]) -> DataFrame:
    """The lines of text files; see `FileTask`."""
    # A carriage return may stand in a field, and the lines are put together again as they were.
    frame = spark.read.option("lineSep", "\n").option("recursiveFileLookup", True).text(_literal(files))
    return frame.selectExpr(VALUE, f"_metadata.file_path as {PATH}", f"_metadata.file_block_start as {PLACE}")


def _rows(spark: SparkSession, files: Sequence[FoundFile]) -> tuple[DataFrame, list[str]]:
    """The rows of Parquet files, and what their columns are called; see `FileTask`."""
    # Folders such as `year=2024` are no columns. Without merging, columns that the first file lacks would be lost.
    reader = spark.read.option("recursiveFileLookup", True).option("mergeSchema", True)
    frame = reader.parquet(*_literal(files))
    names: list[str] = frame.columns
    places = f"_metadata.file_path as {PATH}", f"_metadata.row_index as {PLACE}"
    return frame.selectExpr(*numbered(names), *places), names


def _literal(files: Sequence[FoundFile]) -> list[str]:
    return [GLOB.sub(r"\\\1", file.name) for file in files]


def _frame(spark: SparkSession, found: _Found) -> DataFrame:
    return _rows(spark, found.files)[0] if found.format == PARQUET else _lines(spark, found.files)


def _task(job: Job, predictor: Predictor, spark: SparkSession, found: _Found) -> FileTask:
    """The work to do. Raises ReadError if the first rows show that it cannot be done."""
    assert job.output is not None
    delimiter = "\t" if job.delimiter == "\\t" else job.delimiter
    output = _output_format(job.output)
    task = FileTask(
        pack(predictor), job.columns, found.format, delimiter, job.encoding, (), output, job.keep_columns, job.explain
    )
    first = _first_rows(spark, found, task)
    RowPicker(job.columns, encoding=job.encoding).pick(first)
    return replace(task, known=tuple(first.columns))


def _first_rows(spark: SparkSession, found: _Found, task: FileTask) -> Batch:
    """Rows from the beginning of the first file that has any; of Parquet only which columns it has."""
    path = shown_path(found.files[0].name)
    if found.format == PARQUET:
        names = _rows(spark, found.files)[1]
        return Batch({name: string_array([]) for name in names}, np.zeros(0, np.int64), path, False)
    for file in found.files:
        lines = _lines(spark, [file]).limit(BATCH_ARTICLES).selectExpr(f"cast({VALUE} as binary)")
        text = b"".join(bytes(row[0]) + b"\n" for row in lines.collect())
        for batch in task.text_batches(shown_path(file.name), iter([text])):
            return batch
    raise ReadError(f"{path}: found blank lines alone, expected articles")


# Output


def _write_labels(spark: SparkSession, found: _Found, task: FileTask, folder: str) -> Tally:
    """Write the labelled rows; returns the counts."""
    counts = spark.sparkContext.accumulator(Tally.of(task.bundle.sectors), Tallies())
    task = replace(task, tally=counts)
    frame = _frame(spark, found)
    if task.output != Parquet.name:
        map_records(frame, task, f"{VALUE} string").write.text(folder)
    else:
        schema = label_schema(task.bundle.sectors, task.explain)
        for name in task.header(OUTPUTS[task.output](task.bundle.sectors, task.explain)):
            schema = schema.add(name, "string")
        map_records(frame, task, schema).write.option("compression", "zstd").parquet(folder)
    tally: Tally = counts.value
    return tally


def _write_rejects(spark: SparkSession, found: _Found, task: FileTask, folder: str) -> None:
    """Read everything once more, which takes little beside labelling it, and write what was rejected."""
    map_records(_frame(spark, found), replace(task, rejected=True), f"{VALUE} string").write.text(folder)


class _Outputs:
    """What a run writes: in one folder while it is being made, then each in its place."""

    def __init__(self, files: Files, output: str, overwrite: bool):
        self._files = files
        self._output = output
        self._overwrite = overwrite
        self._work = f"{output}.partial"
        self.labels = f"{self._work}/labels"
        self.rejected = f"{self._work}/rejects"
        self._meta = f"{self._work}/meta.json"
        self._places = {
            self.rejected: f"{output}.rejects",
            self._meta: f"{output}.meta.json",
            self.labels: output,
        }

    def refuse(self, inputs: Sequence[str]) -> None:
        """Raises WriteError if something stands in a place that may not be replaced, or is read as input."""
        files = self._files
        for place in reversed(self._places.values()):
            full = files.full_name(place)
            if any(name == full or name.startswith(f"{full}/") for name in inputs):
                raise WriteError(f"{place}: is read as input, expected another name for the output")
            if not files.exists(place):
                continue
            if not self._overwrite:
                raise WriteError(f"{place}: exists already; give another name or --overwrite")
            names = files.names(place)
            expected = "a file" if place == self._places[self._meta] else "a folder"
            if (found := "a file" if names is None else "a folder") != expected:
                raise WriteError(f"{place}: is {found}, expected {expected} to replace or a free name")
            if others := [name for name in names or () if name != DONE and not name.startswith("part-")]:
                raise WriteError(f"{place}: holds {others[0]}, which would be lost, expected part files alone")
        if files.exists(self._work):
            others = [name for name in files.names(self._work) or ["it"] if f"{self._work}/{name}" not in self._places]
            if others or not self._overwrite:
                raise WriteError(
                    f"{self._work}: is in the way; a run that is under way or was ended has left it: "
                    f"{'remove it' if others else 'remove it, or give --overwrite'}"
                )
            files.remove(self._work)

    @contextmanager
    def partial(self) -> Iterator[None]:
        """The folder for what is being made goes, however it ends."""
        try:
            yield
        finally:
            with suppress(SparkError), faults():
                self._files.remove(self._work)

    def write_meta(self, described: dict[str, Any]) -> None:
        """Write what the output was made of."""
        self._files.write(self._meta, (json.dumps(described, indent=1) + "\n").encode())

    def publish(self) -> None:
        """Move everything to its place, the labels last. What is replaced goes when the new is there."""
        files = self._files
        extension = PurePosixPath(self._output).suffix.lower() or f".{Parquet.name}"
        for folder, ending in ((self.labels, extension), (self.rejected, ".jsonl")):
            if files.exists(folder):
                self._name_parts(folder, ending)
        for number, (source, place) in enumerate(self._places.items()):
            if files.exists(place):
                self._refuse_late(place)
                files.move(place, f"{self._work}/replaced-{number}")
            if files.exists(source):
                files.move(source, place)

    def _refuse_late(self, place: str) -> None:
        if not self._overwrite:
            raise WriteError(f"{place}: has come to stand there meanwhile; give another name or --overwrite")

    def _name_parts(self, folder: str, extension: str) -> None:
        """Give part files names that tell their format, and remove those that hold nothing."""
        for file in self._files.find(folder):
            if not file.size:
                self._files.remove(file.name)
            elif named := PART.match(PurePosixPath(file.name).name):
                more = "" if int(named[2]) == 0 else f"-{named[2]}"
                self._files.move(file.name, f"{folder}/part-{named[1]}{more}{extension}")


def _described(
    job: Job, predictor: Predictor, task: FileTask, found: _Found, tally: Tally, notes: Sequence[str]
) -> dict[str, Any]:
    made_of = {
        "input": {"files": len(found.files), "bytes": sum(file.size for file in found.files)},
        "model": task.bundle.digest,
        "software": software(),
        "--threshold": predictor.thresholds,
        "--engine": "spark",
        "--text-column": job.columns.text,
        "--title-column": job.columns.title,
        "--id-column": job.columns.id,
        "--format": job.format,
        "--delimiter": job.delimiter,
        "--encoding": job.encoding,
        "--keep-columns": job.keep_columns,
        "--explain": job.explain,
    }
    counts = {name: count for name, count in tally.totals.state().items() if name != "undecodable"}
    return description(made_of, counts, notes)


@contextmanager
def _telling(spark: SparkSession, tell: Callable[[str], None] | None) -> Iterator[None]:
    """Tells every few seconds how many tasks of what Spark is doing are done."""
    ended = threading.Event()
    tracker = spark.sparkContext.statusTracker()

    def watch(say: Callable[[str], None]) -> None:
        while not ended.wait(TOLD_EVERY):
            with suppress(SparkError), faults():
                for stage in map(tracker.getStageInfo, tracker.getActiveStageIds()):
                    if stage is not None:
                        say(f"{stage.numCompletedTasks:,} of {stage.numTasks:,} tasks done")

    thread = None if tell is None else threading.Thread(target=watch, args=(tell,), daemon=True)
    if thread is not None:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread is not None:
            thread.join()
