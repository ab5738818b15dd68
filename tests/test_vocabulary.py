"""Articles to counts: as a plain count over the words says, in any batch, for any text."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.clean import clean
from features.columns import stems_of
from features.stems import Stems
from features.strings import string_array
from features.tokens import split
from features.vocabulary import Counts, Vocabulary

TERMS = ["bangun", "jual", "kendara", "listrik", "mobil", "pabrik", "kendara listrik", "mobil listrik", "mobil mobil"]
WORDS = [
    "Mobil",
    "kendaraan",
    "LISTRIK",
    "listriknya",
    "penjualan",
    "pabrik",
    "mobil-mobil",
    "xyz",
    "2024",
    "café",
    "75-an",
]
GAPS = [" ", " ", " ", ", ", ". ", "\n", "\n\n", " \u2014 ", " 12 ", "<br>"]
STEMS = Stems()

articles = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=30).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)
batches = st.lists(st.one_of(articles, st.text(max_size=40)), max_size=6)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(TERMS, title_weight=3)


def rows(counts: Counts) -> list[dict[int, int]]:
    """Each document's counts by column."""
    bounds = counts.offsets.tolist()
    columns, times = counts.columns.tolist(), counts.counts.tolist()
    return [dict(zip(columns[start:stop], times[start:stop], strict=True)) for start, stop in pairwise(bounds)]


def counted(text: str, terms: list[str], title_weight: int) -> tuple[dict[int, int], int, int]:
    """The counts of one article by column, and how many of how many stems are known: a word at a time."""
    tokens = split(clean(string_array([text])))
    stems = stems_of(STEMS.stems, [tokens.distinct[number] for number in tokens.numbers.tolist()])
    title_words = int(tokens.titles[0])
    column = {term: place for place, term in enumerate(terms)}
    found: Counter[int] = Counter()
    known = total = 0
    for part, weight in ((stems[:title_words], title_weight), (stems[title_words:], 1)):
        flat = [stem for of_word in part for stem in of_word]
        pairs = [f"{first} {second}" for first, second in pairwise(flat)]
        for term in flat + pairs:
            if term in column:
                found[column[term]] += weight
        known += sum(stem in column for stem in flat)
        total += len(flat)
    return dict(found), known, total


@given(batch=batches, title_weight=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_a_plain_count(batch: list[str], title_weight: int) -> None:
    counts = Vocabulary(TERMS, title_weight).count(string_array(batch))
    expected = [counted(text, TERMS, title_weight) for text in batch]
    assert rows(counts) == [row for row, _, _ in expected]
    assert counts.n_stems.tolist() == [total for _, _, total in expected]
    assert counts.coverage.tolist() == [known / max(total, 1) for _, known, total in expected]
    for start, stop in zip(counts.offsets[:-1], counts.offsets[1:], strict=True):
        assert (np.diff(counts.columns[start:stop]) > 0).all()


def test_counts_of_real_articles_are_those_of_a_plain_count(unseen: list[str], articles: list[str]) -> None:
    stems = sorted({stem for text in articles[:40] for stem in counted_stems(text)})
    first = articles[0:20]
    pairs = sorted({pair for text in first for pair in neighbours(text)})
    terms = stems + [pair for pair in pairs if set(pair.split(" ")) <= set(stems)]
    counts = Vocabulary(terms, 3).count(string_array(unseen[:30] + first))
    assert rows(counts) == [counted(text, terms, 3)[0] for text in unseen[:30] + first]


def counted_stems(text: str) -> list[str]:
    tokens = split(clean(string_array([text])))
    return [stem for stems in stems_of(STEMS.stems, list(tokens.distinct)) for stem in stems]


def neighbours(text: str) -> list[str]:
    tokens = split(clean(string_array([text])))
    of_words = stems_of(STEMS.stems, [tokens.distinct[number] for number in tokens.numbers.tolist()])
    flat = [stem for stems in of_words for stem in stems]
    return [f"{first} {second}" for first, second in pairwise(flat)]


@given(batch=batches, data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_batch_is_its_articles_one_by_one(vocabulary: Vocabulary, batch: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(batch))))
    together = vocabulary.count(string_array([batch[place] for place in order]))
    alone = [vocabulary.count(string_array([text])) for text in batch]
    assert rows(together) == [rows(alone[place])[0] for place in order]
    assert together.coverage.tolist() == [alone[place].coverage[0] for place in order]


def test_an_empty_batch_has_no_rows(vocabulary: Vocabulary) -> None:
    counts = vocabulary.count(string_array([]))
    assert (counts.offsets.tolist(), counts.columns.size, counts.counts.size) == ([0], 0, 0)
    assert (counts.coverage.size, counts.n_stems.size) == (0, 0)


@pytest.mark.parametrize("text", ["", " \n\t ", None, "2024 12,5% 1.000", "--- ... !!!", "\u200b\ufeff"])
def test_a_text_without_words_counts_nothing_and_costs_its_neighbours_nothing(
    vocabulary: Vocabulary, text: str | None
) -> None:
    counts = vocabulary.count(string_array(["mobil listrik", text, "pabrik"]))
    assert rows(counts) == [{3: 1, 4: 1, 7: 1}, {}, {5: 1}]
    assert counts.n_stems.tolist() == [2, 0, 1]
    assert counts.coverage.tolist() == [1, 0, 1]


def test_pairs_span_neither_articles_nor_title_and_text(vocabulary: Vocabulary) -> None:
    counts = vocabulary.count(string_array(["pabrik mobil", "listrik", "pabrik mobil\nlistrik dijual"]))
    assert TERMS.index("mobil listrik") not in {column for row in rows(counts) for column in row}


def test_a_pair_is_not_made_across_an_unknown_word(vocabulary: Vocabulary) -> None:
    (row,) = rows(vocabulary.count(string_array(["mobil zzz listrik"])))
    assert row == {3: 1, 4: 1}


def test_parts_of_a_hyphenated_word_are_neighbours() -> None:
    (row,) = rows(Vocabulary(["mobil", "listrik", "mobil listrik"], 1).count(string_array(["mobil-listrik"])))
    assert row == {0: 1, 1: 1, 2: 1}


def test_titles_given_apart_count_as_a_first_line(vocabulary: Vocabulary) -> None:
    apart = vocabulary.count(string_array(["dijual di pabrik", "pabrik"]), string_array(["Mobil Listrik", None]))
    whole = vocabulary.count(string_array(["Mobil Listrik\ndijual di pabrik", "pabrik"]))
    assert rows(apart) == rows(whole) == [{1: 1, 3: 3, 4: 3, 5: 1, 7: 3}, {5: 1}]


def test_coverage_is_the_share_of_known_words(vocabulary: Vocabulary) -> None:
    assert vocabulary.count(string_array(["mobil xyz pabrik 2024 mobil"])).coverage.tolist() == [3 / 4]


def test_known_stems_are_believed() -> None:
    vocabulary = Vocabulary(["oto"], 1, known={"mobil": ("oto",)})
    assert rows(vocabulary.count(string_array(["mobil mobil"]))) == [{0: 2}]


def test_a_slice_of_an_array_is_read_where_it_is(vocabulary: Vocabulary) -> None:
    whole = string_array(["pabrik", "mobil listrik", "jual", "mobil"])
    assert rows(vocabulary.count(whole.slice(1, 2))) == rows(vocabulary.count(string_array(["mobil listrik", "jual"])))


@pytest.mark.parametrize(
    "terms",
    [
        ["mobil", "mobil"],
        ["mobil", "mobil listrik"],
        ["mobil", "mobil mobil", "listrik"],
        ["a", "b", "a b a"],
        ["a", "a a", "a a"],
    ],
)
def test_impossible_terms_are_refused(terms: list[str]) -> None:
    with pytest.raises(ValueError, match=r"term stands twice|bigram stands twice|bigram is not made of two stems"):
        Vocabulary(terms, 1)


WHOLE = "kendaraannyalahkahpunkendaraannyab"
LONG = [WHOLE[:length] for length in (1, 8, 9, 12, 16, 17, 18, 24, 25, 31, 32, 33)] + [
    WHOLE[:31] + "x",
    WHOLE[:15] + "x",
]


@given(st.lists(st.one_of(st.sampled_from(LONG), st.sampled_from(WORDS), st.text(max_size=20)), max_size=40))
def test_known_words_get_the_columns_they_get_as_unknown_ones(words: list[str]) -> None:
    """The tables of known words, of 16 and of 32 bytes, against asking for each distinct word."""
    terms = sorted({*LONG, "mobil", "xyz"})
    known = {word: (word,) for word in terms} | {"listriknya": ("mobil",)}
    table, plain = Vocabulary(terms, 1, known), Vocabulary(terms, 1, {word: (word,) for word in LONG})
    tokens = split(clean(string_array([" ".join(words), "listriknya " + " ".join(reversed(words))])))
    found = table.stem(tokens)
    asked = [column for word in (tokens.distinct[n] for n in tokens.numbers) for column in table.columns_of([word])[0]]
    assert found.stems.tolist() == asked
    assert len(plain.stem(tokens).stems) == len(asked)
