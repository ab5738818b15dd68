"""Words met before, with the columns of their stems: whole batches are looked up at once.

Nearly every word has one stem, so a word's columns are written as one number, its code. `Words` begins with the words
of the training articles and learns those that come up again and again, so that a stream of news meets Python, word by
word, only for what is new.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from features.table import HashTable
from features.tokens import LONG, Packed, Tokens

Codes = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]

UNSEEN: Final = -2  # the code of a word that is not in the table
SEVERAL: Final = -3  # the code of the first of `Several`; the next ones are -4, -5, ...

LEARNED: Final = 3 * 2**16  # words that are learned at most, each about 50 bytes: more than 20,000 articles bring
FEWEST_OFFERED: Final = 512  # how often words are offered to be learned before the table is built anew
SHARE_OFFERED: Final = 1 / 8  # and per word learned so far: to look up so many one by one takes as long as to build it


@dataclass(frozen=True)
class Several:
    """The columns of the stems of those words that have several, or none.

    columns: (n_columns,), of one word after the other. bounds: (n_words + 1,), where in `columns` each word begins.
    """

    columns: Codes
    bounds: Positions

    @classmethod
    def of(cls, words: Sequence[tuple[int, ...]]) -> Self:
        """From the columns of each word."""
        bounds = np.zeros(len(words) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=bounds[1:])
        return cls(np.fromiter(chain.from_iterable(words), np.int32, bounds[-1]), bounds)

    def __len__(self) -> int:
        return self.bounds.size - 1

    def and_then(self, others: Several) -> Several:
        """These words, then others."""
        if not len(others):
            return self
        columns = np.concatenate((self.columns, others.columns))
        return Several(columns, np.concatenate((self.bounds, others.bounds[1:] + self.bounds[-1])))


#: The code of a word without stems, such as a number, is `SEVERAL` in all tables.
NONE: Final = Several.of([()])


def coded(columns: Sequence[tuple[int, ...]], before: Several = NONE) -> tuple[Codes, Several]:
    """The codes of words, (n_words,), from the columns of each, and `before` with those words that have several."""
    several: list[tuple[int, ...]] = []
    codes: list[int] = []
    for its in columns:
        if len(its) == 1:
            codes.append(its[0])
        elif not its:
            codes.append(SEVERAL)
        else:
            codes.append(SEVERAL - len(before) - len(several))
            several.append(its)
    return np.array(codes, np.int32), before.and_then(Several.of(several))


class WordTable:
    """Words with their codes; never changed. `Words` replaces it by a larger one.

    Parameters: short and long, words as `Tokens.packed` and `Tokens.packed_long` give them, each once; their codes,
    (n_short,) and (n_long,); several, what the codes refer to.
    """

    def __init__(self, short: Packed, short_codes: Codes, long: Packed, long_codes: Codes, several: Several):
        self.several = several
        self._short, self._long = HashTable(short, short_codes, UNSEEN), HashTable(long, long_codes, UNSEEN)

    def __len__(self) -> int:
        return len(self._short) + len(self._long)

    def find(self, words: Tokens) -> Codes:
        """The codes of words, (n_tokens,): `UNSEEN` for one that is not here."""
        codes = self._short.get(words.packed)
        if words.long.size:
            codes[words.long] = self._long.get(words.packed_long)
        return codes

    def with_words(self, words: Mapping[str, tuple[int, ...]]) -> WordTable:
        """A table that holds these words too, of `features.tokens.LONG` bytes at most."""
        tokens, columns = Tokens.of(list(words)), list(words.values())
        is_new = self.find(tokens) == UNSEEN
        codes = np.full(len(words), UNSEEN, np.int32)
        codes[is_new], several = coded([columns[place] for place in is_new.nonzero()[0].tolist()], self.several)
        new_long = is_new[tokens.long]
        is_new[tokens.long] = False
        return WordTable(
            np.concatenate((self._short.keys, tokens.packed[is_new])),
            np.concatenate((self._short.values, codes[is_new])),
            np.concatenate((self._long.keys, tokens.packed_long[new_long])),
            np.concatenate((self._long.values, codes[tokens.long[new_long]])),
            several,
        )


class Words:
    """The table of words of a predictor; safe under threads, bounded in memory.

    What is learned changes how fast a word is looked up, never what is found. When `LEARNED` words have been learned
    all of them are forgotten, and those still in use soon come back.

    Parameters: words, with the columns of the stems of each; they are never forgotten.
    """

    def __init__(self, words: Mapping[str, tuple[int, ...]]):
        self._words = words
        none, no_codes = Tokens.of([]), np.zeros(0, np.int32)
        empty = WordTable(none.packed, no_codes, none.packed_long, no_codes, NONE)
        self._first = empty.with_words({word: columns for word, columns in words.items() if _fits(word)})
        self._waiting: dict[str, tuple[int, ...]] = {}
        self._offered = 0
        self._learning = threading.Lock()
        self.table = self._first

    def learn(self, words: Mapping[str, tuple[int, ...]]) -> None:
        """Take words, as they stand in cleaned texts, with the columns of the stems of each, into the table."""
        if not self._learning.acquire(blocking=False):
            return  # another thread is at it; what comes up again will be offered again
        try:
            fitting = {word: columns for word, columns in words.items() if _fits(word)}
            self._waiting.update(fitting)
            self._offered += len(fitting)
            learned = len(self.table) - len(self._first)
            if self._offered >= FEWEST_OFFERED + SHARE_OFFERED * learned:
                waiting, self._waiting, self._offered = self._waiting, {}, 0
                before = self.table if learned + len(waiting) <= LEARNED else self._first
                self.table = before.with_words(waiting)
        finally:
            self._learning.release()

    def __reduce__(self) -> tuple[type[Words], tuple[Mapping[str, tuple[int, ...]]]]:
        # A lock cannot be pickled, and what was learned can be learned again.
        return type(self), (self._words,)


def _fits(word: str) -> bool:
    return len(word) <= LONG and (word.isascii() or len(word.encode()) <= LONG)
