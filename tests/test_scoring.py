"""The numpy predictor gives the numbers of the scikit-learn pipeline it was exported from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from data.corpus import Corpus
from data.lexicon import Entry
from data.sectors import Sector
from features.strings import string_array
from features.vectorizer import StemVectorizer
from features.vocabulary import Counts, Vocabulary
from models.calibration import Calibration, sigmoid
from models.card import model_card
from models.classifier import Configuration, lexicon_groups, pipeline
from models.scoring import Scorer
from models.store import Model, read_model, write_model
from predict import Predictor
from train import Settings, Trained, train

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-6


def reference(corpus: Corpus, configuration: Configuration, texts: list[str], lexicon: Sequence[Entry] = ()) -> Floats:
    """Decision scores of scikit-learn alone, from the articles on."""
    vectorizer = StemVectorizer(
        configuration.min_df,
        configuration.max_df,
        configuration.bigram_min_df,
        configuration.title_weight,
        [entry.term for entry in lexicon],
    )
    counts = vectorizer.fit_transform(corpus.articles())
    groups = lexicon_groups(vectorizer.columns_of_terms_, lexicon, counts.shape[1]) if lexicon else None
    fitted = pipeline(configuration, groups).fit(counts, corpus.levels)
    return np.asarray(fitted.decision_function(vectorizer.transform(texts)))


def scores_of(model: Model, texts: list[str]) -> Floats:
    counts = Vocabulary(model.terms, model.title_weight, known=model.words).count(string_array(texts))
    return Scorer(model).decision_scores(counts)


@pytest.fixture(scope="module")
def expected(corpus: Corpus, unseen: list[str], lexicon: tuple[Entry, ...]) -> Floats:
    return reference(corpus, Configuration(), unseen, lexicon)


def test_decision_scores_are_those_of_the_pipeline(trained: Trained, unseen: list[str], expected: Floats) -> None:
    np.testing.assert_allclose(scores_of(trained.model, unseen), expected, atol=TOLERANCE)


def test_the_same_after_writing_and_reading(bundle: Path, unseen: list[str], expected: Floats) -> None:
    np.testing.assert_allclose(scores_of(read_model(bundle), unseen), expected, atol=TOLERANCE)


def test_probabilities_are_those_of_the_calibrated_pipeline(
    predictor: Predictor, trained: Trained, unseen: list[str], expected: Floats
) -> None:
    slopes, offsets, thresholds = np.array([(c.slope, c.offset, c.threshold) for c in trained.model.calibrations]).T
    probabilities = sigmoid(slopes * expected + offsets)
    found = predictor.predict(unseen)
    names = list(predictor.sectors)
    np.testing.assert_allclose([[p.probabilities[n] for n in names] for p in found], probabilities, atol=TOLERANCE)
    sure = (np.abs(probabilities - thresholds) > TOLERANCE).all(axis=1)
    assert sure.sum() > 80
    for row in np.flatnonzero(sure):
        assert found[row].sectors == tuple(np.array(names)[probabilities[row] >= thresholds])


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(sublinear=False, title_weight=1),
        Configuration(bigram_min_df=None, class_weight="balanced", regularization=1.0),
        Configuration(min_df=4, bigram_min_df=2, max_df=0.3, title_weight=5),
    ],
)
def test_the_same_for_other_configurations(
    corpus: Corpus, sectors: tuple[Sector, ...], unseen: list[str], configuration: Configuration, tmp_path: Path
) -> None:
    some, texts = corpus.select(range(0, len(corpus), 4)), unseen[:40]
    model = train(some, sectors, configuration, Settings(folds=2)).model
    expected = reference(some, configuration, texts)
    np.testing.assert_allclose(scores_of(model, texts), expected, atol=TOLERANCE)
    write_model(model, tmp_path / "model", "")
    np.testing.assert_allclose(scores_of(read_model(tmp_path / "model"), texts), expected, atol=TOLERANCE)


# The arithmetic, by hand


@pytest.fixture
def small() -> Model:
    return Model(
        sectors=("a", "b"),
        prevalences=(0.1, 0.1),
        terms=["x", "y"],
        document_frequency=np.array([2, 1]),
        idf=np.array([1.0, 2.0]),
        weights=np.array([[1.0, -1.0], [0.5, 0.0]]),
        intercepts=np.array([-0.5, 0.25]),
        calibrations=(Calibration(2.0, 0.0, 0.5), Calibration(1.0, 1.0, 0.6)),
        words={},
        title_weight=1,
        sublinear=True,
        training={},
    )


def counts_of(rows: list[dict[int, int]], n_stems: list[int]) -> Counts:
    return Counts(
        offsets=np.cumsum([0, *map(len, rows)]),
        columns=np.array([column for row in rows for column in row], np.int64),
        counts=np.array([times for row in rows for times in row.values()], np.int64),
        coverage=np.zeros(len(rows)),
        n_stems=np.array(n_stems),
    )


def test_a_score_is_the_weighted_sum_of_a_unit_vector(small: Model) -> None:
    x, y = (1 + np.log(3)) * 1.0, 1.0 * 2.0
    length = np.hypot(x, y)
    scores = Scorer(small).decision_scores(counts_of([{0: 3, 1: 1}], [4]))
    np.testing.assert_allclose(scores, [[(x + 0.5 * y) / length - 0.5, -x / length + 0.25]])


@pytest.mark.parametrize("times", [1, 2, 255, 256, 257, 10_000])
def test_any_count_is_weighed_by_its_logarithm(small: Model, times: int) -> None:
    x, y = 1 + np.log(times), 2.0
    scores = Scorer(small).decision_scores(counts_of([{0: times, 1: 1}], [times + 1]))
    np.testing.assert_allclose(scores[0, 0], (x + 0.5 * y) / np.hypot(x, y) - 0.5)
    scores = Scorer(replace(small, sublinear=False)).decision_scores(counts_of([{0: times, 1: 1}], [times + 1]))
    np.testing.assert_allclose(scores[0, 0], (times + 0.5 * y) / np.hypot(times, y) - 0.5)


def test_articles_without_a_known_term_score_the_intercepts_and_without_a_word_nothing(small: Model) -> None:
    counts = counts_of([{}, {0: 1}, {}], [5, 1, 0])
    scorer = Scorer(small)
    np.testing.assert_allclose(scorer.decision_scores(counts)[0], [-0.5, 0.25])
    probabilities = scorer.probabilities(counts)
    np.testing.assert_allclose(probabilities[0], sigmoid(np.array([-1.0, 1.25])))
    assert probabilities[2].tolist() == [0, 0]
    labels = scorer.labels(counts, np.zeros(2))
    assert labels.predicted.tolist() == [[True, True], [True, True], [False, False]]
    assert labels.primary.tolist() == [1, 0, -1]


def test_the_primary_sector_is_the_most_probable_of_the_predicted(small: Model) -> None:
    scorer = Scorer(small)
    counts = counts_of([{}], [1])  # probabilities 0.27 and 0.78
    for thresholds, primary in (([0.2, 0.7], 1), ([0.2, 0.9], 0), ([0.9, 0.9], -1)):
        assert scorer.labels(counts, np.array(thresholds)).primary.tolist() == [primary]


def test_a_probability_at_the_threshold_is_enough(small: Model) -> None:
    scorer = Scorer(small)
    counts = counts_of([{0: 1}], [1])
    (probabilities,) = scorer.probabilities(counts)
    assert scorer.labels(counts, probabilities).predicted.all()
    assert not scorer.labels(counts, np.nextafter(probabilities, 1)).predicted.any()


def test_no_articles_give_no_rows(small: Model) -> None:
    labels = Scorer(small).labels(counts_of([], []), np.zeros(2))
    assert labels.predicted.shape == labels.probabilities.shape == (0, 2)
    assert labels.primary.shape == (0,)


def test_the_card_names_every_sector_with_its_figures(trained: Trained) -> None:
    card = model_card(trained.model)
    for sector, calibration in zip(trained.model.sectors, trained.model.calibrations, strict=True):
        (row,) = (line for line in card.splitlines() if line.startswith(f"| {sector} |"))
        assert f"{calibration.threshold:.3f}" in row
        assert f"{trained.evaluation.sectors[sector].ap:.3f}" in row
    assert trained.model.training["digest"] in card
    assert max(map(len, card.splitlines())) < 130
