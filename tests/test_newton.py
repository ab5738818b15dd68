"""models.newton: the logistic regression of liblinear, on one matrix that folds share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array
from sklearn.linear_model import LogisticRegression

from data.corpus import Corpus, folds
from data.lexicon import Entry
from features.vectorizer import StemVectorizer
from models import newton
from models.classifier import (
    Configuration,
    SectorClassifier,
    fit,
    lexicon_groups,
    out_of_fold_scores,
    pipeline,
    prepared,
)
from models.newton import Design, TermMatrix, costs_of, minimize

Floats = npt.NDArray[np.float64]


def sparse(random: np.random.Generator, n_articles: int, n_terms: int) -> csr_array:
    """Counts with articles of no term and terms of no article."""
    counts = random.poisson(0.3, (n_articles, n_terms)) * (random.random((n_articles, 1)) < 0.9)
    counts[:, random.random(n_terms) < 0.2] = 0
    return csr_array(counts.astype(np.float64))


@pytest.fixture(scope="module")
def counts_and_groups(articles: list[str], lexicon: tuple[Entry, ...]) -> tuple[csr_array, csr_array]:
    vectorizer = StemVectorizer(terms=[entry.term for entry in lexicon])
    counts = vectorizer.fit_transform(articles)
    return counts, lexicon_groups(vectorizer.columns_of_terms_, lexicon, counts.shape[1])


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every matrix is large."""
    monkeypatch.setattr("models.classifier.LARGE", 0)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 40), st.integers(1, 30))
@settings(deadline=None, max_examples=60)
def test_products_are_those_of_the_matrix_written_out(seed: int, n_articles: int, n_terms: int, block: int) -> None:
    random = np.random.default_rng(seed)
    counts = sparse(random, n_articles, n_terms)
    of_terms, of_articles = random.random(n_terms), random.random(n_articles)
    groups = csr_array((random.random((n_terms, 3)) < 0.3).astype(np.float64))
    rows = random.random(n_articles) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newton, "_BLOCK", block)
        terms = TermMatrix.of(counts, sublinear=True)
        plain = np.where(counts.toarray() > 0, 1 + np.log(np.maximum(counts.toarray(), 1)), 0)
        np.testing.assert_allclose(terms.weights.toarray(), plain)
        assert terms.document_frequency(rows).tolist() == (plain[rows] > 0).sum(axis=0).tolist()
        np.testing.assert_allclose(terms.square_norms(of_terms), ((plain * of_terms) ** 2).sum(axis=1))

        design = Design(terms, of_terms, of_articles, 2, groups)
        scaled = of_articles[:, None] * plain * of_terms
        features = np.hstack([scaled, scaled @ groups.toarray(), np.ones((n_articles, 1))])
        features = np.pad(features, ((0, 0), (0, design.n_features - features.shape[1])))
        weights, sides = random.normal(size=(design.n_features, 2)), random.normal(size=(n_articles, 2))
        np.testing.assert_allclose(design.scores(weights), features @ weights, atol=1e-9)
        np.testing.assert_allclose(design.products(sides), features.T @ sides, atol=1e-9)
        np.testing.assert_allclose(design.square_products(sides), (features**2).T @ sides, atol=1e-9)


@given(st.integers(0, 10_000), st.floats(0.01, 100), st.sampled_from([None, "balanced"]))
@settings(deadline=None, max_examples=40)
def test_the_minimum_is_that_of_liblinear(seed: int, regularization: float, class_weight: str | None) -> None:
    random = np.random.default_rng(seed)
    counts = sparse(random, 80, 40)
    levels = np.where(random.random((80, 3)) < 0.2, np.nan, random.integers(0, 3, (80, 3)))
    design = Design(TermMatrix(csc_array(counts)), np.ones(40), np.ones(80), 3)
    weights = minimize(design, levels >= 1, costs_of(levels, regularization, class_weight))
    coefficients, constants = design.table(weights, None)
    for sector in range(3):
        known = ~np.isnan(levels[:, sector])
        alone = LogisticRegression(
            C=regularization, class_weight=class_weight, solver="liblinear", tol=1e-9, max_iter=5000
        ).fit(counts[known], levels[known, sector] >= 1)
        np.testing.assert_allclose(coefficients[sector], alone.coef_[0], atol=2e-4)
        np.testing.assert_allclose(constants[sector], alone.intercept_[0], atol=2e-4)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(deadline=None, max_examples=40)
def test_the_minimum_is_the_same_from_wherever_it_is_sought(seed: int, regularization: float) -> None:
    random = np.random.default_rng(seed)
    counts = sparse(random, 80, 40)
    levels = np.where(random.random((80, 3)) < 0.2, np.nan, random.integers(0, 3, (80, 3)))
    design = Design(TermMatrix(csc_array(counts)), np.ones(40), np.ones(80), 3)
    costs = costs_of(levels, regularization)
    expected = minimize(design, levels >= 1, costs)
    start = 3 * random.normal(size=expected.shape)
    start[41:] = 0  # behind the constant there is nothing
    before = start.copy()
    np.testing.assert_allclose(minimize(design, levels >= 1, costs, start), expected, atol=2e-4)
    assert (start == before).all()  # it may be used again
    # At the minimum there is nothing left to do.
    assert (minimize(design, levels >= 1, costs, expected) == expected).all()


def test_a_large_classifier_is_the_small_one(
    counts_and_groups: tuple[csr_array, csr_array], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, groups = counts_and_groups
    small = pipeline(Configuration(), groups).fit(counts, corpus.levels)
    monkeypatch.setattr("models.classifier.LARGE", 0)
    found = pipeline(Configuration(), groups).fit(counts, corpus.levels)
    np.testing.assert_allclose(found["sectors"].coef_, small["sectors"].coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.decision_function(counts), small.decision_function(counts), rtol=0, atol=1e-3)
    assert np.abs(found["sectors"].coef_ - small["sectors"].coef_).max() > 0  # it was fitted in another way


@pytest.mark.parametrize("large", [False, True])
def test_a_fit_is_what_the_pipeline_learns(
    counts_and_groups: tuple[csr_array, csr_array], corpus: Corpus, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    counts, groups = counts_and_groups
    expected = pipeline(Configuration(), groups).fit(counts, corpus.levels)
    monkeypatch.setattr("models.classifier.LARGE", 0 if large else np.inf)
    found = fit(counts, corpus.levels, Configuration(), groups)
    np.testing.assert_allclose(found.idf, expected["tfidf"].idf_ * expected["frequent"].kept_, rtol=1e-12)
    np.testing.assert_allclose(found.weights, expected["sectors"].coef_.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.intercepts, expected["sectors"].intercept_, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="sector 1 of 4: found 0 positive"):
        fit(counts, np.zeros_like(corpus.levels), Configuration(), groups)


@pytest.mark.parametrize(
    "configuration",
    [Configuration(), Configuration(min_df=6, bigram_min_df=None, sublinear=False, class_weight="balanced")],
)
def test_large_folds_say_what_pipelines_say(
    counts_and_groups: tuple[csr_array, csr_array], corpus: Corpus, configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counts, groups = counts_and_groups
    levels = corpus.levels.copy()
    levels[::7, 1] = np.nan
    parts = folds(levels, np.arange(len(levels)), 3)
    for lexicon in (groups, None):
        small = out_of_fold_scores(counts, levels, parts, configuration, groups=lexicon)
        with monkeypatch.context() as patch:
            patch.setattr("models.classifier.LARGE", 0)
            found = out_of_fold_scores(counts, levels, parts, configuration, groups=lexicon)
        np.testing.assert_allclose(found, small, rtol=0, atol=1e-3)


@pytest.mark.parametrize("large", [False, True])
def test_prepared_counts_change_no_bit(
    counts_and_groups: tuple[csr_array, csr_array], corpus: Corpus, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    counts, groups = counts_and_groups
    before = counts.copy()
    monkeypatch.setattr("models.classifier.LARGE", 0 if large else np.inf)
    ready = prepared(counts, Configuration())
    assert isinstance(ready, TermMatrix) == large
    assert ready.shape == counts.shape
    parts = folds(corpus.levels, np.arange(len(corpus)), 3)
    first, second = (
        out_of_fold_scores(x, corpus.levels, parts, Configuration(), groups=groups) for x in (counts, ready)
    )
    np.testing.assert_array_equal(first, second)
    for one, other in zip(*(fit(x, corpus.levels, Configuration(), groups) for x in (counts, ready)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(counts.data, before.data)


@pytest.mark.usefixtures("large")
def test_threads_change_no_bit(counts_and_groups: tuple[csr_array, csr_array], corpus: Corpus) -> None:
    counts, groups = counts_and_groups
    parts = folds(corpus.levels, np.arange(len(corpus)), 4)
    serial, threads, again = (
        out_of_fold_scores(counts, corpus.levels, parts, Configuration(), jobs, groups) for jobs in (1, 2, 2)
    )
    np.testing.assert_array_equal(serial, threads)
    np.testing.assert_array_equal(threads, again)


@pytest.mark.usefixtures("large")
def test_one_kind_of_article_is_named() -> None:
    with pytest.raises(ValueError, match="sector 2 of 2: found 0 positive among the 3"):
        SectorClassifier().fit(csr_array(np.eye(3)), np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))


def test_a_sector_without_costs_stays_at_zero() -> None:
    design = Design(TermMatrix(csc_array(np.eye(3))), np.ones(3), np.ones(3), 2)
    costs = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    weights = minimize(design, np.array([[True, True], [False, True], [True, False]]), costs)
    assert np.isfinite(weights).all()
    assert weights[:, 1].tolist() == [0.0] * design.n_features
    assert weights[0, 0] > 0 > weights[1, 0]
