"""Articles kept to judge models by, and the fingerprints by which a later run knows what a model has seen."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import Corpus
from data.duplicates import deduplicate
from data.reserve import SKETCH, Fingerprints, divide, fingerprints, read_fingerprints, seen, write_fingerprints

WORDS = ["harga", "cabai", "naik", "pasar", "petani", "mobil", "listrik", "baterai", "pabrik", "soda", "pupuk", "kota"]
ARTICLES = st.lists(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join), max_size=12)
REPOSITORY = Path(__file__).resolve().parent.parent


def article(seed: int, words: int = 200) -> list[str]:
    """An article of made-up words, unlike any other."""
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklmnop", k=7)) for _ in range(words)]


def changed(words: list[str], share: float, seed: int = 0) -> str:
    """The article with a share of its words replaced, at places drawn at random."""
    draw = random.Random(seed)
    return " ".join("diganti" if draw.random() < share else word for word in words)


def jaccard(one: str, other: str) -> float:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}

    first, second = runs(one), runs(other)
    return len(first & second) / len(first | second)


@given(ARTICLES, st.floats(0, 0.99), st.floats(0, 0.99))
def test_an_article_is_on_one_side_whatever_stands_beside_it(articles: list[str], some: float, more: float) -> None:
    some, more = sorted((some, more))
    together = fingerprints(articles)
    alone = [fingerprints([text]) for text in articles]
    assert together.hashes.tolist() == [one.hashes[0] for one in alone]
    np.testing.assert_array_equal(together.sketches, [one.sketches[0] for one in alone] or together.sketches)
    assert not (together.reserved(some) & ~together.reserved(more)).any()  # a larger share takes none back
    assert not together.reserved(0).any()


def test_the_share_is_what_was_asked_for(bundled: Corpus) -> None:
    found = fingerprints(bundled.articles())
    for share in (0.1, 0.5):
        expected = share * len(bundled)
        assert abs(found.reserved(share).sum() - expected) < 4 * np.sqrt(expected * (1 - share))
    with pytest.raises(ValueError, match=r"found a share of 1, expected 0 to less than 1"):
        found.reserved(1)


@pytest.mark.parametrize(
    "edited",
    [
        "Harga CABAI  naik,\n\tkata petani di Garut.",
        "harga cabai naik kata petani di garut",
        "Harga cabai naik , kata petani di Garut!!",
        "Harga cabai naik, kata petani di Garut. 2.500",
        "<p>Harga cabai naik,</p> <p>kata petani di Garut.</p>",
        "Harga cabai naik, kata petani di Gárut.",
    ],
)
def test_trivial_edits_make_no_difference(edited: str) -> None:
    one, other = fingerprints(["Harga cabai naik, kata petani di Garut.", edited]).hashes
    assert one == other


def test_other_words_or_another_order_make_a_difference() -> None:
    assert len(set(fingerprints(["harga naik", "naik harga", "harga", "harganaik"]).hashes.tolist())) == 4


def test_it_is_the_same_in_every_process() -> None:
    code = "from data.reserve import *; f = fingerprints(['harga cabai naik di pasar kota']); "
    code += "print(f.hashes[0], f.sketches[0, :3])"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].startswith(str(fingerprints(["harga cabai naik di pasar kota"]).hashes[0]))


@pytest.mark.parametrize(("share", "expected"), [(0.0, True), (0.02, True), (0.5, False)])
def test_near_duplicates_are_seen_and_others_are_not(share: float, expected: bool) -> None:
    """Two words in a hundred changed leave nine tenths of the runs, every other word hardly any."""
    articles = [article(seed) for seed in range(40)]
    training = fingerprints([" ".join(words) for words in articles])
    again = [changed(words, share, seed) for seed, words in enumerate(articles)]
    assert set(seen(fingerprints(again), training).tolist()) == {expected}


def test_whatever_repeats_counts_as_seen() -> None:
    """At the similarity from which articles repeat one another, the sketch never takes one for a new one."""
    words = [article(seed) for seed in range(300)]
    pairs = [(" ".join(each), changed(each, 0.02, seed)) for seed, each in enumerate(words)]
    repeats = [(one, other) for one, other in pairs if jaccard(one, other) >= 0.8]
    assert len(repeats) > 100
    assert seen(fingerprints([o for _, o in repeats]), fingerprints([o for o, _ in repeats])).all()


@given(ARTICLES)
def test_every_article_has_seen_itself(articles: list[str]) -> None:
    found = fingerprints(articles)
    assert seen(found, found).all()
    assert not seen(fingerprints([" ".join(article(1))]), found).any()


@pytest.mark.parametrize("text", ["", " ", "12 345", "mobil", "mobil listrik baru", "\ud83d half", "\x00"])
def test_articles_of_hardly_a_word(text: str) -> None:
    found = fingerprints([text, " ".join(article(2))])
    assert seen(found, found).tolist() == [True, True]
    assert seen(found.select(np.array([True, False])), found.select(np.array([False, True]))).tolist() == [False]


def test_no_articles() -> None:
    nothing = fingerprints([])
    assert (len(nothing), nothing.sketches.shape) == (0, (0, SKETCH))
    assert seen(nothing, nothing).size == 0
    assert not seen(fingerprints(["mobil listrik"]), nothing).any()


def test_the_bundled_articles_are_all_new_to_one_another(bundled: Corpus) -> None:
    found = fingerprints(bundled.articles())
    reserved = found.reserved(0.1)
    assert not seen(found.select(reserved), found.select(~reserved)).any()


def test_fingerprints_are_written_and_read(tmp_path: Path, articles: list[str]) -> None:
    found = fingerprints(articles[:50])
    write_fingerprints(found, tmp_path / "a.parquet")
    again = read_fingerprints(tmp_path / "a.parquet")
    np.testing.assert_array_equal(again.hashes, found.hashes)
    np.testing.assert_array_equal(again.sketches, found.sketches)
    write_fingerprints(fingerprints([]), tmp_path / "a.parquet")
    assert len(read_fingerprints(tmp_path / "a.parquet")) == 0


def test_a_table_that_is_none_is_refused(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"^a\.parquet: .*; expected a table of fingerprints$"):
        read_fingerprints(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"^terms\.parquet: .*expected a table of fingerprints$"):
        read_fingerprints(bundle / "terms.parquet")


def test_a_corpus_is_divided_and_nothing_is_lost(corpus: Corpus) -> None:
    divided = divide(corpus, 0.3)
    assert sorted(divided.training.ids + divided.reserved.ids) == sorted(corpus.ids)
    assert divided.evaluated == 0
    assert 0.2 < len(divided.reserved) / len(corpus) < 0.4
    np.testing.assert_array_equal(divided.fingerprints.hashes, fingerprints(divided.training.articles()).hashes)
    assert divide(corpus, 0).training.ids == corpus.ids


def test_an_article_stays_reserved_in_another_corpus(corpus: Corpus) -> None:
    half = divide(corpus.select(range(0, len(corpus), 2)), 0.3)
    assert set(half.reserved.ids) <= set(divide(corpus, 0.3).reserved.ids)


def test_what_is_evaluated_on_takes_no_part_in_training(corpus: Corpus) -> None:
    """Neither as it is nor with a word changed; one that is reserved takes no part anyway."""
    evaluation = corpus.select(range(0, len(corpus), 10))
    edited = replace(evaluation, texts=[f"{text} Sekian." for text in evaluation.texts])
    for labelled in (evaluation, edited):
        divided = divide(corpus, 0.3, labelled)
        assert not set(divided.training.ids) & set(evaluation.ids)
        assert divided.evaluated == len(set(evaluation.ids) - set(divided.reserved.ids))
        assert divided.evaluated + len(divided.training) + len(divided.reserved) == len(corpus)


def test_nothing_left_to_learn_from_is_said(corpus: Corpus) -> None:
    few = corpus.select(range(20))
    with pytest.raises(
        ValueError, match=r"found 0 articles to reserve and 20 of the evaluation among 20, expected some"
    ):
        divide(few, 0, few)


def test_repeats_within_a_corpus_are_seen(corpus: Corpus) -> None:
    """What de-duplication drops, the sketch would find, too."""
    words = [text.split() for text in corpus.articles()[:100]]
    texts = [changed(each, 0.01, seed) for seed, each in enumerate(words)]
    doubled = Corpus(
        ids=[f"{number}" for number in range(200)],
        titles=[""] * 200,
        texts=[*(" ".join(each) for each in words), *texts],
        levels=np.vstack([corpus.levels[:100]] * 2),
        sectors=corpus.sectors,
        places=[f"own.jsonl:{number}" for number in range(200)],
        styles=[""] * 200,
    )
    _, dropped = deduplicate(doubled)
    assert len(dropped) > 50
    found: Fingerprints = fingerprints(doubled.articles())
    for repeat, first in dropped:
        one, other = (found.select(np.arange(200) == place) for place in (repeat, first))
        assert seen(one, other).all()
