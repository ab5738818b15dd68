"""Split cleaned documents into words, whole batches at a time.

`split` finds the words of a batch in one buffer of bytes and numbers the distinct ones; Python then meets each distinct
word once. What bytes cannot tell (accents, other alphabets, numbers) is settled there, by `fold`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import numpy_array
from features.clean import FILLER, Bytes, Positions, bytes_of, offsets_of, ranges

LONGEST_TITLE: Final = 200  # characters
_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\ufe58\ufe63\uff0d\u00ad"), "-") | {0xAD: None}


#: A table for `translate`: letters, digits, hyphens and bytes outside ASCII stay; all else, newlines too, parts words.
_SEPARATORS: Final = bytes(
    byte if byte >= 0x80 or chr(byte) in "abcdefghijklmnopqrstuvwxyz0123456789-" else ord(" ") for byte in range(256)
)


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
    offsets: Positions
    titles: Positions


def split(documents: pa.StringArray) -> Tokens:
    """The words of cleaned documents: runs of letters, digits and bytes outside ASCII, joined by single hyphens.

    The title of a document is its first line with a word on it if that has at most `LONGEST_TITLE` characters, from
    its first word to its last, and more words follow.

    Parameters: documents, string array (n_documents,), from `features.clean.clean`.
    """
    data, documents_at = bytes_of(documents), offsets_of(documents)
    text = _words_and_spaces(data)
    inside = text != ord(" ")
    begins = np.ones(data.size + 1, bool)  # the last one, behind the text, ends the last word
    if inside.size:
        begins[0] = inside[0]
    np.greater(inside[1:], inside[:-1], out=begins[1:-1])
    bounds = np.flatnonzero(begins)
    starts = bounds[:-1]
    # A word goes into the dictionary with the gap behind it, which costs less than to copy the words together without
    # their gaps: there are few kinds of gaps, so that the second dictionary, of words alone, is made of few entries.
    gapped = pa.StringArray.from_buffers(
        starts.size, pa.py_buffer(bounds.astype(np.int32)), pa.py_buffer(text)
    ).dictionary_encode()
    words = pc.ascii_rtrim_whitespace(gapped.dictionary).dictionary_encode()
    numbers = numpy_array(words.indices)[numpy_array(gapped.indices)]
    offsets = starts.searchsorted(documents_at)
    words_at = offsets_of(words.dictionary)
    lengths = words_at[1:] - words_at[:-1]
    return Tokens(
        distinct=words.dictionary.to_pylist(),
        numbers=numbers,
        offsets=offsets,
        titles=_title_lengths(data, starts, offsets, lambda word: starts[word] + lengths[numbers[word]]),
    )


def _words_and_spaces(data: Bytes) -> Bytes:
    """The text with a space for each byte that is in no word: (n_bytes,)."""
    text: Bytes = np.frombuffer(bytearray(data).translate(_SEPARATORS), np.uint8)
    hyphens = np.flatnonzero(text == ord("-"))
    # Spaces and hyphens are the smallest bytes that are left. Before the first byte is the last, the end of a line.
    lone = (text[hyphens - 1] <= ord("-")) | (text[hyphens + 1] <= ord("-"))
    text[hyphens[lone]] = ord(" ")
    return text


def _title_lengths(
    data: Bytes, starts: Positions, offsets: Positions, ends_of: Callable[[Positions], Positions]
) -> Positions:
    """How many words of each document are its title: (n_documents,).

    Parameters: data, the batch; starts, where its words begin; offsets, as in `Tokens`; ends_of, gives where words end.
    """
    titles = np.zeros(offsets.size - 1, np.int64)
    documents = np.flatnonzero(offsets[1:] > offsets[:-1])  # those with a word
    if not documents.size:
        return titles
    first = offsets[documents]
    newlines = np.flatnonzero(data == ord("\n"))
    line_end = newlines[newlines.searchsorted(starts[first])]
    after = starts.searchsorted(line_end)
    begin, end = starts[first], ends_of(after - 1)
    # A character has up to four bytes: only lines that could be too long or not are counted byte by byte.
    fits = end - begin <= LONGEST_TITLE
    unclear = np.flatnonzero(~fits & (end - begin <= 4 * LONGEST_TITLE))
    if unclear.size:
        lengths = end[unclear] - begin[unclear]
        line_bytes = data[ranges(begin[unclear], lengths)]
        characters = (line_bytes & 0xC0 != 0x80) & (line_bytes != FILLER)  # first bytes
        fits[unclear] = np.add.reduceat(characters, np.cumsum(lengths) - lengths, dtype=np.int64) <= LONGEST_TITLE
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
