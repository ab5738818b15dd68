"""Whether what is labelled looks like what training saw: another language, the wrong column, a stream of its own kind.

`seen` is what a model remembers of its training articles, `Watch` adds up a run, `warnings` compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.columns import UNKNOWN
from features.search import offsets_of
from features.strings import string_array
from models.scoring import Labels

if TYPE_CHECKING:
    from features.vectorizer import StemmedArticles

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]

BINS: Final = 1000  # of coverage; complete coverage has a bin of its own
OCTAVE: Final = 8  # bins of sizes from one power of two to the next
SIZES: Final = 40 * OCTAVE
SKETCH: Final = 1024  # fingerprints kept: the share of repeats is exact up to so many articles, then within some 3%
BATCH: Final = 1024  # articles

FEWEST: Final = 10  # articles to say anything about
NORMAL: Final = 3.0  # standard errors by which a figure must leave its bounds: by chance once in a thousand runs
RANGE: Final = (0.01, 0.99)  # the quantiles of the training articles that bound what is usual
SLACK: Final = (
    0.5  # how far below the usual coverage is allowed, as a share of the way from the mean to its lower bound
)
MOST_LOW: Final = 0.25  # the share of articles allowed below that
MOST_BLANK: Final = 0.05
MOST_REPEATS: Final = 0.2
MOST_TIMES: Final = 1.5  # a sector may be so many times as frequent as in training (or as declared, if that is more)
LEAST_TIMES: Final = (
    0.25  # and as rare as this share of what is declared (or of its share in training, if that is less)
)

_MULTIPLIERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def held_out_coverage(articles: StemmedArticles, terms: Sequence[str], folds: Integers, min_df: int) -> Floats:
    """The coverage of each training article by a vocabulary made without the articles of its fold: (n_articles,).

    By the model's own vocabulary training articles are covered better than any others, the more so the fewer they are.
    A stem counts as known if at least `min_df` articles outside the fold hold it, or if it is in the vocabulary for
    the lexicon's sake. Parameters: terms, of the vocabulary; folds, (n_articles,), the number of each one's fold.
    """
    names = set(terms)
    is_term = np.array([stem in names for stem in articles.stems], np.bool_)
    n_terms, number = int(is_term.sum()), np.where(is_term, is_term.cumsum() - 1, UNKNOWN)
    in_fold = np.zeros((int(folds.max(initial=-1)) + 1, n_terms), np.int64)  # how many of its articles hold each term
    for article_of, stems, folds_of_batch in _known_stems(articles, number, folds):
        article_of, stems = np.divmod(np.unique(article_of * n_terms + stems), max(n_terms, 1))
        cells = folds_of_batch[article_of] * n_terms + stems
        in_fold += np.bincount(cells, minlength=in_fold.size).reshape(in_fold.shape)
    everywhere = in_fold.sum(axis=0)
    learned = (everywhere - in_fold >= min_df) | (everywhere < min_df)  # (n_folds, n_terms)
    covered: list[npt.NDArray[Any]] = [np.empty(0)]
    for article_of, stems, folds_of_batch in _known_stems(articles, number, folds):
        is_learned = learned[folds_of_batch[article_of], stems]
        covered.append(np.bincount(article_of, is_learned, minlength=folds_of_batch.size))
    n_stems = [np.empty(0, np.int64), *(np.diff(stemmed.offsets) for stemmed in articles.batches)]
    return np.asarray(np.concatenate(covered) / np.maximum(np.concatenate(n_stems), 1))


def _known_stems(articles: StemmedArticles, number: Integers, folds: Integers) -> Iterator[tuple[Integers, ...]]:
    """Of each batch the articles that the known stems are of, as places in the batch, these stems, and its folds.

    Parameters: number, (n_stems,), of each stem if it is known, else `UNKNOWN`; folds, of all articles.
    """
    start = 0
    for stemmed in articles.batches:
        numbers = number[stemmed.stems]
        known = (numbers != UNKNOWN).nonzero()[0]
        article_of = stemmed.offsets.searchsorted(known, side="right") - 1
        yield article_of, numbers[known], folds[start : start + stemmed.titles.size]
        start += stemmed.titles.size


def seen(
    coverage: Floats,
    sizes: npt.NDArray[np.int64],
    predicted: Booleans,
    sectors: Sequence[str],
    prevalences: Sequence[float],
) -> dict[str, Any]:
    """What training saw, as JSON holds it; goes into a model's `training["seen"]`.

    Parameters: coverage (n_articles,), by `held_out_coverage`; sizes (n_articles,), by `sizes_of_all`; predicted
    (n_articles, n_sectors), out of fold; prevalences, declared, one a sector. Raises ValueError without articles.
    """
    if not coverage.size:
        raise ValueError("found no articles, expected those of the training")
    low, high = np.quantile(coverage, RANGE)
    shortest, longest = np.quantile(sizes, RANGE)
    return {
        "articles": int(coverage.size),
        "coverage": {"mean": _rounded(coverage.mean()), "low": _rounded(low), "high": _rounded(high)},
        "bytes": {
            "median": round(float(np.median(sizes))),
            "low": round(float(shortest)),
            "high": round(float(longest)),
        },
        "shares": {name: _rounded(share) for name, share in zip(sectors, predicted.mean(axis=0), strict=True)},
        "prevalences": dict(zip(sectors, map(float, prevalences), strict=True)),
    }


def sizes_of(texts: pa.StringArray, titles: pa.StringArray | None = None) -> npt.NDArray[np.int64]:
    """The bytes of each article, its title included: (n_articles,)."""
    sizes = np.diff(offsets_of(texts)).astype(np.int64)
    return sizes if titles is None else sizes + np.diff(offsets_of(titles))


def sizes_of_all(texts: Sequence[str], titles: Sequence[str]) -> npt.NDArray[np.int64]:
    """`sizes_of` of articles that may be more than one string array can hold: (n_articles,)."""
    parts = (slice(start, start + BATCH) for start in range(0, len(texts), BATCH))
    sizes = [sizes_of(string_array(texts[part]), string_array(titles[part])) for part in parts]
    return np.concatenate([np.empty(0, np.int64), *sizes])


@dataclass
class Watch:
    """A run added up, batch by batch, in constant memory; everything is a whole number, so any order adds up the same.

    sectors: of the model. articles: with a word. blank: without one. coverage: (BINS + 1,), how many articles with a
    word have a coverage from each thousandth on. sizes: (SIZES,), how many have how many bytes, see `OCTAVE`.
    predicted: (n_sectors,). fingerprints: the `SKETCH` smallest of all distinct ones, sorted; of articles with a known
    word.
    """

    sectors: tuple[str, ...]
    articles: int = 0
    blank: int = 0
    coverage: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))
    sizes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(SIZES, np.int64))
    predicted: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    fingerprints: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        if not self.predicted.size:
            self.predicted = np.zeros(len(self.sectors), np.int64)

    def add(self, labels: Labels, texts: pa.StringArray, titles: pa.StringArray | None = None) -> None:
        """Count a batch: its labels, and what was labelled."""
        with_words = (labels.coverage > 0) | (labels.probabilities > 0).any(axis=1)
        coverage = labels.coverage[with_words]
        self.articles += int(coverage.size)
        self.blank += int(with_words.size - coverage.size)
        # A hair more, so that 0.57 times 1000 is not 569.
        self.coverage = self.coverage + np.bincount((coverage * BINS + 1e-6).astype(np.int64), minlength=BINS + 1)
        bins = (OCTAVE * np.log2(np.maximum(sizes_of(texts, titles)[with_words], 1))).astype(np.int64)
        self.sizes = self.sizes + np.bincount(bins, minlength=SIZES)
        self.predicted = self.predicted + labels.predicted.sum(axis=0)
        known = with_words & (labels.coverage > 0)  # without a known word all articles are the same to the model
        self._keep(_fingerprints(labels.coverage[known], labels.probabilities[known]))

    def merge(self, other: Watch) -> None:
        """Add what another run, or another part of this one, has counted. Raises ValueError for other sectors."""
        if other.sectors != self.sectors:
            raise ValueError(f"found counts of {', '.join(other.sectors)}, expected {', '.join(self.sectors)}")
        self.articles += other.articles
        self.blank += other.blank
        self.coverage = self.coverage + other.coverage
        self.sizes = self.sizes + other.sizes
        self.predicted = self.predicted + other.predicted
        self._keep(other.fingerprints)

    def _keep(self, fingerprints: npt.NDArray[np.uint64]) -> None:
        if self.fingerprints.size == SKETCH:  # in a long run hardly any passes
            fingerprints = fingerprints[fingerprints < self.fingerprints[-1]]
        if fingerprints.size:
            self.fingerprints = np.union1d(self.fingerprints, fingerprints)[:SKETCH]

    def state(self) -> dict[str, Any]:
        """Everything counted, as JSON holds it."""
        return {
            "sectors": list(self.sectors),
            "articles": self.articles,
            "blank": self.blank,
            "coverage": self.coverage.tolist(),
            "sizes": self.sizes.tolist(),
            "predicted": self.predicted.tolist(),
            "fingerprints": self.fingerprints.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What `state` gave, once more. Raises ValueError for anything else."""
        try:
            watch = cls(
                tuple(state["sectors"]),
                int(state["articles"]),
                int(state["blank"]),
                np.array(state["coverage"], np.int64),
                np.array(state["sizes"], np.int64),
                np.array(state["predicted"], np.int64),
                np.array(state["fingerprints"], np.uint64),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"found {type(error).__name__}: {error}, expected the counts of a run") from None
        shapes = [array.shape for array in (watch.coverage, watch.sizes, watch.predicted)]
        if shapes != [(BINS + 1,), (SIZES,), (len(watch.sectors),)]:
            raise ValueError("found counts of another shape, expected those of a run")
        return watch

    @property
    def recognised(self) -> int:
        """How many articles have a word that the model knows."""
        return self.articles - int(self.coverage[0])

    @property
    def distinct(self) -> float:
        """How many of these are distinct; estimated when there are more than `SKETCH`.

        Of hashes spread evenly over 0 to 1 the k-th smallest of n distinct ones is about k / n (Bar-Yossef et al.,
        "Counting distinct elements in a data stream", 2002).
        """
        if self.fingerprints.size < SKETCH:
            return float(self.fingerprints.size)
        return min(float(self.recognised), (SKETCH - 1) / (float(self.fingerprints[-1]) / 2.0**64))


def warnings(training: Mapping[str, Any], watch: Watch, ignored: Collection[str] = ()) -> list[str]:
    """What in a run leaves what training saw, beyond chance: a line each, with the figures; mostly none.

    Parameters: training, that of the model; one without `seen` (of an earlier version) gives no warning. ignored,
    sectors whose share says nothing, since their threshold was set by hand.
    """
    known = training.get("seen")
    total = watch.articles + watch.blank
    if not isinstance(known, Mapping) or total < FEWEST:
        return []
    if _interval(watch.blank, total)[0] > MOST_BLANK:
        return [f"{_part(watch.blank, total)} hold no word: the wrong column?"]
    # Where these are not what training saw, nor is anything else.
    if found := [*_of_sizes(known["bytes"], watch), *_of_coverage(known["coverage"], watch)]:
        return found
    repeated = watch.recognised - round(watch.distinct)
    if repeated > 0 and _interval(repeated, watch.recognised)[0] > MOST_REPEATS:
        found.append(
            f"about {_part(repeated, watch.recognised)} repeat another one: the same page stored over and over, "
            "or a file read twice?"
        )
    for sector, count in zip(watch.sectors, watch.predicted.tolist(), strict=True):
        if sector in known["shares"] and sector not in ignored:
            found += _of_sector(sector, count, watch.articles, known["shares"][sector], known["prevalences"][sector])
    return found


def _of_sizes(known: Mapping[str, Any], watch: Watch) -> list[str]:
    longer = np.arange(SIZES) >= int(OCTAVE * math.log2(max(known["low"], 1)))
    short = int(watch.sizes[~longer].sum())
    if not watch.articles or _interval(short, watch.articles)[0] <= 0.5:
        return []
    half = int(watch.sizes.cumsum().searchsorted(watch.articles / 2))
    return [
        f"half of the articles have less than {2 ** ((half + 1) / OCTAVE):,.0f} bytes, training articles "
        f"{known['low']:,} to {known['high']:,}: titles, links or codes for whole articles?"
    ]


def _of_coverage(known: Mapping[str, Any], watch: Watch) -> list[str]:
    n, usual = watch.articles, f"training articles {known['low']:.2f} to {known['high']:.2f}"
    if not n:
        return []
    limit = known["low"] - SLACK * (known["mean"] - known["low"])
    middles = np.minimum((np.arange(BINS + 1) + 0.5) / BINS, 1.0)
    middles[0] = 0.0
    mean = float(watch.coverage @ middles) / n
    deviation = math.sqrt(float(watch.coverage @ (middles - mean) ** 2) / n)
    if mean + NORMAL * deviation / math.sqrt(n) < limit:
        return [f"coverage {mean:.2f} on average, {usual}: another language, the wrong column, or a source of its own?"]
    below = int(watch.coverage[: max(int(limit * BINS + 1e-6), 0)].sum())
    if _interval(below, n)[0] > MOST_LOW:
        return [
            f"coverage below {limit:.2f} in {_part(below, n)}, {usual}: another language or a source of its own "
            "in between?"
        ]
    return []


def _of_sector(sector: str, count: int, n: int, share: float, prevalence: float) -> list[str]:
    low, high = _interval(count, n)
    figures = f"{sector} in {_part(count, n)}; declared {prevalence:.2g}, training articles {share:.2g}"
    if low > min(MOST_TIMES * max(share, prevalence), 0.95):
        advice = f"retrain with --prevalence {sector}={min(count / n, 0.99):.2g}"
        return [f"{figures}: if this stream is always so, {advice}"]
    if high < LEAST_TIMES * min(share, prevalence):
        return [f"{figures}: a source that hardly knows the sector, or has words of its own for it?"]
    return []


def _interval(count: int, n: int) -> tuple[float, float]:
    """The bounds of a share, `NORMAL` standard errors wide (Wilson 1927)."""
    share, square = count / n, NORMAL**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _part(count: int, n: int) -> str:
    return f"{count:,} of {n:,} articles ({count / n:.0%})"


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _fingerprints(coverage: Floats, probabilities: Floats) -> npt.NDArray[np.uint64]:
    """A number for each article, the same for the same article: (n,).

    A prediction does not depend, to the last bit, on the articles around it, and different articles hardly ever agree
    in all of it; so its bits tell an article without another look at the text. Mixed by splitmix64's finaliser
    (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    numbers = np.zeros(coverage.size, np.uint64)
    for column in (coverage, *probabilities.T):
        numbers += np.ascontiguousarray(column, np.float64).view(np.uint64) + _MULTIPLIERS[0]
        numbers = (numbers ^ (numbers >> np.uint64(30))) * _MULTIPLIERS[1]
        numbers = (numbers ^ (numbers >> np.uint64(27))) * _MULTIPLIERS[2]
        numbers ^= numbers >> np.uint64(31)
    return numbers
