"""How good predictions are: arrays in, a dataclass out.

The figures are those by which the project is judged. `full`: F1 with levels 1 and 2 both positive. `core`: F1 with
level 2 positive and level 1 left out. `ap`: average precision of the probabilities, level 1 and up positive. Each is
there for every sector, as the mean over the sectors (macro) and, for F1, over all article-sector pairs at once (micro).
A level that is unknown (nan) is left out of every figure of its sector.

`brier`, how far probabilities lie from what is true, is a figure of its own (`brier_scores`), because it takes knowing
for which prevalence a model's probabilities are meant. For uncertainty and calibration see `models.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SectorFigures:
    """The figures of one sector; `positives` counts the articles at level 1 or 2."""

    positives: int
    full: float
    core: float
    ap: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Evaluation:
    """The figures of a set of articles.

    full, core, ap: means over the sectors. micro_full, micro_core: over all article-sector pairs at once.
    fp_none: the share of the articles about no sector that were given one; 0 if there are none.
    """

    articles: int
    sectors: dict[str, SectorFigures]
    full: float
    core: float
    ap: float
    micro_full: float
    micro_core: float
    fp_none: float

    def metrics(self) -> dict[str, float]:
        """All figures by name, those of a sector as "full_ev": for MLflow and for `model.json`."""
        names = ("full", "core", "ap", "micro_full", "micro_core", "fp_none")
        found = {name: float(getattr(self, name)) for name in names}
        for sector, figures in self.sectors.items():
            for name in ("full", "core", "ap", "precision", "recall"):
                found[f"{name}_{sector}"] = float(getattr(figures, name))
        return found

    def table(self) -> str:
        """The figures as lines of text for people."""
        width = max(12, *(len(sector) + 2 for sector in self.sectors))
        heads = ("positives", "full", "core", "ap", "precision", "recall")
        lines = [f"{'sector':<{width}}" + "".join(f"{head:>11}" for head in heads)]
        for sector, f in self.sectors.items():
            values = "".join(f"{value:>11.3f}" for value in (f.full, f.core, f.ap, f.precision, f.recall))
            lines.append(f"{sector:<{width}}{f.positives:>11}{values}")
        lines.append(f"{'macro':<{width}}{'':>11}{self.full:>11.3f}{self.core:>11.3f}{self.ap:>11.3f}")
        lines.append(f"{'micro':<{width}}{'':>11}{self.micro_full:>11.3f}{self.micro_core:>11.3f}")
        lines.append(f"{self.articles} articles; a sector was given to {self.fp_none:.1%} of those about none")
        return "\n".join(lines)


def evaluate(levels: Floats, predicted: Booleans, probabilities: Floats, sectors: Sequence[str]) -> Evaluation:
    """Score predictions against graded labels.

    Parameters: levels (n_articles, n_sectors) of 0, 1, 2 or nan for unknown; predicted and probabilities of the same
    shape; sectors, their names.
    """
    known = ~np.isnan(levels)
    positive = levels >= 1
    core = known & (levels != 1)
    by_sector = {}
    for k, sector in enumerate(sectors):
        y, said = positive[known[:, k], k], predicted[known[:, k], k]
        hits = int((y & said).sum())
        by_sector[sector] = SectorFigures(
            positives=int(y.sum()),
            full=f1(y, said),
            core=f1(positive[core[:, k], k], predicted[core[:, k], k]),
            ap=average_precision(y, probabilities[known[:, k], k]),
            precision=hits / int(said.sum()) if said.any() else 1.0,
            recall=hits / int(y.sum()) if y.any() else 1.0,
        )
    none = (known & (levels == 0)).all(axis=1)
    return Evaluation(
        articles=levels.shape[0],
        sectors=by_sector,
        full=float(np.mean([figures.full for figures in by_sector.values()])),
        core=float(np.mean([figures.core for figures in by_sector.values()])),
        ap=float(np.mean([figures.ap for figures in by_sector.values()])),
        micro_full=f1(positive[known], predicted[known]),
        micro_core=f1(positive[core], predicted[core]),
        fp_none=float(predicted[none].any(axis=1).mean()) if none.any() else 0.0,
    )


def f1(positive: Booleans, predicted: Booleans) -> float:
    """2 TP / (2 TP + FP + FN) over (n,) pairs; 1 where there is nothing to find and nothing was said."""
    said, true = int(predicted.sum()), int(positive.sum())
    return 2 * int((positive & predicted).sum()) / (said + true) if said + true else 1.0


def average_precision(positive: Booleans, scores: Floats) -> float:
    """The mean, over the positives, of the precision at their score; ties share one threshold. 1 without positives.

    Parameters: positive (n,), scores (n,). The definition is that of `sklearn.metrics.average_precision_score`.
    """
    if not positive.any():
        return 1.0
    order = np.argsort(-scores, kind="stable")
    ranked, ordered = positive[order], scores[order]
    last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
    hits = np.cumsum(ranked)[last_of_tie]
    seen = np.flatnonzero(last_of_tie) + 1
    return float((np.diff(hits, prepend=0) * hits / seen).sum() / positive.sum())


def at_share(probabilities: Floats, prevalence: float, share: float | Floats) -> Floats:
    """Probabilities meant for a stream with one share of positives, brought to a set with another.

    Their odds times the ratio of both prior odds (Saerens et al. 2002), which keeps their order. A written corpus or
    a set chosen by keywords holds far more of a sector than the stream a model declares; uncorrected, probabilities
    that are right for the stream would count as errors there.
    Parameters: probabilities (n,); prevalence, between 0 and 1, that they are meant for; share, the share of positives
    of the set, 0 to 1, or (n, n_sets) where probabilities are (n, 1).
    """
    for_positive = probabilities * (share / prevalence)
    for_negative = (1 - probabilities) * ((1 - share) / (1 - prevalence))
    total = for_positive + for_negative
    corrected = np.broadcast_to(np.asarray(share, np.float64), total.shape).copy()  # where both are impossible
    np.divide(for_positive, total, out=corrected, where=total > 0)
    return corrected


def brier_score(probabilities: Floats, positive: Booleans, prevalence: float) -> float:
    """The mean of (p - y) squared, y being 1 for a positive and 0 else (Brier 1950, for two classes): 0 is perfect.

    p are the probabilities at the set's own share of positives, see `at_share`. Probabilities that all equal that
    share score share (1 - share).
    Parameters: probabilities (n,), positive (n,); prevalence, that the model declares.
    Raises ValueError unless both positives and negatives are there and 0 < prevalence < 1.
    """
    share = checked_share(positive, prevalence)
    return float(np.mean((at_share(probabilities, prevalence, share) - positive) ** 2))


def brier_scores(
    levels: Floats, probabilities: Floats, prevalences: Sequence[float], sectors: Sequence[str]
) -> dict[str, float]:
    """The Brier score of each sector, as "brier_ev", and their mean "brier"; see `brier_score`.

    Unknown levels are left out, and so are sectors of which not both positive and negative articles are known; without
    any other there is no mean.
    Parameters: levels and probabilities, (n_articles, n_sectors); prevalences, (n_sectors,), that the model declares.
    """
    scores = {
        f"brier_{of.sector}": brier_score(of.probabilities, of.positive, of.prevalence)
        for of in of_both_kinds(levels, probabilities, prevalences, sectors)
    }
    return {"brier": float(np.mean([*scores.values()])), **scores} if scores else {}


class SectorProbabilities(NamedTuple):
    """One sector's probabilities of the articles whose level is known.

    prevalence: that they are meant for. known: (n_articles,). positive, probabilities: (n_known,).
    """

    sector: str
    prevalence: float
    known: Booleans
    positive: Booleans
    probabilities: Floats


def of_both_kinds(
    levels: Floats, probabilities: Floats, prevalences: Sequence[float], sectors: Sequence[str]
) -> Iterator[SectorProbabilities]:
    """The sectors of which both positive and negative articles are known; see `brier_scores` for the parameters."""
    for k, (sector, prevalence) in enumerate(zip(sectors, prevalences, strict=True)):
        known = ~np.isnan(levels[:, k])
        positive = levels[known, k] >= 1
        if positive.any() and not positive.all():
            yield SectorProbabilities(sector, prevalence, known, positive, probabilities[known, k])


def checked_share(positive: Booleans, prevalence: float) -> float:
    """The share of positives; ValueError unless both kinds are there and 0 < prevalence < 1."""
    if not 0 < prevalence < 1:
        raise ValueError(f"found prevalence {prevalence}, expected a share between 0 and 1")
    if positive.all() or not positive.any():
        raise ValueError(f"found {positive.sum()} positive of {positive.size} articles, expected both kinds")
    return float(positive.mean())
