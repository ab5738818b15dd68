"""Label Indonesian news articles with the industries they are about: batch script and imported predictor.

    python predict.py --text "Wuling resmikan SPKLU di rest area tol Cipali"
    python predict.py articles.jsonl -o labels.jsonl    # also .csv, .parquet, .txt, a folder, - for standard input
    python predict.py articles.csv -o labels.csv --text-column isi --title-column judul --keep-columns
    python predict.py articles.jsonl                    # prints a table

    from predict import Predictor

    predictor = Predictor.load()                        # the model shipped with the package; or Predictor.load(folder)
    predictor.predict(["judul\\nisi ...", "..."])        # list[Prediction], order kept
    predictor.predict_one("judul\\nisi ...")             # Prediction(sectors, primary, probabilities, coverage)

Only numpy, pyarrow and PySastrawi are imported: no scikit-learn, no MLflow.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import re
import shutil
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Never, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def refuse_shadows(*packages: str) -> None:
    """Check that each named package of ours is the one Python would import.

    Names as plain as `models` are easily taken by a file of the caller's, which would then be imported, and
    run, in our package's place. Looking for a module, as here, does not run it.

    Raises ImportError: one line that names the file in the way and the repair.
    """
    home = Path(__file__).resolve().parent
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None:
            continue  # not hidden but absent: the import itself says so
        found = Path(spec.origin or next(iter(spec.submodule_search_locations or [package]))).resolve()
        ours = home / package / "__init__.py"
        if ours.parent in (found, found.parent):
            continue
        if found.name == ours.name and ours.is_file() and found.read_bytes() == ours.read_bytes():
            continue  # another copy of Sektor, such as the one MLflow keeps with a model
        theirs = found.parent if found.name == "__init__.py" else found
        if not sys.flags.safe_path and theirs.parent in (Path(entry).resolve() for entry in sys.path[:1]):
            repair = "rename it, or start Python with -P, which leaves its folder out"
        else:
            repair = f"rename or remove it, or take {theirs.parent} off sys.path (PYTHONPATH)"
        raise ImportError(f"{theirs} hides Sektor's package {package!r} in {home}: {repair}")


try:
    refuse_shadows("features", "models")
except ImportError as error:
    if __name__ == "__main__":
        sys.exit(f"sektor-predict: {error}")
    raise

from features.arrays import arrow_array
from features.clean import clean
from features.markup import without_markup
from features.pool import StemmingPool
from models.predictor import SHIPPED_MODEL, Prediction, Predictor
from models.scoring import Labels

if TYPE_CHECKING:
    from tqdm import tqdm

    from data.reader import Batch, Reject
    from data.writer import LabelledBatch, Partial, Writer

__all__ = ["SHIPPED_MODEL", "Prediction", "Predictor", "main"]


class UsageError(ValueError):
    """Options that do not fit each other or the input; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 if nothing could be labelled, 2 for input that is no use."""
    args = _parser().parse_intermixed_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)  # so that what was begun is removed, as after Ctrl-C
    try:
        refuse_shadows("data")
        code = _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a failure still has an exit code and a message of ours
        return code
    except BrokenPipeError:
        _give_up_standard_output()  # whoever read it has gone: nothing is left to say
        return 1
    except KeyboardInterrupt:
        print("sektor-predict: interrupted; no output file was written", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, OverflowError) as error:
        print(f"sektor-predict: {_one_line(error)}", file=sys.stderr)
        _give_up_standard_output()
        return 2


def _give_up_standard_output() -> None:
    """Keep Python from failing again at exit, loudly, with output that cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except AttributeError:
        return  # it was closed from the start


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sektor-predict",
        description="Label Indonesian news articles with the industries they are about.",
        epilog="A row that cannot be labelled goes to OUTPUT.rejects.jsonl with its line and the reason; "
        "the rest is labelled.",
    )
    articles = parser.add_argument_group("articles")
    articles.add_argument(
        "input",
        nargs="*",
        help=".jsonl, .csv, .parquet or .txt file, folder of these, or - for standard input",
    )
    articles.add_argument("--text", metavar="ARTICLE", help="label this one article and print the result")
    articles.add_argument(
        "--text-column", metavar="NAME", help="default: text, content, body, isi, isi_berita, artikel, berita"
    )
    articles.add_argument("--title-column", metavar="NAME", help="default: title, judul, headline, where there is one")
    articles.add_argument("--id-column", metavar="NAME", help="default: id, where there is one; else the row number")
    articles.add_argument("--encoding", default="utf-8", help="of text formats (default: %(default)s)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o", "--output", metavar="FILE", help=".jsonl, .csv or .parquet; - for JSONL on standard output"
    )
    output.add_argument("--keep-columns", action="store_true", help="pass the input's other columns through")
    output.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    output.add_argument("--quiet", action="store_true", help="no progress and no summary")
    model = parser.add_argument_group("model")
    model.add_argument("--model", metavar="FOLDER", help="default: the model shipped with Sektor")
    model.add_argument(
        "--threshold",
        metavar="SECTOR=VALUE",
        action="append",
        default=[],
        help="predict a sector from this probability on",
    )
    model.add_argument("--workers", type=int, default=1, metavar="N", help="cores to use (default: 1)")
    return parser


def _run(args: argparse.Namespace) -> int:
    if (args.text is None) == (not args.input):
        raise UsageError("found no input" if args.text is None else "found --text and an input, expected one of them")
    if "" in args.input:
        raise UsageError("found an input without a name, expected a file or folder")
    if "-" in args.input and sys.stdin is None:
        raise UsageError("standard input is closed, expected it open for -")
    if args.workers < 1:
        raise UsageError(f"--workers {args.workers}: expected at least 1")
    predictor = Predictor.load(args.model, dict(map(_threshold, args.threshold)))
    if args.text is not None:
        if args.output is not None:
            raise UsageError("--text prints its result; -o takes an input file")
        _print_prediction(predictor, predictor.predict_one(args.text))
        return 0

    from data.writer import STANDARD_OUTPUT, open_writer

    path = None if args.output in (None, STANDARD_OUTPUT) else Path(args.output)
    rejects_path = None if path is None else Path(f"{path}.rejects.jsonl")
    for written in filter(None, (path, rejects_path)):
        _refuse_input_as_output(args.input, written)
    with ExitStack() as stack:
        run = _Run(predictor, args, stack.enter_context(StemmingPool(args.workers)))
        batches = run.read()
        # Opened first and so completed last: no rejects without the output they were rejected from.
        rejects = stack.enter_context(_Rejects(rejects_path, args.overwrite))
        writer: Writer | _Table = _Table(predictor.sectors)
        if args.output is not None:
            writer = stack.enter_context(open_writer(args.output, predictor.sectors, args.overwrite))
        progress = None if args.quiet else stack.enter_context(_progress())
        for labelled, rejected in run.label(batches):
            rejects.write(rejected)
            if len(labelled.picked) or labelled.kept:  # a table without rows still has its header
                writer.write(labelled)
            if progress is not None:
                progress.update(len(labelled.picked) + len(rejected))
    if not args.quiet:
        run.print_summary(path, rejects.path)
    if run.rejected and not run.labelled:
        print(f"sektor-predict: none of {run.rejected} rows could be labelled", file=sys.stderr)
        return 1
    return 0


def _threshold(option: str) -> tuple[str, float]:
    sector, _, value = option.partition("=")
    try:
        return sector.strip(), float(value)
    except ValueError:
        raise UsageError(f"--threshold {option}: expected SECTOR=VALUE, as in ev=0.4") from None


def _refuse_input_as_output(inputs: Sequence[str], output: Path) -> None:
    """Raises UsageError if the output is a file that would be read as input, and lost or labelled with the rest."""
    for source in map(Path, inputs):
        if (
            output.is_file()
            and source.exists()
            and (source.samefile(output) or (source.is_dir() and output.resolve().is_relative_to(source.resolve())))
        ):
            raise UsageError(f"{output}: is read as input, expected another name for the output")


class _Picked(NamedTuple):
    """The rows of a batch to be labelled, as `data.writer.LabelledBatch` takes them, and those that are not."""

    rows: Batch
    places: npt.NDArray[np.int64]
    ids: list[str]
    texts: pa.StringArray
    titles: pa.StringArray | None
    kept: dict[str, str]
    rejected: list[Reject]


class _Run:
    """One run of the batch script: labels batch after batch and keeps count of rows labelled, rejected, by sector."""

    def __init__(self, predictor: Predictor, args: argparse.Namespace, pool: StemmingPool):
        self.predictor = predictor
        self.pool = pool
        self.args = args
        self.read_rows = self.labelled = self.rejected = self._undecodable = 0
        self.by_sector: Counter[str] = Counter()
        self._found: dict[str, str | None] = {}  # what is in which column of the file being read
        self._path = ""  # of that file
        self._header: dict[str, str] | None = None  # input column -> output column, once a table's header is settled

    def read(self) -> Iterator[Batch]:
        """All batches of the input; the first is read at once, so that no output is begun for a useless input."""
        from data.reader import read

        batches = (batch for path in self.args.input for batch in read(path, encoding=self.args.encoding))
        first = next(batches)

        def chained() -> Iterator[Batch]:
            yield first
            yield from batches

        self._columns(first)
        return chained()

    def label(self, batches: Iterable[Batch]) -> Iterator[tuple[LabelledBatch, list[Reject]]]:
        """Label batch after batch, in order: the rows that can be labelled, and the others with their reasons.

        Labelling runs in threads beside reading and writing; a few batches are under way at a time.
        """
        waiting: deque[tuple[_Picked, Future[Labels]]] = deque()
        with ThreadPoolExecutor(self.args.workers) as threads:
            for rows in batches:
                picked = self._pick(rows)
                waiting.append((picked, threads.submit(self.predictor.label, picked.texts, picked.titles, self.pool)))
                if len(waiting) > self.args.workers:
                    yield self._labelled(*waiting.popleft())
            while waiting:
                yield self._labelled(*waiting.popleft())

    def _pick(self, rows: Batch) -> _Picked:
        """The rows of a batch that can be labelled, and the others with their reasons, in line order."""
        from data.reader import Reject, json_string

        text, title, identity = self._columns(rows)
        kept, reasons = self._columns_kept(rows, identity)
        self._find_unfit(rows, text, title, reasons)
        places = np.array([place for place in range(len(rows)) if place not in reasons], dtype=np.int64)
        rejected = list(rows.rejects)
        self._undecodable += sum(reject.reason.endswith(f"is not {self.args.encoding}") for reject in rejected)
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
        numbers = (self.read_rows + places + before + 1).tolist()
        self.read_rows += len(rows) + len(rows.rejects)
        given = [None] * len(rows) if identity is None else rows.json_texts(identity)
        ids = [given[place] for place in places.tolist()]
        ids = [str(number) if text in (None, "null", '""') else text for text, number in zip(ids, numbers, strict=True)]
        chosen = arrow_array(places)
        titles = None if title is None else rows.column(title).take(chosen)
        return _Picked(rows, places, ids, rows.column(text).take(chosen), titles, kept, rejected)

    def _labelled(self, picked: _Picked, result: Future[Labels]) -> tuple[LabelledBatch, list[Reject]]:
        from data.writer import LabelledBatch

        rows, places, ids, texts, titles, kept, rejected = picked
        labels = result.result()
        self.labelled += len(places)
        self.rejected += len(rejected)
        self.by_sector.update(dict(zip(self.predictor.sectors, labels.predicted.sum(axis=0).tolist(), strict=True)))
        self.by_sector["none"] += int((labels.primary < 0).sum())
        return LabelledBatch(rows, places, ids, labels, texts, titles, kept), rejected

    def _columns(self, rows: Batch) -> tuple[str, str | None, str | None]:
        """The names of the text, title and id columns; those found in a file hold for the rest of it.

        Raises ReadError when there is none for the text, or none of a name that was given.
        """
        from data.reader import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, ReadError, find_column

        if rows.path != self._path:
            self._path, self._found = rows.path, {}
        if rows.columns or len(rows):  # else all rows so far are broken, and there is no telling
            for what, given, usual in (
                ("text", self.args.text_column, TEXT_COLUMNS),
                ("title", self.args.title_column, TITLE_COLUMNS),
                ("id", self.args.id_column, ID_COLUMNS),
            ):
                if self._found.get(what) is None:
                    try:
                        self._found[what] = find_column(rows.columns, given, usual, what)
                    except ReadError as error:
                        raise ReadError(f"{rows.path}: {error}") from None
            if self._found["text"] is None:
                raise ReadError(
                    f"{rows.path}: found no text column among {', '.join(rows.columns) or 'none'}; "
                    f"expected one of {', '.join(TEXT_COLUMNS)}, or name it with --text-column"
                )
        return self._found.get("text") or TEXT_COLUMNS[0], self._found.get("title"), self._found.get("id")

    def _columns_kept(self, rows: Batch, identity: str | None) -> tuple[dict[str, str], dict[int, str]]:
        """The input columns to pass through with their output names, and rows with a column that came too late.

        JSON objects take any column; a table has the columns of its first batch, and a row with another is rejected
        rather than cut.
        """
        from data.writer import JsonLinesWriter, label_columns, writer_for

        if not self.args.keep_columns or self.args.output is None:
            return {}, {}
        own = set(label_columns(self.predictor.sectors))
        kept: dict[str, str] = {}
        for name in rows.columns:
            if name != identity:
                kept[name] = name
                while kept[name] in own or (kept[name] != name and kept[name] in rows.columns):
                    kept[name] = f"input_{kept[name]}"
        if issubclass(writer_for(self.args.output), JsonLinesWriter):
            return kept, {}
        if self._header is None and kept:
            self._header = kept
        late: dict[int, str] = {}
        for name in kept.keys() - (self._header or {}).keys():
            for place in (place for place, given in enumerate(rows.column(name).is_valid().to_pylist()) if given):
                late[place] = f"column {name!r} is not among those of the first rows, which make the table's header"
        return self._header or {}, late

    def _find_unfit(self, rows: Batch, text: str, title: str | None, reasons: dict[int, str]) -> None:
        """Add the rows whose text is no text."""
        texts, heads, literals = (
            rows.column(text).to_pylist(),
            rows.column(title).to_pylist(),
            rows.literal(text),
        )
        for place, (value, head, literal) in enumerate(zip(texts, heads, literals.tolist(), strict=True)):
            if literal and value is not None:
                reasons[place] = f"{text} is {value[:40]}, expected a string"
            elif not (value or "").strip() and not (head or "").strip():
                reasons[place] = f"{text} is empty, expected an article"

    def print_summary(self, output: Path | None, rejects: Path | None) -> None:
        """What was done, on standard error."""
        counts = ", ".join(f"{name} {self.by_sector[name]:,}" for name in (*self.predictor.sectors, "none"))
        where = "" if output is None else f" -> {output}"
        print(
            f"labelled {self.labelled:,} of {self.labelled + self.rejected:,} articles{where}: {counts}",
            file=sys.stderr,
        )
        if self.rejected:
            where = "reasons above" if rejects is None else f"see {rejects}"
            hint = f"; {self._undecodable:,} are not {self.args.encoding}: name theirs with --encoding"
            print(f"rejected {self.rejected:,} rows: {where}{hint if self._undecodable else ''}", file=sys.stderr)


class _Rejects:
    """The file of rejected rows, there only if there are any; without a path they go to standard error."""

    def __init__(self, path: Path | None, overwrite: bool):
        from data.writer import refuse_to_replace

        self.path = path
        self._overwrite = overwrite
        self._file: Partial | None = None
        self._stream: IO[str] | None = None
        if path is not None:
            refuse_to_replace(path, overwrite)

    def write(self, rejects: Sequence[Reject]) -> None:
        from data.writer import Partial, naming, reject_line

        for reject in rejects:
            if self.path is None:
                print(_one_line(f"{reject.path}:{reject.line}: {reject.reason}"), file=sys.stderr)
                continue
            with naming(self.path):
                if self._stream is None:
                    self._file = Partial(self.path, self._overwrite)
                    # A file's name may hold bytes that are no text.
                    self._stream = self._file.path.open("w", encoding="utf-8", errors="backslashreplace")
                self._stream.write(reject_line(reject) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        from data.writer import naming

        if self.path is None:
            return
        try:
            with naming(self.path):
                if self._stream is not None:
                    self._stream.close()
                if kind is None and self._file is not None:
                    self._file.publish()
                elif kind is None:
                    self.path.unlink(missing_ok=True)  # of an earlier run whose output this one has replaced
        finally:
            if self._file is not None:
                self._file.discard()


class _Table:
    """Prints labelled rows as lines of a table for people."""

    NAME = 20  # characters of an article's id and headline that are shown at least
    CELL = 12  # characters a sector

    def __init__(self, sectors: Sequence[str]):
        self.sectors = sectors
        self._begun = False
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a headline's letters still gets the table

    def write(self, batch: LabelledBatch) -> None:
        from data.writer import plain

        if not len(batch.picked):
            return
        room = max(self.NAME, shutil.get_terminal_size().columns - self.CELL * len(self.sectors) - self.CELL)
        if not self._begun:
            heads = "".join(f"{sector[: self.CELL - 2]:>{self.CELL}}" for sector in self.sectors)
            print(f"{'article':<{room + 2}}{heads}{'coverage':>10}")
            self._begun = True
        labels = batch.labels
        for place, headline in enumerate(_headlines(batch)):
            name = f"{plain(batch.ids[place])}  {headline}"
            name = "".join(c if c.isprintable() else " " for c in name)  # no control codes to the terminal
            name = name if len(name) <= room else name[: room - 1] + "…"
            cells = "".join(
                f"{('* ' if k == labels.primary[place] else '+ ' if said else '') + f'{p:.2f}':>{self.CELL}}"
                for k, (p, said) in enumerate(
                    zip(labels.probabilities[place].tolist(), labels.predicted[place].tolist(), strict=True)
                )
            )
            print(f"{name:<{room + 2}}{cells}{labels.coverage[place]:>10.0%}")


def _headlines(batch: LabelledBatch) -> list[str]:
    """The title of each labelled row, or the first line of its text that is not boilerplate."""
    titles = [None] * len(batch.ids) if batch.titles is None else batch.titles.to_pylist()
    headlines = []
    texts, cleaned = without_markup(batch.texts).to_pylist(), clean(batch.texts).to_pylist()
    for title, text, lines in zip(titles, texts, cleaned, strict=True):
        if not (title or "").strip():
            # Cleaning leaves lines where they are and blanks those that are boilerplate.
            left = zip(re.split("[\r\n]", text), lines.split("\n"), strict=False)
            title = next((line for line, rest in left if rest.strip()), "")
        headlines.append(" ".join(title[:300].split()))
    return headlines


def _progress() -> tqdm[Never]:
    """A progress bar on standard error; none where that is not a terminal."""
    from tqdm import tqdm

    return tqdm(unit=" articles", disable=None, leave=False, dynamic_ncols=True)


def _print_prediction(predictor: Predictor, prediction: Prediction) -> None:
    for sector, probability in prediction.probabilities.items():
        said = "primary" if sector == prediction.primary else "yes" if sector in prediction.sectors else "no"
        print(f"{sector:<14}{probability:>7.3f}  {said:<9}(from {predictor.thresholds[sector]:.3f} on)")
    print(f"{'coverage':<14}{prediction.coverage:>7.0%}")


def _end(signal_number: int, frame: object) -> None:
    """End the process as the signal would have, but by way of every `finally`."""
    raise SystemExit(128 + signal_number)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
