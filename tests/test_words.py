"""Words that come up again join the table: faster, and never another column."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import features.words
from features.columns import UNKNOWN
from features.strings import string_array
from features.tokens import LONG, Tokens, split
from features.vocabulary import Vocabulary
from features.words import SEVERAL, UNSEEN, Several, Words, coded

columns = st.lists(st.integers(UNKNOWN, 50), max_size=3).map(tuple)
words = st.one_of(
    st.text("abcdef0-é", min_size=1, max_size=20),
    st.builds(lambda part, times: part * times, st.text("abé", min_size=1, max_size=3), st.integers(5, 20)),
)


def looked_up(table: Words, asked: list[str]) -> list[tuple[int, ...] | None]:
    """The columns the table has for each word, None for one it has not."""
    several = table.table.several
    found: list[tuple[int, ...] | None] = []
    for code in table.table.find(Tokens.of(asked)).tolist():
        start, stop = several.bounds[SEVERAL - code : SEVERAL - code + 2] if code <= SEVERAL else (0, 0)
        given = tuple(several.columns[start:stop].tolist()) if code <= SEVERAL else (code,)
        found.append(None if code == UNSEEN else given)
    return found


@given(st.lists(columns))
def test_a_code_says_which_columns(of_words: list[tuple[int, ...]]) -> None:
    codes, several = coded(of_words)
    for code, its in zip(codes.tolist(), of_words, strict=True):
        start, stop = several.bounds[SEVERAL - code : SEVERAL - code + 2] if code <= SEVERAL else (0, 0)
        assert its == ((code,) if code >= UNKNOWN else tuple(several.columns[start:stop].tolist()))


def test_several_after_several() -> None:
    both = Several.of([(1, 2), ()]).and_then(Several.of([(3, 4, 5)]))
    assert both.columns.tolist() == [1, 2, 3, 4, 5]
    assert both.bounds.tolist() == [0, 2, 2, 5]


@given(st.dictionaries(words, columns), st.lists(st.dictionaries(words, columns), max_size=5))
@settings(deadline=None)
def test_what_is_learned_is_found(first: dict[str, tuple[int, ...]], later: list[dict[str, tuple[int, ...]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.words, "FEWEST_OFFERED", 1)
        patch.setattr(features.words, "SHARE_OFFERED", 0)
        table = Words(first)
        known = dict(first)
        for entries in later:
            new = {word: its for word, its in entries.items() if word not in known}  # a word's columns never change
            known.update(new)
            table.learn(new)
            expected = [its if len(word.encode()) <= LONG else None for word, its in known.items()]
            assert looked_up(table, list(known)) == expected
        absent = [word + "x" for word in known]
        assert looked_up(table, absent) == [known.get(word) for word in absent]


@pytest.mark.parametrize("ending", ["a", "\u00e9"])
def test_words_as_long_as_the_tables_reach(ending: str) -> None:
    """Beside others that begin as they do, or differ in the last letter; each as the last word of a batch."""
    known: dict[str, tuple[int, ...]] = {}
    for size in (1, 7, 8, 9, 15, 16, 17, 24, 31, 32):
        begin = "m" * (size - len(ending.encode()))
        known |= {begin + ending: (2 * size,), begin + "z" * len(ending.encode()): (2 * size + 1,)}
    table = Words(known)
    assert looked_up(table, list(known)) == list(known.values())
    for word, its in known.items():
        assert looked_up(table, ["x", word]) == [None, its]
    too_long = "m" * (33 - len(ending.encode())) + ending
    assert looked_up(table, [too_long, "m" * 32, "m" * 33, "m" * 16, "m" * 17, *known])[:5] == [None] * 5


def test_words_that_differ_where_two_numbers_end() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    for middle in ("bbbbbbb", "b" * 15):  # the 8th and the 16th or 24th letter
        codes = {f"aaaaaaa{x}{middle}{y}": (place,) for place, (x, y) in enumerate(product(letters, repeat=2))}
        assert looked_up(Words(codes), list(codes)) == list(codes.values())


def test_memory_is_bounded_and_first_words_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.words, "LEARNED", 2000)
    table = Words({"mobil": (7,)})
    for start in range(0, 20_000, 100):
        table.learn({f"w{number}": (number,) for number in range(start, start + 100)})
        assert len(table.table) <= 2001
    assert len(table.table) > 500
    assert looked_up(table, ["mobil", "w0"]) == [(7,), None]


def test_a_word_met_in_two_batches_is_not_asked_for_in_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.words, "FEWEST_OFFERED", 1)
    vocabulary = Vocabulary(["mobil", "listrik", "kenal"], 1, known={"mobil": ("mobil",)})
    tokens = split(
        string_array(["mobil listrik dikenal zorvium mobil-listrik mendemonstrasikannya 2024 75-an caf\u00e9\n"])
    )
    asked: list[str] = []
    ask = vocabulary._ask
    monkeypatch.setattr(vocabulary, "_ask", lambda words, pool: asked.extend(words) or ask(words, pool))
    stems = [vocabulary.stem(tokens).stems.tolist() for _ in range(3)]
    assert (
        asked == [*("listrik", "dikenal", "zorvium", "mobil-listrik", "mendemonstrasikannya", "75-an", "caf\u00e9")] * 2
    )
    assert stems == [[0, 1, 2, UNKNOWN, 0, 1, UNKNOWN, UNKNOWN, UNKNOWN]] * 3


@given(st.lists(st.lists(words, max_size=30), max_size=6))
@settings(deadline=None, max_examples=40)
def test_learning_changes_no_stem(batches: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.words, "FEWEST_OFFERED", 1)
        terms = sorted({"fa", "cab", "dede", "abad", "beda"})
        vocabulary = Vocabulary(terms, 1, known={"fa": ("fa",)})
        for batch in batches + batches:
            tokens = split(string_array([" ".join(batch) + "\n"]))
            alone = Vocabulary(terms, 1).columns_of([tokens.distinct[number] for number in tokens.numbers])
            assert vocabulary.stem(tokens).stems.tolist() == [column for its in alone for column in its]


def test_threads_that_learn_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.words, "FEWEST_OFFERED", 20)
    monkeypatch.setattr(features.words, "LEARNED", 300)
    names = [f"{a}{b}{c}u" for a in "bdgk" for b in "aio" for c in "lmnrst"]
    vocabulary = Vocabulary(names[::2], 1)
    texts = [" ".join(np.random.default_rng(seed).choice(names, 40)) + "\n" for seed in range(200)]
    expected = [Vocabulary(names[::2], 1).stem(split(string_array([text]))).stems.tolist() for text in texts[:20]]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda text: vocabulary.stem(split(string_array([text]))).stems.tolist(), texts * 3))
    assert found[:200] == found[200:400] == found[400:]
    assert found[:20] == expected


def test_a_pickled_table_starts_anew() -> None:
    table = Words({"mobil": (7,)})
    table.learn({f"w{number}": (number,) for number in range(1000)})
    assert looked_up(pickle.loads(pickle.dumps(table)), ["mobil", "w1"]) == [(7,), None]
