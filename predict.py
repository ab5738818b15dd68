"""Label Indonesian news articles with the industries they are about: batch script and imported predictor.

    python predict.py --text "Wuling resmikan SPKLU di rest area tol Cipali"
    python predict.py --text "Wuling resmikan SPKLU di rest area tol Cipali" --explain
    python predict.py articles.jsonl                    # prints a table
    python predict.py articles.jsonl -o labels.jsonl    # also .csv, .parquet, .txt, a folder, - for standard input
    python predict.py articles.csv -o labels.csv --text-column isi --title-column judul --keep-columns
    python predict.py articles.jsonl -o labels.jsonl --resume     # goes on where an earlier run was ended
    python predict.py articles.jsonl --report report.html --review 50 review.csv
    python predict.py --engine spark --master spark://HOST:7077 articles labels    # folders of many files

    from predict import Predictor

    predictor = Predictor.load()                        # the model shipped with the package; or Predictor.load(folder)
    predictor.predict(["judul\\nisi ...", "..."])        # list[Prediction], order kept
    predictor.predict_one("judul\\nisi ...")             # Prediction(sectors, primary, probabilities, coverage)

Only numpy, pyarrow and PySastrawi are imported: no scikit-learn, no MLflow.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

COMMAND: Final = "sektor-predict"  # by which an installed batch script is called


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

from models.memory import share_heaps

if __name__ == "__main__" or Path(*sys.argv[:1]).stem == COMMAND:
    share_heaps()  # before numpy is imported below

from models.predictor import SHIPPED_MODEL, Prediction, Predictor
from models.store import VersionWarning

if TYPE_CHECKING:
    from models.batch import Job, RejectLimit

__all__ = ["SHIPPED_MODEL", "Prediction", "Predictor", "main"]


class UsageError(ValueError):
    """Options that do not fit each other or the input; the message is one line."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), which is dealt with as Ctrl-C is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 if nothing could be labelled, 2 for input that is no use."""
    args = _parser().parse_intermixed_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        refuse_shadows("data")
        code = _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a failure still has an exit code and a message of ours
        return code
    except BrokenPipeError:
        _give_up_standard_output()  # whoever read it has gone: nothing is left to say
        return 1
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, Terminated)
        _say(interrupt, "terminated" if terminated else "interrupted", "no output file was written")
        return _end(143 if terminated else 130)
    except (ValueError, OSError, ImportError, OverflowError) as error:
        _say(error, str(error))
        _give_up_standard_output()
        return 2


def _say(error: BaseException, message: str, otherwise: str = "") -> None:
    """A message on one line, with what was noted on the error or, where nothing was, something else."""
    notes = getattr(error, "__notes__", None) or [otherwise]
    print("sektor-predict: " + "; ".join(" ".join(part.split()) for part in [message, *notes] if part), file=sys.stderr)


def _terminate(signal_number: int, frame: object) -> None:
    raise Terminated


def _end(code: int) -> int:
    """The exit code, unless a thread is stuck in a read that nothing will end: then the process ends here."""
    if any(thread.name == "read" and thread.is_alive() for thread in threading.enumerate()):
        os._exit(code)
    return code


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
        prog=COMMAND,
        allow_abbrev=False,  # an option that is cut short, or misspelt behind, is told, not guessed
        description="Label Indonesian news articles with the industries they are about.",
        epilog="A row that cannot be labelled goes to OUTPUT.rejects.jsonl with its line and the reason; the rest is "
        "labelled. OUTPUT.meta.json says which model, options and input the output was made of. Work in progress is "
        "kept in OUTPUT.partial.",
    )
    articles = parser.add_argument_group("articles")
    articles.add_argument(
        "input",
        nargs="*",
        help=".jsonl, .csv, .parquet or .txt file, folder or pattern of these, each also .gz or .zst, or - for "
        "standard input",
    )
    articles.add_argument("--text", metavar="ARTICLE", help="label this one article and print the result")
    articles.add_argument(
        "--text-column", metavar="NAME", help="default: text, content, body, isi, isi_berita, artikel, berita"
    )
    articles.add_argument("--title-column", metavar="NAME", help="default: title, judul, headline, where there is one")
    articles.add_argument("--id-column", metavar="NAME", help="default: id, where there is one; else the row number")
    articles.add_argument(
        "--date-column", metavar="NAME", help="for --report and --review; default: date, tanggal, published_at, ..."
    )
    articles.add_argument(
        "--format",
        choices=("jsonl", "csv", "tsv", "parquet", "txt"),
        help="of all inputs, whatever their names; of standard input: jsonl if it begins with {, else one article",
    )
    articles.add_argument("--delimiter", metavar="CHARACTER", help="of CSV; default: told from the header line")
    articles.add_argument("--encoding", default="utf-8", help="of text formats (default: %(default)s)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".jsonl, .csv or .parquet, text also with .gz or .zst; - for standard output; without it a table is "
        "printed",
    )
    output.add_argument(
        "--output-format", choices=("jsonl", "csv"), help="of standard output (default: jsonl); needs -o -"
    )
    output.add_argument("--keep-columns", action="store_true", help="pass the input's other columns through")
    output.add_argument("--explain", action="store_true", help="add the words that decided, and where they stand")
    output.add_argument("--report", metavar="FILE.html", help="write a page to look at")
    output.add_argument(
        "--review",
        nargs=2,
        metavar=("N", "FILE"),
        help="pick the N articles whose labels would teach the model most: .csv for a spreadsheet, .json for Label "
        "Studio; train.py --data reads both back",
    )
    course = parser.add_argument_group("course of the run")
    course.add_argument("--resume", action="store_true", help="go on where an earlier run of the same command ended")
    course.add_argument("--overwrite", action="store_true", help="replace an output that exists; begin anew")
    course.add_argument(
        "--max-rejects", metavar="LIMIT", help="stop when more rows cannot be labelled: a number, or a share as in 5%%"
    )
    course.add_argument("--workers", type=int, metavar="N", help="cores to use (default: all)")
    course.add_argument("--quiet", action="store_true", help="no progress and no summary")
    course.add_argument("--json-summary", metavar="FILE", help="write the summary as JSON; - for standard output")
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--engine",
        choices=("local", "spark"),
        default="local",
        help="where to label: on this machine, or on Spark, which takes INPUT and OUTPUT and writes a folder "
        "(default: %(default)s)",
    )
    cluster.add_argument("--master", metavar="URL", help="of Spark, as in spark://HOST:7077 (default: local[*])")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", metavar="FOLDER", help="or an MLflow URI such as models:/sektor@champion; default: the shipped model"
    )
    model.add_argument(
        "--threshold",
        metavar="SECTOR=VALUE",
        action="append",
        default=[],
        help="predict a sector from this probability on",
    )
    return parser


def _run(args: argparse.Namespace) -> int:
    _check(args)
    by_hand = dict(map(_threshold, args.threshold))
    if args.text is not None:
        _label_one(_load(args.model, by_hand), args.text, args.explain)
        return 0
    from models.batch import run
    from models.progress import Progress

    job = _job(args, frozenset(by_hand))
    predictor = _load(args.model, by_hand)
    if args.engine == "spark":
        from models.spark_files import LOCAL
        from models.spark_files import run as run_on_spark

        tell = None if args.quiet else _tell
        outcome = run_on_spark(job, predictor, args.master or LOCAL, tell)
    else:
        with Progress(args.quiet) as progress:
            outcome = run(job, predictor, progress)
    from models.summary import json_summary, summary

    if not args.quiet:
        print(summary(job, outcome), end="", file=sys.stderr)
    if args.json_summary is not None:
        _write_summary(args.json_summary, json.dumps(json_summary(job, outcome)) + "\n")
    if outcome.totals.rejected and not outcome.totals.labelled:
        print(f"sektor-predict: none of {outcome.totals.rejected:,} rows could be labelled", file=sys.stderr)
        return 1
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _load(model: str | None, thresholds: Mapping[str, float]) -> Predictor:
    """The predictor; other versions than it was trained with are told in a line."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", VersionWarning)
        predictor = Predictor.load(model, thresholds)
    for warning in told:
        if issubclass(warning.category, VersionWarning):
            print(f"sektor-predict: {warning.message}", file=sys.stderr)
    return predictor


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for options that do not fit each other."""
    if args.engine == "spark":
        if args.output is None and len(args.input) > 1:
            args.output = args.input.pop()  # INPUT OUTPUT, as programs for clusters have it
        if args.output is None:
            raise UsageError("--engine spark writes a folder, expected INPUT and OUTPUT")
    elif args.master is not None:
        raise UsageError("--master is that of Spark, expected --engine spark")
    if (args.text is None) == (not args.input):
        missing = "found no input, expected a file, a folder or --text"
        raise UsageError(missing if args.text is None else "found --text and an input, expected one of them")
    if "" in args.input:
        raise UsageError("found an input without a name, expected a file or folder")
    if "-" in args.input and sys.stdin is None:
        raise UsageError("standard input is closed, expected it open for -")
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: expected at least 1")
    if args.text is not None:
        if not any(map(str.isalpha, args.text)):
            raise UsageError(f"--text {args.text!r:.60}: found no word, expected an article")
        for option in ("output", "report", "review", "resume", "json_summary"):
            if getattr(args, option):
                name = "-o" if option == "output" else f"--{option.replace('_', '-')}"
                raise UsageError(f"--text prints its result; {name} takes an input file")
    if args.resume and args.output in (None, "-"):
        raise UsageError("--resume goes on with an output file, expected one with -o")
    if args.output_format and args.output != "-":
        raise UsageError("--output-format is that of standard output, expected -o -; a file's name tells its format")
    if args.explain and args.text is None and args.output is None:
        raise UsageError("--explain goes with an output or with --text, expected -o or --text")
    if args.json_summary == "-" and args.output == "-":
        raise UsageError("standard output takes the labels or the summary, expected a file for one of them")


def _threshold(option: str) -> tuple[str, float]:
    sector, _, value = option.partition("=")
    try:
        return sector.strip(), float(value)
    except ValueError:
        raise UsageError(f"--threshold {option}: expected SECTOR=VALUE with a decimal point, as in ev=0.4") from None


def _reject_limit(option: str) -> RejectLimit:
    from models.batch import RejectLimit

    try:
        number = float(option.removesuffix("%"))
        if option.endswith("%") and 0 <= number <= 100:
            return RejectLimit(share=number / 100)
        if not option.endswith("%") and number >= 0:
            return RejectLimit(count=int(option))
    except ValueError:
        pass
    raise UsageError(f"--max-rejects {option}: expected a number of rows or a share of them, as in 100 or 5%")


def _job(args: argparse.Namespace, by_hand: frozenset[str]) -> Job:
    from data.rows import Columns
    from models.batch import Job

    number, review = args.review or ("0", None)
    if review is not None and (not number.isdecimal() or not int(number)):
        raise UsageError(f"--review {number} {review}: expected how many articles, and a file, as in 50 review.csv")
    if args.report and Path(args.report).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {args.report}: expected a name that ends in .html")
    job = Job(
        inputs=tuple(args.input),
        output=args.output,
        listing=args.output is None and not args.report and review is None and args.json_summary != "-",
        columns=Columns(args.text_column, args.title_column, args.id_column, args.date_column),
        format=args.format,
        delimiter=args.delimiter,
        encoding=args.encoding,
        stream_format=args.output_format or "jsonl",
        keep_columns=args.keep_columns,
        explain=args.explain,
        report=Path(args.report) if args.report else None,
        review=Path(review) if review is not None else None,
        review_articles=int(number),
        by_hand=by_hand,
        workers=args.workers or available_cores(),
        max_rejects=None if args.max_rejects is None else _reject_limit(args.max_rejects),
        resume=args.resume,
        overwrite=args.overwrite,
    )
    places = [*(place for _, place in reversed(job.places)), *job.pages]
    if args.json_summary not in (None, "-"):
        places.append(Path(args.json_summary))
        if not places[-1].parent.is_dir() or places[-1].is_dir():  # better now than when all is done
            raise UsageError(f"--json-summary {args.json_summary}: expected a file in a folder that is there")
    resolved = [place.resolve() for place in places]
    for place in places:
        _refuse_input_as_output(job, place)
        if resolved.count(place.resolve()) > 1:
            raise UsageError(f"{place}: would be written twice, expected different names")
    return job


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_input_as_output(job: Job, output: Path) -> None:
    """Raises UsageError if the output is a file that would be read as input, and lost or labelled with the rest.

    Work in progress has no extension, so only a format that holds for all files would have it read.
    """
    from data.inputs import STANDARD_INPUT, find_inputs

    for source in (source for source in job.inputs if source != STANDARD_INPUT):
        inside = Path(source).is_dir() and output.resolve().is_relative_to(Path(source).resolve())
        if (inside and job.format is not None) or (
            output.is_file() and any(file.path.samefile(output) for file in find_inputs(source, job.format).files)
        ):
            raise UsageError(f"{output}: is read as input, expected another name for the output")


def _label_one(predictor: Predictor, article: str, explain: bool) -> None:
    from models.listing import explanation_lines, prediction_lines

    print(prediction_lines(predictor, predictor.predict_one(article)), end="")
    if explain:
        print(explanation_lines(predictor.explain(article)), end="")


def _write_summary(place: str, text: str) -> None:
    if place == "-":
        print(text, end="")
        return
    from data.checkpoint import naming

    with naming(place):
        Path(place).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
