"""The pipeline that is trained: what is unknown is left out, what was not seen is not known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array, hstack
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from data.corpus import Corpus, folds
from data.lexicon import Entry
from features.vectorizer import StemVectorizer
from models.classifier import (
    Configuration,
    FrequentTerms,
    SectorClassifier,
    lexicon_groups,
    out_of_fold_scores,
    pipeline,
)

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def counts(articles: list[str]) -> csr_array:
    return StemVectorizer().fit_transform(articles)


@pytest.fixture(scope="module")
def counts_and_groups(articles: list[str], lexicon: tuple[Entry, ...]) -> tuple[csr_array, csr_array]:
    """Counts that have a column for each term of the lexicon, and which term is of which group."""
    vectorizer = StemVectorizer(terms=[entry.term for entry in lexicon])
    counts = vectorizer.fit_transform(articles)
    return counts, lexicon_groups(vectorizer.columns_of_terms_, lexicon, counts.shape[1])


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


@pytest.mark.parametrize("fill", [0.0, 2.0])
def test_a_sector_of_one_kind_is_refused(counts: csr_array, levels: Floats, fill: float) -> None:
    one_kind = levels.copy()
    one_kind[:, 2] = fill
    articles, positive = len(levels), len(levels) if fill else 0
    message = rf"sector 3 of 4: found {positive} positive among the {articles} .* both kinds"
    with pytest.raises(ValueError, match=message):
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


def test_rare_terms_of_the_rows_it_was_fitted_on_are_emptied() -> None:
    counts = csr_array(np.array([[1, 0, 5, 0], [2, 1, 0, 0], [1, 0, 0, 0]], float))
    frequent = FrequentTerms(min_df=2).fit(counts)
    assert frequent.kept_.tolist() == [True, False, False, False]
    others = csr_array(np.array([[0, 7, 1, 0], [4, 0, 0, 1]], float))
    found = frequent.transform(others)
    assert found.toarray().tolist() == [[0, 0, 0, 0], [4, 0, 0, 0]]
    assert found.nnz == 1
    assert others.toarray().tolist() == [[0, 7, 1, 0], [4, 0, 0, 1]]


def test_rare_terms_that_are_always_kept_stay() -> None:
    counts = csr_array(np.array([[1, 0, 5, 0], [2, 1, 0, 0], [1, 0, 0, 0]], float))
    frequent = FrequentTerms(min_df=2, always=np.array([False, True, False, True])).fit(counts)
    assert frequent.kept_.tolist() == [True, True, False, True]
    others = csr_array(np.array([[0, 7, 1, 0], [4, 0, 0, 1]], float))
    assert frequent.transform(others).toarray().tolist() == [[0, 7, 0, 0], [4, 0, 0, 1]]


@pytest.mark.parametrize(("min_df", "bigram_min_df"), [(3, 3), (3, 2), (2, 5), (4, None)])
def test_fitted_on_all_articles_no_term_of_the_vocabulary_is_emptied(
    articles: list[str], levels: Floats, min_df: int, bigram_min_df: int | None
) -> None:
    configuration = Configuration(min_df=min_df, bigram_min_df=bigram_min_df)
    counts = StemVectorizer(min_df=min_df, bigram_min_df=bigram_min_df).fit_transform(articles[::3])
    fitted = pipeline(configuration).fit(counts, levels[::3])
    assert fitted["frequent"].kept_.all()
    assert fitted["frequent"].kept_.size == counts.shape[1]


# The lexicon


def entry(term: str, sector: str, kind: str) -> Entry:
    return Entry(term, sector, kind, "a file:1")


def test_groups_are_sectors_and_the_kinds_of_each() -> None:
    entries = [
        entry("avanza", "automotive", "model"),
        entry("byd", "ev", "brand"),
        entry("toyota", "automotive", "brand"),
        entry("zeekr", "ev", "brand"),
    ]
    groups = lexicon_groups(np.array([4, 0, 2, 5]), entries, 6)
    assert groups.toarray().tolist() == [
        # automotive, ev, its model, brand of ev, brand of automotive
        [0, 1, 0, 1, 0],  # byd
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 1],  # toyota
        [0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0],  # avanza
        [0, 1, 0, 1, 0],  # zeekr
    ]


def test_a_term_is_of_a_group_once_and_may_be_of_several() -> None:
    """Entries of the same stems are one term, and a term may speak for two sectors."""
    entries = [entry("cx-3", "automotive", "model"), entry("cx-5", "automotive", "model"), entry("cx", "ev", "model")]
    assert lexicon_groups(np.array([1, 1, 1]), entries, 2).toarray().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_groups_of_the_bundled_lexicon(
    counts_and_groups: tuple[csr_array, csr_array], lexicon: tuple[Entry, ...]
) -> None:
    counts, groups = counts_and_groups
    kinds = {(entry.sector, entry.kind) for entry in lexicon}
    assert groups.shape == (counts.shape[1], len({sector for sector, _ in kinds}) + len(kinds))
    assert set(groups.data.tolist()) == {1.0}
    assert (groups.sum(axis=0) > 0).all()


@pytest.mark.parametrize("group_weight", [0.15, 2.0])
def test_shared_weights_are_those_of_sums_over_groups_as_features(
    counts_and_groups: tuple[csr_array, csr_array], levels: Floats, group_weight: float
) -> None:
    """The plain form of the device: sums over groups join the terms, and each term adds what its groups weigh."""
    counts, groups = counts_and_groups
    found = SectorClassifier(regularization=0.5, groups=groups, group_weight=group_weight).fit(counts, levels)
    extended = csr_array(hstack([counts, group_weight * (counts @ groups)]))
    extended.indices, extended.indptr = extended.indices.astype(np.int32), extended.indptr.astype(np.int32)
    n_terms = counts.shape[1]
    assert found.coef_.shape == (levels.shape[1], n_terms)
    for sector in range(levels.shape[1]):
        plain = LogisticRegression(C=0.5, solver="liblinear", tol=1e-6, max_iter=1000)
        plain.fit(extended, levels[:, sector] >= 1)
        folded = plain.coef_[0, :n_terms] + group_weight * (groups @ plain.coef_[0, n_terms:])
        np.testing.assert_allclose(found.coef_[sector], folded, atol=1e-5)
        scores = plain.decision_function(extended)
        np.testing.assert_allclose(found.decision_function(counts)[:, sector], scores, atol=1e-3)


def test_terms_that_no_article_holds_take_the_sign_of_their_group() -> None:
    """Terms 0 to 3 are of one group, 4 to 7 of another, 8 and 9 of none; no article holds the last of each."""
    counts = np.zeros((8, 10))
    counts[range(8), [0, 1, 2, 0, 4, 5, 6, 8]] = 1.0
    levels = np.array([[2.0], [1.0], [2.0], [2.0], [0.0], [0.0], [0.0], [0.0]])
    groups = csr_array(np.repeat([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [4, 4, 2], axis=0))
    (weights,) = SectorClassifier(groups=groups).fit(csr_array(counts), levels).coef_
    assert weights[3] > 0.01
    assert weights[7] < -0.01
    assert weights[9] == 0
    (stronger,) = SectorClassifier(groups=groups, group_weight=0.5).fit(csr_array(counts), levels).coef_
    assert stronger[3] > weights[3]
    (alone,) = SectorClassifier().fit(csr_array(counts), levels).coef_
    assert alone[[3, 7, 9]].tolist() == [0, 0, 0]


def test_unseen_names_of_the_lexicon_speak_for_their_sector(
    counts_and_groups: tuple[csr_array, csr_array], levels: Floats, lexicon: tuple[Entry, ...], corpus: Corpus
) -> None:
    counts, groups = counts_and_groups
    fitted = pipeline(Configuration(), groups).fit(counts, levels)
    unseen = np.bincount(counts.indices, minlength=counts.shape[1]) == 0
    for column, sector in enumerate(corpus.sectors):  # the first groups are the sectors, in their order
        its = (
            unseen & (groups[:, [column]].toarray().ravel() == 1) & (groups[:, : len(corpus.sectors)].sum(axis=1) == 1)
        )
        weights = fitted["sectors"].coef_[column, its]
        assert weights.size > 50
        assert (weights > 0).mean() > 0.8, sector


def test_groups_of_no_weight_change_nothing(counts_and_groups: tuple[csr_array, csr_array], levels: Floats) -> None:
    """But for where liblinear stops: more features, if of zeros alone, are added up in another order."""
    counts, groups = counts_and_groups
    without = SectorClassifier().fit(counts, levels)
    found = SectorClassifier(groups=groups, group_weight=0.0).fit(counts, levels)
    np.testing.assert_allclose(found.coef_, without.coef_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.intercept_, without.intercept_, rtol=0, atol=1e-5)


def test_fitting_leaves_counts_and_groups_as_they_are(
    counts_and_groups: tuple[csr_array, csr_array], levels: Floats
) -> None:
    before = [part.copy() for part in counts_and_groups]
    SectorClassifier(groups=counts_and_groups[1]).fit(counts_and_groups[0], levels)
    for part, copy in zip(counts_and_groups, before, strict=True):
        assert part.shape == copy.shape
        assert abs(part - copy).max() == 0


def test_the_pipeline_keeps_rare_terms_of_the_lexicon_alone(
    counts_and_groups: tuple[csr_array, csr_array], levels: Floats
) -> None:
    counts, groups = counts_and_groups
    half = np.arange(0, counts.shape[0], 2)
    fitted = clone(pipeline(Configuration(), groups)).fit(counts[half], levels[half])
    frequency = np.bincount(counts[half].indices, minlength=counts.shape[1])
    np.testing.assert_array_equal(fitted["frequent"].kept_, (frequency >= 3) | (groups.sum(axis=1) > 0))


# Cross-validation


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


def test_out_of_fold_scores_with_a_lexicon_share_weights(
    counts_and_groups: tuple[csr_array, csr_array], levels: Floats
) -> None:
    counts, groups = counts_and_groups
    splits = folds(levels, np.arange(len(levels)), 2, seed=1)
    scores = out_of_fold_scores(counts, levels, splits, Configuration(), groups=groups)
    for train, test in splits:
        fitted = pipeline(Configuration(), groups).fit(counts[train], levels[train])
        np.testing.assert_array_equal(scores[test], fitted.decision_function(counts[test]))


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
