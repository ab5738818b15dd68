"""Indonesian stems: Sastrawi behind a memo and behind a filter that knows which words it cannot change.

Sastrawi takes tens of microseconds a word, even as `features.sastrawi` runs it. Most words of a news stream were seen
before: the memo answers. Most new ones are names and figures: the filter settles them in a few microseconds. Sastrawi
stems all the rest.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from features.memo import Memo
from features.sastrawi import quicken

# Rule of admission. Sastrawi gives the word the root of an unrelated word (`busan` -> `bus`, `senilai` ->
# `nila`, a fish) or no word at all (`gerakan` -> `gera`), and the word is (1) the name of a place, an agency,
# a company or a model, (2) a term of one of the sectors, or a word Sastrawi turns into one, or (3) a verb or
# noun of everyday news. A name keeps itself; any other word gets its root, or itself where the dictionary
# lacks the root. At most 80 words.
PROTECTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "asahan": "asahan",
        "asii": "asii",
        "bali": "bali",
        "banggai": "banggai",
        "bantalan": "bantalan",
        "bekasi": "bekasi",
        "belasan": "belas",
        "berau": "berau",
        "berbasis": "basis",
        "berikan": "beri",
        "berlapis": "lapis",
        "berlin": "berlin",
        "bernilai": "nilai",
        "bersihkan": "bersih",
        "bertani": "tani",
        "busan": "busan",
        "dibantah": "bantah",
        "dikuasai": "kuasa",
        "dikurangi": "kurang",
        "diminati": "minat",
        "dipesan": "pesan",
        "gerakan": "gerak",
        "kediri": "kediri",
        "kementan": "kementan",
        "kerusakan": "rusak",
        "kutai": "kutai",
        "labuan": "labuan",
        "maluku": "maluku",
        "memadukan": "padu",
        "memakainya": "pakai",
        "memangkas": "pangkas",
        "membantah": "bantah",
        "membelinya": "beli",
        "memesan": "pesan",
        "menganggur": "pengangguran",
        "mengenali": "kenal",
        "mengering": "kering",
        "menipis": "tipis",
        "mentan": "mentan",
        "merapi": "merapi",
        "minas": "minas",
        "musi": "musi",
        "oman": "oman",
        "pekalongan": "pekalongan",
        "pelapis": "lapis",
        "pemadam": "padam",
        "pemadaman": "padam",
        "pemalang": "pemalang",
        "pemangkasan": "pangkas",
        "pembelinya": "beli",
        "pemesanan": "pesan",
        "pemilu": "pemilu",
        "pemupukan": "pupuk",
        "pemutihan": "putih",
        "penang": "penang",
        "pengaman": "aman",
        "pengangguran": "pengangguran",
        "pengelasan": "las",
        "pengemasan": "kemas",
        "pengering": "kering",
        "penyelidikan": "selidik",
        "perawatan": "rawat",
        "perbankan": "bank",
        "peremajaan": "peremajaan",
        "permentan": "permentan",
        "perokok": "rokok",
        "peternakan": "ternak",
        "propan": "propan",
        "relawan": "relawan",
        "rokan": "rokan",
        "seken": "seken",
        "selis": "selis",
        "semangga": "semangga",
        "senilai": "nilai",
        "sepekan": "pekan",
        "serena": "serena",
        "tabanan": "tabanan",
        "tarakan": "tarakan",
        "temanggung": "temanggung",
        "tumpukan": "tumpuk",
    }
)

_OLDEST_PYSASTRAWI: Final = (1, 2, 1)
_REPAIR: Final = 'pip uninstall -y Sastrawi PySastrawi && pip install "PySastrawi>=1.2.1"'

_PLAIN: Final = re.compile(r"[a-z0-9-]+")
_LONG_HYPHEN_RUN: Final = re.compile(r"-{4,}")

# Sastrawi's affix rules, each widened to what the beginning or the end of a word alone can tell.
_ENCLITICS: Final = frozenset(("ku", "mu", "nya", "lah", "kah", "tah", "pun"))
_PARTICLES: Final = ("lah", "kah", "tah", "pun")
_POSSESSIVES: Final = ("ku", "mu", "nya")
_DERIVATIONAL: Final = ("i", "an", "kan", "is", "isme", "isasi")
_SUFFIXES: Final = _PARTICLES + _POSSESSIVES + _DERIVATIONAL
_V: Final = "[aiueo]"
_C: Final = "[b-df-hj-np-tv-z]"
# Beginning of a word -> (letters put back, number of letters taken off) for every result that a rule can give
# it; the first match wins. Numbers are those of Sastrawi's disambiguator rules.
_PREFIXES: Final[tuple[tuple[str, tuple[tuple[str, int], ...]], ...]] = (
    ("di|ke|se|ku", (("", 2),)),  # plain prefixes, 41
    ("kau", (("", 3),)),  # 42
    (f"ber{_V}", (("", 3), ("", 2))),  # 1
    (f"ber{_C}|belajar", (("", 3),)),  # 2, 3, 4
    (f"be{_C}er", (("", 2),)),  # 5
    (f"ter{_V}", (("", 3), ("", 2))),  # 6
    (f"ter{_C}", (("", 3),)),  # 7, 8, 35
    (f"te{_C}er", (("", 2),)),  # 9
    (f"me[lrwy]{_V}", (("", 2),)),  # 10
    ("mem[bfvp]", (("", 3),)),  # 11, 12, 19
    (f"mem{_V}", (("", 2), ("p", 3))),  # 13
    ("men[cdjstz]", (("", 3),)),  # 14
    (f"men{_V}", (("", 2), ("t", 3))),  # 15
    ("meng[ghqk]", (("", 4),)),  # 16
    ("menge", (("", 4), ("k", 4), ("", 5), ("", 2))),  # 17
    (f"meng{_V}", (("", 4), ("k", 4), ("", 2))),  # 17
    (f"meny{_V}", (("", 2), ("s", 4))),  # 18
    ("pem[bfv]", (("", 3), ("", 2))),  # 25, 34, 36
    (f"pem{_V}", (("", 2), ("p", 3))),  # 26, 34
    ("pen[cdjstz]", (("", 3), ("", 2))),  # 27, 34
    (f"pen{_V}", (("", 2), ("t", 3))),  # 28, 34
    ("penge", (("", 4), ("k", 4), ("", 5), ("", 2))),  # 30, 34
    (f"peng{_V}", (("", 4), ("k", 4), ("", 2))),  # 30, 34
    (f"peng{_C}", (("", 4), ("", 2))),  # 29, 34
    (f"peny{_V}", (("", 2), ("s", 4))),  # 31, 34
    (f"per(?:{_V}|{_C})|pelajar", (("", 3), ("", 2))),  # 21, 23, 24, 32, 34
    (f"pe{_C}", (("", 2),)),  # 20, 32, 34, 36
)
_PREFIX: Final = re.compile("|".join(f"({pattern})" for pattern, _ in _PREFIXES))
_RESULTS: Final = ((), *(results for _, results in _PREFIXES))  # by the number of the group that matched
_INFIX: Final = re.compile(f"{_C}(?:er|el|em|in){_V}")  # 37 - 40
_PREFIX_STEPS: Final = 3
# "menge" three times, a particle, a possessive and "isasi": no chain of rules takes more letters off a word.
_LONGEST_AFFIXES: Final = _PREFIX_STEPS * 5 + 3 + 3 + 5

# A longer token is rare: keeping it would let the text, not `memo_size`, decide how much memory is used.
_LONGEST_REMEMBERED: Final = 64


#: Whether another process, which this one works for, has checked which Sastrawi is installed.
distributions_checked = False


class SastrawiError(ImportError):
    """PySastrawi is missing, too old, or overwritten by the abandoned distribution Sastrawi."""


def check_distributions(pysastrawi: str | None, sastrawi: str | None) -> None:
    """Checks the installed versions of `PySastrawi` and of `Sastrawi`; None means not installed.

    Both install the package `Sastrawi`, so whichever came last wins. `Sastrawi` 1.0.1 (2016) looks roots up
    in a list, hundreds of times slower.

    Raises:
        SastrawiError: one line naming what is wrong and the command that repairs it.
    """
    if sastrawi is not None:
        found = f"the abandoned distribution Sastrawi {sastrawi} is installed"
    elif pysastrawi is None:
        found = "PySastrawi is not installed"
    elif tuple(int(part) for part in re.findall(r"\d+", pysastrawi)[:3]) < _OLDEST_PYSASTRAWI:
        found = f"PySastrawi {pysastrawi} is installed"
    else:
        return
    raise SastrawiError(f"{found}, expected PySastrawi >= 1.2.1 alone; repair: {_REPAIR}")


class Stems:
    """Token -> stems, exactly as Sastrawi stems it, remembered.

    A token is folded already: lower-case and non-empty. Its stems are

    - of a protected word: the one stem the list gives it;
    - of any other token of `[a-z0-9-]`: `(Sastrawi(token),)`; but where that leaves a token with a hyphen as
      it was, its parts between hyphens, each by this same rule (`ev-nya` -> `ev`, `nya`; `non-subsidi` ->
      `non`, `subsidi`);
    - of a token with any other character: the token itself, because Sastrawi would delete the character.

    Safe under threads: the memo is, and Sastrawi is called without its own cache, which grows without bound.
    The rest of Sastrawi keeps the state of a word in a `Context` made for that word; visitors and dictionary
    are only read.

    Args:
        protected: word -> its stem.
        memo_size: words per generation of the memo; at most twice as many are held, beside `known` and
            `protected`.
        known: token -> stems worked out before with the same `protected`, for instance when the model was
            trained.

    Raises:
        ValueError: `memo_size` is below 1.
    """

    def __init__(
        self,
        protected: Mapping[str, str] = PROTECTED,
        memo_size: int = 2**17,
        known: Mapping[str, tuple[str, ...]] = {},
    ) -> None:
        fixed = {**known, **{word: (stem,) for word, stem in protected.items()}}
        self._memo: Memo[tuple[str, ...]] = Memo(memo_size, fixed)

    def stem(self, word: str) -> tuple[str, ...]:
        """The stems of one token.

        Raises:
            SastrawiError: at the first word not remembered, see `check_distributions`.
        """
        return self._memo.get(word) or self.stems((word,))[0]

    def stems(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """The stems of every token, in the order given.

        Args:
            words: tokens.

        Raises:
            TypeError: `words` is one string.
            SastrawiError: at the first word not remembered, see `check_distributions`.
        """
        if isinstance(words, (str, bytes)):
            raise TypeError(f"words: found one {type(words).__name__}, expected a sequence of tokens")
        remembered = self._memo.get_all(words)
        pairs = list(zip(words, remembered, strict=True))
        new = list(dict.fromkeys([word for word, stems in pairs if stems is None]))
        if not new:
            return [stems for stems in remembered if stems is not None]
        worked_out = self._work_out(new)
        self._memo.update({word: stems for word, stems in worked_out.items() if len(word) <= _LONGEST_REMEMBERED})
        return [worked_out[word] if stems is None else stems for word, stems in pairs]

    def _work_out(self, words: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The stems of distinct tokens that the memo lacks."""
        plain = _PLAIN.fullmatch
        asked = [word for word in words if plain(word)]
        stemmed = stem_words(asked)
        stems: dict[str, tuple[str, ...]] = dict(zip(asked, zip(stemmed), strict=True))  # each a tuple of one
        if len(asked) < len(words):
            stems = {word: stems.get(word, (word,)) for word in words}
        split = {
            word: [part for part in word.split("-") if part] for word in asked if "-" in word and stems[word] == (word,)
        }
        if split:
            parts = list(dict.fromkeys(part for several in split.values() for part in several))
            of_part = dict(zip(parts, self.stems(parts), strict=True))
            for word, several in split.items():
                stems[word] = tuple(stem for part in several for stem in of_part[part]) or (word,)
        return stems


class _Sastrawi(NamedTuple):
    """Sastrawi's stemmer, with the roots it knows."""

    stem_word: Callable[[str], str]
    roots: Container[str]
    longest_root: int

    def stem(self, word: str) -> str:
        """Sastrawi's stem of a token of `[a-z0-9-]` that `may_change`.

        Its suffix patterns begin with `-*` and take quadratic time on a run of hyphens, so a run longer than
        three is shortened to three. That changes no result: no root has two hyphens in a row; a suffix takes
        the whole run before it; and where a token is cut in two at its last hyphens, a run of three or more
        leaves hyphens at the end of the first half, which no rule then changes.
        """
        short = _LONG_HYPHEN_RUN.sub("---", word)
        stem = self.stem_word(short)
        return word if stem == short else stem

    def may_change(self, word: str) -> bool:
        """False only if Sastrawi returns the token as it is. Linear in the length of the token.

        A token without a hyphen, or with one before a final enclitic, changes only into a root. Any other
        token Sastrawi cuts in two at its last hyphen (before an enclitic, at the last but one) and returns
        the stem of the first half if the second half, or "me" + the second half where that half has no stem,
        has the same. Two equal stems are both roots, or both halves are unchanged and the first is "me" + the
        second.
        """
        if "-" not in word:
            return word not in self.roots and self._reaches_root(word)
        first, _, second = word.rpartition("-")
        if second in _ENCLITICS:
            if "-" not in first:
                return word not in self.roots and self._reaches_root(word)
            first, _, before = first.rpartition("-")
            second = f"{before}-{second}"
        return first == "me" + second or (
            self._reaches_root(first) and (self._reaches_root(second) or self._reaches_root("me" + second))
        )

    def _reaches_root(self, word: str) -> bool:
        """True if the word is a root, or Sastrawi, stemming it, may look a root up.

        Proof that nothing is missed. `Context.start_stemming_process` looks up the word and what it becomes

        - by up to three prefix removals, then the suffix removals, where a precedence rule says so;
        - by the suffix removals (a particle, a possessive, a derivational suffix, in this order, once each),
          then up to three prefix removals;
        - by up to three prefix removals from the word as it was before any one of the suffix removals, or
          with the `k` of a `kan` taken off put back.

        Words of up to three letters stop earlier on the same path. So the *end* of what is looked up is the
        end of the word after some suffix removals, and `_ends` lists all of those. Of the derivational
        suffixes it takes every one that fits, Sastrawi the longest; but in the first case prefix removal can
        have eaten into the longest, and `an` of `kan` leaves what putting `k` back gives. A suffix that
        reaches into the letter a prefix rule put back leaves nothing, which is no root.

        The *beginning* is what up to three prefix or infix rules leave. Their conditions look at the first
        letters only, and `_without_prefix` keeps of them what a word fulfils whenever it does so with its end
        cut off. Hence all that is looked up is one of these beginnings with one of these ends.
        """
        # Hyphens do not count here: one suffix removal takes any number of them.
        if len(word) - word.count("-") > self.longest_root + _LONGEST_AFFIXES:
            return False
        roots = self.roots
        ends = _ends(word) if word.endswith(_SUFFIXES) else (None,)
        level = [word]
        for step in range(_PREFIX_STEPS + 1):
            for candidate in level:
                for end in ends:
                    if candidate[:end] in roots:
                        return True
            if step < _PREFIX_STEPS:
                level = [shorter for candidate in level for shorter in _without_prefix(candidate)]
                if not level:
                    return False
        return False


def _ends(word: str) -> list[int | None]:
    """Where the word may end after suffix removals, as slice ends: None (its own end) or negative."""
    ends: list[int | None] = [None]
    rest = word
    for suffixes in (_PARTICLES, _POSSESSIVES):
        for suffix in suffixes:
            if rest.endswith(suffix):
                rest = rest[: -len(suffix)].rstrip("-")
                ends.append(len(rest) - len(word))
                break
    ends.extend(len(rest) - len(suffix) - len(word) for suffix in _DERIVATIONAL if rest.endswith(suffix))
    return ends


def _without_prefix(word: str) -> list[str]:
    """Every string that one prefix or infix rule of Sastrawi may make of the word."""
    shorter: list[str] = []
    prefix = _PREFIX.match(word)
    if prefix is not None and prefix.lastindex is not None:
        shorter.extend(letters + word[taken:] for letters, taken in _RESULTS[prefix.lastindex])
    if _INFIX.match(word):
        shorter.append(word[0] + word[3:])
    return shorter


_BUILDING: Final = threading.Lock()


def _sastrawi() -> _Sastrawi:
    """Sastrawi's stemmer, built at first use (15 ms), once a process.

    Raises:
        SastrawiError: see `check_distributions`.
    """
    with _BUILDING:
        return _build()


@functools.cache
def _build() -> _Sastrawi:
    if not distributions_checked:
        check_distributions(_version("PySastrawi"), _version("Sastrawi"))
    # The package has no types: imported by name, its members are Any.
    factory = importlib.import_module("Sastrawi.Stemmer.StemmerFactory")
    stemmer = factory.StemmerFactory().create_stemmer().delegatedStemmer  # what the unbounded cache wraps
    quicken(stemmer)
    roots = stemmer.get_dictionary().words
    return _Sastrawi(stemmer.stem_word, roots, max(map(len, roots)))


def _version(distribution: str) -> str | None:
    from importlib import metadata  # which takes as long to import as all the rest that stems need

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def stem_words(words: Sequence[str]) -> list[str]:
    """Sastrawi's stem of every token of `[a-z0-9-]`, in the order given, whatever is remembered."""
    sastrawi = _sastrawi()
    may_change, stem = sastrawi.may_change, sastrawi.stem
    return [stem(word) if may_change(word) else word for word in words]
