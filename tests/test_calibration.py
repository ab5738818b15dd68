"""Scores become probabilities and thresholds at the prevalence that is declared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Calibration, best_threshold, calibrate, prevalence_weights, sigmoid

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def sample(n: int, slope: float, offset: float, seed: int = 0) -> tuple[Floats, Booleans]:
    """Scores and labels whose log-odds are `slope * score + offset`."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 2, n)
    return scores, random.random(n) < sigmoid(slope * scores + offset)


def score_threshold(calibration: Calibration) -> float:
    """The decision score from which on a sector is predicted."""
    odds = calibration.threshold / (1 - calibration.threshold)
    return float((np.log(odds) - calibration.offset) / calibration.slope)


def test_the_sigmoid_is_exact_where_it_can_be_and_never_overflows() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]
    x = np.linspace(-30, 30, 200)
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1, rtol=1e-15)


@given(
    labels=st.lists(st.booleans(), min_size=2, max_size=50).filter(lambda labels: len(set(labels)) == 2),
    prevalence=st.floats(0.001, 0.999),
)
def test_prevalence_weights_average_one_and_make_positives_as_rare_as_declared(
    labels: list[bool], prevalence: float
) -> None:
    positive = np.array(labels)
    weights = prevalence_weights(positive, prevalence)
    assert weights.mean() == pytest.approx(1)
    assert np.average(positive, weights=weights) == pytest.approx(prevalence)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (2.5, -1.0), (0.4, 0.7)])
def test_platt_is_recovered_where_the_prevalence_is_that_of_the_sample(slope: float, offset: float) -> None:
    scores, positive = sample(40_000, slope, offset)
    found = calibrate(scores, positive, float(positive.mean()))
    assert found.slope == pytest.approx(slope, rel=0.05)
    assert found.offset == pytest.approx(offset, abs=0.05)


@pytest.mark.parametrize("prevalence", [0.01, 0.05, 0.3, 0.8])
def test_another_prevalence_shifts_the_log_odds_by_bayes_rule(prevalence: float) -> None:
    """Saerens et al. 2002: odds grow by the ratio of the prior odds."""
    scores, positive = sample(40_000, 2.0, -0.5)
    share = positive.mean()
    shift = np.log(prevalence / (1 - prevalence)) - np.log(share / (1 - share))
    found = calibrate(scores, positive, prevalence)
    assert found.slope == pytest.approx(2.0, rel=0.1)
    assert found.offset == pytest.approx(-0.5 + shift, abs=0.2)


def test_probabilities_average_to_the_declared_prevalence() -> None:
    scores, positive = sample(2_000, 1.5, 0.0)
    found = calibrate(scores, positive, 0.03)
    probabilities = sigmoid(found.slope * scores + found.offset)
    assert np.average(probabilities, weights=prevalence_weights(positive, 0.03)) == pytest.approx(0.03, rel=1e-4)


def test_the_commoner_a_sector_the_lower_the_score_it_takes() -> None:
    scores, positive = sample(5_000, 2.0, -1.0)
    thresholds = [score_threshold(calibrate(scores, positive, p)) for p in (0.01, 0.03, 0.1, 0.3, 0.6)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == len(thresholds)


def test_more_weight_on_recall_lowers_the_threshold() -> None:
    scores, positive = sample(5_000, 2.0, -1.0)
    thresholds = [calibrate(scores, positive, 0.1, beta).threshold for beta in (0.5, 1, 2, 4)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == len(thresholds)


def test_the_same_scores_give_the_same_calibration_in_any_order_of_articles() -> None:
    scores, positive = sample(500, 1.0, 0.0)
    order = np.random.default_rng(1).permutation(500)
    here, there = calibrate(scores, positive, 0.1), calibrate(scores[order], positive[order], 0.1)
    assert (there.slope, there.offset, there.threshold) == pytest.approx((here.slope, here.offset, here.threshold))
    assert calibrate(scores, positive, 0.1) == here


@pytest.mark.parametrize("n", [2, 10, 200])
def test_scores_that_separate_the_sector_give_a_threshold_between(n: int) -> None:
    scores = np.linspace(-2, 2, n)
    positive = scores > 0
    found = calibrate(scores, positive, 0.05)
    assert np.isfinite([found.slope, found.offset, found.threshold]).all()
    assert ((sigmoid(found.slope * scores + found.offset) >= found.threshold) == positive).all()


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, 1.5, float("nan")])
def test_an_impossible_prevalence_is_refused(prevalence: float) -> None:
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        calibrate(np.array([0.0, 1.0]), np.array([False, True]), prevalence)


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_kind_of_article_is_refused(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="expected both kinds"):
        calibrate(np.array([0.0, 1.0]), np.array(labels), 0.1)


# Thresholds


def expected_f_beta(probabilities: Floats, weights: Floats, threshold: float, beta: float) -> float:
    """F-beta expected of predicting from a threshold on, the probabilities taken at their word."""
    said = probabilities >= threshold
    hits = (weights * probabilities)[said].sum()
    positives = (weights * probabilities).sum()
    return float((1 + beta**2) * hits / (weights[said].sum() + beta**2 * positives)) if said.any() else 0.0


@given(
    pairs=st.lists(
        st.tuples(st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.5, 0.7, 0.9, 0.99]), st.floats(0.1, 5)),
        min_size=1,
        max_size=15,
    ),
    beta=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_the_best_threshold_is_the_best_of_all(pairs: list[tuple[float, float]], beta: float) -> None:
    probabilities, weights = np.array(pairs).T
    best = max(expected_f_beta(probabilities, weights, threshold, beta) for threshold in probabilities)
    found = best_threshold(probabilities, weights, beta)
    assert expected_f_beta(probabilities, weights, found, beta) == pytest.approx(best)


@given(probabilities=st.lists(st.floats(0.01, 0.99), min_size=5, max_size=60, unique=True))
def test_the_best_threshold_for_f1_is_half_of_the_f1_reached(probabilities: list[float]) -> None:
    """Lipton et al. 2014; between two articles, because the F1 of a few articles moves in steps."""
    p = np.array(probabilities)
    weights = np.ones(p.size)
    half = expected_f_beta(p, weights, best_threshold(p, weights), 1.0) / 2
    assert (p >= best_threshold(p, weights)).tolist() == (p > half).tolist() or np.isclose(p, half).any()


def test_the_threshold_lies_between_two_articles() -> None:
    p = np.array([0.9, 0.8, 0.1, 0.05])
    assert best_threshold(p, np.ones(4)) == pytest.approx((0.8 + 0.1) / 2)
    assert best_threshold(np.array([0.6]), np.ones(1)) == pytest.approx(0.3)


@settings(max_examples=30)
@given(order=st.permutations(range(12)))
def test_the_threshold_does_not_depend_on_the_order_of_articles(order: list[int]) -> None:
    p, weights = np.linspace(0.05, 0.95, 12) ** 2, np.linspace(1, 2, 12)
    assert best_threshold(p[order], weights[order]) == best_threshold(p, weights)
