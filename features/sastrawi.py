"""PySastrawi's stemmer, the same rules with the same results in a fifth of the time.

Most of its time does not go into its rules. To note which letters a rule took off a word, it compiles what is left of
the word as a regular expression, a new one for every word; and it tries some forty prefix rules one after the other,
whatever the word begins with. `quicken` exchanges just that in one stemmer: the letters are told by comparing strings,
and of the prefix rules those are tried that the beginning of the word allows. What a rule does to a word stays
PySastrawi's, and so does the order of all steps.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

#: What the beginning of a word must be for one of PySastrawi's numbered prefix rules to change it: letters, and the
#: place where they stand. A rule that is not named here is always tried.
NEEDS: Final[Mapping[int, tuple[str, int]]] = MappingProxyType(
    {
        **dict.fromkeys((1, 2, 3), ("ber", 0)),
        4: ("bela", 0),
        5: ("be", 0),
        **dict.fromkeys((6, 7, 8, 35), ("ter", 0)),
        9: ("te", 0),
        10: ("me", 0),
        **dict.fromkeys((11, 12, 13, 19), ("mem", 0)),
        **dict.fromkeys((14, 15), ("men", 0)),
        **dict.fromkeys((16, 17), ("meng", 0)),
        18: ("meny", 0),
        **dict.fromkeys((20, 32, 34, 36), ("pe", 0)),
        **dict.fromkeys((21, 23, 24), ("per", 0)),
        **dict.fromkeys((25, 26), ("pem", 0)),
        **dict.fromkeys((27, 28), ("pen", 0)),
        **dict.fromkeys((29, 30), ("peng", 0)),
        31: ("peny", 0),
        37: ("er", 1),
        38: ("el", 1),
        39: ("em", 1),
        40: ("in", 1),
        41: ("ku", 0),
        42: ("kau", 0),
    }
)
_BEGINNING: Final = 4  # letters that `NEEDS` looks at, at most
_REMEMBERED: Final = 4096  # beginnings whose rules are remembered
_NUMBER: Final = re.compile(r"Rule([0-9]+)")
#: What PySastrawi calls that which its visitors take off; by these names it finds the suffixes that it puts back.
_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RemoveInflectionalParticle": "P",
        "RemoveInflectionalPossessivePronoun": "PP",
        "RemoveDerivationalSuffix": "DS",
        "RemovePlainPrefix": "DP",
    }
)
_PREFIX: Final = "DP"


class _Visitor(Protocol):
    def visit(self, context: Any) -> None:
        """Change the word of a context, PySastrawi's state of one word, if the visitor's rule fits it."""


def quicken(stemmer: Any) -> None:
    """Exchange the visitors of a PySastrawi stemmer for faster ones; nothing else of PySastrawi is touched.

    A visitor that another version may have, and that is not known here, stays as it is.

    For words of `[a-z0-9-]` alone: what is left of one means itself as a regular expression. Parameters: stemmer, a
    `Sastrawi.Stemmer.Stemmer.Stemmer`.
    """
    removal = importlib.import_module("Sastrawi.Stemmer.Context.Removal").Removal
    roots = stemmer.get_dictionary().words
    provider = stemmer.visitor_provider

    def faster(visitor: Any) -> _Visitor:
        if hasattr(visitor, "disambiguators"):
            return _PrefixRule(visitor, roots, removal)
        kind = _KINDS.get(type(visitor).__name__)
        unchanged: _Visitor = visitor
        return unchanged if kind is None else _AffixRule(visitor, kind, removal)

    provider.suffix_visitors = [faster(visitor) for visitor in provider.suffix_visitors]
    rules = [(_needs(visitor), faster(visitor)) for visitor in provider.prefix_visitors]
    provider.prefix_visitors = [_PrefixRules(rules, roots)]


def _needs(visitor: Any) -> tuple[str, int]:
    for rule in getattr(visitor, "disambiguators", ()):
        if number := _NUMBER.search(type(rule).__name__):
            return NEEDS.get(int(number[1]), ("", 0))
    return "", 0


class _AffixRule:
    """One of PySastrawi's visitors that take one of some affixes off.

    Parameters: visitor; kind, what PySastrawi calls what it takes off; removal, PySastrawi's class of a note of it.
    """

    def __init__(self, visitor: Any, kind: str, removal: Callable[..., Any]):
        self.remove: Callable[[str], str] = visitor.remove
        self.kind = kind
        self.removal = removal

    def visit(self, context: Any) -> None:
        word = context.current_word
        left = self.remove(word)
        if left != word:
            context.add_removal(self.removal(self, word, left, word.replace(left, "", 1), self.kind))
            context.current_word = left


class _PrefixRule:
    """One of PySastrawi's prefix rules, of one or more forms: the first that gives a root counts, else the last.

    Parameters: visitor, of PySastrawi; roots, all it knows; removal, as for `_AffixRule`.
    """

    def __init__(self, visitor: Any, roots: Container[str | None], removal: Callable[..., Any]):
        self.forms: list[Callable[[str], str | None]] = [form.disambiguate for form in visitor.disambiguators]
        self.roots = roots
        self.removal = removal

    def visit(self, context: Any) -> None:
        word, left = context.current_word, None
        for form in self.forms:
            left = form(word)
            if left in self.roots:
                break
        if left is not None:
            context.add_removal(self.removal(self, word, left, word.replace(left, "", 1), _PREFIX))
            context.current_word = left


class _PrefixRules:
    """All prefix rules in turn, as far as the beginning of the word allows them, until one has changed the word.

    As a rule that does not fit changes nothing, to leave it out changes nothing either. But PySastrawi looks after each
    rule whether the word is a root, and stops if it is: the first one, which takes "di", "ke" or "se" off, is therefore
    never left out.

    Parameters: rules, each with what it `NEEDS`, in PySastrawi's order; roots, all it knows.
    """

    def __init__(self, rules: Iterable[tuple[tuple[str, int], _Visitor]], roots: Container[str]):
        self.rules = list(rules)
        self.roots = roots
        self._allowed = functools.lru_cache(_REMEMBERED)(self.allowed)

    def allowed(self, beginning: str) -> list[_Visitor]:
        """The rules that may change a word, by its first four letters, or fewer if it is shorter."""
        return [rule for (letters, place), rule in self.rules if beginning.startswith(letters, place)]

    def visit(self, context: Any) -> None:
        before = len(context.removals)
        for rule in self._allowed(context.current_word[:_BEGINNING]):
            rule.visit(context)
            if context.process_is_stopped or len(context.removals) > before or context.current_word in self.roots:
                return
