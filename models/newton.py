"""Linear classifiers of all sectors at once, by Newton's method on one matrix that no fold copies. Training only.

What is learned from is X = R T C: T, a weight for each term of each article, is the same whichever articles are learned
from; C, the inverse document frequencies, and R, which brings articles to length 1, are diagonal and change with them.
So cross-validation needs T once and some vectors a fold. T is kept by terms, not by articles: what is then looked up at
random is an entry an article, which fits a cache that an entry a term does not.

Minimized is |w|^2 / 2 + sum_i c_i log(1 + exp(-y_i w x_i)) with the constant 1 as one more feature: the logistic
regression of LIBLINEAR (Fan et al., 2008). Newton's steps come from conjugate gradients with a diagonal
preconditioner and are halved until they gain enough (Hsia, Chiang and Lin, "Preconditioned conjugate gradient methods
in truncated Newton frameworks for large-scale linear classification", 2018). The sectors have nothing to do with each
other but that each pass over T, which costs most of the time, serves them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

TOLERANCE: Final = 1e-6
"""The norm of the gradient to reach, relative to that at 0 and times the share of the rarer kind, as in LIBLINEAR."""
_MOST_STEPS: Final = 200
_MOST_GRADIENTS: Final = 1000  # of a step
_MOST_HALVINGS: Final = 40
_ENOUGH: Final = 1e-4  # of the gain that the slope promises
_BLOCK: Final = 1 << 22  # entries of T that are squared at a time
_ROUND: Final = 256
"""Rows of a matrix of weights that go through numpy together: it is slow on rows of few numbers, one a sector."""
_AT_ONCE: Final = 1 << 12  # of these


@dataclass(frozen=True, eq=False)
class TermMatrix:
    """T: the weight of each term in each article, (n_articles, n_terms), by terms."""

    weights: csc_array

    @classmethod
    def of(cls, counts: csr_array, sublinear: bool) -> Self:
        """From counts (n_articles, n_terms); a count c weighs 1 + ln c if sublinear, else c."""
        weights = counts.tocsc(copy=True)
        weights.sort_indices()
        if sublinear:
            np.log(weights.data, out=weights.data)
            weights.data += 1
        return cls(weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Articles and terms."""
        n_articles, n_terms = self.weights.shape
        return n_articles, n_terms

    def document_frequency(self, rows: Booleans) -> npt.NDArray[np.int64]:
        """In how many of some articles each term stands: (n_terms,). Parameters: rows, (n_articles,), which."""
        found = np.zeros(self.shape[1], np.int64)
        for columns, block in self._blocks():
            ends = np.concatenate(([0], rows[block.indices].cumsum()))[block.indptr]
            found[columns] = ends[1:] - ends[:-1]
        return found

    def square_norms(self, scale: Floats) -> Floats:
        """The squared length of each article with its terms scaled: (n_articles,). Parameters: scale, (n_terms,)."""
        norms = np.zeros(self.shape[0])
        for columns, block in self._blocks():
            norms += _squared(block) @ scale[columns] ** 2
        return norms

    def square_products(self, of_articles: Floats) -> Floats:
        """The squares of T, transposed, times (n_articles, k): (n_terms, k)."""
        products = np.empty((self.shape[1], of_articles.shape[1]))
        for columns, block in self._blocks():
            products[columns] = _squared(block).T @ of_articles
        return products

    def _blocks(self) -> Iterator[tuple[slice, csc_array]]:
        """Runs of terms, so that what is made of T has not its size."""
        bounds, (n_articles, n_terms) = self.weights.indptr, self.shape
        first = 0
        while first < n_terms:
            last = max(int(np.searchsorted(bounds, bounds[first] + _BLOCK, side="right")) - 1, first + 1)
            entries = slice(bounds[first], bounds[last])
            parts = self.weights.data[entries], self.weights.indices[entries], bounds[first : last + 1] - bounds[first]
            yield slice(first, last), csc_array(parts, shape=(n_articles, last - first))
            first = last


def _squared(block: csc_array) -> csc_array:
    return csc_array((block.data**2, block.indices, block.indptr), shape=block.shape)


class Design:
    """X, its sums over groups of terms, and the constant: (n_articles, n_terms + n_groups + 1) and zeros behind.

    Parameters: terms; of_terms, (n_terms,), and of_articles, (n_articles,), what T's columns and rows are multiplied
    by; n_sectors, k below; groups, (n_terms, n_groups), how much of each term goes into the feature of a group, None
    for no groups.
    """

    def __init__(
        self,
        terms: TermMatrix,
        of_terms: Floats,
        of_articles: Floats,
        n_sectors: int,
        groups: csr_array | None = None,
    ):
        n_articles, self.n_terms = terms.shape
        self.terms = terms
        # For numpy is slow on rows of few numbers, a number a term and sector, not a term.
        self.of_terms = np.repeat(of_terms, n_sectors).reshape(-1, n_sectors)
        self.of_articles = of_articles[:, None]
        self.sums = np.zeros((n_articles, 0))
        if groups is not None:
            scaled = csr_array(groups.multiply(of_terms[:, None]))
            self.sums = self.of_articles * (terms.weights @ scaled).toarray()
        self.constant = self.n_terms + self.sums.shape[1]
        self.n_features = -(-(self.constant + 1) // _ROUND) * _ROUND

    def scores(self, weights: Floats) -> Floats:
        """X w: (n_articles, k) of (n_features, k)."""
        found: Floats = self.terms.weights @ (self.of_terms * weights[: self.n_terms])
        found *= self.of_articles
        found += self.sums @ weights[self.n_terms : self.constant]
        found += weights[self.constant]
        return found

    def products(self, of_articles: Floats) -> Floats:
        """X transposed times (n_articles, k): (n_features, k)."""
        of_terms = self.terms.weights.T @ (self.of_articles * of_articles)
        of_terms *= self.of_terms
        return self._assembled(of_terms, self.sums, of_articles)

    def square_products(self, of_articles: Floats) -> Floats:
        """The squares of X, transposed, times (n_articles, k): (n_features, k)."""
        of_terms = self.terms.square_products(self.of_articles**2 * of_articles)
        of_terms *= self.of_terms**2
        return self._assembled(of_terms, self.sums**2, of_articles)

    def table(self, weights: Floats, groups: csr_array | None) -> tuple[Floats, Floats]:
        """Weights with those of the groups added to their terms', (n_sectors, n_terms), and constants, (n_sectors,)."""
        of_terms = weights[: self.n_terms]
        if groups is not None:
            of_terms = of_terms + groups @ weights[self.n_terms : self.constant]
        return np.ascontiguousarray(of_terms.T), weights[self.constant].copy()

    def _assembled(self, of_terms: Floats, sums: Floats, of_articles: Floats) -> Floats:
        found = np.zeros((self.n_features, of_articles.shape[1]))
        found[: self.n_terms] = of_terms
        found[self.n_terms : self.constant] = sums.T @ of_articles
        found[self.constant] = of_articles.sum(axis=0)
        return found


def costs_of(levels: Floats, regularization: float, class_weight: str | None = None) -> Floats:
    """What each article's loss counts in each sector: (n_articles, n_sectors), 0 where the level is not known.

    Parameters: levels (n_articles, n_sectors), nan unknown; regularization, C; class_weight, None, or "balanced" for
    the same sum of both kinds, as scikit-learn has it.
    """
    known, positive = ~np.isnan(levels), levels >= 1
    costs = regularization * known
    if class_weight == "balanced":
        for kind in (positive, known & ~positive):
            costs *= np.where(kind, known.sum(axis=0) / (2 * np.maximum(kind.sum(axis=0), 1)), 1)
    return costs


def minimize(design: Design, positive: Booleans, costs: Floats, start: Floats | None = None) -> Floats:
    """The weights of each sector, (n_features, n_sectors); the same bits each time on one thread of BLAS.

    Parameters: positive, (n_articles, n_sectors); costs, (n_articles, n_sectors), c_i above, 0 for an article that a
    sector does not learn from; start, (n_features, n_sectors), weights to begin at, None for zeros. There is one
    minimum: where the way to it begins changes how long it is, and within `TOLERANCE` nothing else.
    """
    signs = np.where(positive, 1.0, -1.0)
    known = costs > 0
    rarer = np.minimum((known & positive).sum(axis=0), (known & ~positive).sum(axis=0))
    norm_at_zero = _norm(design.products(signs * _slope(np.zeros(positive.shape), costs)))
    target = TOLERANCE * norm_at_zero * np.maximum(rarer, 1) / np.maximum(known.sum(axis=0), 1)
    weights = np.zeros((design.n_features, positive.shape[1])) if start is None else start.copy()
    margins = np.zeros(positive.shape) if start is None else signs * design.scores(weights)  # w x_i y_i
    value = _loss(margins, costs) + _dot(weights, weights) / 2
    stuck = np.zeros(value.shape, np.bool_)  # rounding leaves nothing to gain
    for _ in range(_MOST_STEPS):
        gradient = design.products(signs * _slope(margins, costs))
        gradient += weights
        norm = _norm(gradient)
        open_ = ~stuck & (norm > np.maximum(target, np.finfo(float).tiny))
        if not open_.any():
            break
        # Far from the minimum rough steps do; near it each is as good as it need be to end there.
        precision = np.clip(np.sqrt(norm / norm_at_zero), 0.3 * target / norm, 0.1)
        direction = _newton_step(design, gradient, _curvature(margins, costs), precision, open_)
        promised = _dot(gradient, direction)
        moved = signs * design.scores(direction)
        length = open_.astype(np.float64)
        for _ in range(_MOST_HALVINGS):
            there = _loss(margins + length * moved, costs)
            there += _half_square(weights, direction, length)
            short = there > value + _ENOUGH * length * promised + 1e-12 * np.abs(value)
            if not short.any():
                break
            length[short] /= 2
        else:
            stuck |= short
            length[short] = 0
        weights += _times(direction, length)
        margins += length * moved
        value = np.where(length > 0, there, value)
    return weights


def _newton_step(design: Design, gradient: Floats, curvature: Floats, precision: Floats, open_: Booleans) -> Floats:
    """Conjugate gradients for (1 + X^T D X) step = -gradient, until what is left is `precision` of it."""
    diagonal = design.square_products(curvature)
    diagonal += 1
    np.reciprocal(diagonal, out=diagonal)
    step = np.zeros_like(gradient)
    left = -gradient
    towards = diagonal * left
    size = _dot(left, towards)
    enough = precision**2 * size
    going = open_ & (size > enough)
    for _ in range(_MOST_GRADIENTS):
        if not going.any():
            break
        image = design.products(curvature * design.scores(towards))
        image += towards
        along = np.divide(size, _dot(towards, image), out=np.zeros_like(size), where=going)
        left -= _times(image, along)
        np.copyto(image, towards)
        step += _times(image, along)
        np.multiply(diagonal, left, out=image)
        before, size = size, np.where(going, _dot(left, image), size)
        going &= size > enough
        _times(towards, np.divide(size, before, out=np.zeros_like(size), where=going))
        towards += image
    return step


def _rows_together(values: Floats) -> Floats:
    """A matrix of weights with `_ROUND` rows in one: a view."""
    return values.reshape(-1, _ROUND * values.shape[1])


def _times(values: Floats, of_sectors: Floats) -> Floats:
    """A matrix of weights (n_features, n_sectors) times a number a sector, in place."""
    together = _rows_together(values)
    together *= np.tile(of_sectors, _ROUND)
    return values


def _dot(first: Floats, second: Floats) -> Floats:
    """The products of the columns of two matrices of weights: (n_sectors,)."""
    one, other = _rows_together(first), _rows_together(second)
    total = np.zeros(one.shape[1])
    for start in range(0, len(one), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        total += (one[rows] * other[rows]).sum(axis=0)
    return np.asarray(total.reshape(_ROUND, -1).sum(axis=0))


def _norm(values: Floats) -> Floats:
    """The length of each column of a matrix of weights, (n_sectors,); never 0, to be divided by."""
    return np.maximum(np.sqrt(_dot(values, values)), np.finfo(float).tiny)


def _half_square(weights: Floats, direction: Floats, length: Floats) -> Floats:
    """|w + length * direction|^2 / 2 of each column."""
    return _dot(weights, weights) / 2 + length * _dot(weights, direction) + length**2 * _dot(direction, direction) / 2


def _loss(margins: Floats, costs: Floats) -> Floats:
    """The sum over the articles: (n_sectors,)."""
    return np.asarray((costs * np.logaddexp(0, -margins)).sum(axis=0))


def _slope(margins: Floats, costs: Floats) -> Floats:
    """The derivative by the margin, of each article."""
    return -costs * _logistic(-margins)


def _curvature(margins: Floats, costs: Floats) -> Floats:
    """The second derivative by the margin, of each article."""
    return costs * _logistic(margins) * _logistic(-margins)


def _logistic(values: Floats) -> Floats:
    """1 / (1 + exp(-v)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -values)))
