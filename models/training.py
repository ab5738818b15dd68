"""Learning a model from labelled articles: cross-validate, calibrate, fit on everything. Needs the `train` extra."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from data.corpus import Corpus, folds
from data.lexicon import Entry, lexicon_digest
from data.sectors import Sector
from models.calibration import calibrate, sigmoid
from models.drift import held_out_coverage, seen, sizes_of_all
from models.evaluation import Evaluation
from models.learning_curve import SHARES, LearningCurve, learning_curve
from models.measurement import MeasuredSet, measured_set
from models.steps import Steps
from models.store import Model
from models.uncertainty import Predictions

if TYPE_CHECKING:
    from models.classifier import Configuration

FOLDS: Final = 10  # of the cross-validation
MANY: Final = 50_000  # articles: from so many on there are half the folds, which take half the time
FOLDS_OF_MANY: Final = 5
VERSIONS: Final = ("numpy", "pyarrow", "PySastrawi", "scikit-learn", "scipy")  # those that can change what is learned


@dataclass(frozen=True)
class Settings:
    """How a run is done, beside the configuration of the model.

    folds: of the cross-validation that probabilities and thresholds come from, see `usual_folds`. beta: how many times
    as much recall counts as precision when a threshold is chosen. jobs, backend, scheduler: where cross-validation
    runs, see `models.parallel.backend`; jobs are the processes that stem, too. whole_files: whether the articles of a
    file stay together in cross-validation, where there are files enough.
    """

    folds: int = FOLDS
    beta: float = 1.25
    seed: int = 0
    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None
    whole_files: bool = True


def usual_folds(n_articles: int) -> int:
    """The folds of a cross-validation unless someone wants others."""
    return FOLDS if n_articles < MANY else FOLDS_OF_MANY


@dataclass(frozen=True)
class Trained:
    """A model and what its out-of-fold predictions say of the articles it was trained on.

    predictions: of all articles, each by a model that had not seen it, at the model's thresholds. folds: (n_articles,),
    the number of the fold in which each was predicted. curve: the learning curve, if it was asked for.
    """

    model: Model
    measured: MeasuredSet
    predictions: Predictions
    folds: npt.NDArray[np.int64]
    curve: LearningCurve | None = None

    @property
    def evaluation(self) -> Evaluation:
        """Its figures alone."""
        return self.measured.evaluation


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


def train(
    corpus: Corpus,
    sectors: Sequence[Sector],
    configuration: Configuration,
    settings: Settings | None = None,
    duplicates: int = 0,
    lexicon: Sequence[Entry] = (),
    reserved: int = 0,
    with_curve: bool = False,
) -> Trained:
    """Cross-validate, calibrate, and fit on everything.

    Parameters: corpus, without duplicates; sectors, those of the corpus, with the prevalence to expect; duplicates, how
    many were dropped, for the record; lexicon, what is known of the sectors' terms; reserved, how many articles were
    kept from the corpus to judge models by, for the record; with_curve, whether to work out a learning curve as well.
    Raises ValueError if a sector has fewer positive or negative articles than folds, or none of a kind beside a fold.
    """
    from features.vectorizer import StemVectorizer, stem_articles
    from models.classifier import fit, lexicon_groups, out_of_fold_scores, prepared
    from models.parallel import backend

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
    )
    stemmed = stem_articles(corpus.lazy_articles(), settings.jobs)
    counts = prepared(vectorizer.fit_stemmed(stemmed).transform_stemmed(stemmed), configuration)
    groups = lexicon_groups(vectorizer.columns_of_terms_, lexicon, counts.shape[1]) if lexicon else None

    parts = splits(corpus, settings)
    fold_of = np.zeros(len(corpus), np.int64)
    for number, (_, test) in enumerate(parts):
        fold_of[test] = number
    # What the batch script compares a stream with, to say when it is none that the model was made for.
    coverage = held_out_coverage(stemmed, vectorizer.vocabulary_.terms, fold_of, configuration.min_df)
    del stemmed  # of a large corpus a gigabyte
    fitted = fit(counts, levels, configuration, groups)
    with (
        backend(settings.backend, settings.jobs, settings.scheduler),
        Steps("cross-validation", len(parts)) as steps,
    ):
        scores = out_of_fold_scores(
            counts, levels, parts, configuration, groups=groups, on_fold=steps.step, minimum=fitted.minimum
        )
    known = ~np.isnan(levels)
    calibrations = tuple(
        calibrate(scores[known[:, k], k], levels[known[:, k], k] >= 1, sector.prevalence, settings.beta)
        for k, sector in enumerate(sectors)
    )
    slopes, offsets, thresholds = np.array([(c.slope, c.offset, c.threshold) for c in calibrations]).T
    probabilities = sigmoid(slopes * scores + offsets)
    predicted = probabilities >= thresholds
    prevalences = tuple(sector.prevalence for sector in sectors)
    measured = measured_set(levels, predicted, probabilities, prevalences, corpus.sectors, seed=settings.seed)
    metrics = {**measured.evaluation.metrics(), **measured.errors}
    curve = None
    if with_curve:
        with (
            backend(settings.backend, settings.jobs, settings.scheduler),
            Steps("learning curve", len(SHARES)) as steps,
        ):
            curve = learning_curve(
                counts,
                levels,
                parts,
                configuration,
                prevalences,
                corpus.sectors,
                beta=settings.beta,
                seed=settings.seed,
                groups=groups,
                whole=scores,
                minimum=fitted.minimum,
                on_point=lambda point: steps.step(),
            )
    model = Model(
        sectors=corpus.sectors,
        prevalences=prevalences,
        terms=list(vectorizer.vocabulary_.terms),
        document_frequency=vectorizer.document_frequency_.astype(np.int64),
        # 0 for a stem that is in the vocabulary only as half of a lexicon's term: it counts for nothing by itself.
        idf=fitted.idf,
        weights=fitted.weights,
        intercepts=fitted.intercepts,
        calibrations=calibrations,
        words=vectorizer.words_,
        title_weight=configuration.title_weight,
        sublinear=configuration.sublinear,
        training={
            "articles": len(corpus),
            "duplicates": duplicates,
            "reserved": reserved,
            "digest": corpus.digest(),
            "counts": {sector: [levels[1], levels[2]] for sector, levels in corpus.counts().items()},
            "configuration": asdict(configuration),
            "lexicon": {"entries": len(lexicon), "digest": lexicon_digest(lexicon)},
            "folds": settings.folds,
            "beta": settings.beta,
            "seed": settings.seed,
            "metrics": {name: round(value, 6) for name, value in metrics.items()},
            "intervals": {name: [round(end, 6) for end in ends] for name, ends in measured.intervals.items()},
            "versions": {"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in VERSIONS},
        },
    )
    sizes = sizes_of_all(corpus.texts, corpus.titles)
    remembered = seen(coverage, sizes, predicted, corpus.sectors, prevalences)
    model = replace(model, training={**model.training, "seen": remembered})
    return Trained(model, measured, Predictions(predicted, probabilities), fold_of, curve)
