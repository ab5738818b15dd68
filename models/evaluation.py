"""How good predictions are: arrays in, a dataclass out.

The figures are those by which the project is judged. `full`: F1 with levels 1 and 2 both positive. `core`: F1 with
level 2 positive and level 1 left out. `ap`: average precision of the probabilities, level 1 and up positive. Each is
there for every sector, as the mean over the sectors (macro) and, for F1, over all article-sector pairs at once (micro).
A level that is unknown (nan) is left out of every figure of its sector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
