"""Look for a better configuration: a random search, cross-validated, after the articles were stemmed once.

    found = search(corpus, sectors, folds, 40, lexicon=lexicon)
    found.chosen.configuration

Candidates are drawn at random from a grid instead of going through all of it: few of the parameters matter, and random
draws try more values of those (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012).

The share of an article's best window in its score is not searched: it was measured (models/ablation.md) to cost 60% of
the speed and to find less in real articles. Training only.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from data.corpus import Corpus
from data.lexicon import Entry
from data.sectors import Sector
from features.vectorizer import StemmedArticles, StemVectorizer, stem_articles
from models.calibration import calibrate, sigmoid
from models.classifier import Configuration, lexicon_groups, out_of_fold_scores
from models.evaluation import brier_scores, evaluate
from models.parallel import each, leave_interrupts_to
from models.uncertainty import Difference, Predictions, calibration_errors, intervals, paired_differences

Floats = npt.NDArray[np.float64]
Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]

#: The values that are tried of each parameter of `Configuration`.
GRID: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "min_df": (2, 3, 5, 10),
        "max_df": (0.3, 0.5, 1.0),
        "bigram_min_df": (None, 2, 3, 5, 10),
        "title_weight": (1, 2, 3, 5),
        "sublinear": (True, False),
        "regularization": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        "class_weight": (None, "balanced"),
        "lexicon_weight": (0.05, 0.1, 0.2, 0.4, 0.8),
        "loss": ("logistic", "squared_hinge"),
    }
)
CRITERION: Final = "full"
"""What the best trial has most of: macro F1 of out-of-fold predictions, levels 1 and 2 positive.

It is the figure this project is judged by, and it judges a candidate as it would be used: by its decisions, with the
thresholds that its own scores lead to. Average precision would overlook a candidate that ranks well but whose scores
make for thresholds that are wrong elsewhere; it settles ties.
"""


@dataclass(frozen=True)
class Trial:
    """One configuration and its cross-validation.

    metrics: the figures of `models.evaluation.Evaluation.metrics`, calibration errors and Brier scores, out of fold.
    intervals: their 95% intervals. seconds: that it took where it ran, stemming not counted.
    failure: why there are no figures, "" where there are: a configuration may leave no term of a small corpus.
    """

    configuration: Configuration
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    seconds: float = field(compare=False)
    failure: str = ""


@dataclass(frozen=True)
class Search:
    """What a search found.

    trials: in the order they were drawn; the first is `default`, what the others had to beat.
    best: the trial of the largest macro F1, of equal ones that of the largest average precision, then the first.
    difference: macro F1 of `best` minus that of `default`, on the same articles.
    """

    trials: tuple[Trial, ...]
    best: Trial
    default: Trial
    difference: Difference

    @property
    def chosen(self) -> Trial:
        """The best trial if it beats the default one by more than chance, else the default one.

        The best of many looks better than it is, since chance had as many goes at it (Cawley and Talbot, "On
        Over-fitting in Model Selection", 2010). So the default stays unless the 95% interval of the difference, paired
        by article, lies above 0. That interval knows nothing of how many were tried either: confirm a change on
        articles that took no part.
        """
        return self.best if self.difference.low > 0 else self.default

    def verdict(self) -> str:
        """What came out, and why, in words: one paragraph."""
        tried = f"{len(self.trials)} configurations tried"
        if self.best is self.default:
            return f"{tried}: none has a larger macro F1 than the default ({self.default.metrics[CRITERION]:.3f})."
        gain = (
            f"{tried}: the best ({changes(self.best.configuration, self.default.configuration)}) has a macro F1 of "
            f"{self.best.metrics[CRITERION]:.3f}, the default {self.default.metrics[CRITERION]:.3f}; the difference is "
            f"{self.difference.value:+.4f} (95% interval {self.difference.low:+.4f} to {self.difference.high:+.4f})"
        )
        if self.chosen is self.default:
            return f"{gain}, which chance explains: the default stays."
        return (
            f"{gain}, which leaves out 0: it replaces the default. Being the best of {len(self.trials)}, it will gain "
            "less on other articles than here: confirm it on labelled articles that took no part."
        )

    def table(self) -> str:
        """The trials as lines of text for people, the best first."""
        default = self.default.configuration
        lines = [f"{'trial':>5}  {'macro F1':<22}{'ap':>6}{'fp_none':>9}{'seconds':>9}  what differs from the default"]
        numbered = sorted(enumerate(self.trials, 1), key=lambda row: _merit(row[1]), reverse=True)
        for number, trial in numbered:
            what = changes(trial.configuration, default)
            if trial.failure:
                lines.append(f"{number:>5}  {'none':<46}  {what}: {trial.failure}")
                continue
            low, high = trial.intervals[CRITERION]
            value = f"{trial.metrics[CRITERION]:.3f} ({low:.3f} to {high:.3f})"
            figures = f"{trial.metrics['ap']:>6.3f}{trial.metrics['fp_none']:>9.3f}{trial.seconds:>9.1f}"
            lines.append(f"{number:>5}  {value:<22}{figures}  {what}")
        return "\n".join(lines)


class _Work(NamedTuple):
    """What is the same for all trials, beside the articles."""

    levels: Floats
    sectors: Sequence[Sector]
    folds: Folds
    lexicon: Sequence[Entry]
    beta: float
    seed: int
    caller: int


def search(
    corpus: Corpus,
    sectors: Sequence[Sector],
    folds: Folds,
    n: int,
    default: Configuration | None = None,
    *,
    lexicon: Sequence[Entry] = (),
    beta: float = 1.0,
    seed: int = 0,
    workers: int = 1,
    fixed: Collection[str] = (),
    on_trial: Callable[[Trial, int, int], None] | None = None,
) -> Search:
    """Cross-validate n configurations on the same folds; each trial is one task of `models.parallel.backend`.

    Parameters: corpus, without duplicates; sectors, its sectors, with the prevalence that thresholds are chosen for;
    folds, (train, test) pairs whose test parts cover every article once; default, the configuration that is tried first
    and stays unless one is better; lexicon, as for training; beta, see `models.calibration`; seed, of the draws and of
    the bootstrap; workers, cores that stem; fixed, names of parameters that keep their default; on_trial, called
    with each trial as soon as it and those before it are done, its number from 1, and how many there will be.

    Raises ValueError if n is below 1, or for what the default configuration cannot be fitted to.
    """
    default = default or Configuration()
    drawn = candidates(n, default, seed, {*fixed} if lexicon else {*fixed, "lexicon_weight"})
    stemmed = stem_articles(corpus.articles(), workers)
    work = _Work(corpus.levels, tuple(sectors), folds, tuple(lexicon), beta, seed, os.getpid())
    trials: list[Trial] = []
    best: tuple[Trial, Predictions] | None = None
    usual: tuple[Trial, Predictions] | None = None
    with closing(each(_try, [(stemmed, work, configuration) for configuration in drawn])) as outcomes:
        for trial, predictions in outcomes:
            if predictions is not None:
                usual = usual or (trial, predictions)
                if best is None or _merit(trial) > _merit(best[0]):
                    best = trial, predictions
            elif not trials:
                raise ValueError(trial.failure)
            trials.append(trial)
            if on_trial is not None:
                on_trial(trial, len(trials), len(drawn))
    assert best is not None
    assert usual is not None
    names = [sector.id for sector in sectors]
    differences = paired_differences(corpus.levels, best[1], usual[1], names, (CRITERION,), seed=seed)
    return Search(tuple(trials), best[0], usual[0], differences[CRITERION])


def candidates(n: int, default: Configuration, seed: int = 0, fixed: Collection[str] = ()) -> list[Configuration]:
    """n configurations, all different, the default first, the others drawn from `GRID`; fewer if it has no more.

    Parameters: fixed, the names of parameters that keep their default. Raises ValueError if n is below 1 or a name is
    none of a parameter.
    """
    if n < 1:
        raise ValueError(f"found {n} configurations to try, expected at least 1")
    if unknown := set(fixed) - set(GRID):
        raise ValueError(f"found {min(unknown)!r} among the fixed parameters, expected some of {', '.join(GRID)}")
    values = {name: (getattr(default, name),) if name in fixed else GRID[name] for name in GRID}
    sizes = tuple(map(len, values.values()))
    n_points = math.prod(sizes)
    points = np.random.default_rng(seed).choice(n_points, min(n, n_points), replace=False)
    places = np.stack(np.unravel_index(points, sizes), axis=1).tolist()
    drawn = [
        replace(default, **{name: values[name][k] for name, k in zip(values, place, strict=True)}) for place in places
    ]
    return [default, *(configuration for configuration in drawn if configuration != default)][:n]


def changes(configuration: Configuration, default: Configuration) -> str:
    """In what a configuration differs from the default, as in "loss=squared_hinge min_df=5"."""
    usual = asdict(default)
    found = {name: value for name, value in asdict(configuration).items() if value != usual[name]}
    return " ".join(f"{name}={value}" for name, value in found.items()) or "nothing"


def _merit(trial: Trial) -> tuple[float, float]:
    return trial.metrics.get(CRITERION, -1.0), trial.metrics.get("ap", -1.0)


def _try(articles: StemmedArticles, work: _Work, configuration: Configuration) -> tuple[Trial, Predictions | None]:
    """One trial, in whichever process, and its out-of-fold predictions, None if it failed."""
    from joblib import parallel_config

    leave_interrupts_to(work.caller)
    start = time.perf_counter()
    try:
        with parallel_config("sequential"):  # the trials are the tasks, the folds of one stay together
            predictions = _out_of_fold(articles, work, configuration)
    except ValueError as error:
        return Trial(configuration, {}, {}, time.perf_counter() - start, str(error)), None
    names, prevalences = zip(*((sector.id, sector.prevalence) for sector in work.sectors), strict=True)
    levels, (predicted, probabilities) = work.levels, predictions
    metrics = evaluate(levels, predicted, probabilities, names).metrics()
    metrics |= calibration_errors(levels, probabilities, prevalences, names)
    metrics |= brier_scores(levels, probabilities, prevalences, names)
    trusted = intervals(levels, predicted, probabilities, names, seed=work.seed, prevalences=prevalences)
    return Trial(configuration, metrics, trusted, time.perf_counter() - start), predictions


def _out_of_fold(articles: StemmedArticles, work: _Work, configuration: Configuration) -> Predictions:
    vectorizer = StemVectorizer(
        configuration.min_df,
        configuration.max_df,
        configuration.bigram_min_df,
        configuration.title_weight,
        [entry.term for entry in work.lexicon],
    )
    counts = vectorizer.fit_stemmed(articles).transform_stemmed(articles)
    groups = lexicon_groups(vectorizer.columns_of_terms_, work.lexicon, counts.shape[1]) if work.lexicon else None
    scores = out_of_fold_scores(counts, work.levels, list(work.folds), configuration, groups=groups)
    predicted = np.zeros(scores.shape, bool)
    probabilities = np.zeros(scores.shape)
    for k, sector in enumerate(work.sectors):
        known = ~np.isnan(work.levels[:, k])
        fitted = calibrate(scores[known, k], work.levels[known, k] >= 1, sector.prevalence, work.beta)
        probabilities[:, k] = sigmoid(fitted.slope * scores[:, k] + fitted.offset)
        predicted[:, k] = probabilities[:, k] >= fitted.threshold
    return Predictions(predicted, probabilities)
