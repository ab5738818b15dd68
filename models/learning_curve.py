"""How good a model gets as its training articles grow: whether writing more of them is worth it. Training only.

Every article is scored by models that saw only a part of the articles outside its fold. The parts are nested, so that a
larger one adds articles and takes none away, and the articles tested are always all of them: two points of the curve
differ by the training articles alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from data.corpus import combinations
from models.calibration import calibrate, sigmoid
from models.evaluation import Booleans, Floats, evaluate
from models.uncertainty import Predictions, intervals

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from models.classifier import Configuration
    from models.newton import TermMatrix

Indices = npt.NDArray[np.intp]
Fold = tuple[Indices, Indices]

SHARES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the training articles of each fold


@dataclass(frozen=True)
class Point:
    """What comes of a share of the training articles.

    articles: how many there are to learn from, the mean over the folds. figures: those of `Evaluation.metrics`.
    intervals: their 95% intervals.
    """

    share: float
    articles: int
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class LearningCurve:
    """The points of a curve, by growing share, and the sectors and number of folds they are of."""

    sectors: tuple[str, ...]
    folds: int
    points: tuple[Point, ...]

    def table(self) -> str:
        """The curve as lines of text for people."""
        lines = [f"{'articles':>9}{'F1':>8}{'':13}{'ap':>8}"]
        for point in self.points:
            cells = "".join(
                f"{point.figures[name]:>8.3f} ({point.intervals[name][0]:.3f}-{point.intervals[name][1]:.3f})"
                for name in ("full", "ap")
            )
            lines.append(f"{point.articles:>9,}{cells}")
        return "\n".join(lines)


def learning_curve(
    counts: csr_array | TermMatrix,
    levels: Floats,
    folds: Sequence[Fold],
    configuration: Configuration,
    prevalences: Sequence[float],
    sectors: Sequence[str],
    *,
    beta: float = 1.0,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    jobs: int | None = None,
    groups: csr_array | None = None,
    whole: Floats | None = None,
    minimum: Floats | None = None,
    resamples: int = 1000,
    on_point: Callable[[Point], None] | None = None,
) -> LearningCurve:
    """Cross-validate with growing parts of each fold's training articles.

    Probabilities and thresholds are made for each share anew, as for a model that is kept. A share that leaves a fold
    without positive or negative articles of a sector is left out.

    Parameters: counts, levels, folds, configuration, jobs, groups, minimum, as for
    `models.classifier.out_of_fold_scores`; prevalences, (n_sectors,), and beta, as for `models.calibration.calibrate`;
    sectors, their names; shares, above 0 up to 1; seed, of the parts and the intervals; whole, the out-of-fold scores
    at share 1 (n_articles, n_sectors), if they are at hand: they take as long as all other points together; resamples,
    of the intervals; on_point, called with each point as soon as it is there.
    Raises ValueError for a share out of range, and if every share leaves out articles of a kind.
    """
    from models.classifier import out_of_fold_scores

    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"found share {share:g} of the training articles, expected more than 0 and at most 1")
    nested = [nested_order(levels[train], seed + number) for number, (train, _) in enumerate(folds)]
    points = []
    for share in sorted(set(shares)):
        parts = [
            (np.sort(train[order[: max(1, round(share * len(order)))]]), test)
            for order, (train, test) in zip(nested, folds, strict=True)
        ]
        if not all(_both_kinds(levels[train]) for train, _ in parts):
            continue
        if share == 1 and whole is not None:
            scores = whole
        else:
            scores = out_of_fold_scores(counts, levels, parts, configuration, jobs, groups, minimum=minimum)
        said, probabilities = _calibrated(scores, levels, prevalences, beta)
        point = Point(
            share=share,
            articles=round(float(np.mean([len(train) for train, _ in parts]))),
            figures=evaluate(levels, said, probabilities, sectors).metrics(),
            intervals=intervals(levels, said, probabilities, sectors, resamples, seed),
        )
        points.append(point)
        if on_point is not None:
            on_point(point)
    if not points:
        raise ValueError(
            f"found no positive or no negative articles of a sector in {max(shares):g} of a fold's training articles, "
            "expected both kinds"
        )
    return LearningCurve(tuple(sectors), len(folds), tuple(points))


def nested_order(levels: Floats, seed: int) -> Indices:
    """An order of articles of which every beginning holds each combination of sectors in about its share.

    Parameters: levels, (n_articles, n_sectors), nan counts as 0. Returns the places of the articles, (n_articles,).
    """
    random = np.random.default_rng(seed)
    classes = combinations(levels, 1)
    position = np.empty(len(classes))
    for number in np.unique(classes):
        places = random.permutation(np.flatnonzero(classes == number))
        position[places] = (np.arange(len(places)) + random.random()) / len(places)
    return np.argsort(position, kind="stable")


def _both_kinds(levels: Floats) -> bool:
    """Whether every sector has known positive and negative articles."""
    return bool(((levels >= 1).any(axis=0) & (levels == 0).any(axis=0)).all())


def _calibrated(scores: Floats, levels: Floats, prevalences: Sequence[float], beta: float) -> Predictions:
    """Predictions by calibrations fitted to these very scores."""
    probabilities: Floats = np.empty(scores.shape)
    predicted: Booleans = np.empty(scores.shape, bool)
    for k, prevalence in enumerate(prevalences):
        known = ~np.isnan(levels[:, k])
        fitted = calibrate(scores[known, k], levels[known, k] >= 1, prevalence, beta)
        probabilities[:, k] = sigmoid(fitted.slope * scores[:, k] + fitted.offset)
        predicted[:, k] = probabilities[:, k] >= fitted.threshold
    return Predictions(predicted, probabilities)
