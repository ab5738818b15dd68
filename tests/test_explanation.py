"""Explanations add up to the decision score, and name the words as they stand in the article."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.strings import string_array
from models.explanation import Explanation, Place, SectorExplanation
from models.scoring import Scorer
from predict import Predictor

ARTICLE = (
    "<p>JAKARTA, KOMPAS.com - Penjualan <b>mobil</b> listrik naik. Mobil-mobil itu memakai baterai litium.</p>\n"
    "Baca juga: Harga beras, pupuk dan kedelai naik\n"
    "Petani di Brebes menanam bawang, kata Dr. Ir. H. Joko. “Pupuk urea mahal,” ujarnya. Harga gabah turun!\n"
    "<script>var pestisida = 'pupuk';</script>\n"
    "Penulis: Sepeda Motor\n"
)
PIECES = (
    *("mobil", "Mobil", "MOBIL", "mobil-mobil", "mobil-nya", "listrik", "kendaraan", "kendaraan listrik", "petani"),
    *(
        "pupuk",
        "beras",
        "CO₂",
        "naïve",
        "café",
        "ev-nya",
        "non-subsidi",
        "75-an",
        "2024",
        "kata",
        "PT. Astra",
        "Ⅳ",
        "ﬁ",
    ),
    *("<p>", "</p>", "<br>", "<b>", "</b>", "<script>mobil</script>", "<!-- pupuk -->", "&amp;", "&nbsp;", "&#8220;"),
    *("\nBaca juga: mobil listrik", "\nPenulis: Pupuk", "(foto: mobil)", "https://mobil.id/pupuk", "\nIklan\n"),
    *("\n", "\r\n", "\n\n", " ", "\t", ". ", "! ", "“", "”", "’", "-", "--", "\u200b", "\u00ad", "\x00", "\x01", "😀"),
    *("\ud800", "مرحبا", "日本", "İ", "ß", "<", ">", "a < b", "]]>", "\nBerita Terkait\n", "x" * 300),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=40).map(" ".join) | st.lists(
    st.sampled_from(PIECES), max_size=30
).map("".join)


def words_of(its: SectorExplanation) -> dict[str, float]:
    return {word.text: word.contribution for word in its.words}


def part_of(place: Place, text: str, title: str | None) -> str:
    return (title or "" if place.part == "title" else text)[place.start : place.end]


def scores_of(predictor: Predictor, text: str, title: str | None) -> list[float]:
    titles = None if title is None else string_array([title])
    counts = predictor._vocabulary.count(string_array([text]), titles)
    scores: list[float] = Scorer(predictor.model).decision_scores(counts)[0].tolist()
    return scores


def check(explanation: Explanation, predictor: Predictor, text: str, title: str | None) -> None:
    prediction = predictor.predict_one(text, title)
    for its, score in zip(explanation.sectors.values(), scores_of(predictor, text, title), strict=True):
        assert its.score == score
        assert its.intercept + sum(word.contribution for word in its.words) == pytest.approx(score, abs=1e-9)
        assert its.probability == prediction.probabilities[its.sector]
        assert its.predicted == (its.sector in prediction.sectors)
        contributions = [word.contribution for word in its.words]
        assert contributions == sorted(contributions, reverse=True)
        assert its.up(3) == tuple(word for word in its.words if word.contribution > 0)[:3]
        assert sorted(word.contribution for word in its.down(3)) == [c for c in contributions[::-1] if c < 0][:3]
        places = [place for word in its.words for place in word.places]
        assert len(set(places)) == len(places)
        skipped = [(skip.part, skip.start, skip.end) for skip in explanation.skipped]
        for word in its.words:
            assert part_of(word.places[0], text, title) == word.text
            for place in word.places:
                assert 0 <= place.start < place.end <= len(title or "" if place.part == "title" else text)
                assert not any(p == place.part and a < place.end and place.start < b for p, a, b in skipped)
        if its.sentence is not None:
            assert its.sentence.place.start < its.sentence.place.end
    for skip in explanation.skipped:
        assert 0 <= skip.start < skip.end <= len(title or "" if skip.part == "title" else text)
    for its in json.loads(json.dumps(explanation.to_json(limit=3))).values():
        listed = sum(word["contribution"] for word in (*its["up"], *its["down"]))
        assert its["intercept"] + listed + its["rest"] == pytest.approx(its["score"], abs=1e-3)


@given(text=texts, title=st.none() | texts)
@example(text="", title=None)
@example(text="", title="")
@example(text="mobil", title=None)
@example(text="pupuk</p>", title="<p class='mobil'")
@example(text="-->mobil", title="mobil<!--")
@example(text="Baca juga: pupuk", title=None)
@example(text="", title="mobil listrik")
@settings(deadline=None, max_examples=150)
def test_contributions_add_up_to_the_score_of_the_batch_path(
    predictor: Predictor, text: str, title: str | None
) -> None:
    check(predictor.explain(text, title), predictor, text, title)


@given(rows=st.lists(st.tuples(texts, st.none() | texts), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_an_article_is_explained_the_same_whatever_stands_around_it(
    predictor: Predictor, rows: Sequence[tuple[str, str | None]]
) -> None:
    together = predictor.explanations([text for text, _ in rows], [title for _, title in rows])
    for explanation, (text, title) in zip(together, rows, strict=True):
        check(explanation, predictor, text, title or "")
        alone = predictor.explain(text, title or "")
        assert explanation.skipped == alone.skipped
        for its, same in zip(explanation.sectors.values(), alone.sectors.values(), strict=True):
            assert {(w.text, w.places) for w in its.words} == {(w.text, w.places) for w in same.words}
            assert words_of(its) == pytest.approx(words_of(same), abs=1e-12)


def test_real_articles_add_up_too(shipped: Predictor, unseen: list[str]) -> None:
    for article, explanation in zip(unseen[:40], shipped.explanations(unseen[:40]), strict=True):
        check(explanation, shipped, article, None)


def test_words_are_told_as_they_stand_with_all_their_places(shipped: Predictor) -> None:
    title, text = "Mobil Listrik", "Harga mobil listrik turun. MOBIL itu laris, mobil-mobil lain tidak."
    words = {word.text: word for word in shipped.explain(text, title).sectors["automotive"].words}
    mobil = words["Mobil"]
    assert [part_of(place, text, title) for place in mobil.places] == ["Mobil", "mobil", "MOBIL"]
    assert [(place.part, place.headline) for place in mobil.places] == [
        ("title", True),
        ("text", False),
        ("text", False),
    ]
    assert mobil.where == "title and text"
    assert words["mobil-mobil"].where == "text"
    assert mobil.contribution > words["mobil-mobil"].contribution > 0


def test_the_first_line_of_a_whole_article_is_its_headline(shipped: Predictor) -> None:
    whole = shipped.explain("Mobil Listrik\nHarga beras turun.").sectors["ev"]
    apart = shipped.explain("Harga beras turun.", "Mobil Listrik").sectors["ev"]
    assert whole.score == apart.score
    assert words_of(whole) == pytest.approx(words_of(apart))
    assert {word.text: word.where for word in whole.words} == {word.text: word.where for word in apart.words}
    assert {place.part for word in whole.words for place in word.places} == {"text"}


def test_a_word_in_the_title_weighs_as_often_as_the_title_counts(shipped: Predictor) -> None:
    """Title and text are a sentence each, both of the same one word."""
    title, text = shipped.explain("Urea", "Urea")._article.sentences.T
    assert title == pytest.approx(shipped.model.title_weight * text)
    assert shipped.model.title_weight > 1
    assert text.any()


def test_boilerplate_and_markup_contribute_nothing_and_are_seen_to_be_skipped(shipped: Predictor) -> None:
    explanation = shipped.explain(ARTICLE)
    skipped = [ARTICLE[place.start : place.end].strip() for place in explanation.skipped]
    assert "Baca juga: Harga beras, pupuk dan kedelai naik" in skipped
    assert "Penulis: Sepeda Motor" in skipped
    assert "<script>var pestisida = 'pupuk';</script>" in skipped
    assert {"<p>", "<b>", "</b>", "</p>"} <= set(skipped)
    words = {word.text for its in explanation.sectors.values() for word in its.words}
    assert {"mobil", "Pupuk", "gabah"} <= words
    assert not {"kedelai", "pestisida", "Sepeda", "Motor", "var", "p", "b"} & words


def test_the_sentence_is_a_sentence(shipped: Predictor) -> None:
    sectors = shipped.explain(ARTICLE).sectors
    sentences = {name: its.sentence for name, its in sectors.items() if its.sentence is not None}
    assert "Mobil-mobil itu memakai baterai litium." in {sentence.text for sentence in sentences.values()} or (
        sentences["ev"].text == "JAKARTA, KOMPAS.com - Penjualan mobil listrik naik."
    )
    agro = sentences["agro"]
    assert agro.text == "Petani di Brebes menanam bawang, kata Dr. Ir. H. Joko."
    assert ARTICLE[agro.place.start : agro.place.end] == agro.text
    inside = sum(
        word.contribution
        for word in sectors["agro"].words
        if all(agro.place.start <= place.start < agro.place.end for place in word.places)
    )
    assert agro.contribution == pytest.approx(inside)
    assert sectors["chemicals"].sentence is not None
    assert sectors["chemicals"].sentence.text == "“Pupuk urea mahal,” ujarnya."


@pytest.mark.parametrize(("text", "title"), [("", None), ("   \n ", ""), ("123 456", None), ("!!! ???", "...")])
def test_an_article_without_words_has_nothing_to_explain(shipped: Predictor, text: str, title: str | None) -> None:
    explanation = shipped.explain(text, title)
    assert explanation.coverage == 0
    for its in explanation.sectors.values():
        assert its.words == its.up(5) == its.down(5) == ()
        assert its.sentence is None
        assert its.score == its.intercept
        assert its.probability == 0
        assert not its.predicted


def test_the_small_form(shipped: Predictor) -> None:
    small = shipped.explain("Harga gabah turun. " + "petani " * 200, "Petani Menanam Padi").to_json()
    assert list(small) == list(shipped.sectors)
    agro = json.loads(json.dumps(small))["agro"]
    assert agro["up"][0]["word"] == "Petani"
    assert agro["up"][0]["in"] == "title and text"
    assert len(agro["sentence"]) <= 300
    assert all(word["contribution"] < 0 for word in agro["down"])
    assert len(shipped.explain(ARTICLE).to_json(limit=2)["agro"]["up"]) == 2


def test_thresholds_of_the_predictor_hold(shipped: Predictor) -> None:
    text = "Harga gabah turun, kata petani."
    strict = Predictor(shipped.model, thresholds={"agro": 1.0}).explain(text).sectors["agro"]
    assert shipped.explain(text).sectors["agro"].predicted
    assert not strict.predicted
    assert strict.threshold == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7,), "text 0 is a int, expected a str"),
        (("a", 7), "title 0 is a int, expected a str"),
    ],
)
def test_what_is_no_article_is_refused_in_one_line(
    predictor: Predictor, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.explain(*arguments)


def test_titles_must_be_one_a_text(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="found 1 titles for 2 texts"):
        list(predictor.explanations(["a", "b"], ["a"]))
    with pytest.raises(TypeError, match="got one string"):
        list(predictor.explanations("a"))
    assert list(predictor.explanations([])) == []


def test_a_long_article_is_explained(shipped: Predictor) -> None:
    text = "Petani menanam padi. " * 20_000
    its = shipped.explain(text).sectors["agro"]
    assert np.isclose(its.intercept + sum(word.contribution for word in its.words), its.score, atol=1e-9)
    assert len(its.words[0].places) == 20_000
