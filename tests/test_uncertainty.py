"""Intervals hold what they should, differences are paired, and probabilities that keep their word have no error."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from models.evaluation import at_share, brier_scores, evaluate
from models.uncertainty import (
    COMPARED,
    Predictions,
    _Errors,
    calibration_bins,
    calibration_errors,
    expected_calibration_error,
    intervals,
    paired_differences,
)

SECTORS = ("automotive", "ev", "agro", "chemicals")
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
seeds = st.integers(0, 2**32 - 1)


def drawn(n: int, seed: int) -> tuple[Floats, Booleans, Floats]:
    """Levels with unknown ones, predictions and probabilities, many of them tied."""
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0, 0, 1, 2, np.nan], (n, 4))
    levels[random.random(n) < 0.3] = 0  # articles about no sector
    probabilities = np.round(random.random((n, 4)) * 0.6 + (levels >= 1) * 0.3, 1)
    return levels, probabilities >= 0.5, probabilities


def resample(n: int, seed: int) -> npt.NDArray[np.int64]:
    """The only resample of n articles in canonical order with a seed, as places."""
    return np.random.default_rng(seed).integers(0, n, (1, n))[0]


@given(n=st.integers(1, 60), seed=seeds)
@settings(max_examples=50, deadline=None)
def test_each_resample_is_scored_as_evaluate_would(n: int, seed: int) -> None:
    """With one resample both ends of an interval are its figure."""
    levels, predicted, probabilities = drawn(n, seed)
    found = intervals(levels, predicted, probabilities, SECTORS, resamples=1, seed=seed)
    known = np.where(np.isnan(levels), -1, levels)
    order = np.lexsort(np.hstack([known, predicted, probabilities]).T[::-1])
    places = order[resample(n, seed)]
    expected = evaluate(levels[places], predicted[places], probabilities[places], SECTORS).metrics()
    assert found == {name: (pytest.approx(value), pytest.approx(value)) for name, value in expected.items()}
    for k, sector in enumerate(SECTORS):
        among = places[~np.isnan(levels[places, k])]
        positive = levels[among, k] >= 1
        if positive.any():
            precision = average_precision_score(positive, probabilities[among, k])
            assert found[f"ap_{sector}"][0] == pytest.approx(precision)


@given(n=st.integers(1, 40), seed=seeds)
@settings(max_examples=30, deadline=None)
def test_the_order_of_articles_does_not_matter(n: int, seed: int) -> None:
    levels, predicted, probabilities = drawn(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    found = intervals(levels, predicted, probabilities, SECTORS, resamples=20)
    again = intervals(levels[order], predicted[order], probabilities[order], SECTORS, resamples=20)
    assert found == again
    errors = [calibration_errors(levels[rows], probabilities[rows], [0.1] * 4, SECTORS) for rows in (slice(n), order)]
    assert errors[0] == pytest.approx(errors[1])


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_the_figures_and_narrow_with_more_articles(seed: int) -> None:
    widths = []
    for n in (200, 3200):
        levels, predicted, probabilities = drawn(n, seed)
        found = intervals(levels, predicted, probabilities, SECTORS)
        figures = evaluate(levels, predicted, probabilities, SECTORS).metrics()
        assert list(found) == list(figures)
        for name, value in figures.items():
            low, high = found[name]
            assert low <= value <= high, name
        widths.append(np.mean([high - low for low, high in found.values()]))
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.25)  # as the root of the number of articles


def test_the_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    levels = np.zeros((400, 4))
    predicted = np.zeros((400, 4), bool)
    predicted[:40, 0] = True
    low, high = intervals(levels, predicted, predicted.astype(float), SECTORS, resamples=4000)["fp_none"]
    error = 1.96 * np.sqrt(0.1 * 0.9 / 400)
    assert (low, high) == (pytest.approx(0.1 - error, abs=0.006), pytest.approx(0.1 + error, abs=0.006))


def test_a_seed_gives_the_same_intervals_and_another_others() -> None:
    data = drawn(80, 1)
    found = intervals(*data, SECTORS, resamples=100, seed=3)
    assert found == intervals(*data, SECTORS, resamples=100, seed=3)
    assert found != intervals(*data, SECTORS, resamples=100, seed=4)


def test_three_thousand_articles_take_a_few_seconds() -> None:
    data = drawn(3000, 2)
    start = time.perf_counter()
    intervals(*data, SECTORS)
    assert time.perf_counter() - start < 10  # under one on an idle core


def test_no_articles_have_no_intervals() -> None:
    nothing = np.zeros((0, 4))
    with pytest.raises(ValueError, match="found no articles to resample"):
        intervals(nothing, nothing > 0, nothing, SECTORS)


@given(n=st.integers(1, 60), seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_system_does_not_differ_from_itself(n: int, seed: int) -> None:
    levels, predicted, probabilities = drawn(n, seed)
    system = Predictions(predicted, probabilities)
    found = paired_differences(levels, system, system, SECTORS, resamples=20)
    assert tuple(found) == COMPARED
    for difference in found.values():
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_a_difference_is_that_of_the_figures_and_pairing_narrows_it() -> None:
    levels, predicted, probabilities = drawn(500, 7)
    random = np.random.default_rng(7)
    worse = predicted ^ (random.random(predicted.shape) < 0.02)
    noisy = probabilities + random.normal(0, 0.05, probabilities.shape)
    found = paired_differences(
        levels, Predictions(predicted, probabilities), Predictions(worse, noisy), SECTORS, (*COMPARED, "full_ev")
    )
    here = evaluate(levels, predicted, probabilities, SECTORS).metrics()
    there = evaluate(levels, worse, noisy, SECTORS).metrics()
    alone = intervals(levels, predicted, probabilities, SECTORS)
    for name, difference in found.items():
        assert difference.value == pytest.approx(here[name] - there[name])
        assert difference.low <= difference.value <= difference.high
    for name in COMPARED:
        assert found[name].high - found[name].low < alone[name][1] - alone[name][0]
    assert found["full"].low > 0  # a few errors more, always on the same articles, are no accident


def test_a_figure_there_is_not() -> None:
    levels, predicted, probabilities = drawn(10, 0)
    system = Predictions(predicted, probabilities)
    with pytest.raises(KeyError, match="accuracy"):
        paired_differences(levels, system, system, SECTORS, ["accuracy"])


@given(seed=seeds, bins=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_probabilities_that_keep_their_word_have_an_error_near_zero(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.5, 1.5, 20_000)
    positive = random.random(20_000) < probabilities
    assert expected_calibration_error(probabilities, positive, 0.25, bins) < 0.025


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5])
def test_a_set_with_another_share_of_positives_is_no_error(kept: float) -> None:
    """Negatives left out change the odds of all alike, which the correction undoes."""
    random = np.random.default_rng(0)
    probabilities = random.beta(0.2, 3.8, 400_000)  # 5% positive
    positive = random.random(400_000) < probabilities
    stays = positive | (random.random(400_000) < kept)
    assert expected_calibration_error(probabilities[stays], positive[stays], 0.05) < 0.015
    assert expected_calibration_error(probabilities[stays], positive[stays], 0.5) > 0.03


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([0.1, 0.3, 0.6, 0.8])
    positive = np.array([False, True, False, True])  # half, as declared: nothing to correct
    assert expected_calibration_error(probabilities, positive, 0.5, 2) == pytest.approx((0.6 + 0.4) / 4)
    assert expected_calibration_error(probabilities, positive, 0.5, 4) == pytest.approx((0.1 + 0.7 + 0.6 + 0.2) / 4)
    certain = positive.astype(float)
    assert expected_calibration_error(certain, positive, 0.01) == 0
    assert expected_calibration_error(1 - certain, positive, 0.01) == 1


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_equal_probabilities_share_a_bin(seed: int) -> None:
    random = np.random.default_rng(seed)
    positive = random.permutation(np.arange(50) < 10)
    assert expected_calibration_error(np.full(50, 0.2), positive, 0.2) == pytest.approx(0, abs=1e-12)


def test_sectors_without_positives_and_unknown_levels_have_no_part() -> None:
    levels, _, probabilities = drawn(200, 3)
    levels[:, 1] = np.where(np.isnan(levels[:, 1]), np.nan, 0)
    found = calibration_errors(levels, probabilities, [0.1] * 4, SECTORS)
    assert list(found) == ["ece_automotive", "ece_agro", "ece_chemicals"]
    moved = np.where(np.isnan(levels), 0.99, probabilities)
    assert calibration_errors(levels, moved, [0.1] * 4, SECTORS) == found


@pytest.mark.parametrize(
    ("positive", "prevalence", "message"),
    [
        ([True, True], 0.1, "found 2 positive of 2 articles"),
        ([False, False], 0.1, "found 0 positive of 2 articles"),
        ([True, False], 1.0, "found prevalence 1.0"),
    ],
)
def test_calibration_errors_that_are_not_defined(positive: list[bool], prevalence: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(np.array([0.1, 0.2]), np.array(positive), prevalence)


@given(seed=seeds, n=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_the_errors_of_a_resample_are_those_of_its_articles(seed: int, n: int) -> None:
    """Articles that count several times are as good as articles that are there several times."""
    levels, predicted, probabilities = drawn(n, seed)
    random = np.random.default_rng(seed)
    weights = random.integers(0, 3, (n, 5)).astype(float)
    prevalences = random.uniform(0.02, 0.6, 4).tolist()
    found = _Errors(levels, Predictions(predicted, probabilities), prevalences, SECTORS).of(weights)
    everywhere = brier_scores(levels, probabilities, prevalences, SECTORS)
    assert set(found) - {f"ece_{sector}" for sector in SECTORS} == set(everywhere)
    for column in range(5):
        places = np.repeat(np.arange(n), weights[:, column].astype(int))
        here = brier_scores(levels[places], probabilities[places], prevalences, SECTORS)
        here |= calibration_errors(levels[places], probabilities[places], prevalences, SECTORS)
        for name in set(found) - {"brier"}:  # of one kind of article alone there is no error
            assert found[name][column] == pytest.approx(here.get(name, 0.0), abs=1e-9), name


@pytest.mark.parametrize("seed", range(3))
def test_the_intervals_of_errors_hold_them(seed: int) -> None:
    """Also of probabilities that keep their word, whose resampled errors all exceed the measured one."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.3, 1.2, (2000, 4))
    levels = np.where(random.random((2000, 4)) < probabilities, 2.0, 0.0)
    prevalences = (levels > 0).mean(axis=0).tolist()
    found = intervals(levels, probabilities > 0.5, probabilities, SECTORS, 300, prevalences=prevalences)
    errors = brier_scores(levels, probabilities, prevalences, SECTORS)
    errors |= calibration_errors(levels, probabilities, prevalences, SECTORS)
    assert set(found) == {*evaluate(levels, probabilities > 0.5, probabilities, SECTORS).metrics(), *errors}
    for name, value in errors.items():
        assert 0 <= found[name][0] <= value <= found[name][1] <= 1, name
    assert found["ece_ev"][1] < 0.05


def test_the_interval_of_a_brier_score_is_that_of_a_mean() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random((1000, 1))
    levels = np.where(random.random((1000, 1)) < probabilities, 2.0, 0.0)
    share = float((levels > 0).mean())
    low, high = intervals(levels, levels > 0, probabilities, ["ev"], 2000, prevalences=[share])["brier_ev"]
    squares = (probabilities - (levels > 0)) ** 2
    error = 1.96 * squares.std() / np.sqrt(1000)
    assert (low, high) == (
        pytest.approx(squares.mean() - error, abs=0.003),
        pytest.approx(squares.mean() + error, abs=0.003),
    )


@given(seed=seeds, bins=st.integers(1, 20), prevalence=st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_bins_hold_every_article_once(seed: int, bins: int, prevalence: float) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 80))
    probabilities, positive = np.round(random.random(n), 1), random.random(n) < 0.4
    positive[:2] = True, False
    found = calibration_bins(probabilities, positive, prevalence, bins)
    assert 1 <= found.articles.size <= bins
    assert found.articles.min() >= 1
    assert found.articles.sum() == n
    assert (found.articles * found.found).sum() == pytest.approx(positive.sum())
    corrected = at_share(probabilities, prevalence, positive.mean())
    assert (found.articles * found.promised).sum() == pytest.approx(corrected.sum())
    assert (np.diff(found.promised) > -1e-12).all()
    error = expected_calibration_error(probabilities, positive, prevalence, bins)
    assert abs(corrected.mean() - positive.mean()) - 1e-9 <= error <= 1  # one bin hides the most


def test_bins_of_distinct_probabilities_hold_equally_many() -> None:
    probabilities = np.random.default_rng(0).permutation(1000) / 1000
    found = calibration_bins(probabilities, probabilities > 0.5, 0.3)
    assert found.articles.tolist() == [100] * 10
