"""PySastrawi run faster: every step as PySastrawi itself takes it."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.sastrawi import NEEDS, _needs, quicken
from features.stems import stem_words
from tests.test_stems import generated, stemmer


def new_stemmer() -> Any:
    factory = importlib.import_module("Sastrawi.Stemmer.StemmerFactory")
    return factory.StemmerFactory().create_stemmer().delegatedStemmer


@pytest.fixture(scope="module")
def plain() -> Any:
    return stemmer()


@pytest.fixture(scope="module")
def quick() -> Any:
    quickened = new_stemmer()
    quicken(quickened)
    return quickened


def steps(by: Any, word: str) -> tuple[str, list[tuple[str, ...]]]:
    """The stem of a word, and what was taken off on the way: before, after, the letters, their kind."""
    context_of = importlib.import_module("Sastrawi.Stemmer.Context.Context").Context
    context = context_of(word, by.get_dictionary(), by.visitor_provider)
    context.execute()
    return context.result, [(it.subject, it.result, it.removedPart, it.affixType) for it in context.removals]


def test_every_step_is_sastrawis(plain: Any, quick: Any) -> None:
    for word in itertools.islice(generated(seed=9), 8000):
        assert steps(quick, word) == steps(plain, word)
        assert quick.stem_word(word) == plain.stem_word(word)


@settings(deadline=None)
@example("tembakan")  # "kan" goes, and its "k" comes back: a root before any prefix rule
@example("isasi")  # nothing is left
@example("kan")
@example("ber")
@example("mengenge")
@given(st.text("abdegikmnprstuy1-", max_size=12))
def test_every_step_is_sastrawis_for_any_letters(plain: Any, quick: Any, word: str) -> None:
    assert steps(quick, word) == steps(plain, word)


def test_a_rule_changes_only_words_that_begin_as_it_needs(plain: Any) -> None:
    rules = [
        visitor for visitor in plain.visitor_provider.get_prefix_visitors() if getattr(visitor, "disambiguators", ())
    ]
    changed = set()
    for word in itertools.islice(generated(seed=10), 4000):
        for rule in rules:
            if any(form.disambiguate(word) is not None for form in rule.disambiguators):
                letters, place = _needs(rule)
                assert word.startswith(letters, place), (word, rule.disambiguators)
                changed.add(_needs(rule))
    assert changed == {_needs(rule) for rule in rules} == set(NEEDS.values())


def test_a_rule_of_another_version_is_always_tried() -> None:
    rule = type("DisambiguatorPrefixRule99", (), {})
    visitor = type("PrefixDisambiguator", (), {"disambiguators": [rule()]})
    assert _needs(visitor()) == ("", 0)
    assert _needs(object()) == ("", 0)


def test_a_visitor_of_another_version_stays_as_it_is() -> None:
    other = new_stemmer()
    visitor = type("RemoveNewSuffix", (), {"visit": lambda self, context: None})()
    other.visitor_provider.suffix_visitors.append(visitor)
    quicken(other)
    assert other.visitor_provider.get_suffix_visitors()[-1] is visitor
    assert other.stem_word("mempelajari") == "ajar"


def test_no_other_stemmer_is_changed(quick: Any) -> None:
    assert stem_words(["mempelajari"]) == ["ajar"]
    provider = new_stemmer().visitor_provider
    for visitor in (*provider.get_suffix_visitors(), *provider.get_prefix_visitors()):
        assert type(visitor).__module__.startswith("Sastrawi.")
    assert len(provider.get_prefix_visitors()) > 30
    assert len(quick.visitor_provider.get_prefix_visitors()) == 1
