"""Take HTML out of a batch of documents: tags, scripts, styles, comments and entities.

Every "<", ">" and "&" of the batch is a landmark (`features.search`); a tag is a "<" and the ">" next to it. So the
cost is a few passes over the landmarks, whatever is in the text, and nothing is compiled for it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from features.search import (
    DIGITS,
    LETTERS,
    NEWLINE,
    SPACE,
    WINDOW,
    Batch,
    Bytes,
    Mask,
    Positions,
    Span,
    apart,
    bytes_of,
    next_of,
    offsets_of,
    openings,
    string_array_of,
    table,
    words_at,
)

#: Elements that go with all they enclose.
ENCLOSING: Final = "script style"
#: Elements whose tags end a line of text; every other tag only ends a word.
BLOCKS: Final = (
    "p div br hr li ul ol h1 h2 h3 h4 h5 h6 tr td table section article header footer figure figcaption blockquote "
    "aside"
)
COMMENT: Final = (b"!--", b"--")  # what follows the "<" that begins one, and stands before the ">" that ends it
CDATA: Final = (b"![cdata[", b"]]")  # likewise; what it encloses is text
LONGEST_BARE: Final = 64  # bytes of a tag without "=" among them; beyond, "<" and ">" are signs in a text

_BLOCKS: Final = openings(BLOCKS)
_ENCLOSING: Final = openings(ENCLOSING)
_TAG: Final = table(LETTERS + b"!?")
_ENTITY: Final = table(LETTERS + DIGITS)
_LOWER: Final = bytes.maketrans(LETTERS.upper(), LETTERS)


def cut_markup(batch: Batch) -> Batch:
    """The documents without markup: the batch itself if there is none.

    What goes leaves a newline where a tag of `BLOCKS` was, else a space. A tag that is not closed or has no name
    ("a < b") is text, and so are a comment and an element of `ENCLOSING` that have no end. What opens within a comment
    or such an element opens nothing.

    Parameters: batch, in lower case.
    """
    spans = _markup(batch)
    if spans is None:
        return batch
    return batch.without(*spans)


def without_markup(texts: pa.StringArray) -> pa.StringArray:
    """Texts as they are but for the markup that `cut_markup` takes out of them in lower case: (n_texts,).

    Parameters: texts, string array (n_texts,); a null counts as empty.
    """
    data, offsets = bytes_of(texts), offsets_of(texts)
    batch = Batch.of(bytearray(data).translate(_LOWER), offsets)
    spans = _markup(batch)
    if spans is None:
        return string_array_of(data, offsets)
    batch.data[:] = data
    return batch.without(*spans).array()


def _markup(batch: Batch) -> tuple[Positions, Positions, Bytes] | None:
    """Where markup begins and ends, in order and apart, and the byte to leave in its place; None if there is none."""
    brackets, ampersands = batch.places_of(*b"<>"), batch.places_of(ord("&"))
    if not brackets.size and not ampersands.size:
        return None
    closing = batch.data[brackets] == ord(">")
    tags = (~closing[:-1] & closing[1:]).nonzero()[0]
    starts, ends = brackets[tags], brackets[tags + 1] + 1
    slash = batch.data[starts + 1] == ord("/")
    names = starts + 1 + slash
    opening, ending = CDATA
    is_text = _stands(batch, starts + 1, opening)
    there = _TAG.take(batch.data[names]) & ~is_text & (batch.document_of(starts) == batch.document_of(ends - 1))
    there &= _has_attributes(batch, starts, ends)
    starts, ends, slash, names = starts[there], ends[there], slash[there], names[there]
    words, _ = words_at(batch, names)
    lines = starts[_BLOCKS.get(words)]

    before, after = brackets[~closing], brackets[closing]
    opened = before[_stands(batch, before + 1, opening)]
    closed = after[_stands(batch, after - len(ending), ending)]
    spans = [
        (starts, ends),
        _entities(batch, ampersands),
        (opened, opened + 1 + len(opening)),
        (closed - len(ending), closed + 1),
        _enclosed(
            batch, [(starts[its & ~slash], ends[its & slash]) for its in map(words.__eq__, _ENCLOSING.keys)], brackets
        ),
    ]
    begin, end = apart(spans)
    if not begin.size:
        return None
    signs = np.full(begin.size, SPACE, np.uint8)
    at = begin.searchsorted(lines)
    signs[at[begin.take(at, mode="clip") == lines]] = NEWLINE
    return begin, end, signs


def _enclosed(batch: Batch, elements: list[Span], brackets: Positions) -> Span:
    """What scripts, styles and comments enclose, each from its first sign to the next end of its kind.

    Parameters: elements, for each of `ENCLOSING` where its tags begin that open it, and where those end that close it.
    """
    opening, ending = COMMENT
    closing = batch.data[brackets] == ord(">")
    before, after = brackets[~closing], brackets[closing]
    # "<!-->" is a comment of its own, as in HTML 5: the dashes may serve twice.
    begins, comment_ends = before[_stands(batch, before + 1, opening)], after[_stands(batch, after - 2, ending)] + 1
    spans = [(begin, next_of(end, begin + 1, batch.data.size + 1)) for begin, end in elements]
    spans.append((begins, next_of(comment_ends, begins + len(opening) + 2, batch.data.size + 1)))
    begin = np.concatenate([start for start, _ in spans])
    if not begin.size:
        return begin, begin
    order = begin.argsort(kind="stable")
    begin, end = begin[order], np.concatenate([stop for _, stop in spans])[order]
    whole = (end <= batch.offsets[batch.document_of(begin) + 1]).nonzero()[0]
    begin, end = begin[whole], end[whole]
    # The first counts, then the next that begins behind its end, and so on: the chain is followed in steps that double.
    following = np.append(begin.searchsorted(end), begin.size)
    counts = np.zeros(begin.size + 1, np.bool_)
    counts[0] = True
    for _ in range(begin.size.bit_length()):
        counts[following[counts]] = True
        following = following[following]
    return begin[counts[:-1]], end[counts[:-1]]


def _has_attributes(batch: Batch, starts: Positions, ends: Positions) -> Mask:
    """Whether each tag is short or has a "=" near its beginning."""
    fits: Mask = ends - starts <= LONGEST_BARE
    if fits.all():
        return fits
    unclear = (~fits).nonzero()[0]
    near = starts[unclear, None] + np.arange(LONGEST_BARE)
    fits[unclear] = (batch.data[near] == ord("=")).any(axis=1)
    return fits


def _stands(batch: Batch, places: Positions, phrase: bytes) -> Mask:
    """Whether a phrase stands at each place."""
    left = np.arange(places.size)
    for offset, byte in enumerate(phrase):
        if left.size:  # mostly none is left after the first byte
            left = left.compress(batch.data.take(places.take(left) + offset, mode="clip") == byte)
    stands = np.zeros(places.size, np.bool_)
    stands[left] = True
    return stands


def _entities(batch: Batch, places: Positions) -> Span:
    """Where "&amp;", "&#8220;" and their like begin and end: at most `WINDOW` characters behind the sign."""
    letters = batch.windows(places + 1, WINDOW)
    number = letters[:, 0] == ord("#")
    inside = _ENTITY.take(letters)
    inside[:, 0] |= number
    length = inside.argmin(axis=1)  # 0 too where all of the window is inside
    closed = letters[np.arange(places.size), length] == ord(";")
    whole = (closed & (length > 1)).nonzero()[0]
    return places[whole], places[whole] + length[whole] + 2
