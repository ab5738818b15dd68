"""Whether a new model takes the champion's place: the rules and figures, apart from where models are kept.

A new model is champion only if its macro F1 is larger beyond noise on articles that neither model has seen in training,
near duplicates included. Noise is what another draw of such articles could change, labelled as these are. The articles
are those that every recorded run reserves (`data.reserve`), or a labelled file of the user's. The same reserved
articles judge run after run: a model chosen as the best of very many will look a little better on them than it is,
which a fresh file (`--evaluate`) shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from data.corpus import Corpus
from data.reserve import Fingerprints, fingerprints, seen
from models.evaluation import Floats, evaluate
from models.predictor import Predictor
from models.store import Model
from models.uncertainty import Difference, Predictions, paired_differences

FEWEST: Final = 200
"""Articles that neither model has seen; on fewer, no difference in F1 that matters leaves the noise."""

FEWEST_DIFFERENT: Final = 6
"""Articles that two models label differently. Fewer can all speak for the new one by chance, more often than the 2.5%
that the interval allows (by halves: 5 of 5 in 3.1%, 6 of 6 in 1.6%), and a bootstrap, which draws only what it was
given, takes 4 of 4 for certain.
"""

FIGURE: Final = "full"
"""What models are compared by: macro F1 with levels 1 and 2 as positives."""


@dataclass(frozen=True)
class Champion:
    """The model version in use, as its record tells.

    version: in the registry. model: None if it cannot be read. training: the articles it was trained on, None if its
    record does not tell. fault: why one of them is None, as part of a sentence.
    """

    version: str
    model: Model | None
    training: Fingerprints | None
    fault: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the new model takes the champion's place, and why.

    against: the champion's version. reason: a sentence without its beginning and full stop. articles: that neither had
    seen. difference: in macro F1, positive where the new model is better; None where they were not compared.
    sectors: the differences in F1 of each sector then.
    """

    moves: bool
    against: str
    reason: str
    articles: int = 0
    difference: Difference | None = None
    sectors: Mapping[str, Difference] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """What there is to record as figures."""
        found = {"promotion/articles": float(self.articles)}
        if self.difference is not None:
            found["promotion/macro_f1_difference"] = self.difference.value
            found["promotion/macro_f1_difference.low"] = self.difference.low
            found["promotion/macro_f1_difference.high"] = self.difference.high
        return found | {f"promotion/{sector}/f1_difference": each.value for sector, each in self.sectors.items()}


def contest(champion: Champion, model: Model, training: Fingerprints, judging: Corpus, seed: int = 0) -> Verdict:
    """Compare a new model with the champion on those articles of `judging` that neither has seen in training.

    Parameters: training, of the new model; judging, labelled articles without repeats; seed, of the resamples.
    """

    def stays(reason: str, articles: int = 0) -> Verdict:
        return Verdict(False, champion.version, reason, articles)

    if champion.model is None or champion.training is None:
        return stays(f"it cannot be compared with the champion, version {champion.version}: {champion.fault}")
    if set(champion.model.sectors) != set(model.sectors):
        theirs, ours = (", ".join(sectors) for sectors in (champion.model.sectors, model.sectors))
        return stays(f"the champion, version {champion.version}, knows other sectors: {theirs} instead of {ours}")
    of_judging = fingerprints(judging.articles())
    fresh = np.flatnonzero(~seen(of_judging, champion.training) & ~seen(of_judging, training))
    if fresh.size < FEWEST:
        return stays(
            f"found {fresh.size:,} articles that neither it nor the champion, version {champion.version}, saw in "
            f"training, expected at least {FEWEST} to compare them on",
            int(fresh.size),
        )
    chosen = judging.select(fresh)
    ours_said = predictions(model, chosen.articles(), chosen.sectors)
    theirs_said = predictions(champion.model, chosen.articles(), chosen.sectors)
    return judge(chosen.levels, ours_said, theirs_said, chosen.sectors, champion.version, seed)


def judge(
    levels: Floats,
    challenger: Predictions,
    champion: Predictions,
    sectors: Sequence[str],
    version: str,
    seed: int = 0,
) -> Verdict:
    """Whether the challenger's macro F1 is larger by more than noise: a paired bootstrap's 95% interval is above 0, and
    the two label at least `FEWEST_DIFFERENT` articles differently.

    Parameters: levels (n_articles, n_sectors), nan for unknown; what each says of these articles; version, of the
    champion. Raises ValueError if there is no article.
    """
    of_sectors = {sector: f"{FIGURE}_{sector}" for sector in sectors}
    figures = [FIGURE, *of_sectors.values()]
    differences = paired_differences(levels, challenger, champion, sectors, figures, seed=seed)
    difference = differences[FIGURE]
    ours, theirs = (evaluate(levels, *said, sectors).full for said in (challenger, champion))
    different = int(((challenger.predicted != champion.predicted) & ~np.isnan(levels)).any(axis=1).sum())
    moves = difference.low > 0 and different >= FEWEST_DIFFERENT
    if moves:
        outcome = "better beyond noise"
    elif difference.high < 0 and different >= FEWEST_DIFFERENT:
        outcome = "worse beyond noise"
    else:
        outcome = "no better beyond noise"
    reason = (
        f"{outcome} than the champion, version {version}: macro F1 {ours:.3f} against {theirs:.3f} on {len(levels):,} "
        f"articles that neither saw in training; the difference is {difference.value:+.3f}, "
        f"95% interval {difference.low:+.3f} to {difference.high:+.3f}"
    )
    if different < FEWEST_DIFFERENT:
        reason += f"; found {different} that they label differently, expected at least {FEWEST_DIFFERENT} to tell"
    by_sector = {sector: differences[name] for sector, name in of_sectors.items()}
    return Verdict(moves, version, reason, len(levels), difference, by_sector)


def predictions(model: Model, articles: Sequence[str], sectors: Sequence[str]) -> Predictions:
    """What a model says of articles, title and text in one, at its own thresholds: a column a sector."""
    said = Predictor(model).predict(articles)
    return Predictions(
        np.array([[sector in one.sectors for sector in sectors] for one in said], bool),
        np.array([[one.probabilities[sector] for sector in sectors] for one in said]),
    )
