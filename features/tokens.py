"""Split cleaned documents into words, whole batches at a time.

`split` finds the words of a batch in one buffer of bytes and numbers the distinct ones; Python then meets each distinct
word once. What bytes cannot tell (accents, other alphabets, numbers) is settled there, by `features.fold`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import places_of_few, ranges
from features.search import (
    FILLER,
    HYPHEN,
    NEWLINE,
    PADDING,
    Batch,
    Bytes,
    Mask,
    Positions,
    bytes_of,
    distinct_strings,
    in_words,
    offsets_of,
    windows,
)
from features.strings import string_array

LONGEST_TITLE: Final = 200  # characters
SHORT: Final = 16  # bytes of a short word at most; of the words of the bundled articles one in 2,000 is longer
LONG: Final = PADDING  # bytes of a long word at most, 32; those that are longer still are hardly words

#: For `translate`: which bytes are of words, before hyphens are looked at.
_IN_WORDS: Final = in_words(np.arange(256, dtype=np.uint8)).tobytes()
#: For a word of 0, 1, 2, ... bytes which of its first eight bytes are there, of the next eight and so on: (33, 4).
_BYTES: Final = np.array(
    [[(1 << 8 * min(max(n - first, 0), 8)) - 1 for first in range(0, LONG, 8)] for n in range(LONG + 1)], np.uint64
)
_BYTES_OF_SHORT: Final = np.ascontiguousarray(_BYTES[: SHORT + 1, : SHORT // 8])
_NO_WORD: Final = ~np.uint64(0)  # UTF-8 has no byte of eight ones
#: The bits that tell letters, and bytes outside ASCII, from digits and hyphens, in a word packed into numbers.
LETTERS: Final = np.uint64(0xC0C0C0C0C0C0C0C0)
Packed = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Tokens:
    """The words of a batch of documents, in order, as they stand in the cleaned text, before `fold`.

    text: the batch's bytes, and `features.search.PADDING` more behind; shared with the batch, and not to be changed.
    starts: (n_tokens,), where in `text` each word begins. lengths: (n_tokens,), of each word in bytes.
    offsets: (n_documents + 1,), where in `starts` each document begins, and where the last ends.
    titles: (n_documents,), how many words at the beginning of each document are its title; 0 where it has none.
    """

    text: Bytes
    starts: Positions
    lengths: Positions
    offsets: Positions
    titles: Positions

    @cached_property
    def _encoded(self) -> tuple[list[str], npt.NDArray[np.int32]]:
        return self.encode(np.arange(self.starts.size))

    @property
    def distinct(self) -> list[str]:
        """The distinct words."""
        return self._encoded[0]

    @property
    def numbers(self) -> npt.NDArray[np.int32]:
        """For each word its place in `distinct`: (n_tokens,)."""
        return self._encoded[1]

    def encode(self, places: Positions) -> tuple[list[str], npt.NDArray[np.int32]]:
        """The distinct ones among the words at `places` (n,), and for each of these its place among them (n,)."""
        return distinct_strings(self.text, self.starts[places], self.lengths[places])

    @cached_property
    def long(self) -> Positions:
        """Which words have more than `SHORT` bytes: (n_long,)."""
        return (self.lengths > SHORT).nonzero()[0]

    @cached_property
    def packed(self) -> Packed:
        """The first eight bytes of each word as one number, and the next eight; zeros behind a shorter word: (n, 2).

        A word of more than `SHORT` bytes gets numbers that no shorter word has.
        """
        letters: Packed = windows(self.text, self.starts, SHORT).view("<u8")
        letters &= _BYTES_OF_SHORT.take(self.lengths, axis=0, mode="clip")
        letters[self.long, 0] = _NO_WORD
        return letters

    @cached_property
    def packed_long(self) -> Packed:
        """The same of the words that are `long`, in four numbers of eight bytes, up to `LONG` bytes: (n_long, 4)."""
        lengths = self.lengths[self.long]
        letters: Packed = windows(self.text, self.starts[self.long], LONG).view("<u8")
        letters &= _BYTES.take(lengths, axis=0, mode="clip")
        letters[lengths > LONG, 0] = _NO_WORD
        return letters

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Some words, of no document."""
        array = string_array(words)
        bounds = offsets_of(array)
        return cls(_padded(bytes_of(array)), bounds[:-1], np.diff(bounds), bounds[:1], bounds[:0])


def split(documents: pa.StringArray) -> Tokens:
    """The words of cleaned documents: runs of letters, digits and bytes outside ASCII, joined by single hyphens.

    The title of a document is its first line with a word on it if that has at most `LONGEST_TITLE` characters, from
    its first word to its last, and more words follow.

    Parameters: documents, string array (n_documents,), from `features.clean.clean`.
    """
    data = bytes_of(documents)
    newlines, hyphens = (places_of_few(data == sign) for sign in (NEWLINE, HYPHEN))
    return _split(_padded(data), offsets_of(documents), newlines, hyphens)


def split_batch(batch: Batch) -> Tokens:
    """What `split` gives for the documents of a batch, from `features.clean.clean_batch`."""
    hyphens = batch.places_of(HYPHEN)
    left = hyphens.compress(batch.data.take(hyphens) == HYPHEN)  # a rule of `features.clean` may have blanked some
    return _split(batch.text, batch.offsets, batch.places_of(NEWLINE), left)


def _split(text: Bytes, documents_at: Positions, newlines: Positions, hyphens: Positions) -> Tokens:
    data = text[: text.size - PADDING]
    inside = _in_words(text, hyphens)
    edge = np.empty_like(inside)  # the first byte of each word and, in turn, the one behind its last
    edge[0] = inside[0]
    np.not_equal(inside[1:], inside[:-1], out=edge[1:])
    edges = edge.nonzero()[0]
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    offsets = starts.searchsorted(documents_at)
    return Tokens(text, starts, lengths, offsets, _title_lengths(data, newlines, starts, lengths, offsets))


def _padded(data: Bytes) -> Bytes:
    return np.concatenate((data, np.zeros(PADDING, np.uint8)))


def _in_words(text: Bytes, hyphens: Positions) -> Mask:
    """Which bytes are of words; False for those behind the batch: (n_bytes + `PADDING`,)."""
    inside = np.frombuffer(bytearray(text).translate(_IN_WORDS), np.bool_)
    inside[hyphens] = inside[hyphens - 1] & inside[hyphens + 1]  # before the first byte is the last
    return inside


def _title_lengths(
    data: Bytes, newlines: Positions, starts: Positions, lengths: Positions, offsets: Positions
) -> Positions:
    """How many words of each document are its title: (n_documents,).

    Parameters: data, the batch; newlines, where they are in it; starts, lengths and offsets, as in `Tokens`.
    """
    titles = np.zeros(offsets.size - 1, np.int64)
    documents = (offsets[1:] > offsets[:-1]).nonzero()[0]  # those with a word
    if not documents.size:
        return titles
    first = offsets[documents]
    line_end = newlines[newlines.searchsorted(starts[first])]
    after = starts.searchsorted(line_end)
    begin, end = starts[first], starts[after - 1] + lengths[after - 1]
    # A character has up to four bytes: only lines that could be too long or not are counted byte by byte.
    fits = end - begin <= LONGEST_TITLE
    unclear = (~fits & (end - begin <= 4 * LONGEST_TITLE)).nonzero()[0]
    if unclear.size:
        sizes = end[unclear] - begin[unclear]
        line_bytes = data[ranges(begin[unclear], sizes)]
        characters = (line_bytes & 0xC0 != 0x80) & (line_bytes != FILLER)  # first bytes
        fits[unclear] = np.add.reduceat(characters, sizes.cumsum() - sizes, dtype=np.int64) <= LONGEST_TITLE
    titles[documents] = np.where(fits & (after < offsets[documents + 1]), after - first, 0)
    return titles
