from __future__ import annotations

import functools
import importlib
import itertools
import json
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features import stems as module
from features.stems import PROTECTED, SastrawiError, Stems, check_distributions

ROOT = Path(__file__).parents[1]
ENCLITICS = ("ku", "mu", "nya", "lah", "kah", "tah", "pun")
SUFFIXES = (
    "",
    "i",
    "an",
    "kan",
    "is",
    "isme",
    "isasi",
    *ENCLITICS,
    *(f"-{enclitic}" for enclitic in ENCLITICS),
)
PREFIXES = (
    *("di", "ke", "se", "ku", "kau", "be", "ber", "bel", "te", "ter", "me", "mem", "memp", "mempe", "men"),
    *("meng", "menge", "meny", "pe", "pem", "pen", "peng", "penge", "peny", "per", "pel"),
    *("memper", "diper", "keber", "seper"),
)
INFIXES = ("er", "el", "em", "in")
SCRAPS = (*"aiueobcdfgjklmnprstwy129-", "ng", "ny", "belajar", "pelajar", "mas", "ikan", "isi", "nya-nya")


@functools.cache
def stemmer() -> Any:
    """Sastrawi as its own README makes it, without the cache."""
    factory = importlib.import_module("Sastrawi.Stemmer.StemmerFactory")
    return factory.StemmerFactory().create_stemmer().delegatedStemmer


@functools.cache
def roots() -> list[str]:
    """Its roots, but for the one with a quotation mark, which no token contains."""
    return sorted(filter(re.compile("[a-z0-9-]+").fullmatch, stemmer().get_dictionary().words))


def sastrawi(word: str) -> str:
    stem: str = stemmer().stem(word)
    return stem


def contract(word: str) -> tuple[str, ...]:
    """What `Stems` promises, written down without memo and filter."""
    if word in PROTECTED:
        return (PROTECTED[word],)
    if not re.fullmatch("[a-z0-9-]+", word):
        return (word,)
    stem = sastrawi(word)
    parts = [part for part in word.split("-") if part]
    if stem != word or "-" not in word or not parts:
        return (stem,)
    return tuple(stem for part in parts for stem in contract(part))


def assert_contract(words: Iterable[str]) -> None:
    distinct = list(dict.fromkeys(words))
    stems = Stems()
    wrong = [(word, got) for word, got in zip(distinct, stems.stems(distinct), strict=True) if got != contract(word)]
    assert wrong == []


def words_of(paths: Iterable[Path]) -> list[str]:
    words: set[str] = set()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            article = json.loads(line)
            words.update(re.findall(r"[^\W_]+(?:-+[^\W_]+)*", f"{article.get('title', '')} {article['text']}".lower()))
    return sorted(words)


def articles() -> list[Path]:
    return sorted((ROOT / "data" / "articles").glob("*.jsonl"))


def generated(seed: int) -> Iterator[str]:
    """Words without end: stacked affixes, nasal recoding, infixes, doubling, mutation, noise."""
    source = random.Random(seed)
    choose = source.choice

    def affixed() -> str:
        root = choose(roots())
        kind = source.random()
        if kind < 0.25 and len(root) > 2:
            root = root[1:]  # as after a nasal prefix, which swallows k, p, s, t
        elif kind < 0.35:
            root = root[0] + choose(INFIXES) + root[1:]
        elif kind < 0.5:
            at = source.randrange(len(root))
            root = root[:at] + choose("abcdefghijklmnopqrstuvwxyz0-") + root[at + source.randrange(2) :]
        prefixes = "".join(choose(PREFIXES) for _ in range(choose((0, 1, 1, 2, 3, 4))))
        return prefixes + root + "".join(choose(SUFFIXES) for _ in range(choose((0, 1, 1, 2, 3))))

    def noise() -> str:
        return "".join(choose(choose((PREFIXES, SUFFIXES, SCRAPS))) for _ in range(source.randrange(1, 7)))

    while True:
        kind = source.random()
        if kind < 0.45:
            word = affixed()
        elif kind < 0.8:
            word = noise()
        elif kind < 0.9:
            first = affixed()
            word = f"{first}-{choose((first, first + choose(SUFFIXES), choose(PREFIXES) + first, affixed()))}"
        elif kind < 0.95:
            half = noise()
            word = choose((f"me{half}-{half}", f"{noise()}-{half}", f"{half}-{half}-{choose(ENCLITICS)}"))
        else:
            word = choose(roots()) + "-" * source.randrange(1, 7) + choose(roots())
        if word:
            yield word


# -- the contract


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("menyebutkan", ("sebut",)),
        ("mobil-mobil", ("mobil",)),
        ("meniru-nirukan", ("tiru",)),
        ("malaikat-malaikat-nya", ("malaikat",)),
        ("diseminasi", ("mas",)),
        ("ev-nya", ("ev", "nya")),
        ("non-subsidi", ("non", "subsidi")),
        ("pra-bekasi", ("pra", "bekasi")),
        ("non-pengecasan", ("non", "cas")),
        ("2025", ("2025",)),
        ("b35", ("b35",)),
        ("di-2025-kan", ("di", "2025", "kan")),
        ("bekasi", ("bekasi",)),
        ("berikan", ("beri",)),
        ("москва", ("москва",)),
        ("比亚迪-nya", ("比亚迪-nya",)),
        ("ølnya", ("ølnya",)),
        ("mexyz-xyz", ("mexyz",)),
        ("-", ("-",)),
        ("---", ("---",)),
        ("-nya", ("nya",)),
        ("buku-------nya-buku", ("buku",)),
    ],
)
def test_stems_of_a_word(word: str, expected: tuple[str, ...]) -> None:
    assert Stems().stem(word) == expected
    assert Stems().stems([word, word]) == [expected, expected]
    assert contract(word) == expected


def test_contract_on_a_part_of_the_corpus() -> None:
    words = words_of(articles())
    assert len(words) > 20_000
    assert_contract(random.Random(0).sample(words, 1500))


def test_contract_on_generated_words() -> None:
    assert_contract(itertools.islice(generated(seed=1), 800))


@pytest.mark.slow
def test_contract_on_every_word_of_the_corpus() -> None:
    assert_contract(words_of(articles()))


@pytest.mark.slow
def test_contract_on_every_word_of_real_news() -> None:
    real = ROOT.parent / "shared" / "real-news" / "dev.jsonl"
    if not real.exists():
        pytest.skip("real news: ../shared absent")
    assert_contract(words_of([real]))


@pytest.mark.slow
def test_contract_on_every_root() -> None:
    assert_contract(roots())
    assert_contract(f"me{root}i" for root in roots()[::5])


@pytest.mark.slow
def test_contract_on_many_generated_words() -> None:
    assert_contract(itertools.islice(generated(seed=2), 30_000))


@st.composite
def affixed_words(draw: st.DrawFn) -> str:
    root = draw(st.sampled_from(roots()))[draw(st.integers(0, 1)) :]
    prefixes = draw(st.lists(st.sampled_from(PREFIXES), max_size=4))
    suffixes = draw(st.lists(st.sampled_from(SUFFIXES), max_size=3))
    word = "".join((*prefixes, root, *suffixes))
    doubled = draw(st.sampled_from(("", "-", "-me", "-ber")))
    return f"{word}{doubled}{word}" if doubled else word


@settings(max_examples=100, deadline=None)
@example("diseminasi")
@example("dikan")
@example("mengan")
@example("berbalas-balasan")
@given(affixed_words() | st.text("abdegikmnprstuy1-", min_size=1, max_size=14))
def test_law_memo_equals_sastrawi(word: str) -> None:
    stems = Stems()
    if not re.fullmatch("[a-z0-9-]+", word):
        return
    assert stems.stem(word) == contract(word)
    assert stems.stem(word) == contract(word)  # now from the memo


@settings(max_examples=60, deadline=None)
@given(affixed_words())
def test_law_prefix_table_covers_every_rule(word: str) -> None:
    assert_rules_covered(word)


def assert_rules_covered(word: str) -> None:
    ours = set(module._without_prefix(word))
    for visitor in stemmer().visitor_provider.get_prefix_visitors():
        results = (
            [rule.disambiguate(word) for rule in visitor.disambiguators]
            if hasattr(visitor, "disambiguators")
            else [visitor.remove(word)]
        )
        assert {result for result in results if result not in (None, word)} <= ours, (word, visitor)


def test_prefix_table_covers_every_rule_on_every_kind_of_beginning() -> None:
    letters = ("a", "e", "b", "r", "l", "n", "y", "w", "s", "k", "1", "-", "er", "el", "em", "in")
    tails = list(itertools.product(letters, repeat=3))
    for head in (*PREFIXES, "b", "k", "l", "s", "a"):
        for tail in random.Random(head).sample(tails, 30):
            assert_rules_covered(head + "".join(tail) + "x")
    for word in ("belajar", "pelajar", "ketahui", "mempengaruhi", "menge", "penge", "ku", "di", "kau"):
        assert_rules_covered(word)


def test_no_root_breaks_an_assumption_of_the_filter() -> None:
    assert not [root for root in roots() if "--" in root or root.startswith("-") or root.endswith("-")]


def test_filter_settles_most_names() -> None:
    garbage = ["".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=9)) for seed in range(5000)]
    may_change = module._sastrawi().may_change
    assert sum(map(may_change, garbage)) < 50


# -- the protected words


def test_protected_words_are_few_sorted_wrong_in_sastrawi_and_lead_to_a_root() -> None:
    assert list(PROTECTED) == sorted(PROTECTED)
    assert len(PROTECTED) <= 80
    known = set(roots())
    for word, stem in PROTECTED.items():
        assert sastrawi(word) != stem, word
        assert stem == word or stem in known or stem in PROTECTED, word
        assert PROTECTED.get(stem, stem) == stem, word


def test_other_protected_words_and_known_stems() -> None:
    stems = Stems(protected={"makanan": "makanan"}, known={"zzz": ("a", "b"), "makanan": ("x",)})
    assert stems.stems(["makanan", "zzz", "bekasi", "zzz-makanan"]) == [
        ("makanan",),
        ("a", "b"),
        ("bekas",),
        ("a", "b", "makanan"),
    ]


# -- arguments


def test_order_and_repeats_are_kept() -> None:
    words = ["makanan", "xyz", "makanan", "minuman", "xyz"]
    assert Stems().stems(words) == [("makan",), ("xyz",), ("makan",), ("minum",), ("xyz",)]
    assert Stems().stems(()) == []


@pytest.mark.parametrize("words", ["makanan", b"makanan"])
def test_refuses_one_string(words: Any) -> None:
    with pytest.raises(TypeError, match="expected a sequence of tokens"):
        Stems().stems(words)


def test_refuses_no_memo() -> None:
    with pytest.raises(ValueError, match="memo limit: found 0"):
        Stems(memo_size=0)


def test_tiny_memo_gives_the_same_stems() -> None:
    words = list(itertools.islice(generated(seed=3), 300))
    small = Stems(memo_size=1)
    assert small.stems(words) == Stems().stems(words) == [small.stem(word) for word in words]


def test_memory_is_bounded() -> None:
    stems = Stems(memo_size=100, protected={})
    for start in range(0, 5000, 500):
        stems.stems([f"x{number}" for number in range(start, start + 500)])
    stems.stems(["y" * 1000, "z" * 10_000])
    assert len(stems._memo) <= 200
    assert stems._memo.get("z" * 10_000) is None


def test_pickled_copy_stems_alike() -> None:
    copy = pickle.loads(pickle.dumps(Stems(known={"zzz": ("a",)})))
    assert copy.stems(["zzz", "bekasi", "makanan"]) == [("a",), ("bekasi",), ("makan",)]


# -- hostile words


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "a" * n, id="one letter"),
        pytest.param(lambda n: "me" * (n // 2), id="repeated prefix"),
        pytest.param(lambda n: "menge" * (n // 5) + "kan" * 3, id="prefix and suffix"),
        pytest.param(lambda n: "kan" * (n // 3), id="repeated suffix"),
        pytest.param(lambda n: "buku" + "-" * n + "nya-buku", id="run of hyphens"),
        pytest.param(lambda n: "-" * n, id="only hyphens"),
        pytest.param(lambda n: "a-" * (n // 2) + "a", id="many parts"),
        pytest.param(lambda n: "mobil" * (n // 10) + "-" + "mobil" * (n // 10), id="long halves"),
    ],
)
def test_long_words_are_settled_in_linear_time(make: Callable[[int], str]) -> None:
    stems = Stems()
    stems.stem("makanan")
    started = time.perf_counter()
    found = stems.stem(make(1_000_000))
    assert time.perf_counter() - started < 2
    assert found


@pytest.mark.parametrize("length", range(1, 60, 3))
def test_length_bound_does_not_cut_into_the_contract(length: int) -> None:
    longest = max(roots(), key=len)
    for word in (
        "menge" * 3 + longest + "isasinyalah",
        "ku" * length + longest,
        longest + "-" * length + "nya",
    ):
        assert Stems().stem(word) == contract(word)
        assert Stems().stem(f"{word}-{longest}") == contract(f"{word}-{longest}")


# -- threads


def test_threads_agree() -> None:
    words = list(itertools.islice(generated(seed=4), 500))
    expected = Stems().stems(words)
    shared = Stems(memo_size=50)

    def run(seed: int) -> bool:
        order = random.Random(seed).sample(range(len(words)), len(words))
        return shared.stems([words[index] for index in order]) == [expected[index] for index in order]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, range(6)))


# -- the installed Sastrawi


def test_right_distribution_passes() -> None:
    check_distributions("1.2.1", None)
    check_distributions("1.10.0", None)
    check_distributions("2.0rc1", None)


@pytest.mark.parametrize(
    ("pysastrawi", "abandoned", "found"),
    [
        ("1.2.1", "1.0.1", "the abandoned distribution Sastrawi 1.0.1 is installed"),
        (None, "1.0.1", "the abandoned distribution Sastrawi 1.0.1 is installed"),
        (None, None, "PySastrawi is not installed"),
        ("1.2.0", None, "PySastrawi 1.2.0 is installed"),
        ("1.1", None, "PySastrawi 1.1 is installed"),
    ],
)
def test_wrong_distribution_is_named_with_the_repair(pysastrawi: str | None, abandoned: str | None, found: str) -> None:
    with pytest.raises(SastrawiError) as caught:
        check_distributions(pysastrawi, abandoned)
    message = str(caught.value)
    assert message.startswith(found)
    assert 'pip uninstall -y Sastrawi PySastrawi && pip install "PySastrawi>=1.2.1"' in message
    assert "\n" not in message


def test_import_does_not_load_sastrawi() -> None:
    code = "import sys, features.stems; features.stems.Stems(); sys.exit('Sastrawi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
