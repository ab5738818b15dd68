"""Articles that repeat one another: find them, drop them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from data.corpus import Corpus

SHINGLE_WORDS = 5
NEAR_DUPLICATE = Fraction(4, 5)  # Jaccard similarity from which two articles are the same one
_NUMERATOR, _DENOMINATOR = NEAR_DUPLICATE.numerator, NEAR_DUPLICATE.denominator
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd and without pattern: 2**64 divided by the golden ratio
_CHUNK = 1024  # texts whose shingles are kept in one array
_MOST_BITS = 28  # of a hash, to count shingles by: 256 MB
_OTHER_NON_WORD = re.compile(r"[^\w\x00-\x7f]")
_NON_WORD_TO_SPACE = bytes(byte if byte >= 128 or re.match(r"\w", chr(byte)) else 32 for byte in range(256))


def deduplicate(corpus: Corpus) -> tuple[Corpus, list[tuple[int, int]]]:
    """The corpus without exact and near duplicates, and pairs (index dropped, index of the article it
    repeats).

    Of articles that repeat one another the first stays; title and text are compared together. See `repeats`.
    """
    first = repeats(corpus.lazy_articles())
    is_kept = first == np.arange(len(corpus))
    dropped = np.flatnonzero(~is_kept)
    if not len(dropped):
        return corpus, []
    return corpus.select(np.flatnonzero(is_kept)), list(zip(dropped.tolist(), first[dropped].tolist(), strict=True))


def repeats(texts: Sequence[str]) -> NDArray[np.int64]:
    """For each text the index of the earliest kept text that it repeats, else its own index; shape (texts,).

    Two texts repeat each other when the Jaccard similarity of their sets of 5-word shingles (runs of five
    lower-cased words; a shorter text is one shingle) is at least 0.8. A text is kept unless it repeats one
    kept before it, so that no two kept texts repeat each other.

    The answer is exact, not sampled, but for two of the shingles having the same 64-bit hash. Each text is
    asked for once, and those that may have a repeat (`_may_repeat`) once more.
    """
    first = np.arange(len(texts), dtype=np.int64)
    places = _may_repeat(texts)
    first[places] = places[_repeats([_shingles(texts[place]) for place in places.tolist()])]
    return first


def _may_repeat(texts: Sequence[str]) -> NDArray[np.int64]:
    """The indices, ascending, of the texts that may have a repeat: most of a newsroom's are ruled out.

    What two sets of similarity >= t share is at least t times each of them. So a text of whose shingles fewer
    than that share stand in any other text has no repeat. Shingles are counted by the bits their hashes begin
    with: where two fall together a text may be kept for nothing, but none is lost. Without the texts ruled out
    more shingles stand in one text only, so it is done over until few more go.
    """
    chunks: list[_Chunk] = []
    for start in range(0, len(texts), _CHUNK):
        # Half the bits of a hash, and they tell nearly all shingles apart.
        halves = [(_shingles(text) >> np.uint64(32)).astype(np.uint32) for text in texts[start : start + _CHUNK]]
        chunks.append(_Chunk(np.arange(start, start + len(halves)), list(map(len, halves)), np.concatenate(halves)))
    left, before = len(texts), 2 * len(texts)
    while 0 < left < 0.9 * before:
        before = left
        bits = min(max(sum(len(chunk.halves) for chunk in chunks).bit_length(), 16), _MOST_BITS)
        shift = np.uint32(32 - bits)
        holders = np.zeros(1 << bits, dtype=np.uint8)  # texts that hold such a shingle: 0, 1, or 2 for more
        for chunk in chunks:
            for buckets in np.split(chunk.halves >> shift, np.cumsum(chunk.sizes[:-1])):
                holders[buckets] = np.minimum(holders[buckets] + 1, 2)
        chunks = [chunk.without_originals(holders[chunk.halves >> shift] > 1) for chunk in chunks]
        chunks = [chunk for chunk in chunks if len(chunk.places)]
        left = sum(len(chunk.places) for chunk in chunks)
    return np.concatenate([np.zeros(0, dtype=np.int64), *(chunk.places for chunk in chunks)])


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some texts by their shingles: their indices, how many shingles each has, and half the hashes of these."""

    places: NDArray[np.int64]
    sizes: list[int]
    halves: NDArray[np.uint32]

    def without_originals(self, elsewhere: NDArray[np.bool_]) -> _Chunk:
        """The texts that can reach the similarity, given which of their shingles may stand in others too."""
        sizes = np.array(self.sizes, dtype=np.int64)
        shared = np.add.reduceat(elsewhere, np.cumsum(sizes) - sizes, dtype=np.int64)
        stays = shared * _DENOMINATOR >= sizes * _NUMERATOR
        return _Chunk(self.places[stays], sizes[stays].tolist(), self.halves[np.repeat(stays, sizes)])


def _repeats(shingles: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """`repeats` of texts by their shingles.

    Not every pair is compared: with the shingles of each text in one order, the rarest first, two sets x and y
    of similarity >= t share one of the first |x| - ceil(t|x|) + 1 of x (prefix filtering; Bayardo, Ma and
    Srikant, "Scaling up all pairs similarity search", 2007), and one of the first |y| - ceil(2t/(1+t) |y|) +
    1 of the smaller set y (Xiao et al., "Efficient similarity joins for near duplicate detection", 2008). So
    the long prefix of each text is looked up in an index of short ones and the other way round, and what is
    found is compared in full.
    """
    sizes = np.fromiter(map(len, shingles), dtype=np.int64, count=len(shingles))
    # In whole numbers: |x| - ceil(t|x|) + 1, and with 2t / (1 + t) for t.
    long_sizes = sizes + -sizes * _NUMERATOR // _DENOMINATOR + 1
    short_sizes = sizes + -sizes * 2 * _NUMERATOR // (_NUMERATOR + _DENOMINATOR) + 1
    longs, shorts = _shared_prefixes(shingles, long_sizes, short_sizes)
    long_index, short_index = _Postings(longs), _Postings(shorts)
    rests = sizes - long_sizes
    wanted = np.zeros(long_index.shingles, dtype=np.bool_)
    first = np.arange(len(shingles), dtype=np.int64)
    for index, (long, short) in enumerate(zip(longs, shorts, strict=True)):
        found = np.unique(np.concatenate([short_index.find(long), long_index.find(short)]))
        if len(found):
            wanted[long] = True
            common = _counts([longs[other] for other in found.tolist()], wanted)
            wanted[long] = False
            # What two sets share stands in both long prefixes or behind the one that ends first.
            at_most = np.minimum(
                common + np.maximum(rests[found], rests[index]), np.minimum(sizes[found], sizes[index])
            )
            found = found[_reach(at_most, sizes[found] + sizes[index])]
        for other in found.tolist():
            if _similar(shingles[index], shingles[other]):
                first[index] = other
                break
        else:
            long_index.add(index, long)
            short_index.add(index, short)
    return first


def _reach(common: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether sets that share `common` shingles and have `sizes` in sum reach the similarity, in whole
    numbers.
    """
    return common * _DENOMINATOR >= (sizes - common) * _NUMERATOR


def _counts(sets: Sequence[NDArray[np.int64]], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many shingles of each set, none of them empty, are wanted."""
    starts = np.cumsum([0, *map(len, sets[:-1])])
    return np.add.reduceat(wanted[np.concatenate(sets)], starts, dtype=np.int64)


def _shingles(text: str) -> NDArray[np.uint64]:
    """The distinct shingles of a text as ascending 64-bit hashes, the same within one process."""
    text = text.lower()
    if not text.isascii():
        text = _OTHER_NON_WORD.sub(" ", text)
    words = text.encode("utf-8").translate(_NON_WORD_TO_SPACE).split()  # as re.findall(r"\w+"), only faster
    hashes = np.fromiter(map(hash, words), dtype=np.int64, count=len(words)).view(np.uint64)
    length = min(SHINGLE_WORDS, len(words))
    shingles = np.zeros(len(words) - length + 1, dtype=np.uint64)
    for start in range(length):
        shingles *= _HASH_BASE
        shingles += hashes[start : start + len(shingles)]
    shingles.sort()
    distinct = np.ones(len(shingles), dtype=np.bool_)
    np.not_equal(shingles[1:], shingles[:-1], out=distinct[1:])
    return shingles[distinct]


def _shared_prefixes(
    shingles: Sequence[NDArray[np.uint64]], long_sizes: NDArray[np.int64], short_sizes: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """The long and the short prefix of each set, its rarest shingles.

    Shingles come as numbers from 0 without gaps; those that stand in no other prefix, which cannot match, are
    left out.
    """
    # Any order common to all sets is right; counting in buckets brings the rare ones to the front well
    # enough.
    bits = max(16, min(24, sum(map(len, shingles)).bit_length()))
    shift = np.uint64(64 - bits)
    counts = np.zeros(1 << bits, dtype=np.int32)
    for hashes in shingles:
        counts[hashes >> shift] += 1
    ranks = np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)  # narrow numbers sort faster
    ordered = [
        hashes[np.argsort(ranks[hashes >> shift], kind="stable")[:size]]
        for hashes, size in zip(shingles, long_sizes.tolist(), strict=True)
    ]
    del counts, ranks
    everything = np.concatenate([np.zeros(0, dtype=np.uint64), *ordered])
    _, numbers, holders = np.unique(everything, return_inverse=True, return_counts=True)
    shared = (holders > 1)[numbers]
    numbers = (np.cumsum(holders > 1) - 1)[numbers]
    stops = np.cumsum(long_sizes)

    def cut(ends: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        spans = zip((stops - long_sizes).tolist(), ends.tolist(), strict=True)
        return [numbers[start:end][shared[start:end]] for start, end in spans]

    return cut(stops), cut(stops - long_sizes + short_sizes)


class _Postings:
    """Texts by shingle: one array, with room for all texts that could be added, laid out beforehand."""

    def __init__(self, prefixes: Sequence[NDArray[np.int64]]) -> None:
        room = np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *prefixes]))
        self._starts = np.cumsum(room) - room
        self._ends = self._starts.copy()
        self._texts = np.zeros(int(room.sum()), dtype=np.int32)
        self.shingles = len(room)

    def add(self, text: int, shingles: NDArray[np.int64]) -> None:
        ends = self._ends[shingles]
        self._texts[ends] = text
        self._ends[shingles] = ends + 1

    def find(self, shingles: NDArray[np.int64]) -> NDArray[np.int32]:
        """The texts added with any of these shingles, a text once for each."""
        shingles = shingles[shingles < self.shingles]
        if not len(shingles):
            return self._texts[:0]
        starts = self._starts[shingles]
        lengths = self._ends[shingles] - starts
        stops = np.cumsum(lengths)
        found: NDArray[np.int32] = self._texts[np.arange(stops[-1]) + np.repeat(starts - stops + lengths, lengths)]
        return found


def _similar(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> bool:
    """Whether the Jaccard similarity of two ascending sets is at least `NEAR_DUPLICATE`, in whole numbers."""
    places = np.searchsorted(first, second)
    common = int((first[np.minimum(places, len(first) - 1)] == second).sum())
    return common * _DENOMINATOR >= (len(first) + len(second) - common) * _NUMERATOR
