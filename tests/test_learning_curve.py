"""A learning curve ends where training does, its parts are nested and fair, and a seed draws the same ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from data.corpus import folds
from models.classifier import Configuration, out_of_fold_scores
from models.learning_curve import LearningCurve, Point, learning_curve, nested_order

SECTORS = ("ev", "agro")
PREVALENCES = (0.1, 0.2)
CONFIGURATION = Configuration(min_df=1, bigram_min_df=None)


def articles(n: int = 160) -> tuple[csr_array, npt.NDArray[np.float64]]:
    """Counts of 30 terms, some of them telling, and levels."""
    random = np.random.default_rng(0)
    levels = random.choice([0, 0, 0, 1, 2], (n, 2)).astype(float)
    rates = np.full((n, 30), 0.3)
    rates[:, :4] += (levels[:, :1] >= 1) * 0.9
    rates[:, 4:8] += (levels[:, 1:] >= 1) * 0.9
    return csr_array(random.poisson(rates)), levels


def curve(**changes: Any) -> LearningCurve:
    counts, levels = articles()
    splits = folds(levels, np.arange(160), 4)
    arguments: dict[str, Any] = {"resamples": 20} | changes
    return learning_curve(counts, levels, splits, CONFIGURATION, PREVALENCES, SECTORS, **arguments)


@pytest.fixture(scope="module")
def whole_curve() -> LearningCurve:
    return curve()


@given(n=st.integers(1, 200), sectors=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), share=st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_every_beginning_holds_each_combination_in_its_share(n: int, sectors: int, seed: int, share: float) -> None:
    levels = np.random.default_rng(seed).choice([0.0, 0.0, 1.0, 2.0, np.nan], (n, sectors))
    order = nested_order(levels, seed)
    assert sorted(order.tolist()) == list(range(n))
    assert (order == nested_order(levels, seed)).all()
    taken = order[: round(share * n)]
    numbers = (levels >= 1) @ (1 << np.arange(sectors))
    kinds = len(set(numbers.tolist()))
    for number in set(numbers.tolist()):
        expected = (numbers == number).mean() * len(taken)
        assert abs((numbers[taken] == number).sum() - expected) <= 1 + kinds


def test_another_seed_gives_another_order() -> None:
    levels = np.zeros((50, 1))
    assert (nested_order(levels, 0) != nested_order(levels, 1)).any()


def test_the_points_grow_and_more_articles_help(whole_curve: LearningCurve) -> None:
    assert [point.share for point in whole_curve.points] == [1 / 8, 1 / 4, 1 / 2, 1]
    assert [point.articles for point in whole_curve.points] == [15, 30, 60, 120]
    assert (whole_curve.folds, whole_curve.sectors) == (4, SECTORS)
    first, *_, last = whole_curve.points
    assert last.figures["ap"] > first.figures["ap"] + 0.02
    for point in whole_curve.points:
        for name in ("full", "ap", "full_ev"):
            low, high = point.intervals[name]
            assert low <= point.figures[name] <= high


def test_scores_at_hand_are_not_worked_out_again(whole_curve: LearningCurve, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the last point is what the whole of the training articles gives."""
    counts, levels = articles()
    scores = out_of_fold_scores(counts, levels, folds(levels, np.arange(160), 4), CONFIGURATION)
    sizes = []

    def counted(counts: Any, levels: Any, parts: Any, *rest: Any, **named: Any) -> npt.NDArray[np.float64]:
        sizes.append(len(parts[0][0]))
        return out_of_fold_scores(counts, levels, parts, *rest, **named)

    monkeypatch.setattr("models.classifier.out_of_fold_scores", counted)
    assert curve(whole=scores) == whole_curve
    assert sizes == [15, 30, 60]


def test_parts_are_nested_and_never_hold_what_they_are_tested_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def recorded(counts: Any, levels: Any, parts: Any, *rest: Any, **named: Any) -> npt.NDArray[np.float64]:
        seen.append(parts)
        return out_of_fold_scores(counts, levels, parts, *rest, **named)

    monkeypatch.setattr("models.classifier.out_of_fold_scores", recorded)
    curve()
    for smaller, larger in pairwise(seen):
        for (train, test), (more, same) in zip(smaller, larger, strict=True):
            assert set(train) < set(more)
            assert (test == same).all()
            assert not set(more) & set(test)
            assert (np.diff(more) > 0).all()


def test_a_seed_gives_the_same_curve_and_another_another(whole_curve: LearningCurve) -> None:
    assert curve(seed=0) == whole_curve
    assert curve(seed=1) != whole_curve


@pytest.mark.slow
def test_several_processes_give_the_same_curve(whole_curve: LearningCurve) -> None:
    assert curve(jobs=2) == whole_curve


def test_each_point_is_told_of_as_it_is_there(whole_curve: LearningCurve) -> None:
    told: list[Point] = []
    curve(on_point=told.append)
    assert tuple(told) == whole_curve.points


def test_a_share_too_small_for_a_sector_is_left_out() -> None:
    counts, levels = articles()
    levels[:, 0] = 0
    levels[[3, 50, 90, 120, 150], 0] = 2
    splits = folds(levels, np.arange(160), 4)
    found = learning_curve(
        counts, levels, splits, CONFIGURATION, PREVALENCES, SECTORS, shares=(0.02, 1.0), resamples=5
    )  # fmt: skip
    assert [point.share for point in found.points] == [1.0]
    with pytest.raises(ValueError, match=r"found no positive or no negative articles of a sector in 0\.02"):
        learning_curve(counts, levels, splits, CONFIGURATION, PREVALENCES, SECTORS, shares=(0.02,), resamples=5)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="of the training articles, expected more than 0 and at most 1"):
        curve(shares=(share,))


def test_the_table_has_a_line_a_point(whole_curve: LearningCurve) -> None:
    _, *lines = whole_curve.table().splitlines()
    assert [int(line.split()[0]) for line in lines] == [15, 30, 60, 120]
    assert f"{whole_curve.points[-1].figures['ap']:.3f}" in lines[-1]
