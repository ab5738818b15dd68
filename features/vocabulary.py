"""Stems to columns, batches of articles to counts: all of the features that the predictor needs.

`count` is the whole data flow of this package, in two halves. `begin`: clean, split, look up each distinct word's
columns; `finish`: put neighbouring stems together as bigrams, and count. It serves one article and a million alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import pieces
from features.clean import articles_of, clean_articles
from features.columns import UNKNOWN, StemColumns, WordColumns
from features.counting import count_rows
from features.fold import fold
from features.memo import Memo
from features.pool import Lot, WordPool
from features.table import HashTable
from features.tokens import LETTERS, Tokens, split_batch
from features.words import SEVERAL, UNSEEN, Codes, Several, Words, coded

Integers = npt.NDArray[np.integer[Any]]
Positions = npt.NDArray[np.int64]

WORD_MEMO: Final = 2**17  # words whose columns are remembered, a generation of the memo: at most about 50 MB in all
LONGEST_REMEMBERED: Final = 64  # characters


@dataclass(frozen=True)
class Stemmed:
    """A batch of documents as sequences of stems, in order.

    stems: (n_stems,) int32, the number of each stem, `UNKNOWN` for one without.
    offsets: (n_documents + 1,), where in `stems` each document begins, and where the last ends.
    titles: (n_documents,), how many stems at the beginning of each document are its title.
    """

    stems: npt.NDArray[np.int32]
    offsets: Positions
    titles: Positions


@dataclass(frozen=True)
class Counts:
    """How often each term stands in each document of a batch: a sparse matrix in rows.

    offsets: (n_documents + 1,), where in `columns` and `counts` each document begins.
    columns: (n_nonzero,), ascending within a document.
    counts: (n_nonzero,), how often the term stands there; a title counts as often as the vocabulary's title weight.
    coverage: (n_documents,), the share of each document's stems that the vocabulary holds; 0 without stems.
    n_stems: (n_documents,), how many stems each document has, known or not.
    """

    offsets: Positions
    columns: Integers
    counts: Positions
    coverage: npt.NDArray[np.float64]
    n_stems: Positions


@dataclass(frozen=True)
class Occurrences:
    """Where each term of a batch of documents stands: its words.

    entries: (n,), the places of the terms in `Counts.columns`. first, last: (n,), the words that hold the term, as
    places in `Tokens.starts`: the same one for a stem, and for two stems of one word. times: (n,), how often this
    occurrence counts: in a title as often as the vocabulary's title weight.
    """

    entries: Positions
    first: Positions
    last: Positions
    times: Positions


class _Asked(NamedTuple):
    """Words, what the memo knew of each, those it did not know, and where their columns will be if a pool was asked."""

    words: Sequence[str]
    found: Sequence[StemColumns | None]
    new: Sequence[str]
    lot: Lot[StemColumns] | None


@dataclass(frozen=True)
class Begun:
    """A batch of documents on its way from `Vocabulary.begin` to `Vocabulary.finish`.

    It has let go of the text, for it may have to wait. offsets and titles: as in `features.tokens.Tokens`. codes:
    (n_tokens,), of the words, with `several`, what they refer to (see `features.words`); yet to be filled in at
    `unseen`, (n_unseen,). numbers: (n_unseen,), for each of these words its place in those `asked` for.
    """

    offsets: Positions
    titles: Positions
    codes: Codes
    several: Several
    unseen: Positions
    numbers: Integers
    asked: _Asked | None

    def wait(self) -> None:
        """Return when the columns of all words are there; until then, help the pool that was asked for them."""
        if self.asked is not None and self.asked.lot is not None:
            self.asked.lot.values()


class _Terms(NamedTuple):
    """The terms of a batch of documents.

    known: (n_known,), where in `Stemmed.stems` those are that the vocabulary holds. stems: (n_known,), their columns.
    pairs: (n_pairs,), of the pairs of neighbours that it holds: the place in `known` of the first, behind which is that
    of the second. bigrams: (n_pairs,), their columns.
    """

    known: Positions
    stems: Codes
    pairs: Positions
    bigrams: Codes


class Vocabulary:
    """The terms of a model: stems and pairs of neighbouring stems, each with its column.

    Parameters
    ----------
    terms: stems first, then bigrams ("kendaraan listrik") of those stems; a term's place is its column.
    title_weight: how often a title is counted.
    known: words with their stems, to start the memo with: those of the training corpus.

    Raises ValueError for a title weight below 1, a term given twice, a bigram before a stem, or one of stems that are
    not terms.
    """

    def __init__(self, terms: Sequence[str], title_weight: int, known: Mapping[str, tuple[str, ...]] | None = None):
        if title_weight < 1:
            raise ValueError(f"title_weight: found {title_weight}, expected at least 1")
        self.terms = terms
        self.title_weight = title_weight
        n_stems = next((place for place, term in enumerate(terms) if " " in term), len(terms))
        self._columns = dict(zip(terms[:n_stems], range(n_stems), strict=True))
        if len(self._columns) < n_stems:
            raise ValueError("a term stands twice in the vocabulary, expected each once")
        pairs = [term.split(" ") for term in terms[n_stems:]]
        try:
            flat = np.fromiter((self._columns[stem] for pair in pairs for stem in pair), np.int32)
            first, second = flat.reshape(len(pairs), 2).T.copy()
        except (KeyError, ValueError) as error:
            raise ValueError(f"a bigram is not made of two stems of the vocabulary: {error}") from None
        # Pairs are packed into 32 bits where that suffices: half the memory to go through.
        self._pair = np.dtype(np.uint32 if n_stems <= 2**16 else np.uint64)
        columns = np.arange(n_stems, len(terms), dtype=np.int32)
        try:
            self._bigrams = HashTable(self._packed(first, second), columns, UNKNOWN)
        except ValueError:
            raise ValueError("a bigram stands twice in the vocabulary, expected each once") from None
        self.columns_of_new = WordColumns(self._columns, known or {})
        self._memo: Memo[StemColumns] = Memo(WORD_MEMO)
        self._words = Words(self._columns_of_known(list(known or {})))

    def __len__(self) -> int:
        return len(self.terms)

    def _packed(self, first: Codes, second: Codes) -> npt.NDArray[np.uint32 | np.uint64]:
        """Pairs of columns as one number each: (n,)."""
        # Columns are not negative: to read them as unsigned takes no copy.
        upper, lower = (columns.view(np.uint32).astype(self._pair, copy=False) for columns in (first, second))
        packed = upper << self._pair.type(4 * self._pair.itemsize)
        packed |= lower
        return np.asarray(packed, self._pair)

    def count(self, texts: pa.StringArray, titles: pa.StringArray | None = None) -> Counts:
        """Raw articles to counts: (n_documents, n_terms).

        Parameters: texts and titles, string arrays (n_documents,), null for none.
        """
        return self.finish(self.begin(articles_of(texts, titles)))

    def begin(self, articles: pa.StringArray, pool: WordPool[StemColumns] | None = None) -> Begun:
        """The first half of `count`: raw articles to words, and to columns those that were met before.

        Parameters: articles, (n_documents,), texts and titles joined as `features.clean.articles_of` does it; pool,
        processes that share the work on the other words, from now on.
        """
        return self._begin(split_batch(clean_articles(articles)), pool)

    def finish(self, begun: Begun) -> Counts:
        """The second half: the columns of new words, as soon as they are there, and counts."""
        return self._count(self._expanded(begun))

    def stem(self, tokens: Tokens) -> Stemmed:
        """The words of a batch as columns of stems: known ones all at once, others once a distinct word."""
        return self._expanded(self._begin(tokens))

    def columns_of(self, words: Sequence[str]) -> list[StemColumns]:
        """For each word of a cleaned text the columns of its stems."""
        return self._answer(self._ask(words))

    def _begin(self, tokens: Tokens, pool: WordPool[StemColumns] | None = None) -> Begun:
        table = self._words.table  # as it is now: another thread may replace it
        codes = table.find(tokens)
        unseen = (codes == UNSEEN).nonzero()[0]
        if unseen.size:
            first, second = tokens.packed.take(unseen, axis=0).T
            letters = ((first | second) & LETTERS) != 0
            codes[unseen] = SEVERAL  # numbers, which have no stems
            unseen = unseen[letters]
        if not unseen.size:
            return Begun(tokens.offsets, tokens.titles, codes, table.several, unseen, unseen, None)
        distinct, numbers = tokens.encode(unseen)
        asked = self._ask(distinct, pool)
        return Begun(tokens.offsets, tokens.titles, codes, table.several, unseen, numbers, asked)

    def _expanded(self, begun: Begun) -> Stemmed:
        return expand(*self._coded(begun), begun.offsets, begun.titles)

    def _coded(self, begun: Begun) -> tuple[Codes, Several]:
        """The codes of the words of a batch, (n_tokens,), and what they refer to; see `features.words`."""
        if begun.asked is None:
            return begun.codes, begun.several
        codes, several = coded(self._answer(begun.asked), begun.several)
        begun.codes[begun.unseen] = codes[begun.numbers]
        return begun.codes, several

    def _ask(self, words: Sequence[str], pool: WordPool[StemColumns] | None = None) -> _Asked:
        """Look words up in the memo, and ask the pool for the others."""
        found = self._memo.get_all(words)
        # A word that comes up a second time is likely to come up a third time; most new ones never do.
        self._words.learn({word: columns for word, columns in zip(words, found, strict=True) if columns is not None})
        new = [word for word, columns in zip(words, found, strict=True) if columns is None]
        return _Asked(words, found, new, None if pool is None or not new else pool.ask(new))

    def _answer(self, asked: _Asked) -> list[StemColumns]:
        """The columns of the stems of each word that was asked for."""
        words, found, new, lot = asked
        if not new:
            return [columns for columns in found if columns is not None]
        learned = dict(zip(new, self.columns_of_new(new), strict=True)) if lot is None else lot.values()
        # What is no word of any language is not worth remembering: memory stays bounded in bytes as well.
        self._memo.update({word: columns for word, columns in learned.items() if len(word) <= LONGEST_REMEMBERED})
        if lot is not None:
            lot.forget()
        return [learned[word] if columns is None else columns for word, columns in zip(words, found, strict=True)]

    def _columns_of_known(self, words: Sequence[str]) -> dict[str, StemColumns]:
        """Those known words that stand in a cleaned text as they are, with the columns of their stems."""
        words = [word for word in words if fold(word) == (word,)]
        return dict(zip(words, self.columns_of_new(words), strict=True))

    def occurrences(self, tokens: Tokens) -> tuple[Counts, Occurrences]:
        """What `count` gives for the words of a batch, and where each term that it counts stands."""
        codes, several = self._coded(self._begin(tokens))
        stemmed = expand(codes, several, tokens.offsets, tokens.titles)
        counts = self._count(stemmed)
        known, stems, pairs, bigrams = self._terms(stemmed)
        words = np.arange(codes.size).repeat(stems_per_word(codes, several))
        begins = np.concatenate((known, known[pairs]))
        ends = np.concatenate((known, known[pairs + 1]))
        columns = np.concatenate((stems, bigrams), dtype=np.int64)
        documents = stemmed.offsets.searchsorted(begins, side="right") - 1
        rows = np.arange(counts.offsets.size - 1).repeat(np.diff(counts.offsets))
        entries = (rows * len(self) + counts.columns).searchsorted(documents * len(self) + columns)
        in_title = begins < (stemmed.offsets[:-1] + stemmed.titles)[documents]
        return counts, Occurrences(entries, words[begins], words[ends], np.where(in_title, self.title_weight, 1))

    def _terms(self, stemmed: Stemmed) -> _Terms:
        is_known = stemmed.stems > UNKNOWN
        known = is_known.nonzero()[0]
        columns = stemmed.stems.take(known)
        neighbours = is_known.copy()  # of the stem behind it, both known
        neighbours[:-1] &= is_known[1:]
        neighbours[-1:] = False
        neighbours[boundaries(stemmed)] = False
        follows = neighbours.take(known)
        pairs = follows.nonzero()[0]
        found, bigrams = self._bigrams.find(self._packed(columns[:-1], columns[1:]).take(pairs))
        return _Terms(known, columns, pairs.take(found), bigrams)

    def _count(self, stemmed: Stemmed) -> Counts:
        n_documents, weight = stemmed.titles.size, self.title_weight
        offsets = stemmed.offsets
        lengths = offsets[1:] - offsets[:-1]
        known, stems, pairs, bigrams = self._terms(stemmed)
        # Four pieces a document: the stems of its title, which stand in its row as often as a title counts, and of its
        # text; and so the bigrams.
        bounds = np.empty(4 * n_documents + 1, np.int64)
        of_stems, of_bigrams = bounds[: 2 * n_documents], bounds[2 * n_documents : -1]
        begins = known.searchsorted(offsets)
        of_stems[::2] = begins[:-1]
        of_stems[1::2] = known.searchsorted(offsets[:-1] + stemmed.titles)
        of_bigrams[:] = pairs.searchsorted(of_stems)
        of_bigrams += stems.size
        bounds[-1] = stems.size + bigrams.size
        rows = np.empty((n_documents, 2 * weight + 3), np.int64)
        rows[:, :weight] = np.arange(0, 2 * n_documents, 2)[:, None]  # titles
        rows[:, weight] = rows[:, 0] + 1  # texts
        rows[:, weight + 1 : -1] = rows[:, : weight + 1] + 2 * n_documents
        rows[:, -1] = np.arange(4 * n_documents, 5 * n_documents)
        rows_at, columns, counts = count_rows(np.concatenate((stems, bigrams)), bounds, rows)
        return Counts(
            offsets=rows_at,
            columns=columns,
            counts=counts,
            coverage=(begins[1:] - begins[:-1]) / np.maximum(lengths, 1),
            n_stems=lengths,
        )


def expand(codes: Codes, several: Several, offsets: Positions, titles: Positions) -> Stemmed:
    """The words of a batch replaced by the columns of their stems.

    Parameters: codes, (n_tokens,), of the words, and `several`, what they refer to, see `features.words`; offsets and
    titles, of the documents, as in `features.tokens.Tokens`.
    """
    special, which, times = _special(codes, several)
    # The words between two special ones and the columns of a special one, in turn: pieces of the codes, and of the
    # columns behind them.
    n_turns = 2 * special.size + 1
    turns = np.arange(n_turns)
    turns[1::2] = which + n_turns
    bounds = np.concatenate(([0], np.column_stack((special, special + 1)).ravel(), codes.size + several.bounds))
    stems = pieces(np.concatenate((codes, several.columns)), bounds, turns)
    # The stem of a word stands where the word stood, moved by what the words before it have more or less than one.
    moved = np.concatenate(([0], (times - 1).cumsum()))
    ends = offsets[:-1] + titles
    offsets = offsets + moved[special.searchsorted(offsets)]
    return Stemmed(stems, offsets, ends + moved[special.searchsorted(ends)] - offsets[:-1])


def stems_per_word(codes: Codes, several: Several) -> Positions:
    """How many stems each word of a batch has: (n_tokens,)."""
    special, _, times = _special(codes, several)
    repeats = np.ones(codes.size, np.int64)
    repeats[special] = times
    return repeats


def _special(codes: Codes, several: Several) -> tuple[Positions, Positions, Positions]:
    """Which words have other than one stem, their places in `several`, and how many each has: (n_special,) each."""
    special = (codes < UNKNOWN).nonzero()[0]
    which = (SEVERAL - codes[special]).astype(np.int64)
    return special, which, several.bounds.take(which + 1) - several.bounds.take(which)


def boundaries(stemmed: Stemmed) -> Positions:
    """The places p where stems p and p + 1 are no neighbours: the ends of titles and of documents but the last."""
    ends = np.concatenate((stemmed.offsets[1:-1], stemmed.offsets[:-1] + stemmed.titles)) - 1
    return ends[(ends >= 0) & (ends < stemmed.stems.size - 1)]
