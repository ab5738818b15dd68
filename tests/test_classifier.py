"""The pipeline that is trained: what is unknown is left out, what was not seen is not known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from data.corpus import Corpus, folds
from features.vectorizer import StemVectorizer
from models.classifier import Configuration, FrequentTerms, SectorClassifier, out_of_fold_scores, pipeline

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def counts(articles: list[str]) -> csr_array:
    return StemVectorizer().fit_transform(articles)


@pytest.fixture(scope="module")
def levels(corpus: Corpus) -> Floats:
    return corpus.levels


def test_each_sector_is_a_logistic_regression_of_its_own(counts: csr_array, levels: Floats) -> None:
    found = SectorClassifier(regularization=2.0).fit(counts, levels)
    for sector in range(levels.shape[1]):
        alone = LogisticRegression(C=2.0, solver="liblinear", tol=1e-6, max_iter=1000)
        alone.fit(counts, levels[:, sector] >= 1)
        np.testing.assert_allclose(found.coef_[sector], alone.coef_[0], atol=1e-4)
    scores = found.decision_function(counts)
    np.testing.assert_allclose(scores, counts @ found.coef_.T + found.intercept_, rtol=1e-12)
    assert (found.predict(counts) == (scores > 0)).all()


def test_unknown_levels_are_left_out_of_their_sector_alone(counts: csr_array, levels: Floats) -> None:
    known = np.arange(len(levels)) % 3 != 0
    partly = levels.copy()
    partly[~known, 1] = np.nan
    found = SectorClassifier().fit(counts, partly)
    elsewhere = SectorClassifier().fit(counts, levels)
    on_the_known = SectorClassifier().fit(counts[np.flatnonzero(known)], levels[known])
    np.testing.assert_array_equal(found.coef_[1], on_the_known.coef_[1])
    np.testing.assert_array_equal(found.coef_[[0, 2, 3]], elsewhere.coef_[[0, 2, 3]])
    assert not np.array_equal(found.coef_[1], elsewhere.coef_[1])


def test_levels_one_and_two_are_positive_alike(counts: csr_array, levels: Floats) -> None:
    found, flat = (SectorClassifier().fit(counts, y) for y in (levels, np.minimum(levels, 1)))
    np.testing.assert_array_equal(found.coef_, flat.coef_)


@pytest.mark.parametrize(("fill", "positive"), [(0.0, 0), (2.0, 368)])
def test_a_sector_of_one_kind_is_refused(counts: csr_array, levels: Floats, fill: float, positive: int) -> None:
    one_kind = levels.copy()
    one_kind[:, 2] = fill
    with pytest.raises(ValueError, match=rf"sector 3 of 4: found {positive} positive among the 368 .* both kinds"):
        SectorClassifier().fit(counts, one_kind)


def test_balanced_classes_lift_the_scores_of_the_rare_one(counts: csr_array, levels: Floats) -> None:
    plain, balanced = (SectorClassifier(class_weight=weight).fit(counts, levels) for weight in (None, "balanced"))
    assert (balanced.decision_function(counts).mean(axis=0) > plain.decision_function(counts).mean(axis=0)).all()


@pytest.mark.parametrize("estimator", [SectorClassifier(), FrequentTerms()])
def test_unfitted_parts_say_so(estimator: SectorClassifier | FrequentTerms, counts: csr_array) -> None:
    use = estimator.transform if isinstance(estimator, FrequentTerms) else estimator.decision_function
    with pytest.raises(NotFittedError):
        use(counts)


def test_parts_are_cloned_with_their_parameters() -> None:
    whole = pipeline(Configuration(min_df=4, regularization=0.5, class_weight="balanced", sublinear=False))
    twin = clone(whole)
    assert twin.get_params()["sectors__regularization"] == 0.5
    assert twin.get_params()["sectors__class_weight"] == "balanced"
    assert twin.get_params()["frequent__min_df"] == 3  # that of bigrams, which is lower
    assert twin.get_params()["tfidf__sublinear_tf"] is False


def test_rare_terms_of_the_rows_it_was_fitted_on_are_dropped() -> None:
    counts = csr_array(np.array([[1, 0, 5, 0], [2, 1, 0, 0], [1, 0, 0, 0]], float))
    frequent = FrequentTerms(min_df=2).fit(counts)
    assert frequent.kept_.tolist() == [0]
    assert frequent.transform(csr_array(np.array([[0, 7, 1, 0], [4, 0, 0, 1]], float))).toarray().tolist() == [[0], [4]]


@pytest.mark.parametrize(("min_df", "bigram_min_df"), [(3, 3), (3, 2), (2, 5), (4, None)])
def test_fitted_on_all_articles_no_term_of_the_vocabulary_is_dropped(
    articles: list[str], levels: Floats, min_df: int, bigram_min_df: int | None
) -> None:
    configuration = Configuration(min_df=min_df, bigram_min_df=bigram_min_df)
    counts = StemVectorizer(min_df=min_df, bigram_min_df=bigram_min_df).fit_transform(articles[::3])
    fitted = pipeline(configuration).fit(counts, levels[::3])
    assert fitted["frequent"].kept_.size == counts.shape[1]


def test_out_of_fold_scores_come_from_pipelines_that_saw_other_articles(counts: csr_array, levels: Floats) -> None:
    configuration = Configuration()
    splits = folds(levels, np.arange(len(levels)), 3, seed=1)
    scores = out_of_fold_scores(counts, levels, splits, configuration)
    assert sorted(row for _, test in splits for row in test.tolist()) == list(range(len(levels)))
    for train, test in splits:
        fitted = pipeline(configuration).fit(counts[train], levels[train])
        np.testing.assert_array_equal(scores[test], fitted.decision_function(counts[test]))
    fitted_on_all = pipeline(configuration).fit(counts, levels).decision_function(counts)
    assert np.abs(fitted_on_all).mean() > np.abs(scores).mean() * 1.2  # scores of the fit itself are too sure


def test_an_article_of_unknown_level_is_scored_too(counts: csr_array, levels: Floats) -> None:
    partly = levels.copy()
    partly[::2, 0] = np.nan
    splits = folds(partly, np.arange(len(partly)), 3)
    assert np.isfinite(out_of_fold_scores(counts, partly, splits, Configuration())).all()


@pytest.mark.slow
def test_processes_change_no_bit(counts: csr_array, levels: Floats) -> None:
    splits = folds(levels, np.arange(len(levels)), 3)
    serial, parallel = (out_of_fold_scores(counts, levels, splits, Configuration(), jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(serial, parallel)
