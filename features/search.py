"""A batch of documents as one buffer of bytes: where things stand in it, found for all documents at once.

The tools that the rules of `features.markup` and `features.clean` are made of.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import arrow_array, computed, numpy_array, pieces, places_of_few, ranges
from features.table import HashTable

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Span = tuple[Positions, Positions]  # where spans of bytes begin and where they end

NEWLINE: Final = 0x0A
SPACE: Final = 0x20
HYPHEN: Final = 0x2D
#: Stands for the second and third byte of a blanked symbol, so that characters can still be counted.
FILLER: Final = 0x7F
PADDING: Final = 32  # bytes behind a batch: so many can be looked at from any place on
WINDOW: Final = 16  # bytes that rules look at from a place on, at most
OPENING: Final = 8  # bytes of a word that are compared with those of rules
#: Types of so many bytes, made once: to make one takes as long as to fetch a few windows.
_WIDE: Final = {width: np.dtype(f"V{width}") for width in (OPENING, WINDOW, PADDING)}
_ONE: Final = np.uint64(1)
_FEW: Final = 128  # strings; to call Arrow takes longer than to look at so many one by one


def table(members: bytes) -> Mask:
    """Which bytes are among the members: (256,). Its `take` takes a third of the time of an index."""
    among = np.zeros(256, np.bool_)
    among[list(members)] = True
    return among


LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"
DIGITS: Final = b"0123456789"
#: Bytes that rules hang on: line ends and other control characters, first bytes of symbols, markup, brackets, "://",
#: "www." and "baca juga"; and hyphens, which `features.tokens` asks for.
_LANDMARKS: Final = table(bytes(range(SPACE)) + b"\xc2\xe2<>&([-:wj").tobytes()


def in_words(data: Bytes) -> Mask:
    """Which bytes are letters in lower case, digits or outside ASCII, as the bytes of a word: the shape of `data`."""
    inside: Mask = data - np.uint8(ord("a")) < 26  # what is less than "a" wraps round and is large
    inside |= data - np.uint8(ord("0")) < 10
    inside |= data >= 0x80
    return inside


def bytes_of(array: pa.StringArray) -> Bytes:
    """The UTF-8 bytes of all strings of an array, one after the other, without a copy: (n_bytes,)."""
    data, bounds = array.buffers()[2], _bounds(array)
    if data is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def offsets_of(array: pa.StringArray) -> Positions:
    """Where in `bytes_of(array)` each string begins, and where the last ends: (n_strings + 1,)."""
    bounds = _bounds(array)
    offsets: Positions = np.subtract(bounds, bounds[0], dtype=np.int64)
    return offsets


def _bounds(array: pa.StringArray) -> npt.NDArray[np.int32]:
    if len(array) == 0:  # it need not have offsets at all
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]


class Batch:
    """The bytes of a batch of documents, and where in it the landmarks stand that rules hang on.

    The landmarks are found together, because a pass over the whole batch costs as much as all that is then done with
    them: two to three bytes of a hundred are landmarks.

    Parameters
    ----------
    text: documents one after the other, each ending in a newline, and newlines behind: (n_bytes + `PADDING`,).
    offsets: where in it each document begins, and where the last ends: (n_documents + 1,).
    places: where the landmarks are. signs: the bytes found there, which may be blanked since; both (n_landmarks,).
    cut: where what was taken out stood in the batch that this one was made from, if it was made by `without`.
    """

    def __init__(self, text: Bytes, offsets: Positions, places: Positions, signs: Bytes, cut: Span | None = None):
        self.text = text
        self.offsets = offsets
        self.cut = cut
        self._places = places
        self._signs = signs

    @property
    def data(self) -> Bytes:
        """The documents alone: (n_bytes,)."""
        return self.text[: self.offsets[-1]]

    @classmethod
    def of(cls, text: bytearray, offsets: Positions) -> Self:
        """From documents one after the other, each ending in a newline; `text` becomes the batch's own.

        Carriage returns become newlines, other control characters spaces.
        """
        # `translate` of a bytearray takes half the time of that of bytes.
        places = places_of_few(np.frombuffer(text.translate(_LANDMARKS), np.bool_))
        text.extend(b"\n" * PADDING)
        data = np.frombuffer(text, np.uint8)
        signs = data[places]
        controls = ((signs < SPACE) & (signs != NEWLINE)).nonzero()[0]
        signs[controls] = np.where(signs[controls] == ord("\r"), NEWLINE, SPACE)
        data[places[controls]] = signs[controls]
        return cls(data, offsets, places, signs)

    def array(self) -> pa.StringArray:
        return string_array_of(self.data, self.offsets)

    def without(self, starts: Positions, ends: Positions, signs: Bytes) -> Batch:
        """The documents with one byte in place of each span: (n_spans,), in order and apart."""
        gone = np.concatenate(([0], (ends - starts - 1).cumsum()))  # bytes that go before each span
        # What is kept and what goes, in turn.
        bounds = np.concatenate(([0], np.column_stack((starts + 1, ends)).ravel(), [self.text.size]))
        text = pieces(self.text, bounds, np.arange(0, bounds.size, 2))
        text[starts - gone[:-1]] = signs
        first, last = self._places.searchsorted(starts + 1), self._places.searchsorted(ends)
        there = np.ones(self._places.size, np.bool_)
        there[ranges(first, last - first)] = False
        moved = gone.repeat(np.diff(last, prepend=0, append=there.size))
        places = (self._places - moved).compress(there)
        offsets = self.offsets - gone[starts.searchsorted(self.offsets)]
        return Batch(text, offsets, places, text[places], (starts, ends))

    def document_of(self, places: Positions) -> Positions:
        """The number of the document in which each place is."""
        return self.offsets.searchsorted(places, side="right") - 1

    def windows(self, places: Positions, width: int) -> Bytes:
        """The bytes from each place on: (n_places, width); width is `OPENING`, `WINDOW` or `PADDING`."""
        return windows(self.text, places, width)

    def places_of(self, *values: int) -> Positions:
        """Where one of some landmarks stands, in order."""
        found = self._signs == values[0]
        for value in values[1:]:
            found |= self._signs == value
        return self._places.compress(found)  # takes a third of the time of self._places[found]

    def places_of_phrase(self, phrase: bytes, landmark: int = 0) -> Positions:
        """Where a phrase stands, in order. Parameters: landmark, which byte of the phrase is one."""
        data, places = self.data, self.places_of(phrase[landmark]) - landmark
        for offset, byte in enumerate(phrase):
            if not places.size:
                break
            if offset != landmark:
                # Beyond one end of the batch is the other: its last byte, a newline, is in no phrase.
                places = places.compress(data.take(places + offset, mode="wrap") == byte)
        return places


def string_array_of(data: Bytes, offsets: Positions) -> pa.StringArray:
    """The strings that stand one after the other in `data`, sharing its memory."""
    return pa.StringArray.from_buffers(offsets.size - 1, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data))


def distinct_strings(data: Bytes, starts: Positions, lengths: Positions) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The distinct ones among strings that stand in `data`, and for each string its place among them: (n_strings,).

    Parameters: data, in one piece; starts and lengths, (n_strings,), in bytes, of strings without line breaks, which
    stand there in order, apart from each other, and behind the last of which there is one more byte.
    """
    if starts.size > _FEW:
        bounds = np.empty(2 * starts.size, np.int64)  # every other string is what stands between two
        bounds[::2], bounds[1::2] = starts, starts + lengths
        strings = computed("array_take", string_array_of(data, bounds), arrow_array(np.arange(0, bounds.size - 1, 2)))
        encoded = computed("dictionary_encode", strings)
        return encoded.dictionary.to_pylist(), numpy_array(encoded.indices)
    sizes = lengths + 1
    lines = data[ranges(starts, sizes)]
    lines[sizes.cumsum() - 1] = NEWLINE
    words = lines.tobytes().decode().split("\n")[:-1]
    places = {word: place for place, word in enumerate(dict.fromkeys(words))}
    return list(places), np.array([places[word] for word in words], np.int32)


def windows(text: Bytes, places: Positions, width: int) -> Bytes:
    """The bytes of a text from each place on, behind which it has so many: (n_places, width), as in `Batch.windows`."""
    # A view whose rows overlap, so that a window is fetched at one go.
    rows: npt.NDArray[np.void] = np.ndarray(text.size - width + 1, _WIDE[width], text, 0, 1)
    return rows[places].view(np.uint8).reshape(-1, width)


def words_at(batch: Batch, places: Positions) -> tuple[npt.NDArray[np.uint64], Positions]:
    """The words that begin at some places, as numbers of their first `OPENING` bytes, and where those bytes end."""
    letters = batch.windows(places, OPENING)
    outside = (~in_words(letters)).view(np.uint64)[:, 0]  # a byte of 1 for each that is not of a word
    inside = (outside & (~outside + _ONE)) - _ONE  # the bits below the first of those, all if there is none
    return letters.view(np.uint64)[:, 0] & inside, places + (np.bitwise_count(inside) >> 3)


def openings(words: str) -> HashTable[np.bool_]:
    """Which of the words that `words_at` gives are among some, by their first bytes."""
    packed = np.unique(np.array([word[:OPENING] for word in words.split()], f"S{OPENING}").view(np.uint64))
    return HashTable(packed, np.ones(packed.size, np.bool_), missing=False)


def until(data: Bytes, places: Positions, limits: Positions, stops: Mask) -> Positions:
    """For each place the first byte from there on that is one of `stops`, at most `limits`.

    The windows between places and limits are gathered into one small buffer, so what they cost is their length.
    """
    lengths = limits - places
    starts = lengths.cumsum() - lengths
    found = stops.take(data[ranges(places, lengths)]).nonzero()[0]
    ends: Positions = np.minimum(next_of(found, starts, data.size) - starts + places, limits)
    return ends


def whole_characters(data: Bytes, places: Positions) -> Positions:
    """The places, those in the middle of a character moved behind it: (n,)."""
    for _ in range(3):  # the bytes that a character of UTF-8 has beside its first
        places = places + (data.take(places, mode="clip") & 0xC0 == 0x80)
    return places


def next_of(positions: Positions, after: Positions, otherwise: int) -> Positions:
    """For each of `after` the first of the sorted `positions` that is not before it, else `otherwise`."""
    found: Positions = np.append(positions, otherwise)[positions.searchsorted(after)]
    return found


def at(positions: Positions, index: Positions, otherwise: int) -> Positions:
    """`positions[index]`, and `otherwise` past the end."""
    return np.append(positions, otherwise)[np.minimum(index, positions.size)]


def apart(spans: list[Span]) -> Span:
    """Spans in order, each beginning where those before it left off, so that the bytes in them add up to the text's."""
    starts = np.concatenate([begin for begin, _ in spans])
    order = starts.argsort(kind="stable")
    ends = np.concatenate([end for _, end in spans])[order]
    reached = np.maximum.accumulate(ends)
    starts = np.maximum(starts[order], np.concatenate(([0], reached[:-1])))
    left = (ends > starts).nonzero()[0]
    return starts[left], ends[left]


def blank(data: Bytes, spans: list[Span]) -> None:
    """Overwrite spans, which may overlap, with spaces, in place; newlines stay."""
    starts, ends = apart(spans)
    inside = ranges(starts, ends - starts)
    data[inside[data[inside] != NEWLINE]] = SPACE
