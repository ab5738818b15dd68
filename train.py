"""Train Sektor: articles in, a model folder and an MLflow run out.

    python train.py                                     # the bundled corpus -> models/candidate
    python train.py --data my-articles.jsonl            # with your own labelled articles
    python train.py --prevalence ev=0.1                 # thresholds for a stream with many EV stories
    python train.py --output models/sektor              # replace the shipped model

Needs the `train` extra: pip install "sektor[train]". Labelled articles: see data/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np
import numpy.typing as npt

from predict import refuse_shadows

refuse_shadows("data", "features", "models")

from data.corpus import Corpus, folds, read_corpus
from data.duplicates import deduplicate
from data.lexicon import Entry, lexicon_digest, read_lexicon
from data.sectors import Sector, read_sectors
from models.calibration import calibrate, sigmoid
from models.card import model_card
from models.evaluation import Evaluation, evaluate
from models.store import Model, refuse_to_replace, write_model
from models.uncertainty import calibration_errors, intervals

if TYPE_CHECKING:
    from models.classifier import Configuration

HOME: Final = Path(__file__).resolve().parent
ROOT: Final = (
    HOME if (HOME / "pyproject.toml").is_file() else Path.cwd()
)  # an installed train.py works where it is called
BUNDLED: Final = HOME / "data" / "articles"
CANDIDATE: Final = ROOT / "models" / "candidate"
VERSIONS: Final = ("numpy", "pyarrow", "PySastrawi", "scikit-learn")  # those that can change what is learned


@dataclass(frozen=True)
class Settings:
    """How a run is done, beside the configuration of the model.

    folds: of the cross-validation that probabilities and thresholds come from. beta: how many times as much recall
    counts as precision when a threshold is chosen. jobs: processes for cross-validation and stemming. whole_files:
    whether the articles of a file stay together in cross-validation, where there are files enough.
    """

    folds: int = 10
    beta: float = 1.25
    seed: int = 0
    jobs: int = 1
    whole_files: bool = True


@dataclass(frozen=True)
class Trained:
    """A model and its figures: those of out-of-fold predictions for the articles it was trained on."""

    model: Model
    evaluation: Evaluation


def splits(corpus: Corpus, settings: Settings) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """The folds of the cross-validation; every fold leaves articles of both kinds in every sector to learn from.

    Articles of one file are of one beat or outlet, and a model that saw its neighbours finds an article easier than
    what it meets in use. So files stay whole where there are at least two for each fold; else each article is split
    off for itself.
    """
    files = corpus.files()
    choices = [np.arange(len(corpus))]
    if settings.whole_files and np.unique(files).size >= 2 * settings.folds:
        choices.insert(0, files)
    for groups in choices:
        parts = folds(corpus.levels, groups, settings.folds, settings.seed)
        positive, known = corpus.levels >= 1, ~np.isnan(corpus.levels)
        lacking = [
            k
            for k in range(len(corpus.sectors))
            if not all({0, 1} <= set(positive[rest, k][known[rest, k]].tolist()) for rest, _ in parts)
        ]
        if not lacking:
            return parts
    raise ValueError(
        f"sector {corpus.sectors[lacking[0]]!r}: all articles of a kind came into one of {settings.folds} folds, "
        "expected more such articles (or another --folds or --seed)"
    )


@dataclass
class Progress:
    """How far a run has come, for what is said of an interrupted one."""

    written: Path | None = None
    """The folder of the finished model; None before it stands there."""


def train(
    corpus: Corpus,
    sectors: Sequence[Sector],
    configuration: Configuration,
    settings: Settings | None = None,
    duplicates: int = 0,
    lexicon: Sequence[Entry] = (),
) -> Trained:
    """Cross-validate, calibrate, and fit on everything.

    Parameters: corpus, without duplicates; sectors, those of the corpus, with the prevalence to expect; duplicates, how
    many were dropped, for the record; lexicon, what is known of the sectors' terms.
    Raises ValueError if a sector has fewer positive or negative articles than folds, or none of a kind beside a fold.
    """
    from features.vectorizer import StemVectorizer
    from models.classifier import lexicon_groups, out_of_fold_scores, pipeline

    settings = settings or Settings()
    levels = corpus.levels
    for k, sector in enumerate(sectors):
        positive, negative = int((levels[:, k] >= 1).sum()), int((levels[:, k] == 0).sum())
        if min(positive, negative) < settings.folds:
            raise ValueError(
                f"sector {sector.id!r}: found {positive} articles at level 1 or 2 and {negative} at level 0, "
                f"expected at least {settings.folds} of each for {settings.folds} folds"
            )
    vectorizer = StemVectorizer(
        min_df=configuration.min_df,
        max_df=configuration.max_df,
        bigram_min_df=configuration.bigram_min_df,
        title_weight=configuration.title_weight,
        terms=[entry.term for entry in lexicon],
        workers=settings.jobs,
    )
    articles = corpus.articles()
    counts = vectorizer.fit(articles).transform(articles)
    groups = lexicon_groups(vectorizer.columns_of_terms_, lexicon, counts.shape[1]) if lexicon else None

    parts = splits(corpus, settings)
    scores = out_of_fold_scores(counts, levels, parts, configuration, settings.jobs, groups)
    known = ~np.isnan(levels)
    calibrations = tuple(
        calibrate(scores[known[:, k], k], levels[known[:, k], k] >= 1, sector.prevalence, settings.beta)
        for k, sector in enumerate(sectors)
    )
    slopes, offsets, thresholds = np.array([(c.slope, c.offset, c.threshold) for c in calibrations]).T
    probabilities = sigmoid(slopes * scores + offsets)
    predicted = probabilities >= thresholds
    evaluation = evaluate(levels, predicted, probabilities, corpus.sectors)
    trusted = intervals(levels, predicted, probabilities, corpus.sectors, seed=settings.seed)
    prevalences = tuple(sector.prevalence for sector in sectors)
    metrics = evaluation.metrics() | calibration_errors(levels, probabilities, prevalences, corpus.sectors)

    fitted = pipeline(configuration, groups).fit(counts, levels)
    classifier = fitted["sectors"]
    model = Model(
        sectors=corpus.sectors,
        prevalences=prevalences,
        terms=list(vectorizer.vocabulary_.terms),
        document_frequency=vectorizer.document_frequency_.astype(np.int64),
        # A stem that is in the vocabulary only as half of a lexicon's term counts for nothing by itself.
        idf=fitted["tfidf"].idf_ * fitted["frequent"].kept_,
        weights=np.ascontiguousarray(classifier.coef_.T),
        intercepts=classifier.intercept_,
        calibrations=calibrations,
        words=vectorizer.words_,
        title_weight=configuration.title_weight,
        sublinear=configuration.sublinear,
        training={
            "articles": len(corpus),
            "duplicates": duplicates,
            "digest": corpus.digest(),
            "counts": {sector: [levels[1], levels[2]] for sector, levels in corpus.counts().items()},
            "configuration": asdict(configuration),
            "lexicon": {"entries": len(lexicon), "digest": lexicon_digest(lexicon)},
            "folds": settings.folds,
            "beta": settings.beta,
            "seed": settings.seed,
            "metrics": {name: round(value, 6) for name, value in metrics.items()},
            "intervals": {name: [round(end, 6) for end in ends] for name, ends in trusted.items()},
            "versions": {"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in VERSIONS},
        },
    )
    return Trained(model, evaluation)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for input that is no use."""
    progress = Progress()
    try:
        return _run(_parser().parse_args(argv), progress)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sektor-train",
        description="Train a model, log the run to MLflow, write the model folder.",
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
        "--lexicon-weight",
        type=float,
        metavar="W",
        help="how strongly terms of a lexicon's group share a weight",
    )
    model.add_argument("--no-sublinear", action="store_true", help="weigh a term by its count c, not by 1 + ln c")
    run = parser.add_argument_group("run")
    run.add_argument(
        "--folds",
        type=int,
        default=Settings.folds,
        metavar="N",
        help="of the cross-validation (default: %(default)s)",
    )
    run.add_argument("--split-files", action="store_true", help="let cross-validation part the articles of one file")
    run.add_argument(
        "--beta", type=float, default=Settings.beta, metavar="B",
        help="recall counts B times as much as precision in a threshold (default: %(default)s)",
    )  # fmt: skip
    run.add_argument("--seed", type=int, default=Settings.seed, metavar="N", help="(default: %(default)s)")
    run.add_argument("--jobs", type=int, default=Settings.jobs, metavar="N", help="processes (default: %(default)s)")
    run.add_argument("--output", type=Path, default=CANDIDATE, metavar="FOLDER", help="(default: models/candidate)")
    run.add_argument("--notes", type=Path, metavar="FILE", help="Markdown that is put at the end of the model card")
    run.add_argument("--no-tracking", action="store_true", help="do not log to MLflow")
    return parser


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


def _run(args: argparse.Namespace, progress: Progress) -> int:
    import sklearn  # noqa: F401  # without the train extra, say so before any work is done

    sectors = _with_prevalence(read_sectors(None if args.sectors is None else Path(args.sectors)), args.prevalence)
    configuration = _configuration(args)
    settings = _settings(args)
    paths = [*([] if args.no_bundled else [BUNDLED]), *map(Path, args.data)]
    if not paths:
        raise ValueError("--no-bundled without --data leaves nothing to train on")
    refuse_to_replace(args.output)  # now, not after a minute of training
    if not args.no_bundled and not BUNDLED.is_dir():
        raise ValueError("the bundled articles are not installed (only a clone has them): use --no-bundled --data PATH")

    if args.no_lexicon and args.lexicon is not None:
        raise ValueError("found --lexicon and --no-lexicon, expected one of them")
    lexicon = () if args.no_lexicon else read_lexicon([sector.id for sector in sectors], args.lexicon)
    notes = "" if args.notes is None else _notes(args.notes)

    if args.no_tracking:
        _train_and_write(args.output, paths, sectors, lexicon, configuration, settings, progress, notes)
        return 0
    from models import tracking

    with tracking.run("train.py", root=ROOT) as run:
        never_began = run.failure is not None
        if never_began:
            _warn(f"{run.failure}; training goes on")
        trained, corpus, dropped = _train_and_write(
            args.output, paths, sectors, lexicon, configuration, settings, progress, notes
        )
        counts = {f"{name}.{level}": n for name, by_level in corpus.counts().items() for level, n in by_level.items()}
        recorded = run.log(
            tracking.Record(
                parameters={
                    **asdict(configuration),
                    **asdict(settings),
                    **{f"prevalence_{sector.id}": sector.prevalence for sector in sectors},
                    "data": paths,
                    "lexicon": lexicon_digest(lexicon),
                    "output": args.output,
                },
                metrics={f"cv_{name}": value for name, value in trained.model.training["metrics"].items()}
                | {
                    f"threshold_{s}": c.threshold
                    for s, c in zip(corpus.sectors, trained.model.calibrations, strict=True)
                },
                dataset=tracking.DatasetRecord(
                    name="articles",
                    digest=corpus.digest(),
                    source=paths,
                    counts={"articles": len(corpus), "duplicates": dropped, **counts},
                    columns={"id": "string", "title": "string", "text": "string"}
                    | dict.fromkeys(corpus.sectors, "double"),
                ),
                bundle=args.output,
                sectors=corpus.sectors,
            )
        )
    if never_began:
        _warn("the model is written, the run is not recorded in MLflow")
    elif run.failure:
        _warn(str(run.failure))
    elif recorded:
        _say(
            f"MLflow: version {recorded.model_version} of sektor, {recorded.alias} "
            f"(make ui, or {recorded.tracking_uri})"
        )
    return 0


def _train_and_write(
    output: Path,
    paths: Sequence[Path],
    sectors: Sequence[Sector],
    lexicon: Sequence[Entry],
    configuration: Configuration,
    settings: Settings,
    progress: Progress,
    notes: str,
) -> tuple[Trained, Corpus, int]:
    """Read, train, write the model folder and print what came out: the run without its record."""
    start = time.perf_counter()
    corpus, dropped = deduplicate(read_corpus(paths, [sector.id for sector in sectors]))
    _say(f"{len(corpus):,} articles to learn from; {len(dropped):,} more repeat one of them and were dropped")
    if lexicon:
        by_sector = Counter(entry.sector for entry in lexicon)
        _say(f"{len(lexicon):,} lexicon entries: {', '.join(f'{name} {n:,}' for name, n in by_sector.items())}")
    trained = train(corpus, sectors, configuration, settings, len(dropped), lexicon)
    shown = output.resolve()
    shown = shown.relative_to(Path.cwd()) if shown.is_relative_to(Path.cwd()) else shown
    write_model(trained.model, output, model_card(trained.model, notes))
    progress.written = shown
    _say(f"{len(trained.model.terms):,} terms; figures of {settings.folds}-fold cross-validation, thresholds included:")
    _say(trained.evaluation.table())
    _say(f"model written to {shown} after {time.perf_counter() - start:.0f} s")
    return trained, corpus, len(dropped)


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

    names = ("min_df", "max_df", "bigram_min_df", "title_weight", "regularization", "class_weight", "lexicon_weight")
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
    return Settings(args.folds, args.beta, args.seed, args.jobs, not args.split_files)


def _require(args: argparse.Namespace, name: str, holds: Callable[[float], bool], expected: str) -> None:
    """Raises ValueError if an option was given a value (never NaN) that does not do."""
    value = getattr(args, name)
    if value is not None and not holds(value):
        raise ValueError(f"--{name.replace('_', '-')} {value}: expected {expected}")


if __name__ == "__main__":
    sys.exit(main())
