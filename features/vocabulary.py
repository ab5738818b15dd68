"""Stems to columns, batches of articles to counts: all of the features that the predictor needs.

`count` is the whole data flow of this package in a dozen lines: clean, split, look up each distinct word's columns, put
neighbouring stems together as bigrams, and count. It serves one article and a million alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.clean import clean, ranges
from features.memo import Memo
from features.stems import Stems
from features.tokens import Tokens, fold, split

Integers = npt.NDArray[np.int64]

UNKNOWN: Final = -1  # the column of a stem that the vocabulary does not hold
WORD_MEMO: Final = 2**17  # words whose columns are remembered; about 20 MB


@dataclass(frozen=True)
class Stemmed:
    """A batch of documents as sequences of stems, in order.

    stems: (n_stems,), the number of each stem, `UNKNOWN` for one without.
    offsets: (n_documents + 1,), where in `stems` each document begins, and where the last ends.
    titles: (n_documents,), how many stems at the beginning of each document are its title.
    """

    stems: Integers
    offsets: Integers
    titles: Integers


@dataclass(frozen=True)
class Counts:
    """How often each term stands in each document of a batch: a sparse matrix in rows.

    offsets: (n_documents + 1,), where in `columns` and `counts` each document begins.
    columns: (n_nonzero,), ascending within a document.
    counts: (n_nonzero,), how often the term stands there; a title counts as often as the vocabulary's title weight.
    coverage: (n_documents,), the share of each document's stems that the vocabulary holds; 0 without stems.
    n_stems: (n_documents,), how many stems each document has, known or not.
    """

    offsets: Integers
    columns: Integers
    counts: Integers
    coverage: npt.NDArray[np.float64]
    n_stems: Integers


class Vocabulary:
    """The terms of a model: stems and pairs of neighbouring stems, each with its column.

    Parameters
    ----------
    terms: stems first, then bigrams ("kendaraan listrik") of those stems; a term's place is its column.
    title_weight: how often a title is counted.
    known: words with their stems, to start the memo with: those of the training corpus.

    Raises ValueError for a term given twice, a bigram before a stem, or one of stems that are not terms.
    """

    def __init__(self, terms: Sequence[str], title_weight: int, known: Mapping[str, tuple[str, ...]] | None = None):
        self.terms = terms
        self.title_weight = title_weight
        n_stems = next((place for place, term in enumerate(terms) if " " in term), len(terms))
        self._columns = dict(zip(terms[:n_stems], range(n_stems), strict=True))
        if len(self._columns) < n_stems:
            raise ValueError("a term stands twice in the vocabulary, expected each once")
        pairs = [term.split(" ") for term in terms[n_stems:]]
        try:
            flat = np.fromiter((self._columns[stem] for pair in pairs for stem in pair), np.int64)
            first, second = flat.reshape(len(pairs), 2).T
        except (KeyError, ValueError) as error:
            raise ValueError(f"a bigram is not made of two stems of the vocabulary: {error}") from None
        self._bigrams = PairTable(first, second, n_stems + np.arange(len(pairs)))
        self._stems = Stems(known=known or {})
        self._memo: Memo[tuple[int, ...]] = Memo(WORD_MEMO)

    def __len__(self) -> int:
        return len(self.terms)

    def columns_of(self, words: Sequence[str], workers: int = 1) -> list[tuple[int, ...]]:
        """For each word of a cleaned text the columns of its stems: mostly one, none for a number."""
        found = [self._memo.get(word) for word in words]
        new = [word for word, columns in zip(words, found, strict=True) if columns is None]
        if new:
            column_of = self._columns.get
            stems = stems_of(self._stems, new, workers)
            learned = {
                word: tuple(column_of(stem, UNKNOWN) for stem in stems) for word, stems in zip(new, stems, strict=True)
            }
            self._memo.update(learned)
            return [learned[word] if columns is None else columns for word, columns in zip(words, found, strict=True)]
        return found  # type: ignore[return-value]

    def count(self, texts: pa.StringArray, titles: pa.StringArray | None = None, workers: int = 1) -> Counts:
        """Raw articles to counts: (n_documents, n_terms).

        Parameters: texts and titles, string arrays (n_documents,), null for none; workers, processes that may
        stem words never seen before where there are thousands of them.
        """
        tokens = split(clean(texts, titles))
        stemmed = expand(tokens, self.columns_of(tokens.distinct, workers))
        return self._count(stemmed)

    def _count(self, stemmed: Stemmed) -> Counts:
        n_documents = stemmed.titles.size
        lengths = np.diff(stemmed.offsets)
        document = np.repeat(np.arange(n_documents), lengths)
        known = stemmed.stems >= 0
        bigram = self._bigrams.find(stemmed.stems[:-1], stemmed.stems[1:])
        bigram[boundaries(stemmed)] = UNKNOWN

        # A term of a document as one number, so that sorting groups them; 32 bits where they suffice sort twice as fast.
        small = n_documents * len(self) < 2**31
        key = (document * len(self)).astype(np.int32 if small else np.int64)
        columns = stemmed.stems.astype(key.dtype), bigram.astype(key.dtype)
        in_title = np.zeros(stemmed.stems.size, bool)
        in_title[ranges(stemmed.offsets[:-1], stemmed.titles)] = True
        title_bigram = in_title[:-1] & (bigram >= 0)
        parts = [(key + columns[0])[known], (key[:-1] + columns[1])[bigram >= 0]]
        titles = [(key + columns[0])[known & in_title], (key[:-1] + columns[1])[title_bigram]]
        keys = np.concatenate(parts + titles * (self.title_weight - 1))
        keys.sort()
        first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else np.zeros(0, np.int64)
        terms = keys[first].astype(np.int64)
        begin = np.arange(n_documents + 1) * len(self)
        offsets = np.searchsorted(terms, begin)
        n_known = np.bincount(document[known], minlength=n_documents)
        return Counts(
            offsets=offsets,
            columns=terms - np.repeat(begin[:-1], np.diff(offsets)),
            counts=np.diff(first, append=keys.size),
            coverage=n_known / np.maximum(lengths, 1),
            n_stems=lengths,
        )


def stems_of(stems: Stems, words: Sequence[str], workers: int = 1) -> list[tuple[str, ...]]:
    """For each word of a cleaned text the stems of what it folds to, in order; a stem without a letter is none."""
    folded = [fold(word) for word in words]
    distinct = list(dict.fromkeys(chain.from_iterable(folded)))
    stem_of = dict(zip(distinct, stems.stems(distinct, workers), strict=True))
    for word, its_stems in stem_of.items():
        if len(its_stems) > 1:  # the parts of a hyphenated word, as in "75-an"
            stem_of[word] = tuple(stem for stem in its_stems if not stem.isdigit())
    return [tuple(chain.from_iterable(stem_of[part] for part in parts)) for parts in folded]


def expand(tokens: Tokens, numbers: Sequence[tuple[int, ...]]) -> Stemmed:
    """The words of a batch replaced by the numbers of their stems.

    Parameters: numbers, for each of `tokens.distinct` the numbers of its stems.
    """
    lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
    flat = np.fromiter(chain.from_iterable(numbers), np.int64)
    places = np.cumsum(lengths) - lengths
    repeats = lengths[tokens.numbers]
    if repeats.size and (repeats == 1).all():
        stems, ends = flat[places[tokens.numbers]], np.arange(1, repeats.size + 1)
    else:
        stems, ends = flat[ranges(places[tokens.numbers], repeats)], np.cumsum(repeats)
    ends = np.concatenate(([0], ends))
    offsets = ends[tokens.offsets]
    return Stemmed(stems, offsets, ends[tokens.offsets[:-1] + tokens.titles] - offsets[:-1])


def boundaries(stemmed: Stemmed) -> Integers:
    """The places p where stems p and p + 1 are no neighbours: the ends of titles and of documents but the last."""
    ends = np.concatenate((stemmed.offsets[1:-1], stemmed.offsets[:-1] + stemmed.titles)) - 1
    return ends[(ends >= 0) & (ends < stemmed.stems.size - 1)]


class PairTable:
    """Finds the value of a pair of small integers for whole arrays of pairs, by hashing with linear probing.

    A numpy table: each of a few passes over the pairs settles those whose slot answers, so that a look-up costs
    the same however many pairs the table holds. (`numpy.searchsorted` over 30,000 pairs took five times as long.)

    Parameters: first, second, value: (n_pairs,) non-negative integers below 2**31, each pair once.
    """

    def __init__(self, first: Integers, second: Integers, value: Integers):
        bits = max(int(8 * first.size).bit_length(), 4)
        self._mask = (1 << bits) - 1
        self._keys = np.full(1 << bits, -1, np.int64)
        self._values = np.full(1 << bits, UNKNOWN, np.int32)
        keys = self._key(first, second)
        slots = self._slot(keys)
        left = np.arange(first.size)
        while left.size:  # each free slot takes one of the pairs that want it; the others move on
            free = left[self._keys[slots[left]] == -1]
            self._keys[slots[free]] = keys[free]
            left = left[self._keys[slots[left]] != keys[left]]
            slots[left] = (slots[left] + 1) & self._mask
        placed = self._slots_of(keys)
        self._values[placed] = value

    def find(self, first: Integers, second: Integers) -> Integers:
        """The value of each pair, `UNKNOWN` for one that is not in the table or has a negative member."""
        return self._values[self._slots_of(self._key(first, second))].astype(np.int64)

    @staticmethod
    def _key(first: Integers, second: Integers) -> Integers:
        # A pair with a negative member gets the key -2, which no slot holds.
        return np.where((first | second) < 0, np.int64(-2), (first << 31) | second)

    def _slot(self, keys: Integers) -> Integers:
        mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth, TAOCP 6.4)
        return (mixed >> np.uint64(40)).astype(np.int64) & self._mask

    def _slots_of(self, keys: Integers) -> Integers:
        """Where each key stands, or the free slot that its search ends at."""
        slots = self._slot(keys)
        found = self._keys[slots]
        left = np.flatnonzero((found != keys) & (found != -1))
        while left.size:
            slots[left] = (slots[left] + 1) & self._mask
            found = self._keys[slots[left]]
            left = left[(found != keys[left]) & (found != -1)]
        return slots
