"""features.strings: Python strings to Arrow without pandas."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import strings
from features.clean import articles_of
from features.strings import article_array, string_array

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.none() | texts))
def test_round_trip(values: list[str | None]) -> None:
    array = string_array(values)
    array.validate(full=True)
    assert array.type == pa.string()
    assert array.null_count == values.count(None)
    assert array.to_pylist() == values


@given(st.lists(st.tuples(texts, texts)))
def test_articles_are_what_joining_arrays_gives(articles: list[tuple[str, str]]) -> None:
    titles, bodies = [title for title, _ in articles], [body for _, body in articles]
    assert article_array(bodies) == articles_of(string_array(bodies))
    assert article_array(bodies, titles) == articles_of(string_array(bodies), string_array(titles))


def test_a_string_of_another_class_is_what_it_holds() -> None:
    class Title(StrEnum):
        FARM = "Harga gabah"

    assert article_array([Title.FARM], [Title.FARM]).to_pylist() == ["Harga gabah\nHarga gabah\n"]
    assert string_array([Title.FARM]).to_pylist() == ["Harga gabah"]


def test_lone_surrogate_becomes_a_question_mark() -> None:
    assert string_array(["a\ud800b"]).to_pylist() == ["a?b"]
    assert article_array(["a\ud83d", "\ude00"]).to_pylist() == ["a?\n", "?\n"]
    assert article_array(["\ude00"], ["a\ud83d"]).to_pylist() == ["a?\n?\n"]


def test_more_than_a_string_array_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "MAX_BYTES", 4)
    assert len(string_array(["ab", "cd"])) == 2
    with pytest.raises(OverflowError, match="5 bytes"):
        string_array(["ab", "cde"])
    assert len(article_array(["a", "b"])) == 2
    with pytest.raises(OverflowError, match="5 bytes"):
        article_array(["a", "bc"])
    with pytest.raises(OverflowError, match="6 bytes"):
        article_array(["bc"], ["ab"])
