"""Splitting and folding: equal to a few lines of plain Python, whatever the text and the batch."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.search
from features.clean import FILLER, clean, clean_text
from features.fold import fold
from features.search import distinct_strings
from features.strings import string_array
from features.tokens import LONGEST_TITLE, Tokens, split

WORD = re.compile(r"[a-z0-9\x80-\U0010ffff]+(?:-[a-z0-9\x80-\U0010ffff]+)*")


def words_of(tokens: Tokens, document: int = 0) -> list[str]:
    numbers = tokens.numbers[tokens.offsets[document] : tokens.offsets[document + 1]]
    return [tokens.distinct[number] for number in numbers]


def plain_split(cleaned: str) -> tuple[list[str], int]:
    """The words of one cleaned document and how many of them are its title."""
    for line in cleaned.split("\n"):
        found = list(WORD.finditer(line))
        if found:
            characters = len(line[found[0].start() : found[-1].end()].replace(chr(FILLER), ""))
            words = WORD.findall(cleaned)
            return words, len(found) if characters <= LONGEST_TITLE and len(words) > len(found) else 0
    return [], 0


def title_words(text: str) -> int:
    return int(split(clean(string_array([text]))).titles[0])


rare = st.sampled_from(
    "\r\x00\x0b\x1f\x7f\u0085\u2028-\u2010\u2011–“”‘’'\"\u00ad\u200b\u200d\u2060\ufeff\u0301é日本ع😂𝐄\U0010fffe"
)
texts = st.lists(
    st.one_of(
        st.text(max_size=6),
        rare,
        st.sampled_from(["\n", " ", "kata", "Mobil", "b35", "2025", "non-subsidi", "<b>", "x" * 60, "“é”" * 30]),
    ),
    max_size=25,
).map("".join)


@pytest.mark.parametrize("few", [0, 128])
@given(strings=st.lists(texts.map(lambda text: text.replace("\n", "")) | st.sampled_from(["", "mobil"]), max_size=9))
def test_few_strings_are_told_apart_as_many_are(few: int, strings: list[str]) -> None:
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(each) for each in encoded], np.int64)
    data = np.frombuffer(b"-".join([b"", *encoded, b""]), np.uint8)
    starts = (lengths + 1).cumsum() - lengths
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.search, "_FEW", few)
        distinct, places = distinct_strings(data, starts, lengths)
    assert distinct == list(dict.fromkeys(strings))
    assert (places.dtype, places.tolist()) == (np.int32, [distinct.index(string) for string in strings])


@given(st.lists(texts, max_size=6))
def test_a_batch_is_split_as_plain_python_splits_each_document(batch: list[str]) -> None:
    documents = clean(string_array(batch))
    tokens = split(documents)
    assert len(set(tokens.distinct)) == len(tokens.distinct)
    assert tokens.offsets.tolist()[0] == 0
    assert tokens.offsets.tolist()[-1] == len(tokens.numbers)
    for number, cleaned in enumerate(documents.to_pylist()):
        assert (words_of(tokens, number), int(tokens.titles[number])) == plain_split(cleaned)


@given(st.lists(texts, min_size=1, max_size=6), st.data())
def test_neighbours_and_slices_do_not_matter(batch: list[str], data: st.DataObject) -> None:
    documents = clean(string_array(batch))
    start = data.draw(st.integers(0, len(batch)))
    part = documents.slice(start, data.draw(st.integers(0, len(batch) - start)))
    tokens = split(part)
    for number, document in enumerate(part.to_pylist()):
        alone = split(string_array([document]))
        assert words_of(tokens, number) == words_of(alone)
        assert tokens.titles[number] == alone.titles[0]


@pytest.mark.parametrize("documents", [string_array([]), pa.array([], pa.string()), string_array(["a\n"]).slice(1)])
def test_no_documents(documents: pa.StringArray) -> None:
    tokens = split(clean(documents))
    assert (tokens.distinct, tokens.numbers.tolist(), tokens.offsets.tolist()) == ([], [], [0])
    assert tokens.titles.tolist() == []


def test_documents_without_words() -> None:
    tokens = split(clean(string_array(["", None, "\n \n", "kata", "...", ""])))
    assert tokens.distinct == ["kata"]
    assert tokens.offsets.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert tokens.titles.tolist() == [0] * 6


@pytest.mark.parametrize(
    "letter",
    ["a", "é", "日", "𝐄", "“", "€"],  # of one to four bytes, a quotation mark and a symbol that becomes a space
)
def test_a_title_has_at_most_two_hundred_characters(letter: str) -> None:
    longest = "ab " + letter * (LONGEST_TITLE - 6) + " cd"
    n_words = len(WORD.findall(clean_text(longest)))
    assert len(longest) == LONGEST_TITLE
    assert title_words(f"{longest}\nIsi berita.") == n_words
    assert title_words(f"  “{longest}”!  \nIsi berita.") == n_words  # counted from the first word to the last
    assert title_words(f"ab {letter}{longest[3:]}\nIsi berita.") == 0
    assert title_words(longest) == 0  # nothing follows


@pytest.mark.parametrize(
    ("text", "n_words"),
    [
        ("Harga naik\nIsi berita", 2),
        ("\n\n  \n - \n Harga naik \r\n\r\nIsi", 2),
        ("Editor: Budi\nADVERTISEMENT\n[img.1]\nHarga naik\nIsi", 2),
        ("<h1>Harga <b>naik</b></h1><p>Isi</p>", 2),
        ("Harga naik\n\n", 0),
        ("Harga naik\nEditor: Budi", 0),
        ("Harga naik\n!", 0),
        ("---\nHarga -- naik\n---\nIsi", 2),
        ("Harga naik\n-----", 0),
        ("x" * 300 + "\nHarga naik\nIsi", 0),
        ("", 0),
    ],
)
def test_the_title_is_the_first_line_with_a_word(text: str, n_words: int) -> None:
    assert title_words(text) == n_words


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("mobil", ("mobil",)),
        ("naïve", ("naive",)),
        ("café", ("cafe",)),
        ("cafe\u0301", ("cafe",)),
        ("ÉV", ("ev",)),
        ("ev-nya", ("ev-nya",)),
        ("non\u2011subsidi", ("non-subsidi",)),
        ("non\u2010subsidi", ("non-subsidi",)),
        ("per\u00adtanian", ("pertanian",)),
        ("per\u200btanian", ("pertanian",)),
        ("\ufeffmobil", ("mobil",)),
        ("-mobil-", ("mobil",)),
        ("mobil--mobil", ("mobil", "mobil")),
        ("b35", ("b35",)),
        ("mg4", ("mg4",)),
        ("4x4", ("4x4",)),
        ("2025", ()),
        ("10-20", ()),
        ("-", ()),
        ("٢٠٢٥", ()),
        ("😂", ()),
        ("mobil😂listrik", ("mobil", "listrik")),
        ("co₂", ("co2",)),
        ("m²", ("m2",)),
        ("𝐄𝐕", ("ev",)),
        ("ＥＶ", ("ev",)),
        ("ﬁber", ("fiber",)),
        ("straße", ("strasse",)),
        ("電気", ("電気",)),
        ("سيارة", ("سيارة",)),
    ],
)
def test_fold(word: str, folded: tuple[str, ...]) -> None:
    assert fold(word) == folded


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("naïve café", ["naive", "cafe"]),
        ("Jum'at", ["jum", "at"]),
        ("mobil–mobil", ["mobil", "mobil"]),
        ("mobil-mobil, EV-nya", ["mobil-mobil", "ev-nya"]),
        ("Harga B35 naik 2,5% jadi Rp13.500", ["harga", "b35", "naik", "jadi", "rp13"]),
        ("-- mobil- listrik --ev- a--b -", ["mobil", "listrik", "ev", "a", "b"]),
        ("“listrik”—kata ‘dia’", ["listrik", "kata", "dia"]),
    ],
)
def test_text_to_folded_words(text: str, folded: list[str]) -> None:
    tokens = split(clean(string_array([text])))
    assert [part for word in words_of(tokens) for part in fold(word)] == folded


@given(texts)
def test_folding_folded_words_changes_nothing(text: str) -> None:
    for word in split(clean(string_array([text]))).distinct:
        for part in fold(word):
            assert fold(part) == (part,)
            assert any(map(str.isalpha, part))
            assert not part.startswith("-")
            assert not part.endswith("-")
            assert not any(unicodedata.combining(character) or character.isspace() for character in part)
