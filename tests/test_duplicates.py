"""data.duplicates: what repeats what, exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import duplicates
from data.corpus import Corpus
from data.duplicates import deduplicate, repeats

SECTORS = ("automotive", "ev", "agro", "chemicals")


def make_corpus(texts: Sequence[str]) -> Corpus:
    count = len(texts)
    return Corpus(
        ids=[str(index) for index in range(count)],
        titles=[""] * count,
        texts=list(texts),
        levels=np.zeros((count, len(SECTORS))),
        sectors=SECTORS,
        places=[f"a.jsonl:{index + 1}" for index in range(count)],
        styles=[""] * count,
    )


def shingle_set(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    if len(words) < 5:
        return {tuple(words)}
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def brute_force(texts: Sequence[str]) -> list[int]:
    sets = [shingle_set(text) for text in texts]
    first: list[int] = []
    for index, own in enumerate(sets):
        earlier = (other for other in range(index) if first[other] == other)
        first.append(
            next((other for other in earlier if 5 * len(own & sets[other]) >= 4 * len(own | sets[other])), index)
        )
    return first


WORDS = st.sampled_from(["naik", "Naik", "turun", "harga", "beras,", "é", "—", "“kata”", "x-y", "7"])
SENTENCES = st.lists(WORDS, min_size=0, max_size=30)


@st.composite
def alike_texts(draw: st.DrawFn) -> list[str]:
    """Texts of which many are edits of one another, about as similar as the limit."""
    texts = [draw(SENTENCES)]
    for _ in range(draw(st.integers(0, 10))):
        words = list(draw(st.sampled_from(texts)))
        for _ in range(draw(st.integers(0, 3))):
            place = draw(st.integers(0, len(words)))
            words[place : place + draw(st.integers(0, 2))] = draw(st.lists(WORDS, max_size=2))
        texts.append(draw(st.sampled_from([words, draw(SENTENCES)])))
    return [" ".join(words) for words in texts]


@given(alike_texts())
@settings(max_examples=300, deadline=None)
def test_repeats_match_brute_force(texts: list[str]) -> None:
    assert repeats(texts).tolist() == brute_force(texts)


@given(alike_texts(), st.integers(1, 8), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_shingles_that_fall_together_lose_no_repeat(texts: list[str], bits: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_MOST_BITS", bits)
        patch.setattr(duplicates, "_CHUNK", chunk)
        assert repeats(texts).tolist() == brute_force(texts)


def test_originals_are_ruled_out_before_texts_are_compared() -> None:
    words = [[f"kata{text}x{place}" for place in range(100)] for text in range(50)]
    twins = [[*words[7][:-1], "lain"], [*words[7][:-2], "lain", "lagi"]]
    assert duplicates._may_repeat([" ".join(each) for each in words + twins]).tolist() == [7, 50, 51]


@pytest.mark.parametrize("seed", range(3))
def test_repeats_match_brute_force_on_articles(seed: int) -> None:
    random = np.random.default_rng(seed)
    templates = [[f"kata{number}" for number in random.integers(0, 60, 120)] for _ in range(4)]
    texts = []
    for _ in range(150):
        words = list(templates[random.integers(len(templates))][: random.integers(80, 121)])
        for place in random.integers(0, len(words), random.integers(0, 8)):
            words[place] = str(random.integers(10**6))
        texts.append(" ".join(words))
    expected = brute_force(texts)
    assert 0 < sum(index != first for index, first in enumerate(expected)) < 150
    assert repeats(texts).tolist() == expected


def test_repeats_of_nothing_and_of_short_texts() -> None:
    assert repeats([]).tolist() == []
    assert repeats(["", "!", "satu dua", "Satu, dua.", "dua satu"]).tolist() == [0, 0, 2, 2, 4]


@given(alike_texts())
@settings(max_examples=50, deadline=None)
def test_deduplicate_is_idempotent_and_keeps_the_order(texts: list[str]) -> None:
    corpus = make_corpus([text or "x" for text in texts])
    kept, dropped = deduplicate(corpus)
    places = [int(id) for id in kept.ids]
    assert places == sorted(places)
    assert sorted(places + [index for index, _ in dropped]) == list(range(len(corpus)))
    assert all(first in places and first < index for index, first in dropped)
    again, none = deduplicate(kept)
    assert again.ids == kept.ids
    assert none == []
