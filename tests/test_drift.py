"""What training saw against what comes in: silent on ordinary news, loud on another language or the wrong column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpus import Corpus
from features.strings import string_array
from features.vectorizer import stem_articles
from models.drift import FEWEST, SKETCH, Watch, held_out_coverage, seen, sizes_of, sizes_of_all, warnings
from models.scoring import Labels
from predict import Predictor
from train import Settings, Trained, splits

SECTORS = ("automotive", "ev", "agro", "chemicals")
ENGLISH = (
    "The company said on Monday that it would build a second factory near the river and hire more workers.",
    "Analysts had expected weaker results after a difficult winter for shops and restaurants.",
    "Her lawyers asked the court to look again at the evidence, which they called thin.",
    "Prices rose slightly while the weather kept most buyers at home during the holidays.",
    "Nobody knows yet whether the new rules will help the farmers who wrote them a letter.",
)


@pytest.fixture(scope="module")
def training(trained: Trained, corpus: Corpus) -> dict[str, Any]:
    """What the model of the tests saw, as it stands in its model.json."""
    folds = np.zeros(len(corpus), np.int64)
    for number, (_, held_out) in enumerate(splits(corpus, Settings())):
        folds[held_out] = number
    model = trained.model
    known = seen(
        held_out_coverage(
            stem_articles(corpus.articles()), model.terms, folds, model.training["configuration"]["min_df"]
        ),
        sizes_of_all(corpus.texts, corpus.titles),
        corpus.levels >= 1,
        model.sectors,
        model.prevalences,
    )
    restored: dict[str, Any] = json.loads(json.dumps({"seen": known}))
    return restored


def watched(predictor: Predictor, texts: Sequence[str], titles: Sequence[str] | None = None) -> Watch:
    watch = Watch(predictor.sectors)
    heads = None if titles is None else string_array(titles)
    watch.add(predictor.label(string_array(texts), heads), string_array(texts), heads)
    return watch


# What is said


def test_ordinary_articles_give_no_warning(predictor: Predictor, training: dict[str, Any], bundled: Corpus) -> None:
    """Articles the model has not met, of the same sectors in the same shares."""
    rest = [place for place in range(len(bundled)) if place % 6]
    draw = np.random.default_rng(0)
    for size in (FEWEST, 40, 200, 800):
        some = bundled.select(draw.choice(rest, size, replace=False))
        assert warnings(training, watched(predictor, some.texts, some.titles)) == [], size


def test_another_language(predictor: Predictor, training: dict[str, Any]) -> None:
    articles = [" ".join(ENGLISH[n % 5 :] + ENGLISH[: n % 3] + ENGLISH[:3]) + f" {n}" for n in range(60)]
    (line,) = warnings(training, watched(predictor, articles))
    assert line.startswith("coverage 0.")
    assert "another language" in line
    usual = training["seen"]["coverage"]
    assert f"training articles {usual['low']:.2f} to {usual['high']:.2f}" in line


def test_another_language_in_between(predictor: Predictor, training: dict[str, Any], bundled: Corpus) -> None:
    english = [" ".join(ENGLISH) + f" {n}" for n in range(150)]
    some = bundled.select(range(1, 2401, 12))
    (line,) = warnings(training, watched(predictor, [*english, *some.texts]))
    assert "150 of 350 articles (43%)" in line or "151 of 350" in line or "152 of 350" in line


@pytest.mark.parametrize("column", ["title", "id", "link"])
def test_the_wrong_column(predictor: Predictor, training: dict[str, Any], bundled: Corpus, column: str) -> None:
    some = bundled.select(range(1, 1200, 3))
    links = [f"https://berita.example/baca/{title.lower().replace(' ', '-')}" for title in some.titles]
    texts = {"title": some.titles, "id": some.ids, "link": links}[column]
    lines = warnings(training, watched(predictor, texts))
    assert "half of the articles have less than" in lines[0] or "hold no word: the wrong column?" in lines[0]
    assert all("the wrong column, or a source" in line for line in lines[1:])


def test_short_texts_in_another_language_are_both(predictor: Predictor, training: dict[str, Any]) -> None:
    short, foreign = warnings(training, watched(predictor, [f"{ENGLISH[n % 5]} {n}" for n in range(40)]))
    assert "half of the articles have less than" in short
    assert "another language" in foreign


def test_articles_without_words(predictor: Predictor, training: dict[str, Any], bundled: Corpus) -> None:
    texts = [*bundled.texts[:80], *["2024-05-01 10:00"] * 20, *[" "] * 20]
    (line,) = warnings(training, watched(predictor, texts))
    assert line == "40 of 120 articles (33%) hold no word: the wrong column?"


@pytest.mark.parametrize("sector", ["agro", "chemicals"])
def test_a_stream_full_of_one_sector(
    predictor: Predictor, training: dict[str, Any], bundled: Corpus, sector: str
) -> None:
    full = bundled.select(np.flatnonzero(bundled.levels[:, SECTORS.index(sector)] == 2)[:150])
    watch = watched(predictor, full.texts, full.titles)
    (line,) = warnings(training, watch)
    assert line.startswith(f"{sector} in ")
    assert f"--prevalence {sector}=" in line
    assert warnings(training, watch, ignored=[sector]) == []


def test_a_sector_that_never_comes(predictor: Predictor, training: dict[str, Any]) -> None:
    watch = watched(predictor, [])
    watch.articles, watch.sizes[100], watch.coverage[950] = 5000, 5000, 5000
    watch.fingerprints = np.linspace(1, 2.0**64 * SKETCH / 5000, SKETCH).astype(np.uint64)
    watch.predicted = np.array([200, 100, 0, 100])
    (line,) = warnings(training, watch)
    assert line.startswith("agro in 0 of 5,000 articles (0%); declared 0.06")


def test_the_same_article_again(predictor: Predictor, training: dict[str, Any], bundled: Corpus) -> None:
    some = bundled.select(range(1, 399 * 8, 8))
    page = bundled.texts[int(np.flatnonzero((bundled.levels == 0).all(axis=1))[0])]
    (line,) = warnings(training, watched(predictor, [*some.texts, *[page] * 300]))
    assert line.startswith("about 299 of 699 articles (43%) repeat another one")


def test_models_of_earlier_versions_and_few_articles_say_nothing(
    predictor: Predictor, training: dict[str, Any]
) -> None:
    watch = watched(predictor, [" ".join(ENGLISH)] * (FEWEST - 1))
    assert warnings(training, watch) == []
    assert warnings(training, watched(predictor, [])) == []
    assert warnings({}, watched(predictor, [" ".join(ENGLISH)] * 100)) == []
    assert warnings({"seen": None}, watched(predictor, [" ".join(ENGLISH)] * 100)) == []


def test_real_news_gives_no_warning(predictor: Predictor, training: dict[str, Any], real_news: Any) -> None:
    with (real_news / "dev.jsonl").open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    lines = warnings(training, watched(predictor, [r["text"] for r in rows], [r["title"] or "" for r in rows]))
    assert not any("coverage" in line or "bytes" in line or "repeat" in line for line in lines), lines


# What training saw


def test_held_out_coverage_is_that_of_a_vocabulary_without_the_fold(trained: Trained, corpus: Corpus) -> None:
    """Lower than by the model's own vocabulary, and close to what articles the model never met have."""
    model = trained.model
    own = Predictor(model).label(string_array(corpus.texts), string_array(corpus.titles)).coverage
    one_fold = np.zeros(len(corpus), np.int64)
    each = np.arange(len(corpus))
    articles = stem_articles(corpus.articles())
    none_left_out = held_out_coverage(articles, model.terms, each, 0)
    np.testing.assert_allclose(none_left_out, own)  # nothing is needed for a stem to count
    left_one_out = held_out_coverage(articles, model.terms, each, 3)
    assert (left_one_out <= own).all()
    assert left_one_out.mean() < own.mean() - 0.005
    # Without any article of another fold, what is left are the lexicon's stems.
    assert held_out_coverage(articles, model.terms, one_fold, 3).mean() < 0.2
    assert held_out_coverage(stem_articles([]), model.terms, np.empty(0, np.int64), 3).size == 0


def test_held_out_coverage_tells_that_of_new_articles(trained: Trained, corpus: Corpus, unseen: list[str]) -> None:
    model = trained.model
    folds = np.arange(len(corpus)) % 10
    expected = held_out_coverage(stem_articles(corpus.articles()), model.terms, folds, 3).mean()
    assert Predictor(model).label(string_array(unseen)).coverage.mean() == pytest.approx(expected, abs=0.015)


def test_sizes_are_those_of_string_arrays(corpus: Corpus) -> None:
    expected = sizes_of(string_array(corpus.texts), string_array(corpus.titles))
    assert sizes_of_all(corpus.texts, corpus.titles).tolist() == expected.tolist()
    assert sizes_of_all([], []).size == 0


def test_no_training_articles() -> None:
    with pytest.raises(ValueError, match="found no articles"):
        seen(np.empty(0), np.empty(0, np.int64), np.empty((0, 4), bool), SECTORS, (0.1,) * 4)


# Adding up


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[Labels, list[str]]]:
    made = []
    for _ in range(draw(st.integers(0, 4))):
        coverage = np.array(draw(st.lists(st.sampled_from([0.0, 0.25, 0.57, 1 / 3, 1.0]), max_size=5)))
        probabilities = np.array([[draw(st.sampled_from([0.0, 0.1, 0.9])) for _ in SECTORS] for _ in coverage])
        probabilities = probabilities.reshape(coverage.size, len(SECTORS))
        labels = Labels(probabilities > 0.5, np.full(coverage.size, -1), probabilities, coverage)
        made.append((labels, [draw(st.text("ab é", max_size=9)) for _ in coverage]))
    return made


def added(parts: Sequence[tuple[Labels, list[str]]]) -> Watch:
    watch = Watch(SECTORS)
    for labels, texts in parts:
        watch.add(labels, string_array(texts))
    return watch


@settings(max_examples=60, deadline=None)
@given(batches(), st.integers(0, 4))
def test_parts_add_up_in_any_order_and_through_json(parts: list[tuple[Labels, list[str]]], cut: int) -> None:
    whole = added(parts).state()
    assert added(parts[::-1]).state() == whole
    first, second = added(parts[:cut]), added(parts[cut:])
    second.merge(Watch.from_state(json.loads(json.dumps(first.state()))))
    assert second.state() == whole
    assert whole["articles"] + whole["blank"] == sum(labels.coverage.size for labels, _ in parts)


@pytest.mark.parametrize("change", [{"sectors": None}, {"coverage": [1, 2]}, {"articles": "x"}, {"predicted": [1]}])
def test_counts_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected the counts of a run|expected those of a run"):
        Watch.from_state(Watch(SECTORS).state() | change)
    with pytest.raises(ValueError, match="found counts of a, expected automotive"):
        Watch(SECTORS).merge(Watch(("a",)))


@pytest.mark.parametrize("distinct", [500, 3000, 20_000])
def test_distinct_articles_are_told_from_repeats(distinct: int) -> None:
    draw = np.random.default_rng(distinct)
    probabilities = draw.random((distinct, len(SECTORS)))
    order = draw.integers(0, distinct, 3 * distinct)
    watch = Watch(SECTORS)
    for part in np.array_split(np.concatenate([np.arange(distinct), order]), 7):
        labels = Labels(probabilities[part] > 2, np.full(part.size, -1), probabilities[part], np.full(part.size, 0.9))
        watch.add(labels, string_array(["a"] * part.size))
    assert watch.fingerprints.size <= SKETCH
    assert watch.distinct == pytest.approx(distinct, rel=0 if distinct < SKETCH else 0.1)
