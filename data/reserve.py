"""Which articles are kept from training to judge models by, and which articles a model has seen.

An article is reserved by a hash of its words alone, whatever the seed and the other articles: it is on the same side in
every run, so that two models of different runs have articles that neither has seen. What a model has seen is kept as a
fingerprint an article: that hash, and a sketch by which a later run finds near duplicates without the texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data.corpus import Corpus
from features.arrays import arrow_array, numpy_array
from features.clean import clean
from features.fold import fold
from features.strings import string_array
from features.tokens import split

RESERVED: Final = 0.1
"""The share of the articles that is reserved in a run that is recorded."""

SHINGLE_WORDS: Final = 5
SKETCH: Final = 64
"""The values in a sketch: the Jaccard similarity of two articles is estimated to within 0.06 (one standard error)."""

SEEN: Final = 0.5
"""Estimated similarity from which an article counts as seen: so far below the 0.8 from which articles repeat one
another (`data.duplicates`) that the error of the estimate lets none through.
"""

_NONE: Final = np.uint32(0xFFFFFFFF)  # fills a sketch that has fewer values
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd and without pattern: 2**64 divided by the golden ratio
_BATCH: Final = 1024  # articles that go through cleaning together
_COMPARED: Final = 1 << 14  # pairs of sketches compared at once


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Articles as a model's record keeps them: enough to find them again, nothing to read.

    hashes: (n_articles,) uint64, of the words of each article, in order.
    sketches: (n_articles, SKETCH) uint32, the smallest distinct hashes of its runs of five words, ascending (a bottom-k
        sketch; Broder 1997, Cohen and Kaplan 2007); the largest number fills the sketch of a short article.
    """

    hashes: npt.NDArray[np.uint64]
    sketches: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return self.hashes.size

    def reserved(self, share: float) -> npt.NDArray[np.bool_]:
        """Which articles are reserved, (n_articles,): a `share` of all there could be; more with a larger share.

        Raises ValueError unless 0 <= share < 1.
        """
        if not 0 <= share < 1:
            raise ValueError(f"found a share of {share}, expected 0 to less than 1")
        return self.hashes < np.uint64(int(share * 2**64))

    def select(self, chosen: npt.NDArray[np.bool_]) -> Fingerprints:
        """The articles that are chosen, (n_articles,)."""
        return Fingerprints(self.hashes[chosen], self.sketches[chosen])


def fingerprints(articles: Sequence[str]) -> Fingerprints:
    """The fingerprints of articles, title and text in one, after cleaning.

    Case, accents, white space, punctuation, numbers and boilerplate make no difference. The same text has the same
    fingerprint in every process and on every machine.
    """
    hash_of: dict[str, int] = {}
    hashes, sketches = np.zeros(len(articles), np.uint64), np.full((len(articles), SKETCH), _NONE, np.uint32)
    for start in range(0, len(articles), _BATCH):
        tokens = split(clean(string_array(articles[start : start + _BATCH])))
        for word in tokens.distinct:
            if word not in hash_of:
                folded = " ".join(fold(word))  # nothing for a number
                hash_of[word] = _hash(folded.encode()) if folded else 0
        words = np.fromiter(map(hash_of.__getitem__, tokens.distinct), np.uint64, len(tokens.distinct))[tokens.numbers]
        for place, (begin, end) in enumerate(zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True), start):
            its = words[begin:end]
            its = its[its != 0]
            hashes[place] = _hash(its.astype("<u8").tobytes())
            values = _sketch(its)
            sketches[place, : values.size] = values
    return Fingerprints(hashes, sketches)


def seen(articles: Fingerprints, training: Fingerprints) -> npt.NDArray[np.bool_]:
    """Which articles are among those of a training, or nearly: (n_articles,).

    Nearly: the similarity of their sets of five-word runs, estimated from the sketches, is at least `SEEN`.
    """
    found = np.isin(articles.hashes, training.hashes)
    values, holders = _values(training)
    for place in np.flatnonzero(~found).tolist():
        own = articles.sketches[place]
        own = own[own != _NONE]
        starts, ends = np.searchsorted(values, own), np.searchsorted(values, own, "right")
        shared = np.concatenate([holders[:0], *(holders[a:b] for a, b in zip(starts, ends, strict=True))])
        rows, counts = np.unique(shared, return_counts=True)
        # The estimate is a share of at least so many values, so fewer in common cannot reach it.
        rows = rows[counts >= SEEN * own.size]
        found[place] = any(
            (similarities(articles.sketches[place], training.sketches[rows[at : at + _COMPARED]]) >= SEEN).any()
            for at in range(0, rows.size, _COMPARED)
        )
    return found


@dataclass(frozen=True)
class Divided:
    """Articles to learn from and articles to judge by.

    training: with its fingerprints. reserved: by their hash. evaluated: how many more are left out because they, or
    near duplicates, are in the file that the model is evaluated on.
    """

    training: Corpus
    fingerprints: Fingerprints
    reserved: Corpus
    evaluated: int


def divide(corpus: Corpus, share: float, evaluation: Corpus | None = None) -> Divided:
    """Reserve a share of a corpus, and leave out of the rest what repeats an article of the evaluation.

    Raises ValueError unless 0 <= share < 1, and if nothing is left to learn from.
    """
    prints = fingerprints(corpus.articles())
    reserved = prints.reserved(share)
    evaluated = np.zeros(len(corpus), bool)
    if evaluation is not None:
        evaluated = ~reserved & seen(prints, fingerprints(evaluation.articles()))
    kept = ~reserved & ~evaluated
    if not kept.any():
        raise ValueError(
            f"found {int(reserved.sum())} articles to reserve and {int(evaluated.sum())} of the evaluation among "
            f"{len(corpus)}, expected some more to learn from"
        )
    training = corpus.select(np.flatnonzero(kept))
    return Divided(training, prints.select(kept), corpus.select(np.flatnonzero(reserved)), int(evaluated.sum()))


def similarities(sketch: npt.NDArray[np.uint32], others: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """The Jaccard similarity of one article to n others, estimated: the share of the smallest values that both have.

    Parameters: sketch (SKETCH,), others (n, SKETCH). Exact, and without error, where all values of both are in them.
    """
    merged = np.sort(np.hstack([np.broadcast_to(sketch, others.shape), others]), axis=1)
    present = merged != _NONE
    first = present & np.concatenate([np.ones((len(merged), 1), bool), merged[:, 1:] != merged[:, :-1]], axis=1)
    rank = first.cumsum(axis=1)
    common = (present & ~first & (rank <= SKETCH)).sum(axis=1)
    return np.asarray(common / np.clip(rank[:, -1], 1, SKETCH))


def write_fingerprints(articles: Fingerprints, path: Path) -> None:
    """Write them as a Parquet table: hash, sketch."""
    sketches = pa.FixedSizeListArray.from_arrays(arrow_array(articles.sketches.ravel()), SKETCH)
    pq.write_table(pa.Table.from_arrays([arrow_array(articles.hashes), sketches], ["hash", "sketch"]), path)


def read_fingerprints(path: Path) -> Fingerprints:
    """Read such a table; raises ValueError if it is none."""
    try:
        table = pq.ParquetFile(path).read()
        hashes, sketches = numpy_array(table["hash"]), numpy_array(table["sketch"].combine_chunks().flatten())
        if hashes.dtype != np.uint64 or sketches.dtype != np.uint32:
            raise TypeError(f"found {hashes.dtype} and {sketches.dtype}")
        return Fingerprints(hashes, sketches.reshape(hashes.size, SKETCH))
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path.name}: {' '.join(str(error).split())}; expected a table of fingerprints") from None


def _hash(content: bytes) -> int:
    """64 bits, never 0: that marks a number among words."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1


def _sketch(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """The smallest distinct values of the runs of five words, ascending: (at most SKETCH,); fewer words are one run."""
    if not words.size:
        return np.zeros(0, np.uint32)
    length = min(SHINGLE_WORDS, words.size)
    runs = np.zeros(words.size - length + 1, np.uint64)
    for start in range(length):
        runs *= _FACTOR
        runs += words[start : start + runs.size]
    values = np.unique((runs >> np.uint64(32)).astype(np.uint32))
    kept: npt.NDArray[np.uint32] = values[values != _NONE][:SKETCH]
    return kept


def _values(training: Fingerprints) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """All values in the sketches, ascending, and for each the article that holds it."""
    values = training.sketches.ravel()
    order = np.argsort(values, kind="stable")
    order = order[: np.searchsorted(values[order], _NONE)]
    return values[order], order // SKETCH
