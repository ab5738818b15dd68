"""Split cleaned documents into words, whole batches at a time.

`split` finds the words of a batch in one buffer of bytes and numbers the distinct ones; Python then meets each distinct
word once. What bytes cannot tell (accents, other alphabets, numbers) is settled there, by `fold`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import numpy_array, places_of_few
from features.search import FILLER, NEWLINE, Batch, Bytes, Positions, bytes_of, offsets_of, ranges, string_array_of
from features.strings import string_array

LONGEST_TITLE: Final = 200  # characters
LONGEST_PACKED: Final = 16  # bytes; of the words of the bundled articles one in 2,000 is longer
_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\ufe58\ufe63\uff0d\u00ad"), "-") | {0xAD: None}


#: A table for `translate`: letters, digits, hyphens and bytes outside ASCII stay; all else, newlines too, parts words.
_SEPARATORS: Final = bytes(
    byte if byte >= 0x80 or chr(byte) in "abcdefghijklmnopqrstuvwxyz0123456789-" else ord(" ") for byte in range(256)
)


#: For a word of 0 to 16 bytes which of its first eight bytes are there, and which of the next eight: (17, 2).
_BYTES: Final = np.array(
    [[(1 << 8 * min(n, 8)) - 1, (1 << 8 * max(n - 8, 0)) - 1] for n in range(LONGEST_PACKED + 1)], np.uint64
)
#: The bits that tell letters, and bytes outside ASCII, from digits and hyphens, in a word packed into numbers.
LETTERS: Final = np.uint64(0xC0C0C0C0C0C0C0C0)
Packed = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Tokens:
    """The words of a batch of documents, in order, as they stand in the cleaned text, before `fold`.

    text: the batch's bytes, a space where no word is, and `LONGEST_PACKED` spaces behind.
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
        lengths = self.lengths[places]
        bounds = np.concatenate(([0], lengths.cumsum()))
        words = string_array_of(self.text[ranges(self.starts[places], lengths)], bounds)
        encoded = words.dictionary_encode()
        return encoded.dictionary.to_pylist(), numpy_array(encoded.indices)

    def packed(self) -> Packed:
        """The first eight bytes of each word as one number, and the next eight; zeros behind a shorter word: (n, 2).

        A word of more than `LONGEST_PACKED` bytes gets numbers that no shorter word has.
        """
        # A view whose rows overlap, so that a word is fetched at one go.
        rows: npt.NDArray[np.void] = np.ndarray((self.text.size - LONGEST_PACKED + 1,), "V16", self.text, strides=(1,))
        letters: Packed = rows[self.starts].view("<u8").reshape(-1, 2)
        letters &= _BYTES.take(self.lengths, axis=0, mode="clip")
        letters[places_of_few(self.lengths > LONGEST_PACKED), 0] = ~np.uint64(0)  # UTF-8 has no byte of eight ones
        return letters


def pack(words: Sequence[str]) -> Packed:
    """`Tokens.packed` of some words: (n_words, 2)."""
    array = string_array(words)
    bounds = offsets_of(array)
    text = _padded(bytearray(bytes_of(array)))
    return Tokens(text, bounds[:-1], np.diff(bounds), bounds[:1], bounds[:0]).packed()


def split(documents: pa.StringArray) -> Tokens:
    """The words of cleaned documents: runs of letters, digits and bytes outside ASCII, joined by single hyphens.

    The title of a document is its first line with a word on it if that has at most `LONGEST_TITLE` characters, from
    its first word to its last, and more words follow.

    Parameters: documents, string array (n_documents,), from `features.clean.clean`.
    """
    data = bytes_of(documents)
    return _split(data, offsets_of(documents), places_of_few(data == NEWLINE))


def split_batch(batch: Batch) -> Tokens:
    """What `split` gives for the documents of a batch, from `features.clean.clean_batch`."""
    return _split(batch.data, batch.offsets, batch.places_of(NEWLINE))


def _split(data: Bytes, documents_at: Positions, newlines: Positions) -> Tokens:
    text = _words_and_spaces(data)
    inside = text != ord(" ")
    edge = np.empty_like(inside)  # the first byte of each word and, in turn, the one behind its last
    edge[0] = inside[0]
    np.not_equal(inside[1:], inside[:-1], out=edge[1:])
    starts, ends = edge.nonzero()[0].reshape(-1, 2).T
    starts, lengths = starts.copy(), ends - starts
    offsets = starts.searchsorted(documents_at)
    return Tokens(text, starts, lengths, offsets, _title_lengths(data, newlines, starts, lengths, offsets))


def _padded(text: bytearray) -> Bytes:
    """The bytes with so many spaces behind them that `LONGEST_PACKED` can be read from each; `text` becomes theirs."""
    text.extend(b" " * LONGEST_PACKED)
    return np.frombuffer(text, np.uint8)


def _words_and_spaces(data: Bytes) -> Bytes:
    """The text with a space for each byte that is in no word: (n_bytes,)."""
    text = _padded(bytearray(data).translate(_SEPARATORS))
    hyphens = places_of_few(text == ord("-"))
    # Spaces and hyphens are the smallest bytes that are left. Before the first byte is the last, the end of a line.
    lone = (text[hyphens - 1] <= ord("-")) | (text[hyphens + 1] <= ord("-"))
    text[hyphens[lone]] = ord(" ")
    return text


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


def fold(word: str) -> tuple[str, ...]:
    """The lower-case words without accents that a word of the cleaned text stands for: mostly itself, maybe none.

    Compatibility characters are decomposed (Unicode normalization form KD), marks and invisible characters dropped,
    and what then is no letter, digit or inner hyphen parts words. Words without a letter (numbers) are dropped.
    Folding a folded word changes nothing.
    """
    if word.isascii():
        if word.isalpha():
            return (word,)
        parts = word.replace("--", " ").split()
    else:
        plain = unicodedata.normalize("NFKD", word.translate(_HYPHENS)).casefold()
        plain = unicodedata.normalize("NFKD", plain).translate(_HYPHENS)
        plain = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
        parts = "".join(c if c.isalnum() or c == "-" else " " for c in plain).replace("--", " ").split()
    stripped = (part.strip("-") for part in parts)
    return tuple(part for part in stripped if any(map(str.isalpha, part)))
