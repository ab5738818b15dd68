"""A trained variant of the model, applied: as `predict.py` does, or with a share for the best window of an article.

`benchmarks.ablation` measures these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.peers import batches, cleaned, predictions
from features.strings import string_array
from features.vocabulary import Vocabulary
from models.calibration import Calibration, sigmoid
from models.scoring import Scorer
from models.store import Model
from models.uncertainty import Predictions
from predict import Predictor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WINDOW: Final = 120  # words
STEP: Final = 60  # words from the beginning of a window to that of the next
WHOLE: Final = 0.6  # the share of an article's score that is not its best window's


class System(ABC):
    """A trained variant."""

    @abstractmethod
    def predictions(self, articles: list[str]) -> Predictions:
        """What it says of raw articles."""

    @abstractmethod
    def given(self, articles: list[str]) -> Any:
        """What the articles are given as; untimed."""

    @abstractmethod
    def label(self, articles: Any) -> object:
        """What is timed."""


class Plain(System):
    """A model as `predict.py` applies it."""

    def __init__(self, model: Model):
        self.predictor = Predictor(model)

    def predictions(self, articles: list[str]) -> Predictions:
        return predictions(self.predictor, articles)

    def given(self, articles: list[str]) -> list[pa.StringArray]:
        return [string_array(batch) for batch in batches(articles)]

    def label(self, articles: list[pa.StringArray]) -> object:
        return [self.predictor.label(batch) for batch in articles]


class BestWindow(System):
    """A model whose score of an article is partly that of its best window.

    Parameters: model; calibrations, one a sector, of such scores.
    """

    def __init__(self, model: Model, calibrations: Sequence[Calibration]):
        self.vocabulary = Vocabulary(model.terms, model.title_weight, known=model.words)
        self.scorer = Scorer(model)
        self.calibrations = calibrations

    def predictions(self, articles: list[str]) -> Predictions:
        return calibrated(np.concatenate(self.label(self.given(articles))), self.calibrations)

    def given(self, articles: list[str]) -> list[tuple[pa.StringArray, pa.StringArray, Integers]]:
        found = []
        for batch in batches(articles):
            texts, owners = windows(batch)
            found.append((string_array(batch), string_array(texts), owners))
        return found

    def label(self, articles: list[tuple[pa.StringArray, pa.StringArray, Integers]]) -> list[Floats]:
        return [with_best_window(self._scores(whole), self._scores(parts), owners) for whole, parts, owners in articles]

    def _scores(self, texts: pa.StringArray) -> Floats:
        return self.scorer.decision_scores(self.vocabulary.count(texts))


def windows(articles: list[str]) -> tuple[list[str], Integers]:
    """Windows of raw articles of more than `WINDOW` words, one every `STEP` words and one at the end.

    Returns: their texts, cleaned, and (n_windows,) the place of the article each is of, ascending.
    """
    texts, owners = [], []
    for place, text in enumerate(cleaned(articles)):
        words = text.split()
        last = len(words) - WINDOW
        starts = [*range(0, last, STEP), last] if last > 0 else []
        texts += [" ".join(words[start : start + WINDOW]) for start in starts]
        owners += [place] * len(starts)
    return texts, np.array(owners, np.int64)


def with_best_window(whole: Floats, parts: Floats, owners: Integers) -> Floats:
    """Scores of articles joined with those of their best windows; an article without windows keeps its own.

    Parameters: whole (n_articles, n_sectors); parts (n_windows, n_sectors); owners (n_windows,), places in `whole`.
    """
    best = np.full(whole.shape, -np.inf)
    np.maximum.at(best, owners, parts)
    return np.where(np.isinf(best), whole, WHOLE * whole + (1 - WHOLE) * np.where(np.isinf(best), 0.0, best))


def calibrated(scores: Floats, calibrations: Sequence[Calibration]) -> Predictions:
    """Decision scores (n_articles, n_sectors) as probabilities and predictions."""
    slopes, offsets, thresholds = np.array([(c.slope, c.offset, c.threshold) for c in calibrations]).T
    probabilities = sigmoid(slopes * scores + offsets)
    return Predictions(probabilities >= thresholds, probabilities)
