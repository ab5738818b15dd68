"""A trained model applied: counts to decision scores to probabilities, with numpy alone.

The same numbers as the scikit-learn pipeline the model was trained with: sublinear term frequency times inverse
document frequency, each article scaled to length one, times the weights. Sums run over an article's terms in the
order of their columns, so an article's score does not depend on the articles around it, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.vocabulary import Counts
from models.calibration import sigmoid
from models.store import Model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labels:
    """The predictions of n articles as arrays.

    predicted: (n, n_sectors). primary: (n,), the place of the primary sector, -1 for none. probabilities:
    (n, n_sectors). coverage: (n,).
    """

    predicted: npt.NDArray[np.bool_]
    primary: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float64]


class Scorer:
    """The numeric core of a prediction.

    Parameters: model, whose tables are turned round once, so that each sector's weights lie together.
    """

    def __init__(self, model: Model):
        self.model = model
        # (1 + n_sectors, n_terms): what a term adds to an article's length, before squaring, and to each sector's score
        self._table = np.ascontiguousarray(np.vstack([model.idf, (model.weights * model.idf[:, None]).T]))
        self._logarithms = 1.0 + np.log(np.maximum(np.arange(256), 1))  # a table of the counts that occur
        self._slopes = np.array([calibration.slope for calibration in model.calibrations])
        self._offsets = np.array([calibration.offset for calibration in model.calibrations])

    def decision_scores(self, counts: Counts) -> Floats:
        """Log-odds before calibration: (n_documents, n_sectors)."""
        return np.asarray(self._sums(self._terms(counts), counts)[1:].T + self.model.intercepts)

    def contributions(self, counts: Counts) -> Floats:
        """What each term of each document adds to its scores; the intercepts add the rest: (n_nonzero, n_sectors)."""
        terms = self._terms(counts)
        length = self._sums(terms, counts)[0]
        return np.asarray((terms[1:] / length.repeat(np.diff(counts.offsets))).T)

    def _terms(self, counts: Counts) -> Floats:
        """What terms add to an article's squared length and, unscaled, to its scores: (1 + n_sectors, n_nonzero)."""
        terms = self._table.take(counts.columns, axis=1)
        terms *= self._frequency(counts.counts)
        terms[0] *= terms[0]
        return terms

    def _sums(self, terms: Floats, counts: Counts) -> Floats:
        """The length of each article, and its scores without intercepts: (1 + n_sectors, n_documents)."""
        sums = np.zeros((len(terms), counts.offsets.size - 1))
        filled = (counts.offsets[1:] > counts.offsets[:-1]).nonzero()[0]  # of an empty span, reduceat gives no 0
        if filled.size:
            sums[:, filled] = np.add.reduceat(terms, counts.offsets[filled], axis=1)
        length = np.sqrt(sums[0])
        length[length == 0] = 1.0  # an article without a known term scores the intercept
        sums[0] = length
        sums[1:] /= length
        return sums

    def _frequency(self, counts: npt.NDArray[np.int64]) -> Floats:
        """What a term's count weighs: (n,)."""
        if not self.model.sublinear:
            return counts.astype(np.float64)
        frequency = self._logarithms.take(counts, mode="clip")
        if counts.max(initial=0) >= self._logarithms.size:
            many = counts >= self._logarithms.size
            frequency[many] = 1.0 + np.log(counts[many])
        return frequency

    def probabilities(self, counts: Counts) -> Floats:
        """Calibrated probabilities, (n_documents, n_sectors); 0 for a document without a word."""
        probabilities = sigmoid(self._slopes * self.decision_scores(counts) + self._offsets)
        probabilities[counts.n_stems == 0] = 0.0
        return probabilities

    def labels(self, counts: Counts, thresholds: Floats) -> Labels:
        """What is predicted where a probability reaches its sector's threshold (n_sectors,); nothing without a word."""
        probabilities = self.probabilities(counts)
        predicted = (probabilities >= thresholds) & (counts.n_stems > 0)[:, None]
        best = np.where(predicted, probabilities, -1.0).argmax(axis=1)
        return Labels(predicted, np.where(predicted.any(axis=1), best, -1), probabilities, counts.coverage)
