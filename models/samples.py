"""The articles of a run that are kept for a closer look: a sample for the report, the most useful for review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from data.checkpoint import Journal
from data.rows import PickedRows
from data.sample import RowSample, uniform_keys
from data.writer import plain
from models.labelled import LabelledArticle
from models.predictor import Prediction, Predictor
from models.scoring import Labels

ARTICLES: Final = 20_000  # kept of each kind


class ArticleSample:
    """Some of the articles of a run, in a journal so that a run that resumes has them.

    Parameters: predictor; rows and index, journals; review, whether to keep the articles whose labels would teach most
    rather than a uniform sample.
    """

    def __init__(self, predictor: Predictor, rows: Journal, index: Journal, review: bool) -> None:
        self._sectors = predictor.sectors
        self._thresholds = np.array([predictor.thresholds[sector] for sector in predictor.sectors])
        self._review = review
        self._sample = RowSample(rows, index, ARTICLES)

    def add(self, picked: PickedRows, labels: Labels) -> None:
        """Offer the rows of a batch."""
        if self._review:
            from models.review import usefulness  # with all that reads articles back

            keys = -usefulness(labels.probabilities, labels.coverage, self._thresholds)
        else:
            keys = uniform_keys(picked.numbers)

        def row(place: int) -> dict[str, Any]:
            return {
                "id": plain(picked.ids[place]),
                "title": "" if picked.titles is None else picked.titles[place].as_py() or "",
                "text": picked.texts[place].as_py() or "",
                "date": "" if picked.dates is None else picked.dates[place].as_py() or "",
                "sectors": [name for name, said in zip(self._sectors, labels.predicted[place], strict=True) if said],
                "primary": (*self._sectors, None)[labels.primary[place]],
                "probabilities": dict(zip(self._sectors, labels.probabilities[place].tolist(), strict=True)),
                "coverage": float(labels.coverage[place]),
            }

        self._sample.add(picked.numbers, keys, row)

    def articles(self) -> Sequence[LabelledArticle]:
        """What was kept, in the order of the input; each is read from the journal when asked for."""
        return self._sample.kept(_article)


def _article(number: int, row: Mapping[str, Any]) -> LabelledArticle:
    prediction = Prediction(tuple(row["sectors"]), row["primary"], row["probabilities"], row["coverage"])
    return LabelledArticle(number, row["id"], row["title"], row["text"], row["date"], prediction)
