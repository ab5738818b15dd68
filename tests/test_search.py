"""The search for a configuration: exact, repeatable, and slow to leave the default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from data.corpus import Corpus, folds
from data.lexicon import Entry
from data.sectors import Sector
from features.vectorizer import StemVectorizer, stem_articles
from models import search as module
from models.calibration import calibrate, sigmoid
from models.card import model_card
from models.classifier import Configuration, SectorClassifier, lexicon_groups, out_of_fold_scores, pipeline
from models.evaluation import evaluate
from models.parallel import backend
from models.search import GRID, Search, Trial, candidates, changes, search
from models.store import write_model
from models.uncertainty import Difference
from predict import Predictor
from train import Settings, train

Folds = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


@pytest.fixture(scope="module")
def few(corpus: Corpus) -> Corpus:
    return corpus.select(range(0, len(corpus), 6))


@pytest.fixture(scope="module")
def parts(few: Corpus) -> Folds:
    return folds(few.levels, np.arange(len(few)), 2, seed=3)


@pytest.fixture(scope="module")
def names_of_brands(lexicon: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return lexicon[::50]


@pytest.fixture(scope="module")
def found(few: Corpus, sectors: tuple[Sector, ...], parts: Folds, names_of_brands: tuple[Entry, ...]) -> Search:
    return search(few, sectors, parts, 4, lexicon=names_of_brands, beta=1.25, seed=2)


# Stemming once


def assert_same_features(texts: Sequence[str], parameters: Sequence[dict[str, object]]) -> None:
    """Vectorizers that learn from articles stemmed once are those that stem the articles themselves."""
    stemmed = stem_articles(texts)
    for of_one in parameters:
        fresh, shared = StemVectorizer(**of_one), StemVectorizer(**of_one)  # type: ignore[arg-type]
        try:
            fresh.fit(texts)
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error))):
                shared.fit_stemmed(stemmed)
            continue
        expected, counts = fresh.transform(texts), shared.fit_stemmed(stemmed).transform_stemmed(stemmed)
        assert list(shared.vocabulary_.terms) == list(fresh.vocabulary_.terms)
        assert shared.words_ == fresh.words_
        assert shared.n_documents_ == fresh.n_documents_ == len(texts)
        np.testing.assert_array_equal(shared.document_frequency_, fresh.document_frequency_)
        np.testing.assert_array_equal(shared.columns_of_terms_, fresh.columns_of_terms_)
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(counts, name), getattr(expected, name))
        assert counts.shape == expected.shape


WORDS = ["mobil", "listriknya", "menjual", "petani-petani", "75-an", "2024", "\n", "zz", "naïve", "北京", "非-subsidi"]


@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS)).map(" ".join), max_size=8),
    parameters=st.lists(
        st.fixed_dictionaries(
            {
                "min_df": st.integers(1, 3),
                "max_df": st.sampled_from([0.4, 0.75, 1.0]),
                "bigram_min_df": st.sampled_from([None, 1, 2, 3]),
                "title_weight": st.integers(1, 3),
                "terms": st.lists(st.sampled_from(["mobil", "spklu", "mobil listrik", "zz spklu"]), max_size=3),
            }
        ),
        min_size=1,
        max_size=3,
    ),
)
@settings(deadline=None, max_examples=40)
def test_articles_stemmed_once_give_the_features_of_a_fresh_fit(
    texts: list[str], parameters: list[dict[str, object]]
) -> None:
    assert_same_features(texts, parameters)


def test_the_same_for_candidates_on_real_articles(few: Corpus, names_of_brands: tuple[Entry, ...]) -> None:
    names = ("min_df", "max_df", "bigram_min_df", "title_weight")
    parameters = [
        {name: asdict(candidate)[name] for name in names} | {"terms": [entry.term for entry in names_of_brands]}
        for candidate in candidates(3, Configuration())
    ]
    assert_same_features(few.articles(), parameters)


# Candidates


@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    fixed=st.sets(st.sampled_from(sorted(GRID))),
    regularization=st.sampled_from([10.0, 7.0]),
)
def test_candidates_are_distinct_points_of_the_grid_the_default_first(
    n: int, seed: int, fixed: set[str], regularization: float
) -> None:
    default = Configuration(regularization=regularization)
    drawn = candidates(n, default, seed, fixed)
    assert drawn[0] == default
    assert len(set(drawn)) == len(drawn)
    assert drawn == candidates(n, default, seed, fixed)
    for candidate in drawn[1:]:
        values = asdict(candidate)
        assert all(values[name] in GRID[name] for name in set(GRID) - fixed)
        assert all(values[name] == getattr(default, name) for name in fixed)
    points = {name: 1 if name in fixed else len(values) for name, values in GRID.items()}
    off_grid = "regularization" not in fixed and regularization not in GRID["regularization"]
    assert len(drawn) == min(n, int(np.prod(list(points.values()))) + off_grid)


def test_all_parameters_of_a_configuration_are_searched() -> None:
    assert set(GRID) == set(asdict(Configuration()))
    assert all(getattr(Configuration(), name) in values for name, values in GRID.items())


def test_another_seed_draws_others() -> None:
    assert candidates(5, Configuration(), 1) != candidates(5, Configuration(), 2)


@pytest.mark.parametrize(("n", "fixed", "found"), [(0, (), "found 0"), (-1, (), "found -1"), (2, ("C",), "'C'")])
def test_candidates_that_there_are_not(n: int, fixed: tuple[str, ...], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        candidates(n, Configuration(), fixed=fixed)


# Trials


@pytest.mark.slow
def test_each_trial_has_the_figures_of_a_fresh_run(
    found: Search, few: Corpus, sectors: tuple[Sector, ...], parts: Folds, names_of_brands: tuple[Entry, ...]
) -> None:
    articles = few.articles()
    for trial in found.trials:
        c = trial.configuration
        terms = [entry.term for entry in names_of_brands]
        vectorizer = StemVectorizer(c.min_df, c.max_df, c.bigram_min_df, c.title_weight, terms).fit(articles)
        counts = vectorizer.transform(articles)
        groups = lexicon_groups(vectorizer.columns_of_terms_, names_of_brands, counts.shape[1])
        scores = out_of_fold_scores(counts, few.levels, parts, c, groups=groups)
        said, probabilities = np.zeros(scores.shape, bool), np.zeros(scores.shape)
        for k, sector in enumerate(sectors):
            its = calibrate(scores[:, k], few.levels[:, k] >= 1, sector.prevalence, 1.25)
            probabilities[:, k] = sigmoid(its.slope * scores[:, k] + its.offset)
            said[:, k] = probabilities[:, k] >= its.threshold
        expected = evaluate(few.levels, said, probabilities, few.sectors).metrics()
        assert {name: trial.metrics[name] for name in expected} == expected
        assert trial.intervals["full"][0] <= trial.metrics["full"] <= trial.intervals["full"][1]
        assert {"brier", "ece_ev"} <= set(trial.metrics)


def test_the_best_trial_is_that_of_the_largest_macro_f1(found: Search) -> None:
    assert found.trials[0] is found.default
    assert found.default.configuration == Configuration()
    assert found.best.metrics["full"] == max(trial.metrics["full"] for trial in found.trials)
    gain = found.best.metrics["full"] - found.default.metrics["full"]
    assert found.difference.value == pytest.approx(gain)
    assert len({trial.metrics["ap"] for trial in found.trials}) > 1


def test_the_same_search_finds_the_same(
    found: Search, few: Corpus, sectors: tuple[Sector, ...], parts: Folds, names_of_brands: tuple[Entry, ...]
) -> None:
    seen: list[tuple[Trial, int, int]] = []
    again = search(
        few, sectors, parts, 4, lexicon=names_of_brands, beta=1.25, seed=2,
        on_trial=lambda trial, number, of: seen.append((trial, number, of)),
    )  # fmt: skip
    assert again == found
    assert seen == [(trial, number, 4) for number, trial in enumerate(found.trials, 1)]


def test_unknown_levels_are_no_obstacle(few: Corpus, sectors: tuple[Sector, ...], parts: Folds) -> None:
    levels = few.levels.copy()
    levels[::5, 1] = np.nan
    assert np.isfinite([*search(replace(few, levels=levels), sectors, parts, 1).default.metrics.values()]).all()


def test_without_a_lexicon_its_weight_is_not_searched(
    few: Corpus, sectors: tuple[Sector, ...], parts: Folds, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {name: (getattr(Configuration(), name),) for name in GRID} | {"lexicon_weight": (0.1, 0.2, 0.3)}
    monkeypatch.setattr(module, "GRID", grid)
    assert len(search(few, sectors, parts, 3).trials) == 1


def test_a_configuration_that_fits_nothing_is_one_trial_that_failed(
    few: Corpus, sectors: tuple[Sector, ...], parts: Folds, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {name: (getattr(Configuration(), name),) for name in GRID} | {"min_df": (10_000,)}
    monkeypatch.setattr(module, "GRID", grid)
    done = search(few, sectors, parts, 2)
    assert done.best is done.chosen is done.default
    assert "10000" in done.trials[1].failure
    assert "min_df=10000: no stem" in done.table().splitlines()[-1]
    with pytest.raises(ValueError, match="no stem stands in 10000"):
        search(few, sectors, parts, 2, Configuration(min_df=10_000))


# The choice


def of(full: float, ap: float = 0.9, **parameters: object) -> Trial:
    metrics = {"full": full, "ap": ap, "fp_none": 0.0}
    return Trial(replace(Configuration(), **parameters), metrics, {"full": (full - 0.01, full + 0.01)}, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "changed", "words"),
    [(0.001, True, "it replaces the default"), (-0.001, False, "the default stays"), (0.0, False, "the default stays")],
)
def test_the_default_stays_unless_the_difference_leaves_out_zero(low: float, changed: bool, words: str) -> None:
    default, best = of(0.9), of(0.92, min_df=5)
    done = Search((default, best), best, default, Difference(0.02, low, 0.03))
    assert done.chosen is (best if changed else default)
    assert words in done.verdict()
    assert "min_df=5" in done.verdict()
    assert "+0.0200" in done.verdict()
    assert ("confirm it" in done.verdict()) == changed


def test_a_default_that_nothing_beats_is_said_to_stay() -> None:
    default = of(0.9)
    done = Search((default, of(0.8, min_df=5)), default, default, Difference(0.0, 0.0, 0.0))
    assert done.chosen is default
    assert "none has a larger macro F1 than the default (0.900)" in done.verdict()


def test_the_table_lists_the_best_first_with_what_differs() -> None:
    default, best = of(0.9), of(0.92, min_df=5, class_weight="balanced")
    table = Search((default, best), best, default, Difference(0.02, 0.01, 0.03)).table().splitlines()
    assert [line.split()[0] for line in table[1:]] == ["2", "1"]
    assert table[1].endswith("min_df=5 class_weight=balanced")
    assert table[2].endswith("nothing")
    assert "0.920 (0.910 to 0.930)" in table[1]
    assert changes(best.configuration, default.configuration) == "min_df=5 class_weight=balanced"


def test_equal_macro_f1_is_settled_by_average_precision(
    few: Corpus, sectors: tuple[Sector, ...], parts: Folds, monkeypatch: pytest.MonkeyPatch
) -> None:
    precisions = iter([0.7, 0.9, 0.9, 0.8])
    tried = module._try

    def with_equal_f1(*given: object) -> tuple[Trial, object]:
        trial, predictions = tried(*given)  # type: ignore[arg-type]
        return replace(trial, metrics={**trial.metrics, "full": 0.5, "ap": next(precisions)}), predictions

    monkeypatch.setattr(module, "_try", with_equal_f1)
    done = search(few, sectors, parts, 4)
    assert done.best is done.trials[1]


# The other loss


def test_the_squared_hinge_is_a_support_vector_machine_a_sector(few: Corpus) -> None:
    counts = StemVectorizer().fit_transform(few.articles())
    found = SectorClassifier(regularization=0.5, class_weight="balanced", loss="squared_hinge").fit(counts, few.levels)
    for sector in range(few.levels.shape[1]):
        alone = LinearSVC(C=0.5, class_weight="balanced", dual=False, tol=1e-6, max_iter=1000)
        alone.fit(counts, few.levels[:, sector] >= 1)
        np.testing.assert_allclose(found.coef_[sector], alone.coef_[0], atol=1e-4)
    again = SectorClassifier(regularization=0.5, class_weight="balanced", loss="squared_hinge").fit(counts, few.levels)
    np.testing.assert_array_equal(found.coef_, again.coef_)


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="found loss 'hinge', expected one of logistic, squared_hinge"):
        SectorClassifier(loss="hinge").fit(csr_array(np.eye(2)), np.array([[0.0], [2.0]]))


def test_a_model_of_the_squared_hinge_is_the_same_table(
    few: Corpus, sectors: tuple[Sector, ...], tmp_path: Path
) -> None:
    configuration = Configuration(loss="squared_hinge", regularization=1.0)
    model = train(few, sectors, configuration, Settings(folds=2)).model
    write_model(model, tmp_path / "bundle", model_card(model))
    counts = StemVectorizer().fit_transform(few.articles())
    scores = pipeline(configuration).fit(counts, few.levels).decision_function(counts)
    for article, row in zip(Predictor.load(tmp_path / "bundle").predict(few.articles()), scores, strict=True):
        for k, (sector, calibration) in enumerate(zip(sectors, model.calibrations, strict=True)):
            expected = sigmoid(calibration.slope * row[k : k + 1] + calibration.offset)[0]
            assert article.probabilities[sector.id] == pytest.approx(expected, abs=1e-6)


# Several processes


@pytest.mark.slow
def test_processes_find_the_same(
    found: Search, few: Corpus, sectors: tuple[Sector, ...], parts: Folds, names_of_brands: tuple[Entry, ...]
) -> None:
    with backend(jobs=2):
        assert search(few, sectors, parts, 4, lexicon=names_of_brands, beta=1.25, seed=2) == found
