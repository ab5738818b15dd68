"""Split cleaned documents into words, whole batches at a time.

`split` finds the words of a batch in one buffer of bytes and numbers the distinct ones; Python then meets each distinct
word once. What bytes cannot tell (accents, other alphabets, hyphens at the ends, numbers) is settled there, by `fold`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.clean import FILLER, bytes_of, offsets_of, ranges

Integers = npt.NDArray[np.int64]

LONGEST_TITLE: Final = 200  # characters
_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\ufe58\ufe63\uff0d\u00ad"), "-") | {0xAD: None}


def _separators() -> bytes:
    """A table for `bytes.translate`: letters, digits, hyphens and non-ASCII bytes stay, newlines and all else part words."""
    table = bytearray(b" " * 128) + bytearray(range(128, 256))
    for byte in b"abcdefghijklmnopqrstuvwxyz0123456789-":
        table[byte] = byte
    return bytes(table)


_SEPARATORS: Final = _separators()


@dataclass(frozen=True)
class Tokens:
    """The words of a batch of documents, in order, as numbers of its distinct words.

    distinct: the distinct words as they stand in the cleaned text, before `fold`.
    numbers: (n_tokens,) int32, for each word of the batch its place in `distinct`.
    offsets: (n_documents + 1,), where in `numbers` each document begins, and where the last ends.
    titles: (n_documents,), how many words at the beginning of each document are its title; 0 where it has none.
    """

    distinct: list[str]
    numbers: npt.NDArray[np.int32]
    offsets: Integers
    titles: Integers


def split(documents: pa.StringArray) -> Tokens:
    """The words of cleaned documents.

    The title of a document is its first line with a word on it if that has at most `LONGEST_TITLE` characters, from
    its first word to its last, and more words follow.

    Parameters: documents, string array (n_documents,), from `features.clean.clean`.
    """
    data = bytes_of(documents)
    bounds = offsets_of(documents)
    text = np.frombuffer(data.tobytes().translate(_SEPARATORS), np.uint8)
    inside = text != ord(" ")
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside.size and inside[0]:
        edges = np.concatenate(([0], edges))
    starts, ends = edges[0::2], edges[1::2]  # every document ends in a newline, so every word ends
    word_bounds = np.zeros(starts.size + 1, np.int32)
    np.cumsum(ends - starts, out=word_bounds[1:])
    words = pa.StringArray.from_buffers(starts.size, pa.py_buffer(word_bounds), pa.py_buffer(text[inside]))
    encoded = words.dictionary_encode()
    offsets = np.searchsorted(starts, bounds)
    return Tokens(
        distinct=encoded.dictionary.to_pylist(),
        numbers=encoded.indices.to_numpy(),
        offsets=offsets,
        titles=_title_lengths(data, bounds, starts, ends, offsets),
    )


def _title_lengths(
    data: npt.NDArray[np.uint8], bounds: Integers, starts: Integers, ends: Integers, offsets: Integers
) -> Integers:
    """How many words of each document are its title: (n_documents,)."""
    titles = np.zeros(bounds.size - 1, np.int64)
    documents = np.flatnonzero(offsets[1:] > offsets[:-1])  # those with a word
    if not documents.size:
        return titles
    first = offsets[documents]
    newlines = np.flatnonzero(data == ord("\n"))
    line_end = newlines[np.searchsorted(newlines, starts[first])]
    after = np.searchsorted(starts, line_end)
    begin, end = starts[first], ends[after - 1]
    # A character of up to four bytes: only lines that could be too long are counted byte by byte.
    fits = end - begin <= LONGEST_TITLE
    maybe = np.flatnonzero(~fits & (end - begin <= 4 * LONGEST_TITLE))
    lengths = end[maybe] - begin[maybe]
    line_bytes = data[ranges(begin[maybe], lengths)]
    characters = np.cumsum((line_bytes & 0xC0 != 0x80) & (line_bytes != FILLER))
    fits[maybe] = np.diff(characters[np.cumsum(lengths) - 1], prepend=0) <= LONGEST_TITLE
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
