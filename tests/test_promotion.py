"""When a new model takes the champion's place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpus import Corpus
from data.lexicon import Entry
from data.reserve import Fingerprints, fingerprints
from data.sectors import Sector
from models.classifier import Configuration
from models.promotion import FEWEST, FEWEST_DIFFERENT, Champion, contest, judge, predictions
from models.store import Model
from models.uncertainty import Predictions
from predict import Predictor
from train import Settings, Trained, train

SECTORS = ("one", "two")


@pytest.fixture(scope="module")
def training(corpus: Corpus) -> Fingerprints:
    """What the model of the tests has seen."""
    return fingerprints(corpus.articles())


@pytest.fixture(scope="module")
def judging(bundled: Corpus) -> Corpus:
    """Articles that no model of these tests has seen."""
    return bundled.select(range(3, len(bundled), 6))


@pytest.fixture(scope="module")
def tenth(corpus: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...]) -> tuple[Model, Fingerprints]:
    """A model of every tenth of its articles, and these."""
    few = corpus.select(range(0, len(corpus), 10))
    trained = train(few, sectors, Configuration(), Settings(folds=2), lexicon=lexicon)
    return trained.model, fingerprints(few.articles())


def test_a_copy_of_the_champion_does_not_displace_it(trained: Trained, training: Fingerprints, judging: Corpus) -> None:
    verdict = contest(Champion("4", trained.model, training), trained.model, training, judging)
    assert not verdict.moves
    assert verdict.articles == len(judging)
    assert verdict.difference is not None
    assert (verdict.difference.value, verdict.difference.low, verdict.difference.high) == (0, 0, 0)
    assert verdict.reason.startswith("no better beyond noise than the champion, version 4: macro F1 0.")
    assert "the difference is +0.000, 95% interval +0.000 to +0.000" in verdict.reason


def test_a_model_of_a_tenth_of_the_articles_does_not_displace_it(
    trained: Trained, training: Fingerprints, tenth: tuple[Model, Fingerprints], judging: Corpus
) -> None:
    verdict = contest(Champion("4", trained.model, training), *tenth, judging)
    assert not verdict.moves
    assert verdict.reason.startswith("worse beyond noise than the champion, version 4: macro F1 0.")


def test_a_better_model_displaces_it(
    trained: Trained, training: Fingerprints, tenth: tuple[Model, Fingerprints], judging: Corpus
) -> None:
    verdict = contest(Champion("4", *tenth), trained.model, training, judging)
    assert verdict.moves
    assert verdict.against == "4"
    assert verdict.reason.startswith("better beyond noise than the champion, version 4: macro F1 0.")
    assert f"on {len(judging)} articles that neither saw in training" in verdict.reason
    metrics = verdict.metrics()
    assert metrics["promotion/articles"] == len(judging)
    assert 0 < metrics["promotion/macro_f1_difference.low"] < metrics["promotion/macro_f1_difference"]
    of_sectors = [metrics[f"promotion/{sector}/f1_difference"] for sector in judging.sectors]
    assert np.mean(of_sectors) == pytest.approx(metrics["promotion/macro_f1_difference"])


def test_articles_that_either_has_seen_do_not_count(
    trained: Trained, training: Fingerprints, tenth: tuple[Model, Fingerprints], judging: Corpus, corpus: Corpus
) -> None:
    """Nor do their near duplicates: what is left are too few, however much better the model is on the others."""
    edited = replace(corpus, texts=[f"{text} Sekian laporan kami." for text in corpus.texts])
    for seen_by_one in (corpus, edited):
        verdict = contest(Champion("4", *tenth), trained.model, training, seen_by_one)
        assert not verdict.moves
        assert verdict.articles == 0
        assert (
            f"found 0 articles that neither it nor the champion, version 4, saw in training, expected at least {FEWEST}"
            in (verdict.reason)
        )
    swapped = contest(Champion("4", trained.model, training), *tenth, edited)
    assert (swapped.moves, swapped.articles) == (False, 0)
    assert contest(Champion("4", *tenth), trained.model, training, judging).articles == len(judging)


@pytest.mark.parametrize(("articles", "compared"), [(FEWEST - 1, False), (FEWEST, True)])
def test_fewer_articles_than_needed_move_nothing(
    trained: Trained,
    training: Fingerprints,
    tenth: tuple[Model, Fingerprints],
    judging: Corpus,
    articles: int,
    compared: bool,
) -> None:
    verdict = contest(Champion("4", *tenth), trained.model, training, judging.select(range(articles)))
    assert (verdict.difference is not None) == compared
    assert verdict.articles == articles
    assert verdict.moves <= compared
    assert verdict.metrics()["promotion/articles"] == articles


def test_no_articles_move_nothing(trained: Trained, training: Fingerprints, judging: Corpus) -> None:
    verdict = contest(Champion("4", trained.model, training), trained.model, training, judging.select([]))
    assert (verdict.moves, verdict.articles) == (False, 0)


def test_a_champion_whose_record_lacks_something_stays(
    trained: Trained, training: Fingerprints, judging: Corpus
) -> None:
    for champion in (
        Champion("2", None, None, "its model cannot be read: model.json: no such file"),
        Champion("2", trained.model, None, "its record does not tell which articles it was trained on"),
    ):
        verdict = contest(champion, trained.model, training, judging)
        assert not verdict.moves
        assert verdict.reason == f"it cannot be compared with the champion, version 2: {champion.fault}"


def test_a_champion_of_other_sectors_stays(trained: Trained, training: Fingerprints, judging: Corpus) -> None:
    other = replace(trained.model, sectors=("automotive", "ev", "agro", "mining"))
    verdict = contest(Champion("2", other, training), trained.model, training, judging)
    assert not verdict.moves
    assert verdict.reason == (
        "the champion, version 2, knows other sectors: automotive, ev, agro, mining instead of automotive, ev, agro, "
        "chemicals"
    )


def test_the_same_sectors_in_another_order_are_compared(
    trained: Trained, training: Fingerprints, judging: Corpus
) -> None:
    turned = [2, 0, 3, 1]
    model = trained.model
    other = replace(
        model,
        sectors=tuple(model.sectors[k] for k in turned),
        prevalences=tuple(model.prevalences[k] for k in turned),
        calibrations=tuple(model.calibrations[k] for k in turned),
        weights=model.weights[:, turned],
        intercepts=model.intercepts[turned],
    )
    verdict = contest(Champion("2", other, training), model, training, judging)
    assert verdict.difference is not None
    assert verdict.difference.value == 0


def test_predictions_are_those_of_the_predictor(trained: Trained, judging: Corpus) -> None:
    some = judging.select(range(30))
    said = predictions(trained.model, some.articles(), some.sectors)
    for row, prediction in enumerate(Predictor(trained.model).predict(some.articles())):
        assert tuple(np.array(some.sectors)[said.predicted[row]]) == prediction.sectors
        assert said.probabilities[row].tolist() == list(prediction.probabilities.values())


@pytest.mark.parametrize("better", [1, FEWEST_DIFFERENT - 2, FEWEST_DIFFERENT - 1, FEWEST_DIFFERENT])
def test_a_few_articles_that_all_speak_for_one_model_may_be_chance(better: int) -> None:
    """A bootstrap alone is sure of four among 300: it never draws an article that speaks for the other model."""
    levels = np.zeros((300, 2))
    levels[::3, 0], levels[::4, 1] = 2, 2
    right = Predictions(levels >= 1, levels / 2)
    missed = right.predicted.copy()
    missed[: 3 * better : 3, 0] = False
    other = Predictions(missed, right.probabilities)
    for one, two, moves, said in ((right, other, True, "better"), (other, right, False, "worse")):
        verdict = judge(levels, one, two, SECTORS, "1")
        told = better >= FEWEST_DIFFERENT
        assert verdict.moves == (moves and told)
        assert verdict.reason.startswith(f"{said if told else 'no better'} beyond noise than the champion, version 1: ")
        few = f"; found {better} that they label differently, expected at least {FEWEST_DIFFERENT} to tell"
        assert verdict.reason.endswith(few) != told


def test_articles_of_unknown_label_do_not_count_as_labelled_differently() -> None:
    levels = np.zeros((300, 2))
    levels[::3, 0] = 2
    right = Predictions(levels >= 1, levels / 2)
    missed = right.predicted.copy()
    missed[: 3 * FEWEST_DIFFERENT : 3, 0] = False
    missed[5:50, 1] = True
    levels[5:50, 1] = np.nan
    levels[0, 0] = np.nan
    reason = judge(levels, right, Predictions(missed, right.probabilities), SECTORS, "1").reason
    assert f"found {FEWEST_DIFFERENT - 1} that they label differently" in reason


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_of_two_models_at_most_one_displaces_the_other(seed: int, articles: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.integers(0, 3, (articles, 2)).astype(float)
    levels[random.random(levels.shape) < 0.1] = np.nan
    one, other = (Predictions(random.random(levels.shape) < 0.5, random.random(levels.shape)) for _ in range(2))
    there, back = judge(levels, one, other, SECTORS, "1"), judge(levels, other, one, SECTORS, "1")
    assert not (there.moves and back.moves)
    assert there.difference is not None
    assert back.difference is not None
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert not judge(levels, one, one, SECTORS, "1").moves
