"""The features as a scikit-learn transformer: learns the vocabulary. Only training needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from features.clean import clean_batch
from features.columns import UNKNOWN, stems_of
from features.pool import WordPool
from features.stems import Stems
from features.strings import string_array
from features.tokens import split_batch
from features.vocabulary import Counts, Stemmed, Vocabulary, boundaries, expand
from features.words import coded

Integers = npt.NDArray[np.integer[Any]]

BATCH: Final = 1024  # articles that go through the data flow together
_PAIRS: Final = 1 << 22  # pairs of stems that are gathered before they are added up


@dataclass(frozen=True)
class StemmedArticles:
    """Articles as sequences of stems: all that a vocabulary is learned from and counted in, whatever its parameters.

    batches: the articles in order, their stems as places in `stems`.
    stems: the distinct stems, by first appearance.
    words: the words of the articles, folded and sorted, each with its stems.
    """

    batches: Sequence[Stemmed]
    stems: Sequence[str]
    words: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return sum(stemmed.titles.size for stemmed in self.batches)

    def __sizeof__(self) -> int:
        """Bytes, about. By this joblib's Dask backend tells what to send to a worker once, not with every task."""
        arrays = sum(b.stems.nbytes + b.offsets.nbytes + b.titles.nbytes for b in self.batches)
        return object.__sizeof__(self) + arrays + 64 * (len(self.stems) + len(self.words))


def stem_articles(articles: Sequence[str], workers: int = 1) -> StemmedArticles:
    """Stem articles: the slow part of learning from them, done once for any number of vectorizers.

    Parameters: articles, as for `StemVectorizer`; workers, cores that stem their words, where there are thousands.
    Raises TypeError for a bare string.
    """
    stem_numbers: dict[str, int] = {}
    word_numbers: dict[str, tuple[int, ...]] = {}
    words: dict[str, tuple[str, ...]] = {}  # folded, with their stems
    batches: list[Stemmed] = []

    def stem(folded: Sequence[str]) -> list[tuple[str, ...]]:
        new = [word for word in folded if word not in words]
        words.update(zip(new, pool.map(new), strict=True))
        return [words[word] for word in folded]

    with WordPool(Stems(memo_size=1).stems, workers) as pool:
        for batch in _batches(articles):
            tokens = split_batch(clean_batch(batch))
            new = [word for word in tokens.distinct if word not in word_numbers]
            for word, its_stems in zip(new, stems_of(stem, new), strict=True):
                word_numbers[word] = tuple(stem_numbers.setdefault(stem, len(stem_numbers)) for stem in its_stems)
            codes, several = coded([word_numbers[word] for word in tokens.distinct])
            batches.append(expand(codes[tokens.numbers], several, tokens.offsets, tokens.titles))
    return StemmedArticles(batches, list(stem_numbers), dict(sorted(words.items())))


class StemVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Raw articles to counts of stems and of pairs of neighbouring stems.

    An article is one string; its first line is its title if it is short (see `features.tokens.split`).

    Parameters
    ----------
    min_df: a stem is kept if at least so many articles hold it.
    max_df: and if at most this share of the articles holds it.
    bigram_min_df: a pair of neighbouring kept stems is kept if at least so many articles hold it; None for no pairs.
    title_weight: how often the words of a title are counted.
    terms: words and pairs of words that are terms however many articles hold them.
    workers: cores to use for stemming the words of the corpus, where there are thousands of them.

    Attributes
    ----------
    vocabulary_: `features.vocabulary.Vocabulary`.
    document_frequency_: (n_terms,), how many articles of the training corpus hold each term.
    words_: the words of the training corpus whose stem is a term, each with its stems; ships with the model.
    n_documents_: how many articles it was fitted on.
    columns_of_terms_: (n_given,), the column of each of `terms`; several may have the same stems.
    """

    def __init__(
        self,
        min_df: int = 3,
        max_df: float = 1.0,
        bigram_min_df: int | None = 3,
        title_weight: int = 3,
        terms: Sequence[str] = (),
        workers: int = 1,
    ):
        self.min_df = min_df
        self.max_df = max_df
        self.bigram_min_df = bigram_min_df
        self.title_weight = title_weight
        self.terms = terms
        self.workers = workers

    def fit(self, X: Sequence[str], y: object = None) -> Self:
        """Learn the vocabulary.

        Raises TypeError for a bare string; ValueError if no term is frequent enough, or one of `terms` has other than
        one or two stems.
        """
        return self.fit_stemmed(stem_articles(X, self.workers))

    def fit_transform(self, X: Sequence[str], y: object = None) -> csr_array:
        """What `fit`, then `transform` of the same articles give, stemming them once."""
        stemmed = stem_articles(X, self.workers)
        return self.fit_stemmed(stemmed).transform_stemmed(stemmed)

    def fit_stemmed(self, articles: StemmedArticles) -> Self:
        """What `fit` learns, of articles stemmed before. Raises ValueError as `fit` does."""
        stem_numbers = {stem: number for number, stem in enumerate(articles.stems)}
        stems = Stems(known=articles.words)
        given = [_stems_of_term(term, stems) for term in self.terms]
        given_stems = [stem_numbers.setdefault(stem, len(stem_numbers)) for its in given for stem in its]
        frequency = np.zeros(len(stem_numbers), np.int64)
        for stemmed in articles.batches:
            frequency += _document_frequency(stemmed, stemmed.stems, len(stem_numbers))
        names = np.array(list(stem_numbers), dtype=object)
        is_kept = (frequency >= self.min_df) & (frequency <= self.max_df * len(articles))
        if not is_kept.any():
            raise ValueError(
                f"no stem stands in {self.min_df} of {len(articles)} articles, expected min_df to leave some"
            )
        is_kept[given_stems] = True
        kept = np.flatnonzero(is_kept)
        kept = kept[np.argsort(names[kept].astype(str), kind="stable")]
        column = {stem: place for place, stem in enumerate(names[kept].tolist())}
        pairs = np.array([column[stem] for its in given if len(its) == 2 for stem in its], np.int64).reshape(-1, 2)
        first, second, bigram_frequency = _bigrams(articles.batches, kept, len(stem_numbers), self.bigram_min_df, pairs)
        terms = list(column) + [f"{names[kept[a]]} {names[kept[b]]}" for a, b in zip(first, second, strict=True)]
        frequencies = frequency[kept], bigram_frequency

        is_term = set(terms)
        self.words_ = {word: its for word, its in articles.words.items() if is_term.intersection(its)}
        self.document_frequency_ = np.concatenate(frequencies)
        self.vocabulary_ = Vocabulary(terms, self.title_weight, known=self.words_)
        self.n_documents_ = len(articles)
        place_of = {term: place for place, term in enumerate(terms)}
        self.columns_of_terms_ = np.array([place_of[" ".join(its)] for its in given], np.int64)
        return self

    def transform(self, X: Sequence[str]) -> csr_array:
        """Counts, a sparse array (n_articles, n_terms) of float64. Raises TypeError for a bare string."""
        check_is_fitted(self)
        return self._matrix(self.vocabulary_.count(batch) for batch in _batches(X))

    def transform_stemmed(self, articles: StemmedArticles) -> csr_array:
        """What `transform` gives, of articles stemmed before: (n_articles, n_terms)."""
        check_is_fitted(self)
        columns = {term: column for column, term in enumerate(self.vocabulary_.terms)}
        column = np.array([columns.get(stem, UNKNOWN) for stem in articles.stems], np.int32)
        batches = (replace(stemmed, stems=column[stemmed.stems]) for stemmed in articles.batches)
        return self._matrix(map(self.vocabulary_._count, batches))

    def _matrix(self, batches: Iterable[Counts]) -> csr_array:
        columns, times, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        for counts in batches:  # narrow numbers, for there is one for each term of each article
            columns.append(counts.columns.astype(np.int32))
            times.append(counts.counts.astype(np.int32))
            lengths.append(np.diff(counts.offsets))
        offsets = np.cumsum(np.concatenate(lengths))
        # scikit-learn's liblinear takes 32-bit indices only.
        parts = np.concatenate(times, dtype=np.float64), np.concatenate(columns), offsets.astype(np.int32)
        return csr_array(parts, shape=(offsets.size - 1, len(self.vocabulary_)))

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """The terms, (n_terms,): stems, then bigrams."""
        check_is_fitted(self)
        return np.array(self.vocabulary_.terms, dtype=object)


def _batches(texts: Iterable[str]) -> Iterator[pa.StringArray]:
    """The articles, some at a time; of a sequence, which may make them when they are asked for, no more are held."""
    if isinstance(texts, str | bytes):
        raise TypeError("got one string, expected a list of articles: [text]")
    if not isinstance(texts, Sequence):
        texts = list(texts)
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        for place, text in enumerate(batch, start):
            if not isinstance(text, str):
                raise TypeError(f"article {place} is a {type(text).__name__}, expected a str")
        yield string_array(batch)


def _document_frequency(stemmed: Stemmed, numbers: Integers, n_numbers: int) -> Integers:
    """In how many documents each number stands: (n_numbers,)."""
    document = np.repeat(np.arange(stemmed.titles.size), np.diff(stemmed.offsets))
    return np.bincount(_distinct(document * n_numbers + numbers) % n_numbers, minlength=n_numbers)


def _distinct(numbers: Integers) -> Integers:
    """The distinct ones of some numbers, ascending: `numpy.unique`, which hashes them, took four times as long."""
    numbers = np.sort(numbers)
    return numbers[np.concatenate(([True], numbers[1:] != numbers[:-1]))[: numbers.size]]


def _stems_of_term(term: str, stems: Stems) -> tuple[str, ...]:
    its_stems = tuple(chain.from_iterable(stems_of(stems.stems, term.split())))
    if len(its_stems) not in (1, 2):
        raise ValueError(f"term {term!r} has the stems {its_stems}, expected one or two")
    return its_stems


def _bigrams(
    batches: Sequence[Stemmed], kept: Integers, n_stems: int, min_df: int | None, given: Integers
) -> tuple[Integers, Integers, Integers]:
    """The pairs of neighbouring kept stems that are frequent or given: first and second column, document frequency.

    Parameters: min_df, None for those given alone; given, (n_given, 2) columns. Returns: three arrays (n_pairs,).
    """
    column = np.full(n_stems, UNKNOWN, np.int64)
    column[kept] = np.arange(kept.size)
    wanted = np.unique(given[:, 0] * kept.size + given[:, 1])
    pairs: Integers = wanted
    frequency: Integers = np.zeros(wanted.size, np.int32)
    found, times = [pairs], [frequency]
    for stemmed in batches:
        columns = column[stemmed.stems]
        document = np.repeat(np.arange(stemmed.titles.size), np.diff(stemmed.offsets))[:-1]
        neighbours = (columns[:-1] >= 0) & (columns[1:] >= 0)
        neighbours[boundaries(stemmed)] = False
        pair = (document * kept.size + columns[:-1]) * kept.size + columns[1:]
        found.append(_distinct(pair[neighbours]) % kept.size**2)
        times.append(np.ones(found[-1].size, np.int32))
        if sum(map(len, found[1:])) > max(pairs.size, _PAIRS):  # most pairs are rare: what is added up takes less room
            pairs, frequency = _added_up(found, times)
            found, times = [pairs], [frequency]
    pairs, frequency = _added_up(found, times)
    is_kept = np.isin(pairs, wanted) | (frequency >= (np.inf if min_df is None else min_df))
    pairs = pairs[is_kept]
    return pairs // kept.size, pairs % kept.size, frequency[is_kept].astype(np.int64)


def _added_up(numbers: list[Integers], times: list[Integers]) -> tuple[Integers, Integers]:
    """The distinct numbers, ascending, and the sum of the times of each. Empties the lists."""
    all_numbers = np.concatenate(numbers)
    numbers.clear()
    order = all_numbers.argsort()
    all_numbers = all_numbers[order]
    all_times = np.concatenate(times)[order]
    times.clear()
    del order
    first = np.flatnonzero(np.concatenate(([True], all_numbers[1:] != all_numbers[:-1]))[: all_numbers.size])
    if not first.size:
        return all_numbers, all_times
    return all_numbers[first], np.add.reduceat(all_times, first)
