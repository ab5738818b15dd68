"""How far figures can be trusted: bootstrap intervals, paired differences, and the error of probabilities.

Articles are resampled with replacement, as many as there are, and every figure of `models.evaluation` is worked out
again on each resample; an interval runs from the 2.5th to the 97.5th percentile (Efron 1979). It tells what another
draw of articles of the same kind could have given, not what other annotators or another kind of news would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.evaluation import Booleans, Floats, SectorProbabilities, at_share, checked_share, of_both_kinds

PERCENTILES: Final = (2.5, 97.5)
COMPARED: Final = ("full", "core", "ap", "micro_full", "micro_core")
BINS: Final = 10  # of the expected calibration error
_AT_ONCE: Final = 1 << 17  # weights in memory at a time, one an article and resample: few enough for the cache


class Predictions(NamedTuple):
    """What one system says of n articles: predicted and probabilities, (n_articles, n_sectors) each."""

    predicted: Booleans
    probabilities: Floats


@dataclass(frozen=True)
class Difference:
    """A figure of one system minus that of another, with its 95% interval."""

    value: float
    low: float
    high: float


def intervals(
    levels: Floats,
    predicted: Booleans,
    probabilities: Floats,
    sectors: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
    prevalences: Sequence[float] | None = None,
) -> dict[str, tuple[float, float]]:
    """95% intervals of all figures of `evaluate`, named as in `Evaluation.metrics`; with prevalences also those of
    `brier_scores` and `calibration_errors`.

    The same articles in another order have the same intervals. A resample without what a figure counts (positives,
    articles about no sector) has the value that `evaluate` gives such a set; probabilities are corrected to the share
    of positives of each resample anew.

    Distances between promise and finding grow with the noise of a set, and a resample is noisier than the set it is
    drawn from: a small calibration error would lie below its own percentiles. So the calibration errors of resamples
    are moved down by what they exceed the measured one on average, and cut at 0.

    Parameters: as for `evaluate`; resamples, how many; seed, of the draws; prevalences, (n_sectors,), that the model
    declares. Raises ValueError if there is no article.
    """
    system = Predictions(predicted, probabilities)
    levels, (system,) = _in_one_order(levels, [system])

    figures = _Figures(levels, system, sectors)
    errors = None if prevalences is None else _Errors(levels, system, prevalences, sectors)
    parts = [
        figures.of(weights) | ({} if errors is None else errors.of(weights))
        for weights in _weights(levels.shape[0], resamples, seed)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if prevalences is not None:
        for name, measured in calibration_errors(levels, system.probabilities, prevalences, sectors).items():
            values[name] = np.maximum(0.0, values[name] - (values[name].mean() - measured))
    return {name: _interval(resampled) for name, resampled in values.items()}


def paired_differences(
    levels: Floats,
    first: Predictions,
    second: Predictions,
    sectors: Sequence[str],
    figures: Sequence[str] = COMPARED,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Figures of the first system minus those of the second, both scored on the same resamples.

    What makes an article hard for both cancels out, so these intervals are narrower than the two systems' own would
    suggest. Parameters: as for `intervals`; figures, some of the names of `Evaluation.metrics`.
    Raises ValueError if there is no article, KeyError for a figure there is not.
    """
    levels, systems = _in_one_order(levels, [first, second])

    of_first, of_second = (_Figures(levels, system, sectors) for system in systems)

    def differences(weights: Floats) -> dict[str, Floats]:
        here, there = of_first.of(weights), of_second.of(weights)
        return {name: here[name] - there[name] for name in figures}

    parts = [differences(weights) for weights in _weights(levels.shape[0], resamples, seed)]
    values = differences(np.ones((levels.shape[0], 1)))
    return {
        name: Difference(float(values[name][0]), *_interval(np.concatenate([part[name] for part in parts])))
        for name in figures
    }


def calibration_errors(
    levels: Floats, probabilities: Floats, prevalences: Sequence[float], sectors: Sequence[str]
) -> dict[str, float]:
    """The expected calibration error of each sector, as "ece_ev"; see `expected_calibration_error`.

    Unknown levels are left out, and so are sectors of which not both positive and negative articles are known.
    Parameters: levels and probabilities, (n_articles, n_sectors); prevalences, (n_sectors,), that the model declares.
    """
    return {
        f"ece_{of.sector}": expected_calibration_error(of.probabilities, of.positive, of.prevalence)
        for of in of_both_kinds(levels, probabilities, prevalences, sectors)
    }


def expected_calibration_error(probabilities: Floats, positive: Booleans, prevalence: float, bins: int = BINS) -> float:
    """The mean distance between what is promised and what is found, over bins that hold equally many articles.

    Parameters: as for `calibration_bins`. Raises ValueError as that does.
    """
    found = calibration_bins(probabilities, positive, prevalence, bins)
    return float(np.abs(found.articles * (found.promised - found.found)).sum() / found.articles.sum())


class CalibrationBins(NamedTuple):
    """Bins of articles by probability, ascending, none of them empty; each (n_bins,).

    articles: how many. promised: their mean probability. found: the share of them that is positive.
    """

    articles: npt.NDArray[np.int64]
    promised: Floats
    found: Floats


def calibration_bins(probabilities: Floats, positive: Booleans, prevalence: float, bins: int = BINS) -> CalibrationBins:
    """What is promised and what is found, in bins that hold equally many articles.

    Probabilities for a stream where the sector has its declared prevalence are first brought to the share of positives
    measured here, see `models.evaluation.at_share`. Equal probabilities share a bin, so bins may differ in size.
    Parameters: probabilities (n,), positive (n,); prevalence, that the model declares; bins, how many at most.
    Raises ValueError unless both positives and negatives are there and 0 < prevalence < 1.
    """
    corrected = at_share(probabilities, prevalence, checked_share(positive, prevalence))
    ranks = np.searchsorted(np.sort(probabilities), probabilities)  # the correction keeps the order
    bin_of = ranks * bins // corrected.size
    articles = np.bincount(bin_of, minlength=bins)
    filled = articles > 0
    promised, found = (np.bincount(bin_of, weights=w, minlength=bins)[filled] for w in (corrected, positive))
    return CalibrationBins(articles[filled], promised / articles[filled], found / articles[filled])


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def _in_one_order(levels: Floats, systems: Sequence[Predictions]) -> tuple[Floats, list[Predictions]]:
    """The articles sorted by all that is known of them, so that a seed draws the same ones however they came."""
    if not levels.shape[0]:
        raise ValueError("found no articles to resample, expected at least one")
    known = np.where(np.isnan(levels), -1.0, levels)
    columns = np.hstack([known, *(part for system in systems for part in system)])
    order = np.lexsort(columns.T[::-1])
    return levels[order], [Predictions(said[order], shares[order]) for said, shares in systems]


def _weights(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of n articles is in each resample: (n, some), until there are `resamples` columns."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // n)
    for start in range(0, resamples, at_once):
        columns = min(at_once, resamples - start)
        drawn = random.integers(0, n, (columns, n)) * columns + np.arange(columns)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * columns).reshape(n, columns).astype(np.float64)


class _Figures:
    """The figures of `Evaluation.metrics` on resamples; what is the same for all of them is worked out once."""

    def __init__(self, levels: Floats, system: Predictions, sectors: Sequence[str]):
        predicted, probabilities = system
        known, positive = ~np.isnan(levels), levels >= 1
        none = (levels == 0).all(axis=1)
        self._sectors = sectors
        self._pairs = [
            [(among & kind).T.astype(np.float64) for kind in (positive & predicted, predicted, positive)]
            for among in (known, known & (levels != 1))
        ]
        self._rankings = [
            _Ranking(np.flatnonzero(known[:, k]), positive[known[:, k], k], probabilities[known[:, k], k])
            for k in range(len(sectors))
        ]
        self._none, self._none_predicted = none, none & predicted.any(axis=1)

    def of(self, weights: Floats) -> dict[str, Floats]:
        """The figures where articles count several times or not at all, (n_resamples,) each.

        Parameters: weights, (n_articles, n_resamples). With all weights 1 they are those of `evaluate`.
        """
        # Hits, predicted and positive pairs: (n_sectors, n_resamples) each.
        full, core = ([kind @ weights for kind in kinds] for kinds in self._pairs)
        by_sector = {
            "full": _ratio(2 * full[0], full[1] + full[2], 1.0),
            "core": _ratio(2 * core[0], core[1] + core[2], 1.0),
            "ap": np.array([ranking.average_precision(weights) for ranking in self._rankings]),
            "precision": _ratio(full[0], full[1], 1.0),
            "recall": _ratio(full[0], full[2], 1.0),
        }
        figures = {name: by_sector[name].mean(axis=0) for name in ("full", "core", "ap")}
        for name, (hits, said, true) in (("micro_full", full), ("micro_core", core)):
            figures[name] = _ratio(2 * hits.sum(axis=0), (said + true).sum(axis=0), 1.0)
        figures["fp_none"] = _ratio(self._none_predicted @ weights, self._none @ weights, 0.0)
        for k, sector in enumerate(self._sectors):
            figures |= {f"{name}_{sector}": values[k] for name, values in by_sector.items()}
        return figures


class _Ranking:
    """Articles by descending score. Parameters: rows (n,) of the weights, positive (n,), scores (n,)."""

    def __init__(self, rows: npt.NDArray[np.intp], positive: Booleans, scores: Floats):
        order = np.argsort(-scores, kind="stable")
        ranked, ordered = positive[order], scores[order]
        last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: order.size])
        positives = np.cumsum(ranked)[last_of_tie]
        # Only where a tie holds a positive does the precision count; all before, back to the last such tie, is summed.
        counting = np.diff(positives, prepend=0) > 0
        stops, of_positives = last_of_tie[counting] + 1, positives[counting]
        self._any = stops.size > 0
        self._starts, self._starts_of_positives = np.append(0, stops[:-1]), np.append(0, of_positives[:-1])
        self._rows = rows[order[: stops[-1]]] if self._any else rows[:0]
        self._positive_rows = rows[order[ranked]]

    def average_precision(self, weights: Floats) -> Floats:
        """`models.evaluation.average_precision` on each resample: (n_resamples,).

        Parameters: weights, (n_articles, n_resamples).
        """
        if not self._any:
            return np.ones(weights.shape[1])
        seen = np.add.reduceat(weights[self._rows], self._starts, axis=0).cumsum(axis=0)
        found = np.add.reduceat(weights[self._positive_rows], self._starts_of_positives, axis=0)
        hits = found.cumsum(axis=0)
        return _ratio((found * _ratio(hits, seen, 0.0)).sum(axis=0), hits[-1], 1.0)


class _Errors:
    """Brier scores and calibration errors on resamples; what is the same for all of them is worked out once."""

    def __init__(self, levels: Floats, system: Predictions, prevalences: Sequence[float], sectors: Sequence[str]):
        self._sectors = [
            _ErrorsOfSector(of) for of in of_both_kinds(levels, system.probabilities, prevalences, sectors)
        ]

    def of(self, weights: Floats) -> dict[str, Floats]:
        """The errors where articles count several times or not at all, (n_resamples,) each.

        Sectors are left out as by `brier_scores`. A resample with articles of one kind alone has no error: at a share
        of 0 or 1 every corrected probability is right. Parameters: weights, (n_articles, n_resamples).
        """
        brier, ece = {}, {}
        for each in self._sectors:
            brier[f"brier_{each.sector}"], ece[f"ece_{each.sector}"] = each.of(weights)
        return ({"brier": np.mean([*brier.values()], axis=0)} if brier else {}) | brier | ece


class _ErrorsOfSector:
    """Brier score and calibration error of one sector on resamples, of its articles by ascending probability."""

    def __init__(self, of: SectorProbabilities):
        order = np.argsort(of.probabilities, kind="stable")
        self.sector = of.sector
        self._prevalence = of.prevalence
        self._rows = np.flatnonzero(of.known)[order]
        self._positive, self._probabilities = of.positive[order], of.probabilities[order]
        self._first_of_tie = np.searchsorted(self._probabilities, self._probabilities)

    def of(self, all_weights: Floats) -> tuple[Floats, Floats]:
        """(n_resamples,) each. Parameters: all_weights, (n_articles, n_resamples)."""
        weights = all_weights[self._rows]
        resamples = weights.shape[1]
        size = weights.sum(axis=0)
        share = _ratio(self._positive @ weights, size, 0.0)
        corrected = at_share(self._probabilities[:, None], self._prevalence, share[None, :])
        missed = corrected - self._positive[:, None]
        brier = _ratio((weights * missed**2).sum(axis=0), size, 0.0)
        ranks = (weights.cumsum(axis=0) - weights)[self._first_of_tie]  # how many of the resample lie below
        # An article that is not drawn weighs nothing, whichever bin it comes into.
        bin_of = np.minimum(ranks * BINS // np.maximum(size, 1), BINS - 1).astype(np.int64)
        places = bin_of * resamples + np.arange(resamples)
        sums = np.bincount(places.ravel(), weights=(weights * missed).ravel(), minlength=BINS * resamples)
        return brier, _ratio(np.abs(sums.reshape(BINS, resamples)).sum(axis=0), size, 0.0)


def _ratio(numerators: Floats, denominators: Floats, otherwise: float) -> Floats:
    """Elementwise quotients, `otherwise` where the denominator is 0."""
    quotients = np.full(numerators.shape, otherwise)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients
