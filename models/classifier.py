"""The pipeline that is trained: counts -> frequent terms -> TF-IDF -> one linear classifier a sector. Training only.

It starts from counts (`features.vectorizer`), so that cross-validation stems every article once, not once a fold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array, hstack
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data.lexicon import Entry
from models.newton import Design, TermMatrix, costs_of, minimize
from models.parallel import backend, each, leave_interrupts_to

LOSSES: Final = ("logistic", "squared_hinge")
LARGE: Final = 4_000_000
"""Terms of articles, counted once an article, from which logistic regression is fitted by `models.newton`.

Of 800,000 (the bundled articles) liblinear makes a model in half the time; of 6 million it takes nearly twice as long,
and it needs several times the memory. Both end at the same weights, but for what `models.newton.TOLERANCE` leaves open.
"""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Configuration:
    """Everything that decides what is learned from a corpus, with the defaults in one place.

    The defaults came from trying one setting after another; a random search over 40 configurations (`python train.py
    --no-tracking --search 40`) found none that is better beyond noise: the best had a macro F1 of 0.935 where the
    defaults have 0.931, a difference of +0.0036 (95% interval -0.0011 to +0.0084).

    min_df, max_df, bigram_min_df, title_weight: see `features.vectorizer.StemVectorizer`.
    sublinear: a term's count c weighs 1 + ln c instead of c.
    regularization: inverse strength C of the L2 penalty.
    class_weight: None, or "balanced" to weigh both classes of a sector alike.
    lexicon_weight: how strongly the terms of a group of the lexicon share a weight, see `SectorClassifier`.
    loss: "logistic" for logistic regression, or "squared_hinge" for a linear support vector machine.
    """

    min_df: int = 3  # articles
    max_df: float = 1.0  # share of the articles
    bigram_min_df: int | None = 3  # articles
    title_weight: int = 3  # times
    sublinear: bool = True
    regularization: float = 10.0
    class_weight: str | None = None
    lexicon_weight: float = 0.2
    loss: str = "logistic"


def pipeline(configuration: Configuration, groups: csr_array | None = None) -> Pipeline:
    """An unfitted pipeline from counts (n_articles, n_terms) to decision scores (n_articles, n_sectors).

    Parameters: groups, (n_terms, n_groups), see `lexicon_groups`; None for no lexicon.
    """
    min_df = min(configuration.min_df, configuration.bigram_min_df or configuration.min_df)
    always = None if groups is None else np.diff(groups.indptr) > 0
    sectors = SectorClassifier(
        configuration.regularization,
        configuration.class_weight,
        groups,
        configuration.lexicon_weight,
        configuration.loss,
    )
    return Pipeline(
        [
            ("frequent", FrequentTerms(min_df, always)),
            ("tfidf", TfidfTransformer(sublinear_tf=configuration.sublinear)),
            ("sectors", sectors),
        ]
    )


def lexicon_groups(columns: npt.NDArray[np.int64], entries: Sequence[Entry], n_terms: int) -> csr_array:
    """Which terms are of which group of the lexicon: (n_terms, n_groups) of ones.

    A group is all entries of a sector, or all of one kind of a sector.
    Parameters: columns, (n_entries,), the column of each entry.
    """
    groups = [entry.sector for entry in entries], [(entry.sector, entry.kind) for entry in entries]
    number = {group: place for place, group in enumerate(dict.fromkeys([*groups[0], *groups[1]]))}
    places = [number[group] for of_entries in groups for group in of_entries]
    terms = np.tile(columns, 2)
    matrix = csr_array((np.ones(terms.size), (terms, places)), shape=(n_terms, len(number)))
    matrix.data[:] = 1.0  # two entries may have the same stems
    return matrix


class FrequentTerms(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Empties the columns of terms that fewer than `min_df` of the articles it is fitted on hold.

    The vocabulary is learned from all articles; in cross-validation this keeps a fold from knowing terms that are
    frequent only thanks to the articles it is tested on. Fitted on all articles it empties only the stems that are in
    the vocabulary as halves of a lexicon's pair and rare by themselves.

    Parameters: min_df; always, (n_terms,), which terms are kept however rare, None for none.
    """

    def __init__(self, min_df: int = 3, always: npt.NDArray[np.bool_] | None = None):
        self.min_df = min_df
        self.always = always

    def fit(self, X: csr_array, y: object = None) -> Self:
        """Count in how many rows of X (n_articles, n_terms) each term stands."""
        self.kept_ = np.bincount(X.indices, minlength=X.shape[1]) >= self.min_df
        if self.always is not None:
            self.kept_ |= self.always
        return self

    def transform(self, X: csr_array) -> csr_array:
        """X without the counts of terms that are not kept: (n_articles, n_terms)."""
        check_is_fitted(self)
        if self.kept_.all():
            return X
        is_kept = self.kept_[X.indices]
        offsets = np.concatenate(([0], np.cumsum(is_kept)))[X.indptr].astype(X.indptr.dtype)
        return csr_array((X.data[is_kept], X.indices[is_kept], offsets), shape=X.shape)


class SectorClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One linear classifier a sector, each fitted on the articles whose level of that sector is known.

    Terms of a group share a weight beside their own: to the terms of each article their sum over each group is added
    as one more feature, times `group_weight`. The penalty on squared weights then finds it cheaper to lift a group
    than each of its terms, so that a brand that no article names weighs what brands weigh (the device of Daume,
    "Frustratingly Easy Domain Adaptation", 2007, with groups of terms in place of domains). The sums being linear,
    shared weights are added to the terms' own once fitted: predicting is the same table, and costs nothing more.

    Parameters
    ----------
    regularization: C. class_weight, loss: see `Configuration`.
    groups: (n_terms, n_groups), 1 where a term is of a group; None for none.
    group_weight: from 0, each term for itself.

    Attributes
    ----------
    coef_: (n_sectors, n_terms) weights.
    intercept_: (n_sectors,).
    """

    def __init__(
        self,
        regularization: float = 10.0,
        class_weight: str | None = None,
        groups: csr_array | None = None,
        group_weight: float = 0.2,
        loss: str = "logistic",
    ):
        self.regularization = regularization
        self.class_weight = class_weight
        self.groups = groups
        self.group_weight = group_weight
        self.loss = loss

    def fit(self, X: csr_array, y: Floats) -> Self:
        """Fit on X (n_articles, n_terms) and levels y (n_articles, n_sectors); positive from 1 on, unknown where nan.

        Raises ValueError for a sector of which not both positive and negative articles are known, or an unknown loss.
        """
        if self.loss not in LOSSES:
            raise ValueError(f"found loss {self.loss!r}, expected one of {', '.join(LOSSES)}")
        n_terms = X.shape[1]
        _refuse_one_kind(y)
        shared = None if self.groups is None else csr_array(self.group_weight * self.groups)
        if self.loss == "logistic" and X.nnz >= LARGE:
            design = Design(TermMatrix(csc_array(X)), np.ones(n_terms), np.ones(X.shape[0]), y.shape[1], shared)
            costs = costs_of(y, self.regularization, self.class_weight)
            with threadpool_limits(1, "blas"):
                self.coef_, self.intercept_ = design.table(minimize(design, y >= 1, costs), shared)
            return self
        if shared is not None:
            X = csr_array(hstack([X, X @ shared], format="csr"))
            X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # all that liblinear takes
        self.coef_ = np.zeros((y.shape[1], n_terms))
        self.intercept_ = np.zeros(y.shape[1])
        for sector in range(y.shape[1]):
            known = np.flatnonzero(~np.isnan(y[:, sector]))
            positive = y[known, sector] >= 1
            # liblinear's primal Newton method is deterministic, and was 40 times faster than L-BFGS on sparse articles.
            usual = {"C": self.regularization, "class_weight": self.class_weight, "tol": 1e-6, "max_iter": 1000}
            if self.loss == "logistic":
                model = LogisticRegression(solver="liblinear", **usual)
            else:
                model = LinearSVC(loss="squared_hinge", dual=False, **usual)
            # With several threads BLAS adds up in another order; the last digits would depend on the machine's cores.
            with threadpool_limits(1, "blas"):
                model.fit(X[known], positive)
            self.coef_[sector], self.intercept_[sector] = model.coef_[0, :n_terms], model.intercept_[0]
            if shared is not None:
                self.coef_[sector] += shared @ model.coef_[0, n_terms:]
        return self

    def decision_function(self, X: csr_array) -> Floats:
        """Decision scores (n_articles, n_sectors) before calibration: log-odds by the logistic loss, else margins."""
        check_is_fitted(self)
        return np.asarray(X @ self.coef_.T + self.intercept_)

    def predict(self, X: csr_array) -> npt.NDArray[np.bool_]:
        """Whether each score is positive, (n_articles, n_sectors); `models.calibration` sets better thresholds."""
        return self.decision_function(X) > 0


class Fitted(NamedTuple):
    """All that a fitted pipeline knows.

    idf: (n_terms,), 0 for a term that counts for nothing. weights: (n_terms, n_sectors). intercepts: (n_sectors,).
    minimum: of large counts, what `models.newton.minimize` found, for `out_of_fold_scores` to begin at; else None.
    """

    idf: Floats
    weights: Floats
    intercepts: Floats
    minimum: Floats | None = None


def prepared(counts: csr_array, configuration: Configuration) -> csr_array | TermMatrix:
    """Counts as `fit` and `out_of_fold_scores` go through them: large ones as one matrix for all fits.

    They make it of the counts themselves where need be; whoever lets go of the counts for it needs half the memory.
    """
    is_large = configuration.loss == "logistic" and counts.nnz >= LARGE
    return TermMatrix.of(counts, configuration.sublinear) if is_large else counts


def fit(
    counts: csr_array | TermMatrix,
    levels: Floats,
    configuration: Configuration,
    groups: csr_array | None = None,
) -> Fitted:
    """What `pipeline` learns of counts (n_articles, n_terms) and levels; of large ones without copies of them.

    Parameters: as for `out_of_fold_scores`. Raises ValueError as `SectorClassifier.fit` does.
    """
    terms = counts if isinstance(counts, TermMatrix) else prepared(counts, configuration)
    if not isinstance(terms, TermMatrix):
        fitted = pipeline(configuration, groups).fit(counts, levels)
        classifier = fitted["sectors"]
        idf = fitted["tfidf"].idf_ * fitted["frequent"].kept_
        return Fitted(idf, np.ascontiguousarray(classifier.coef_.T), classifier.intercept_)
    everything = np.ones(levels.shape[0], np.bool_)
    design, weights, idf = _fit_large(terms, levels, everything, configuration, groups)
    shared = None if groups is None else csr_array(configuration.lexicon_weight * groups)
    coefficients, intercepts = design.table(weights, shared)
    return Fitted(idf, np.ascontiguousarray(coefficients.T), intercepts, weights)


def _refuse_one_kind(levels: Floats) -> None:
    """Raises ValueError for a sector of which not both positive and negative articles are known."""
    for sector, its in enumerate(levels.T):
        positive = its[~np.isnan(its)] >= 1
        if positive.all() or not positive.any():
            raise ValueError(
                f"sector {sector + 1} of {levels.shape[1]}: found {positive.sum()} positive among the {positive.size} "
                "articles whose level is known, expected both kinds"
            )


def out_of_fold_scores(
    counts: csr_array | TermMatrix,
    levels: Floats,
    folds: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    configuration: Configuration,
    jobs: int | None = None,
    groups: csr_array | None = None,
    on_fold: Callable[[], None] | None = None,
    minimum: Floats | None = None,
) -> Floats:
    """Decision scores of every article by a pipeline that was not fitted on it.

    Parameters: counts (n_articles, n_terms), or what `prepared` made of them; levels (n_articles, n_sectors), nan
    unknown; folds, (train, test) pairs whose test parts cover every article once; jobs, processes of this machine, None
    for those of the surrounding `models.parallel.backend` or else one; groups, see `pipeline`; on_fold, called as each
    fold is done; minimum, what `fit` on all articles found, if it is known. The folds of large counts begin at it:
    each has a minimum of its own, but half as far from there as from zero.
    Returns: (n_articles, n_sectors), the same on every backend.
    """
    scores = np.full(levels.shape, np.nan)
    matrix = counts if isinstance(counts, TermMatrix) else prepared(counts, configuration)
    is_large = isinstance(matrix, TermMatrix)
    if is_large and minimum is None:
        minimum = fit(matrix, levels, configuration, groups).minimum
    calls = [(matrix, levels, train, test, configuration, groups, os.getpid(), minimum) for train, test in folds]
    with nullcontext() if jobs is None else backend(jobs=jobs), _in_one_memory() if is_large else nullcontext():
        for (_, test), part in zip(folds, each(_scores_of_fold, calls), strict=True):
            scores[test] = part
            if on_fold is not None:
                on_fold()
    return scores


@contextmanager
def _in_one_memory() -> Iterator[None]:
    """Threads where there would be processes of this machine: most of what they do is done without Python's lock."""
    from joblib import effective_n_jobs, parallel_config
    from joblib.parallel import get_active_backend

    if type(get_active_backend()[0]).__name__ != "LokyBackend":
        yield
        return
    # The limit is the process's: were it set in a thread, the first to end would lift it from the others.
    with parallel_config("threading", n_jobs=effective_n_jobs()), threadpool_limits(1, "blas"):
        yield


def _scores_of_fold(
    counts: csr_array | TermMatrix,
    levels: Floats,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    configuration: Configuration,
    groups: csr_array | None,
    caller: int,
    minimum: Floats | None,
) -> Floats:
    leave_interrupts_to(caller)
    if isinstance(counts, TermMatrix):
        return _scores_of_large_fold(counts, levels, train, test, configuration, groups, minimum)
    fitted = pipeline(configuration, groups).fit(counts[train], levels[train])
    return np.asarray(fitted.decision_function(counts[test]))


def _scores_of_large_fold(
    terms: TermMatrix,
    levels: Floats,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    configuration: Configuration,
    groups: csr_array | None,
    minimum: Floats | None,
) -> Floats:
    """What `pipeline` fitted on the articles `train` says of those of `test`, without a copy of either."""
    is_train = np.zeros(levels.shape[0], np.bool_)
    is_train[train] = True
    design, weights, _ = _fit_large(terms, levels, is_train, configuration, groups, minimum)
    with threadpool_limits(1, "blas"):
        return design.scores(weights)[test]


def _fit_large(
    terms: TermMatrix,
    levels: Floats,
    is_train: Booleans,
    configuration: Configuration,
    groups: csr_array | None,
    start: Floats | None = None,
) -> tuple[Design, Floats, Floats]:
    """`pipeline` fitted on some articles: the design, its weights, and the inverse document frequency, 0 if rare."""
    known = np.where(is_train[:, None], levels, np.nan)
    _refuse_one_kind(known)
    frequency = terms.document_frequency(is_train)
    kept = frequency >= min(configuration.min_df, configuration.bigram_min_df or configuration.min_df)
    if groups is not None:
        kept |= np.diff(groups.indptr) > 0
    idf = np.where(kept, np.log((1 + is_train.sum()) / (1 + frequency)) + 1, 0)  # as TfidfTransformer has it
    lengths = np.sqrt(terms.square_norms(idf))
    to_one = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    shared = None if groups is None else csr_array(configuration.lexicon_weight * groups)
    costs = costs_of(known, configuration.regularization, configuration.class_weight)
    with threadpool_limits(1, "blas"):
        design = Design(terms, idf, to_one, levels.shape[1], shared)
        return design, minimize(design, levels >= 1, costs, start), idf
