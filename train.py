"""Train Sektor: articles in, a model folder and an MLflow run out.

    python train.py                                     # the bundled corpus -> models/candidate
    python train.py --data my-articles.jsonl            # with your own labelled articles
    python train.py --prevalence ev=0.1                 # thresholds for a stream with many EV stories
    python train.py --evaluate labelled.jsonl           # also scored on a file that takes no part in training
    python train.py --no-tracking --output models/sektor --notes models/ablation.md    # replace the shipped model

    python train.py --promote 3                         # version 3 is the champion from now on; nothing is trained
    python train.py --rollback                          # the version that was it before is the champion again

A run is recorded in MLflow and its model registered as `sektor`. It becomes `champion` only if it beats the present
champion beyond noise on articles that neither has seen in training (`models.promotion`): a tenth of all articles,
chosen by a hash of their words and so the same in every run, is reserved for that, or a file is named with --evaluate.
A run that is not recorded (--no-tracking) learns from all articles, as the shipped model did.

Needs the `train` extra: pip install "sektor[train]". Labelled articles: see data/README.md.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from predict import refuse_shadows

refuse_shadows("data", "features", "models")

from data.corpus import Corpus, read_corpus
from data.duplicates import deduplicate
from data.lexicon import Entry, lexicon_digest, read_lexicon
from data.reserve import RESERVED, Divided, divide, write_fingerprints
from data.sectors import Sector, read_sectors
from features.arrays import arrow_array
from models.card import model_card
from models.measurement import Measurement, articles_table, measure, metrics_of
from models.predictor import Predictor
from models.promotion import Champion, Verdict, contest
from models.steps import Steps
from models.store import refuse_to_replace, write_model
from models.training import FOLDS, FOLDS_OF_MANY, MANY, Settings, Trained, splits, train, usual_folds

if TYPE_CHECKING:
    from models.classifier import Configuration
    from models.tracking import DatasetRecord, Record, Run

HOME: Final = Path(__file__).resolve().parent
ROOT: Final = (
    HOME if (HOME / "pyproject.toml").is_file() else Path.cwd()
)  # an installed train.py works where it is called
BUNDLED: Final = HOME / "data" / "articles"
CANDIDATE: Final = ROOT / "models" / "candidate"
FIGURES: Final = "figures.md"
PICTURES: Final = ("precision-recall", "learning-curve")  # on the page of a run, if drawn
PICTURE: Final = 640  # pixels: MLflow's page grows as wide as a picture is and pushes aside what is beside it

__all__ = ["BUNDLED", "Settings", "Trained", "main", "splits", "train"]


@dataclass(frozen=True)
class Job:
    """What a run is to do: the options, read and checked.

    paths: the articles. search: how many configurations to try, 0 for none. fixed: the settings of the configuration
    that were given and so are not searched. reserve: the share of the articles that is kept to judge models by.
    evaluate: a labelled file that takes no part in training, or None. output: the folder of the model. notes: Markdown
    for the end of its card.
    """

    paths: Sequence[Path]
    sectors: Sequence[Sector]
    lexicon: Sequence[Entry]
    configuration: Configuration
    settings: Settings
    search: int
    fixed: Sequence[str]
    reserve: float
    evaluate: Path | None
    learning_curve: bool
    output: Path
    notes: str

    def parameters(self) -> dict[str, object]:
        """Every resolved setting, for the record."""
        return {
            **asdict(self.configuration),
            **asdict(self.settings),
            **{f"prevalence_{sector.id}": sector.prevalence for sector in self.sectors},
            "data": self.paths,
            "lexicon": lexicon_digest(self.lexicon),
            "lexicon_entries": len(self.lexicon),
            "search": self.search,
            "reserve": self.reserve,
            "evaluate": self.evaluate,
            "learning_curve": self.learning_curve,
            "output": self.output,
        }


@dataclass(frozen=True)
class Articles:
    """The articles of a run. divided: those to learn from and to judge by. evaluated: those of --evaluate."""

    divided: Divided
    duplicates: int
    evaluated: Corpus | None


@dataclass
class Progress:
    """How far a run has come, for what is said of an interrupted one."""

    written: Path | None = None
    """The folder of the finished model; None before it stands there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for input that is no use."""
    progress = Progress()
    try:
        args = _parser().parse_args(argv)
        with _interrupts():
            return _move_champion(args) if args.promote is not None or args.rollback else _run(args, progress)
    except KeyboardInterrupt:
        done = "no model was written"
        if progress.written is not None:
            done = f"the model is written to {progress.written}, the run is not fully recorded"
        _warn(f"interrupted; {done}")
        return 130
    except ModuleNotFoundError as error:
        _warn(f'{error}; training needs: pip install "sektor[train]"')
        return 2
    except (ValueError, OSError) as error:
        _warn(" ".join(str(error).split()))
        return 2


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let an interrupt be one wherever it comes: Python 3.11 makes a RuntimeError of it where a class is being made, as
    the imports of MLflow and matplotlib do for seconds.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise


def _run(args: argparse.Namespace, progress: Progress) -> int:
    """Train, and record it."""
    import sklearn  # noqa: F401  # without the train extra, say so before any work is done

    job = _job(args)
    refuse_to_replace(job.output)  # now, not after a minute of training
    if args.no_tracking:
        articles = _read(job)
        job = _with_folds(job, args, articles)
        _train_and_write(_searched(job, articles), articles, progress)
        return 0
    from models import tracking

    with tracking.run("train.py", root=ROOT) as run, _interrupts():
        never_began = run.failure is not None
        if never_began:
            _warn(f"{run.failure}; training goes on")
        articles = _read(job)
        job = _searched(_with_folds(job, args, articles), articles, run)
        trained, evaluated = _train_and_write(job, articles, progress)
        recorded = None
        if run.failure is None:
            champion = run.champion()
            verdict = None if champion is None else _verdict(champion, job, articles, trained)
            with _record(job, articles, trained, evaluated, champion, verdict) as record:
                recorded = run.log(record)
    if never_began:
        _warn("the model is written, the run is not recorded in MLflow")
    elif run.failure:
        _warn(str(run.failure))
    elif recorded:
        _say(f"MLflow: version {recorded.model_version} of sektor, {recorded.alias}: {recorded.reason}")
        if recorded.tracking_uri.startswith("http"):
            _say(f"to look at it: {recorded.tracking_uri.rstrip('/')}/{recorded.page}")
        else:
            _say(f"to look at it: make ui, then http://127.0.0.1:5000/{recorded.page}")
            _say(f"(runs are in {recorded.tracking_uri})")
    return 0


def _read(job: Job) -> Articles:
    """The articles, without repeats, divided into those to learn from and those to judge by."""
    names = [sector.id for sector in job.sectors]
    evaluated = None if job.evaluate is None else read_corpus([job.evaluate], names, say=_say)
    corpus, dropped = deduplicate(read_corpus(job.paths, names, say=_say))
    divided = divide(corpus, job.reserve, evaluated)
    _say(f"{len(divided.training):,} articles to learn from; {len(dropped):,} more repeat one of them and were dropped")
    for path in job.paths if len(job.paths) > 1 else ():
        if path != BUNDLED:
            learned, reserved = (_from(path, part) for part in (divided.training, divided.reserved))
            _say(f"of {path}: {learned:,} to learn from, {reserved:,} reserved to judge models by")
    if len(divided.reserved):
        _say(f"{len(divided.reserved):,} more are reserved to judge models by: --reserve {job.reserve:g}")
    if evaluated is not None:
        _say(
            f"{len(evaluated):,} articles to evaluate on; {divided.evaluated:,} that repeat one of them were left out "
            "of the training"
        )
    if job.lexicon:
        by_sector = Counter(entry.sector for entry in job.lexicon)
        _say(f"{len(job.lexicon):,} lexicon entries: {', '.join(f'{name} {n:,}' for name, n in by_sector.items())}")
    return Articles(divided, len(dropped), evaluated)


def _from(path: Path, corpus: Corpus) -> int:
    """How many articles of a corpus were read from a file or folder."""
    return sum(Path(place.rpartition(":")[0]).is_relative_to(path) for place in corpus.places)


def _with_folds(job: Job, args: argparse.Namespace, articles: Articles) -> Job:
    """The job with as many folds as are usual for so many articles, unless the number was given."""
    if args.folds is not None:
        return job
    return replace(job, settings=replace(job.settings, folds=usual_folds(len(articles.divided.training))))


def _searched(job: Job, articles: Articles, run: Run | None = None) -> Job:
    """The job with the configuration that a search found, if one was asked for."""
    if not job.search:
        return job
    from models.parallel import backend
    from models.search import Trial, changes, search

    sectors = [sector.id for sector in job.sectors]

    def tell(trial: Trial, number: int, total: int) -> None:
        steps.step()
        if run is not None:
            usual = trial.configuration == job.configuration
            what = "default" if usual else changes(trial.configuration, job.configuration)
            run.log_trial(
                f"trial {number} of {total}: {what}",
                asdict(trial.configuration),
                _grouped("cv", metrics_of(trial.metrics, trial.intervals, sectors)),
                trial.failure,
            )

    settings, training = job.settings, articles.divided.training
    with (
        backend(settings.backend, settings.jobs, settings.scheduler),
        Steps("search", job.search) as steps,
    ):
        found = search(
            training,
            job.sectors,
            splits(training, settings),
            job.search,
            job.configuration,
            lexicon=job.lexicon,
            beta=settings.beta,
            seed=settings.seed,
            workers=settings.jobs,
            fixed=job.fixed,
            on_trial=tell,
        )
    _say(found.table())
    _say(found.verdict())
    return replace(job, configuration=found.chosen.configuration)


def _train_and_write(job: Job, articles: Articles, progress: Progress) -> tuple[Trained, Measurement | None]:
    """Train, write the model folder and print what came out: the run without its record."""
    start = time.perf_counter()
    divided = articles.divided
    trained = train(
        divided.training,
        job.sectors,
        job.configuration,
        job.settings,
        articles.duplicates,
        job.lexicon,
        len(divided.reserved),
        job.learning_curve,
    )
    evaluated, notes = None, job.notes
    if articles.evaluated is not None:
        evaluated = measure(Predictor(trained.model), articles.evaluated, seed=job.settings.seed)
        assert job.evaluate is not None
        notes = f"## Evaluation on {job.evaluate.name}\n\n{evaluated.measured.markdown()}\n{notes}"
    shown = job.output.resolve()
    shown = shown.relative_to(Path.cwd()) if shown.is_relative_to(Path.cwd()) else shown
    write_model(trained.model, job.output, model_card(trained.model, notes))
    progress.written = shown
    terms, folds = len(trained.model.terms), job.settings.folds
    _say(f"{terms:,} terms; figures of {folds}-fold cross-validation, thresholds included:")
    _say(trained.measured.table())
    if evaluated is not None and job.evaluate is not None:
        _say(f"figures of the articles of {job.evaluate.name}:")
        _say(evaluated.measured.table())
    if trained.curve is not None:
        _say("the same with fewer articles to learn from:")
        _say(trained.curve.table())
    _say(f"model written to {shown} after {time.perf_counter() - start:.0f} s")
    return trained, evaluated


def _verdict(champion: Champion, job: Job, articles: Articles, trained: Trained) -> Verdict:
    """Whether the champion is to give way."""
    judging = articles.divided.reserved
    if articles.evaluated is not None:
        judging, _ = deduplicate(articles.evaluated)
    return contest(champion, trained.model, articles.divided.fingerprints, judging, job.settings.seed)


@contextmanager
def _record(
    job: Job,
    articles: Articles,
    trained: Trained,
    evaluated: Measurement | None,
    champion: Champion | None,
    verdict: Verdict | None,
) -> Iterator[Record]:
    """What MLflow is given of a run; its files are there as long as the context lasts."""
    from models import plots, registry, tracking
    from models.classifier import Configuration
    from models.pages import run_description
    from models.search import changes

    training = articles.divided.training
    model, measured = trained.model, trained.measured
    special = [] if job.configuration == Configuration() else [changes(job.configuration, Configuration())]
    sets = {f"{job.settings.folds}-fold cross-validation": measured}
    metrics = _grouped("cv", measured.metrics())
    metrics |= {f"thresholds/{s}": c.threshold for s, c in zip(model.sectors, model.calibrations, strict=True)}
    metrics |= {} if verdict is None else verdict.metrics()
    datasets = {"training": _dataset("articles", training, job.paths, duplicates=articles.duplicates)}
    table = articles_table(training, trained.predictions).append_column("fold", arrow_array(trained.folds))
    thresholds = [calibration.threshold for calibration in model.calibrations]
    drawn = {
        f"plots/{name}.png": figure
        for name, figure in plots.evaluation_figures(
            training.levels,
            *trained.predictions,
            thresholds,
            model.prevalences,
            model.sectors,
            f"{len(training):,} training articles, out of fold",
        ).items()
    }
    drawn["plots/telling-words.png"] = plots.telling_words(model)
    if trained.curve is not None:
        drawn["plots/learning-curve.png"] = plots.learning_curve(trained.curve)
    tables: dict[str, pa.Table] = {"tables/out-of-fold.parquet": table}
    if len(articles.divided.reserved):
        reserved = measure(Predictor(model), articles.divided.reserved, seed=job.settings.seed)
        metrics |= _grouped("reserved", reserved.measured.metrics())
        sets["reserved"] = reserved.measured
        tables["tables/reserved.parquet"] = reserved.articles
        datasets["promotion"] = _dataset("reserved", articles.divided.reserved, job.paths)
    if evaluated is not None and articles.evaluated is not None and job.evaluate is not None:
        metrics |= _grouped("eval", evaluated.measured.metrics())
        sets[job.evaluate.name] = evaluated.measured
        tables["tables/evaluated.parquet"] = evaluated.articles
        of = f"{len(articles.evaluated):,} articles of {job.evaluate.name}"
        for name, figure in plots.evaluation_figures(
            articles.evaluated.levels, *evaluated.predictions, thresholds, model.prevalences, model.sectors, of
        ).items():
            drawn[f"plots/evaluation-{name}.png"] = figure
        datasets["evaluation"] = _dataset(job.evaluate.stem, articles.evaluated, [job.evaluate])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = {f"page/{name}.png": f"plots/{name}.png" for name in PICTURES if f"plots/{name}.png" in drawn}
        places = (FIGURES, *tables, *drawn, *pictures, registry.TRAINING_ARTICLES)
        files = {place: folder / place.replace("/", " ") for place in places}
        page = "\n".join(f"## {title}\n\n{of.markdown()}" for title, of in sets.items())
        files[FIGURES].write_text(f"# Figures\n\n{page}", encoding="utf-8")
        for place, figure in drawn.items():
            plots.save(figure, files[place])
        for place, of in pictures.items():
            plots.save(drawn[of], files[place], widest=PICTURE)
        for place, table in tables.items():
            pq.write_table(table, files[place], compression="zstd")
        write_fingerprints(articles.divided.fingerprints, files[registry.TRAINING_ARTICLES])
        yield tracking.Record(
            parameters=job.parameters(),
            metrics=metrics,
            datasets=datasets,
            bundle=job.output,
            sectors=model.sectors,
            files=files,
            verdict=verdict,
            title=", ".join([*(path.name for path in job.paths if path != BUNDLED), *special]),
            summary=run_description(model, sets, champion, verdict),
            pictures={Path(place).stem.replace("-", " "): place for place in pictures},
        )


def _grouped(group: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Figures as MLflow shows them, which is with all their digits."""
    return {f"{group}/{name}": round(value, 6) for name, value in metrics.items()}


def _dataset(name: str, corpus: Corpus, source: Sequence[Path], **counts: int) -> DatasetRecord:
    from models.tracking import DatasetRecord

    levels = {f"{sector}.{level}": n for sector, of in corpus.counts().items() for level, n in of.items()}
    return DatasetRecord(
        name=name,
        digest=corpus.digest(),
        source=source,
        counts={"articles": len(corpus), **counts, **levels},
        columns={"id": "string", "title": "string", "text": "string"} | dict.fromkeys(corpus.sectors, "double"),
    )


def _move_champion(args: argparse.Namespace) -> int:
    """Move the alias by hand and say where it stands."""
    from models import registry

    if args.rollback and args.promote is not None:
        raise ValueError("found --promote and --rollback, expected one of them")
    moved = registry.roll_back(ROOT) if args.rollback else registry.promote(args.promote, ROOT)
    if moved.version == moved.before:
        _say(f"version {moved.version} of sektor is champion already")
    else:
        before = "" if moved.before is None else f" instead of version {moved.before}"
        _say(f"version {moved.version} of sektor is champion now{before}: models:/sektor@champion")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sektor-train",
        allow_abbrev=False,  # an option that is cut short is told, not guessed
        description="Train a model, record the run in MLflow, write the model folder.",
        epilog="MLflow: mlflow.db beside this script, or the server named by MLFLOW_TRACKING_URI.",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="labelled articles that join the bundled ones (repeatable)",
    )
    data.add_argument("--no-bundled", action="store_true", help="train on --data alone")
    data.add_argument("--lexicon", type=Path, metavar="FOLDER", help="other terms than those of data/lexicon")
    data.add_argument("--no-lexicon", action="store_true", help="learn from the articles alone")
    data.add_argument("--sectors", metavar="FILE", help="other sectors than those of data/sectors.toml")
    data.add_argument(
        "--prevalence", action="append", default=[], metavar="SECTOR=SHARE",
        help="share of the articles in use that carry the sector (default: data/sectors.toml)",
    )  # fmt: skip
    model = parser.add_argument_group("model")
    model.add_argument("--min-df", type=int, metavar="N", help="articles that must hold a stem")
    model.add_argument("--max-df", type=float, metavar="SHARE", help="share of the articles that may hold a stem")
    model.add_argument(
        "--bigram-min-df", type=int, metavar="N", help="articles that must hold a pair of stems; 0: no pairs"
    )
    model.add_argument("--title-weight", type=int, metavar="N", help="times a title is counted")
    model.add_argument("--regularization", type=float, metavar="C", help="inverse strength of the L2 penalty")
    model.add_argument("--class-weight", choices=["balanced"], help="weigh both classes of a sector alike")
    model.add_argument(
        "--loss", choices=["logistic", "squared_hinge"], help="what the classifier minimises (default: logistic)"
    )
    model.add_argument(
        "--lexicon-weight",
        type=float,
        metavar="W",
        help="how strongly terms of a lexicon's group share a weight",
    )
    model.add_argument("--no-sublinear", action="store_true", help="weigh a term by its count c, not by 1 + ln c")
    model.add_argument("--output", type=Path, default=CANDIDATE, metavar="FOLDER", help="(default: models/candidate)")
    model.add_argument("--notes", type=Path, metavar="FILE", help="Markdown that is put at the end of the model card")
    selection = parser.add_argument_group("selection")
    selection.add_argument(
        "--search", type=int, metavar="N", help="try N configurations by cross-validation, and take the best"
    )
    selection.add_argument(
        "--backend",
        choices=["loky", "dask", "spark"],
        default=Settings.backend,
        help="where to try them: processes of this machine, or a cluster (default: %(default)s)",
    )
    selection.add_argument("--scheduler", metavar="ADDRESS", help="of the cluster, as in tcp://HOST:8786")
    selection.add_argument("--seed", type=int, default=Settings.seed, metavar="N", help="(default: %(default)s)")
    selection.add_argument(
        "--jobs", type=int, default=Settings.jobs, metavar="N", help="processes (default: %(default)s)"
    )
    evaluation = parser.add_argument_group("evaluation")
    evaluation.add_argument(
        "--evaluate",
        type=Path,
        metavar="FILE",
        help="labelled articles that take no part in training: score the model on them, and judge it by them",
    )
    evaluation.add_argument(
        "--learning-curve", action="store_true", help="also learn from fewer articles, to see whether more would help"
    )
    evaluation.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help=f"of the cross-validation (default: {FOLDS}; {FOLDS_OF_MANY} from {MANY:,} articles on)",
    )
    evaluation.add_argument(
        "--split-files", action="store_true", help="let cross-validation part the articles of one file"
    )
    evaluation.add_argument(
        "--beta", type=float, default=Settings.beta, metavar="B",
        help="recall counts B times as much as precision in a threshold (default: %(default)s)",
    )  # fmt: skip
    record = parser.add_argument_group("record")
    record.add_argument(
        "--no-tracking", action="store_true", help="do not record the run: then nothing is reserved, either"
    )
    record.add_argument(
        "--reserve",
        type=float,
        metavar="SHARE",
        help=f"of the articles, kept from training to judge models by (default: {RESERVED:g}; 0 with --no-tracking)",
    )
    record.add_argument("--promote", metavar="VERSION", help="make this version the champion; trains nothing")
    record.add_argument(
        "--rollback", action="store_true", help="make the champion before this one it again; trains nothing"
    )
    return parser


def _job(args: argparse.Namespace) -> Job:
    """What the options ask for; raises ValueError for what is no use, before any work is done."""
    sectors = _with_prevalence(read_sectors(None if args.sectors is None else Path(args.sectors)), args.prevalence)
    configuration = _configuration(args)
    settings = _settings(args)
    paths = [*([] if args.no_bundled else [BUNDLED]), *map(Path, args.data)]
    if not paths:
        raise ValueError("--no-bundled without --data leaves nothing to train on")
    if not args.no_bundled and not BUNDLED.is_dir():
        raise ValueError("the bundled articles are not installed (only a clone has them): use --no-bundled --data PATH")
    if args.no_lexicon and args.lexicon is not None:
        raise ValueError("found --lexicon and --no-lexicon, expected one of them")
    lexicon = () if args.no_lexicon else read_lexicon([sector.id for sector in sectors], args.lexicon)
    _require(args, "reserve", lambda share: 0 <= share < 1, "a share from 0 to less than 1")
    reserve = args.reserve
    if reserve is None:
        reserve = 0.0 if args.no_tracking else RESERVED
    notes = "" if args.notes is None else _notes(args.notes)
    _require(args, "search", lambda number: number >= 1, "at least 1")
    fixed = [name for name in asdict(configuration) if getattr(args, name, None) is not None]
    return Job(
        paths=paths,
        sectors=sectors,
        lexicon=lexicon,
        configuration=configuration,
        settings=settings,
        search=args.search or 0,
        fixed=[*fixed, *(["sublinear"] if args.no_sublinear else [])],
        reserve=reserve,
        evaluate=args.evaluate,
        learning_curve=args.learning_curve,
        output=args.output,
        notes=notes,
    )


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, at once; when whoever read the stream has gone (`| head`), the training goes on without it."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # what is still to be flushed at the end of Python goes there, too
        os.close(nowhere)


def _warn(text: str) -> None:
    _say(f"sektor-train: {text}", sys.stderr)


def _notes(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"--notes {path}: found a byte that is no UTF-8 at {error.start}, expected Markdown") from None
    except OSError as error:
        raise ValueError(f"--notes {path}: {error.strerror}, expected a Markdown file") from None


def _with_prevalence(sectors: Sequence[Sector], options: Sequence[str]) -> tuple[Sector, ...]:
    """The sectors with the prevalences given as SECTOR=SHARE."""
    given: dict[str, float] = {}
    for option in options:
        name, _, share = option.partition("=")
        try:
            given[name.strip()] = float(share)
        except ValueError:
            raise ValueError(f"--prevalence {option}: expected SECTOR=SHARE, as in ev=0.02") from None
        if name.strip() not in {sector.id for sector in sectors}:
            raise ValueError(
                f"--prevalence {option}: no such sector, expected one of {', '.join(sector.id for sector in sectors)}"
            )
        if not 0 < given[name.strip()] < 1:
            raise ValueError(f"--prevalence {option}: expected a share between 0 and 1")
    return tuple(replace(sector, prevalence=given.get(sector.id, sector.prevalence)) for sector in sectors)


def _configuration(args: argparse.Namespace) -> Configuration:
    """The default configuration with what the options change."""
    from models.classifier import Configuration

    names = (
        "min_df",
        "max_df",
        "bigram_min_df",
        "title_weight",
        "regularization",
        "class_weight",
        "lexicon_weight",
        "loss",
    )
    changes = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in ("min_df", "title_weight", "regularization", "max_df", "lexicon_weight"):
        _require(args, name, lambda value: 0 < value < math.inf, "more than 0")
    _require(args, "max_df", lambda share: share <= 1, "a share of at most 1")
    _require(args, "bigram_min_df", lambda number: number >= 0, "at least 0")
    if changes.get("bigram_min_df") == 0:
        changes["bigram_min_df"] = None
    return replace(Configuration(), sublinear=not args.no_sublinear, **changes)


def _settings(args: argparse.Namespace) -> Settings:
    _require(args, "folds", lambda number: number >= 2, "at least 2")
    _require(args, "beta", lambda value: 0 < value < math.inf, "more than 0")
    _require(args, "jobs", lambda number: number >= 1, "at least 1")
    _require(args, "seed", lambda number: 0 <= number < 2**32, "a whole number from 0 to 4294967295")
    if args.backend != "loky" and not args.scheduler:  # where to connect to is tried later, when the run has begun
        raise ValueError(f"--backend {args.backend}: expected --scheduler ADDRESS beside it")
    if args.backend == "loky" and args.scheduler is not None:
        raise ValueError(f"--scheduler {args.scheduler}: expected --backend dask or spark beside it")
    folds = FOLDS if args.folds is None else args.folds
    return Settings(folds, args.beta, args.seed, args.jobs, args.backend, args.scheduler, not args.split_files)


def _require(args: argparse.Namespace, name: str, holds: Callable[[float], bool], expected: str) -> None:
    """Raises ValueError if an option was given a value (never NaN) that does not do."""
    value = getattr(args, name)
    if value is not None and not holds(value):
        raise ValueError(f"--{name.replace('_', '-')} {value}: expected {expected}")


if __name__ == "__main__":
    sys.exit(main())
