"""A run of the batch script: read, label, write, side by side, and nothing lost.

A thread reads batch after batch, a few threads label them and put them into the form of the output, and the calling
thread writes them in the order of the input. Only a few batches are under way at a time, so that memory does not grow
with the input. After each batch the run notes how far it is (see `data.checkpoint`).
"""

from __future__ import annotations

import glob
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from data.batch import Reject
from data.checkpoint import Journal, WorkInProgress, naming, refuse_to_replace
from data.inputs import fingerprint, input_bytes
from data.reader import read
from data.rows import Columns, PickedRows, RowPicker
from data.writer import (
    STANDARD_OUTPUT,
    Format,
    LabelledBatch,
    label_columns,
    output_format,
    reject_line,
    stream_format,
    write_standard_output,
)
from features.columns import StemColumns
from features.pool import WordPool
from models.drift import Watch, warnings
from models.listing import Listing
from models.memory import give_back_memory, keep_large_blocks_apart
from models.pipeline import in_order
from models.predictor import Predictor, threads_for
from models.progress import Progress, Totals
from models.provenance import description, model_digest, software
from models.samples import ArticleSample
from models.scoring import Labels

BATCH_ROWS: Final = 512  # rows that are labelled together; 1024 take a tenth more memory in all, and as long
GIVE_BACK_EVERY: Final = 16  # batches, about a second
FEWEST_FOR_SHARE: Final = 1000  # rows after which a share of rejects says something
SEMICOLON: Final = ";"  # what spreadsheet programs put between cells where decimals have a comma

# Files of the folder beside the output. No reader takes them for articles, should the folder lie in that of the input.
OUTPUT: Final = "output"
REJECTS: Final = "rejects"
SAMPLE: Final = ("sample", "sample-index")
USEFUL: Final = ("useful", "useful-index")
META: Final = "meta"


class TooManyRejects(ValueError):
    """The input is plainly not what it was taken for; the message is one line."""


@dataclass(frozen=True)
class RejectLimit:
    """How many rows may be rejected: a number, or a share of the rows read (0 to 1)."""

    count: int | None = None
    share: float | None = None

    def exceeded(self, totals: Totals, ended: bool) -> bool:
        """Whether the run should stop; a share is judged after `FEWEST_FOR_SHARE` rows or at the end."""
        if self.count is not None:
            return totals.rejected > self.count
        judged = ended or totals.read >= FEWEST_FOR_SHARE
        return self.share is not None and judged and totals.rejected > self.share * totals.read

    def __str__(self) -> str:
        return f"{self.count:,}" if self.share is None else f"{100 * self.share:g}%"


@dataclass(frozen=True)
class Job:
    """What to do.

    inputs: as for `data.reader.read`. output: a file, "-" for standard output, None for none. listing: print a table.
    columns: as the user named them. format, delimiter, encoding: of the input. stream_format: of standard output.
    keep_columns: pass the input's columns through. explain: give the words that decided. report, review: files to
    write; review_articles: how many to pick. by_hand: sectors whose threshold is not the model's.
    """

    inputs: tuple[str, ...]
    output: str | None = None
    listing: bool = False
    columns: Columns = field(default_factory=Columns)
    format: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    stream_format: str = "jsonl"
    keep_columns: bool = False
    explain: bool = False
    report: Path | None = None
    review: Path | None = None
    review_articles: int = 0
    by_hand: frozenset[str] = frozenset()
    workers: int = 1
    max_rejects: RejectLimit | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def path(self) -> Path | None:
        """The output where it is a file."""
        return None if self.output is None or self.output == STANDARD_OUTPUT else Path(self.output)

    @property
    def places(self) -> list[tuple[str, Path]]:
        """The output and what goes with it, each with its name while it is being made; the output is the last."""
        if self.path is None:
            return []
        beside = [(REJECTS, Path(f"{self.path}.rejects.jsonl")), (META, Path(f"{self.path}.meta.json"))]
        return [*beside, (OUTPUT, self.path)]

    @property
    def pages(self) -> list[Path]:
        """The files made of a part of the articles: report and review."""
        pages = [] if self.report is None else [self.report]
        if self.review is not None:
            from models.review import review_files

            pages += review_files(self.review)
        return pages

    @property
    def journals(self) -> list[str]:
        """The names of the journals the job needs."""
        return [
            *((OUTPUT, REJECTS) if self.path is not None else ()),
            *(SAMPLE if self.report is not None else ()),
            *(USEFUL if self.review is not None else ()),
        ]

    def description(self, predictor: Predictor) -> dict[str, Any]:
        """What the result is made of, name to JSON value: two runs of the same description have the same result.

        Raises ReadError for an input that cannot be read.
        """
        return {
            "input": fingerprint(self.inputs, self.format),
            "model": model_digest(predictor.model),
            "software": software(),
            "--threshold": predictor.thresholds,
            "--text-column": self.columns.text,
            "--title-column": self.columns.title,
            "--id-column": self.columns.id,
            "--date-column": self.columns.date,
            "--format": self.format,
            "--delimiter": self.delimiter,
            "--encoding": self.encoding,
            "--keep-columns": self.keep_columns,
            "--explain": self.explain,
            "--report": None if self.report is None else str(self.report),
            "--review": None if self.review is None else [self.review_articles, str(self.review)],
        }


@dataclass(frozen=True)
class Outcome:
    """What was done. totals: of the whole input. rows, seconds: of this process. rejects: the file, if there is one."""

    totals: Totals
    rows: int
    seconds: float
    rejects: Path | None
    warnings: list[str]


class _Nowhere:
    """Labelled rows that are only counted."""

    def encode(self, batch: LabelledBatch) -> bytes:
        """The rows of a batch as they will be written; many threads at once."""
        return b""

    def write(self, kept: Mapping[str, str], content: bytes) -> None:
        """Append what `encode` gave, in the order of the input; kept are the columns passed through."""


class _Terminal(_Nowhere):
    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._begun = False

    def encode(self, batch: LabelledBatch) -> bytes:
        return self._listing.rows(batch).encode("utf-8", "replace")

    def write(self, kept: Mapping[str, str], content: bytes) -> None:
        if content and not self._begun:
            print(self._listing.head(), end="")
            self._begun = True
        print(content.decode(), end="")


class _Appended(_Nowhere):
    """A journal or standard output, which a head may already have been written to."""

    def __init__(self, format: Format, append: Callable[[bytes], None], begun: bool) -> None:
        self.format = format
        self._append = append
        self._begun = begun

    def encode(self, batch: LabelledBatch) -> bytes:
        return self.format.rows(batch) if len(batch.picked) else b""

    def write(self, kept: Mapping[str, str], content: bytes) -> None:
        if content or kept:  # until then the columns are not known; and a table without rows still has its header
            self.begin(kept)
            self._append(content)

    def begin(self, kept: Mapping[str, str]) -> None:
        """Write the head unless it stands there."""
        if not self._begun:
            self._append(self.format.head(list(kept.values())))
            self._begun = True


@dataclass(frozen=True, eq=False)
class _Labelled:
    """A batch that has been labelled. content: of the output. offset: bytes of the input with it and all before."""

    picked: PickedRows
    labels: Labels
    content: bytes
    offset: int


def run(job: Job, predictor: Predictor, progress: Progress) -> Outcome:
    """Label the input.

    Raises ReadError, WriteError or TooManyRejects, ValueErrors of one line, with a note that says how to go on where
    anything was done; BrokenPipeError where nobody reads standard output any more.
    """
    begin = perf_counter()
    keep_large_blocks_apart()
    with ExitStack() as stack:
        work: WorkInProgress | None = None
        made_of: dict[str, Any] = {}
        if not job.resume:
            _refuse_places(job, [*(place for _, place in reversed(job.places)), *job.pages])
        if job.path is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if job.journals else Path()
            journals = {name: Journal(folder / name) for name in job.journals}
            for journal in journals.values():
                stack.callback(journal.close)
        else:
            output_format(job.path, predictor.sectors)
            made_of = job.description(predictor)
            work = stack.enter_context(
                WorkInProgress(job.path, made_of, job.journals, resume=job.resume, overwrite=job.overwrite)
            )
            journals = work.journals
            if job.resume and not work.moving:
                _refuse_places(job, [place for _, place in reversed(job.places)])
        steps = _Run(job, predictor, work, journals)
        before, seconds = steps.totals.read, 0.0
        if work is None or not work.moving:
            with predictor.pool(job.workers) as pool:
                steps.label(pool, progress)
            progress.close()
            seconds = perf_counter() - begin
            steps.write_pages(progress)
            steps.finish(made_of)
        if work is not None:
            work.publish(steps.moves(), job.overwrite)
        rejects = dict(job.places).get(REJECTS)
        if rejects is not None and not steps.totals.rejected:
            if job.overwrite:
                rejects.unlink(missing_ok=True)  # of the output that was replaced
            rejects = None
        return Outcome(steps.totals, steps.totals.read - before, seconds, rejects, steps.warnings())


def _refuse_places(job: Job, places: Sequence[Path]) -> None:
    """Raises WriteError if a file of the job cannot have its place."""
    for place in places:
        refuse_to_replace(place, job.overwrite)
        with naming(place):
            place.parent.stat()


class _Run:
    """The steps of a run, and its counts."""

    def __init__(
        self, job: Job, predictor: Predictor, work: WorkInProgress | None, journals: Mapping[str, Journal]
    ) -> None:
        self.job = job
        self.predictor = predictor
        self.work = work
        self.journals = journals
        self._finished = OUTPUT
        self._delimiters: set[str] = set()  # of CSV inputs
        self.batches = self.offset = 0
        self.totals = Totals(by_sector=dict.fromkeys((*predictor.sectors, "none"), 0))
        self.watch = Watch(predictor.sectors)
        if work is not None and work.batches:
            self.batches, self.offset = work.batches, work.counts["offset"]
            self.totals = Totals.from_state(work.counts)
            self.watch = Watch.from_state(work.counts["watch"])
        self.destination = self._destination()
        own = label_columns(predictor.sectors, job.explain) if job.keep_columns and job.output is not None else None
        self.picker = RowPicker(
            job.columns,
            own,
            objects=isinstance(self.destination, _Appended) and self.destination.format.objects,
            dated=job.report is not None or job.review is not None,
            encoding=job.encoding,
        )
        self.samples = {
            names: ArticleSample(predictor, journals[names[0]], journals[names[1]], review=names is USEFUL)
            for names in (SAMPLE, USEFUL)
            if names[0] in journals
        }

    def _destination(self) -> _Nowhere:
        job, sectors = self.job, self.predictor.sectors
        if job.listing:
            return _Terminal(Listing(sectors))
        if job.output is None:
            return _Nowhere()
        if job.path is None:
            return _Appended(stream_format(job.stream_format, sectors, job.explain), write_standard_output, False)
        format = output_format(job.path, sectors, job.explain)
        if OUTPUT not in self.journals:
            return _Nowhere()  # all is written, only the moves are left
        journal = self.journals[OUTPUT]
        return _Appended(format, journal.append, begun=journal.size > 0)

    def label(self, pool: WordPool[StemColumns], progress: Progress) -> None:
        """Label all batches that have not been."""

        def work(item: tuple[PickedRows, int]) -> _Labelled:
            picked, offset = item
            labels = self.predictor.label(picked.texts, picked.titles, pool)
            explanations = self._explanations(picked) if self.job.explain else None
            batch = LabelledBatch(
                picked.rows, picked.places, picked.ids, labels, picked.texts, picked.titles, picked.kept, explanations
            )
            with pool.turn():
                return _Labelled(picked, labels, self.destination.encode(batch), offset)

        size = input_bytes(self.job.inputs, self.job.format)
        progress.begin(self.totals, self.offset / size if size else None)
        for labelled in in_order(self._picked(), work, threads_for(self.job.workers)):
            self._write(labelled)
            progress.update(self.totals, self.offset / size if size else None)
            self._judge(labelled.picked.rejected, ended=False)
        self._judge([], ended=True)

    def _picked(self) -> Iterator[tuple[PickedRows, int]]:
        """The rows of all batches that have not been labelled, and the bytes of the input up to their end."""
        job, done, number, before = self.job, self.batches, 0, 0
        for path in job.inputs:
            size = input_bytes([path], job.format) or 0  # now, for it may be gone when it has been read
            for rows in read(
                path, batch_rows=BATCH_ROWS, encoding=job.encoding, format=job.format, delimiter=job.delimiter
            ):
                if rows.delimiter is not None:
                    self._delimiters.add(rows.delimiter)
                if number < done:
                    self.picker.skip(rows)
                else:
                    yield self.picker.pick(rows), before + rows.offset
                number += 1
            before += size

    def _explanations(self, picked: PickedRows) -> list[str]:
        titles = None if picked.titles is None else picked.titles.to_pylist()
        explained = self.predictor.explanations([text or "" for text in picked.texts.to_pylist()], titles)
        return [json.dumps(explanation.to_json(), ensure_ascii=False) for explanation in explained]

    def _write(self, labelled: _Labelled) -> None:
        """Write a batch, count it, and note that it is done."""
        picked, labels = labelled.picked, labelled.labels
        with naming(self.job.path or "standard output"):
            self.destination.write(picked.kept, labelled.content)
            self._reject(picked.rejected)
        for (name, _), sample in self.samples.items():
            with naming(self.job.path or self.journals[name].path):
                sample.add(picked, labels)
        totals = self.totals
        totals.read += len(picked.rows) + len(picked.rows.rejects)
        totals.labelled += len(picked.places)
        totals.rejected += len(picked.rejected)
        totals.undecodable += picked.undecodable
        for name, count in zip(self.predictor.sectors, labels.predicted.sum(axis=0).tolist(), strict=True):
            totals.by_sector[name] += count
        totals.by_sector["none"] += int((labels.primary < 0).sum())
        self.watch.add(labels, picked.texts, picked.titles)
        self.batches += 1
        if self.batches % GIVE_BACK_EVERY == 0:
            give_back_memory()
        self.offset = labelled.offset
        if self.work is not None:
            counts = {**totals.state(), "watch": self.watch.state(), "offset": self.offset}
            self.work.commit(self.batches, counts)

    def _reject(self, rejects: list[Reject]) -> None:
        if self.job.path is None:
            for reject in rejects:
                line = " ".join(f"{reject.path}:{reject.line}: {reject.reason}".split())
                print(line, file=sys.stderr)
        elif rejects:
            # The name of a file may hold bytes that are no text.
            lines = "".join(reject_line(reject) + "\n" for reject in rejects)
            self.journals[REJECTS].append(lines.encode("utf-8", "backslashreplace"))

    def _judge(self, rejects: list[Reject], ended: bool) -> None:
        limit = self.job.max_rejects
        if limit is None or not limit.exceeded(self.totals, ended):
            return
        such = "" if not rejects else f", such as {rejects[0].path}:{rejects[0].line}: {rejects[0].reason}"
        raise TooManyRejects(
            f"{self.totals.rejected:,} of {self.totals.read:,} rows rejected, more than --max-rejects {limit}{such}; "
            "raise the limit if they are to be set aside"
        )

    def write_pages(self, progress: Progress) -> None:
        """Write the report and the articles to review."""
        job, totals = self.job, self.totals
        if job.resume:
            for page in job.pages:
                for half in page.parent.glob(f".{glob.escape(page.name)}-*.partial"):  # of a run that was killed
                    half.unlink(missing_ok=True)
        if job.report is not None:
            from models import report

            articles = self.samples[SAMPLE].articles()
            by_sector = dict(totals.by_sector)
            counted = report.Totals(totals.labelled, totals.rejected, by_sector.pop("none"), by_sector)
            rule = None if len(articles) == totals.labelled else f"{len(articles):,} rows drawn evenly by their number"
            progress.say(f"explaining {len(articles):,} articles -> {job.report}")
            report.write_report(job.report, articles, self.predictor, counted, rule)
        if job.review is not None:
            from models.review import pick, write_review

            progress.say(f"picking articles -> {job.review}")
            picked = pick(self.samples[USEFUL].articles(), self.predictor, job.review_articles)
            # The program that saved the input with semicolons will open the sheet.
            delimiter = SEMICOLON if self._delimiters == {SEMICOLON} else ","
            overwrite = job.overwrite or job.resume
            write_review(job.review, picked, self.predictor, overwrite=overwrite, delimiter=delimiter)

    def finish(self, made_of: Mapping[str, Any]) -> None:
        """Make the output of what the journals hold, and describe it."""
        totals = self.totals
        if totals.labelled + totals.rejected != totals.read:
            raise AssertionError(f"labelled {totals.labelled} and rejected {totals.rejected} of {totals.read} rows")
        destination = self.destination
        if not isinstance(destination, _Appended):
            return
        with naming(self.job.path or "standard output"):
            destination.begin({})
            if self.work is None:
                return
            counts = {name: count for name, count in totals.state().items() if name != "undecodable"}
            described = description(made_of, counts, self.warnings())
            made = destination.format.finish(self.journals[OUTPUT].path, {"sektor": json.dumps(described)})
            self._finished = made.name
            (self.work.folder / META).write_text(json.dumps(described, indent=1) + "\n", encoding="ascii")

    def moves(self) -> list[tuple[str, Path]]:
        """What goes where, of the folder beside the output."""
        places = [(name, place) for name, place in self.job.places if name != REJECTS or self.totals.rejected]
        return [(self._finished if name == OUTPUT else name, place) for name, place in places]

    def warnings(self) -> list[str]:
        """Where the input is not like what the model has learned from."""
        return warnings(self.predictor.model.training, self.watch, self.job.by_hand)
