"""The figures are those of the script that judges the project, of scikit-learn, and of a count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score

from models.evaluation import at_share, average_precision, brier_score, brier_scores, evaluate, f1

shares = st.floats(0.001, 0.999)
SECTORS = ("automotive", "ev", "agro", "chemicals")
NAN = float("nan")


def drawn(n: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Levels with unknown ones, predictions and probabilities, many of them tied."""
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0, 0, 1, 2, NAN], (n, 4))
    levels[random.random(n) < 0.3] = 0  # articles about no sector
    probabilities = np.round(random.random((n, 4)) * 0.5 + (levels >= 1) * 0.3, 1)
    return levels, probabilities >= random.choice([0.3, 0.5, 0.9]), probabilities


@pytest.mark.parametrize(
    ("seed", "n", "missing", "empty"),
    [(0, 50, False, None), (1, 200, True, None), (2, 30, True, 3), (3, 1, False, 0), (4, 12, False, 1)],
)
def test_the_figures_are_those_of_the_judging_script(
    score_script: Path, tmp_path: Path, seed: int, n: int, missing: bool, empty: int | None
) -> None:
    """With unknown levels, with ids the predictions lack, and with a sector that no article is about."""
    levels, predicted, probabilities = drawn(n, seed)
    if empty is not None:
        levels[:, empty] = np.where(np.isnan(levels[:, empty]), NAN, 0)
    absent = [row for row in range(n) if missing and row % 7 == 3]
    predicted[absent], probabilities[absent] = False, 0.0
    gold, labels = tmp_path / "gold.jsonl", tmp_path / "labels.jsonl"
    with gold.open("w") as gold_rows, labels.open("w") as label_rows:
        for row in range(n):
            values = [None if np.isnan(level) else int(level) for level in levels[row]]
            print(json.dumps({"id": row, "levels": dict(zip(SECTORS, values, strict=True))}), file=gold_rows)
            if row not in absent:
                said = [sector for sector, yes in zip(SECTORS, predicted[row], strict=True) if yes]
                shares = dict(zip(SECTORS, probabilities[row].tolist(), strict=True))
                print(json.dumps({"id": row, "sectors": said, "probabilities": shares}), file=label_rows)
    script = [sys.executable, str(score_script), str(gold), str(labels), "--json"]
    judged = json.loads(subprocess.run(script, check=True, capture_output=True, text=True).stdout)

    ours = evaluate(levels, predicted, probabilities, SECTORS)
    assert judged["missing"] == len(absent)
    assert ours.articles == judged["articles"]
    for figure in ("full", "core", "ap", "micro_full", "micro_core", "fp_none"):
        assert getattr(ours, figure) == pytest.approx(judged[figure], abs=1e-12), figure
    for sector in SECTORS:
        for figure in ("positives", "full", "core", "ap"):
            expected = judged["sector"][sector][figure]
            assert getattr(ours.sectors[sector], figure) == pytest.approx(expected, abs=1e-12), (sector, figure)


booleans = arrays(np.bool_, st.shared(st.integers(1, 30), key="n"))
scores = arrays(
    np.float64, st.shared(st.integers(1, 30), key="n"), elements=st.sampled_from([0.0, 0.1, 0.3, 0.30001, 0.9, 1.0])
)


@given(positive=booleans, scores=scores)
def test_average_precision_is_that_of_scikit_learn(
    positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> None:
    if positive.any():
        assert average_precision(positive, scores) == pytest.approx(average_precision_score(positive, scores))
    else:
        assert average_precision(positive, scores) == 1


@given(positive=booleans, predicted=booleans)
def test_f1_is_that_of_scikit_learn(positive: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> None:
    assert f1(positive, predicted) == pytest.approx(f1_score(positive, predicted, zero_division=1.0))


@pytest.mark.parametrize(
    ("positive", "predicted", "expected"),
    [
        ([], [], 1),
        ([0, 0], [0, 0], 1),
        ([0, 0], [1, 0], 0),
        ([1, 0], [0, 0], 0),
        ([1, 1], [1, 1], 1),
        ([1, 1], [1, 0], 2 / 3),
    ],
)
def test_f1_where_there_is_nothing_to_find_or_nothing_said(
    positive: list[int], predicted: list[int], expected: float
) -> None:
    assert f1(np.array(positive, bool), np.array(predicted, bool)) == pytest.approx(expected)


def test_the_figures_by_hand() -> None:
    levels = np.array([[2, 0], [1, 0], [0, 0], [0, 2], [NAN, 1]])
    predicted = np.array([[1, 0], [0, 0], [1, 0], [0, 1], [1, 0]], bool)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.1], [0.7, 0.2], [0.1, 0.8], [0.9, 0.3]])
    found = evaluate(levels, predicted, probabilities, ("a", "b"))
    a, b = found.sectors["a"], found.sectors["b"]
    assert (a.positives, a.precision, a.recall, a.full) == (2, 1 / 2, 1 / 2, 1 / 2)
    assert a.core == pytest.approx(2 / 3)  # level 1 left out: one hit, one false alarm
    assert a.ap == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert (b.positives, b.precision, b.recall) == (2, 1, 1 / 2)
    assert (b.full, b.core, b.ap) == (pytest.approx(2 / 3), 1, 1)
    assert found.full == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.micro_full == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert found.micro_core == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found.fp_none == 1  # the third article alone is known to be about none


def test_an_unknown_level_has_no_part_in_any_figure() -> None:
    levels, predicted, probabilities = drawn(60, seed=5)
    unknown = np.isnan(levels)
    flipped, moved = predicted ^ unknown, np.where(unknown, 1 - probabilities, probabilities)
    levels[:, 0] = np.where(np.isnan(levels[:, 0]), 0, levels[:, 0])  # so that the articles about none stay those
    known_none = (levels == 0).all(axis=1)
    flipped[known_none] = predicted[known_none]
    flipped[:, 0], moved[:, 0] = predicted[:, 0], probabilities[:, 0]
    here, there = (
        evaluate(levels, said, shares, SECTORS) for said, shares in ((predicted, probabilities), (flipped, moved))
    )
    assert here == there


@given(levels=arrays(np.float64, (6, 4), elements=st.sampled_from([0.0, 1.0, 2.0, NAN])))
@settings(max_examples=50)
def test_right_predictions_are_worth_one_throughout(levels: npt.NDArray[np.float64]) -> None:
    right = levels >= 1
    metrics = evaluate(levels, right, right.astype(float), SECTORS).metrics()
    assert metrics.pop("fp_none") == 0
    assert set(metrics.values()) == {1.0}


def test_metrics_hold_every_figure_by_name() -> None:
    evaluation = evaluate(*drawn(40, 6), SECTORS)
    metrics = evaluation.metrics()
    assert len(metrics) == 6 + 5 * 4
    assert (metrics["full_ev"], metrics["micro_core"]) == (evaluation.sectors["ev"].full, evaluation.micro_core)
    json.dumps(metrics)


def test_the_table_shows_sectors_and_means() -> None:
    evaluation = evaluate(*drawn(40, 6), ("automotive", "ev", "agro", "a_sector_with_a_long_name"))
    *lines, last = evaluation.table().splitlines()
    assert [line.split()[0] for line in lines] == [
        "sector", "automotive", "ev", "agro", "a_sector_with_a_long_name", "macro", "micro",
    ]  # fmt: skip
    assert f"{evaluation.sectors['ev'].ap:.3f}" in lines[2]
    assert f"{evaluation.fp_none:.1%}" in last
    assert len({len(line) for line in lines[:5]}) == 1


def labelled(seed: int, n: int = 60) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Probabilities, many of them tied, and positives of both kinds."""
    random = np.random.default_rng(seed)
    probabilities = np.round(random.random(n), 1)
    positive = random.random(n) < probabilities
    positive[:2] = True, False
    return probabilities, positive


@given(seed=st.integers(0, 2**32 - 1))
def test_without_a_correction_the_brier_score_is_that_of_scikit_learn(seed: int) -> None:
    probabilities, positive = labelled(seed)
    expected = brier_score_loss(positive, probabilities)
    assert brier_score(probabilities, positive, positive.mean()) == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), prevalence=shares)
def test_brier_scores_lie_between_right_and_wrong(seed: int, prevalence: float) -> None:
    probabilities, positive = labelled(seed)
    certain = positive.astype(float)
    assert brier_score(certain, positive, prevalence) == 0
    assert brier_score(1 - certain, positive, prevalence) == 1
    assert 0 <= brier_score(probabilities, positive, prevalence) <= 1
    share = positive.mean()  # who knows nothing says the prevalence of everything
    assert brier_score(np.full(60, prevalence), positive, prevalence) == pytest.approx(share * (1 - share))


@given(prevalence=shares, share=shares, probabilities=arrays(np.float64, 20, elements=st.floats(0, 1)))
def test_the_correction_to_a_share_has_a_way_back_and_keeps_the_order(
    prevalence: float, share: float, probabilities: npt.NDArray[np.float64]
) -> None:
    there = at_share(probabilities, prevalence, share)
    assert there.min() >= 0
    assert there.max() <= 1
    assert (np.diff(there[np.argsort(probabilities)]) >= -1e-12).all()
    certain = np.isin(probabilities, (0, 1))
    assert (there[certain] == probabilities[certain]).all()
    middle = (probabilities > 1e-6) & (probabilities < 1 - 1e-6)  # beyond, digits are lost on the way
    assert at_share(there, share, prevalence)[middle] == pytest.approx(probabilities[middle], rel=1e-4)
    assert at_share(np.array([prevalence]), prevalence, share)[0] == pytest.approx(share)
    assert at_share(np.array([0.0, 0.5, 1.0]), prevalence, 0.0).tolist() == [0, 0, 0]
    assert at_share(np.array([0.0, 0.5, 1.0]), prevalence, 1.0).tolist() == [1, 1, 1]


def test_the_brier_score_by_hand() -> None:
    probabilities, positive = np.array([0.5, 0.5, 0.2, 0.2]), np.array([True, False, False, True])
    assert brier_score(probabilities, positive, 0.5) == pytest.approx((0.25 + 0.25 + 0.04 + 0.64) / 4)
    # From 20% to 50%: odds times four.
    assert brier_score(probabilities, positive, 0.2) == pytest.approx((0.04 + 0.64 + 0.25 + 0.25) / 4)


def test_brier_scores_of_sectors_and_their_mean() -> None:
    levels, _, probabilities = drawn(200, 7)
    levels[:, 1] = np.where(np.isnan(levels[:, 1]), NAN, 0)  # no article about it
    found = brier_scores(levels, probabilities, [0.1, 0.1, 0.2, 0.3], SECTORS)
    assert list(found) == ["brier", "brier_automotive", "brier_agro", "brier_chemicals"]
    assert found["brier"] == pytest.approx(np.mean([*found.values()][1:]))
    known = ~np.isnan(levels[:, 2])
    assert found["brier_agro"] == brier_score(probabilities[known, 2], levels[known, 2] >= 1, 0.2)
    order = np.random.default_rng(0).permutation(200)
    assert brier_scores(levels[order], probabilities[order], [0.1, 0.1, 0.2, 0.3], SECTORS) == pytest.approx(found)
    assert brier_scores(np.zeros((3, 4)), np.zeros((3, 4)), [0.1] * 4, SECTORS) == {}


@pytest.mark.parametrize(
    ("positive", "prevalence", "message"),
    [([True, True], 0.1, "found 2 positive of 2"), ([True, False], 0.0, "found prevalence 0.0")],
)
def test_brier_scores_that_are_not_defined(positive: list[bool], prevalence: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        brier_score(np.array([0.1, 0.2]), np.array(positive), prevalence)
