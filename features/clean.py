"""Drop boilerplate and markup from raw scraped articles, a whole batch at a time.

The data flow starts here: `clean` turns Arrow arrays of titles and texts into documents in lower case without tags,
links, bylines, related-article links and everything else a page carries beside its article. `features.tokens`
splits what is left into words.

Nothing here loops over documents in Python: the batch is one buffer of bytes. One pass finds its landmarks, the few
bytes that a rule can hang on; numpy looks around those and blanks what has to go in place, so that offsets stay as they
are. Lines that open like boilerplate meet a regular expression once a *distinct* line; HTML goes through RE2, whose
time is linear whatever the text. The rules are the constants below: read them as a list.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import arrow_array, numpy_array
from features.strings import string_array

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Span = tuple[Positions, Positions]  # where spans of bytes begin and where they end

# All patterns are matched against text that has been lower-cased, so they are written in lower case.

#: What of HTML goes: (bytes without which nothing of the kind is there, pattern, what comes in its place).
#: Scripts, styles and comments go with what they enclose, each kind by a pattern of its own: in a joined one the end of
#: an unclosed script would be sought again for every comment after it. Block tags end a line of text; every other tag
#: only ends a word.
MARKUP: Final = (
    (b"<script", r"(?s)<script\b.*?</script>", " "),
    (b"<style", r"(?s)<style\b.*?</style>", " "),
    (b"<!--", r"(?s)<!--.*?-->", " "),
    (
        b"<",
        r"</?(?:p|div|br|hr|li|ul|ol|h[1-6]|tr|td|table|section|article|header|footer|figure|figcaption|blockquote"
        r"|aside)(?:[\s/][^<>]*)?>",
        "\n",
    ),
    (b"", r"</?[a-z!][^<>]*>|&(?:[a-z][a-z0-9]+|#[0-9]+|#x[0-9a-f]+);", " "),
)
#: What tells a link; it reaches to the next space, bracket or quotation mark on both sides.
LINKS: Final = (b"://", b"www.")
#: Words that open a photo credit or the place of an embedded picture: "(foto: ...)", "[img.2]". After a bracket, before
#: a colon or full stop; it goes up to the closing bracket.
BRACKETED: Final = "foto photo dok gambas img image gambar embed video"

#: Boilerplate lines: (words that open the line, pattern of what follows them). A line of its own that opens so goes.
LINES: Final = (
    # related articles
    ("baca simak lihat tonton saksikan", r" +(?:juga|pula|selengkapnya|berita|artikel|video)\b"),
    ("baca next", r" *:"),
    ("artikel berita video", r" +(?:terkait|lainnya|pilihan|rekomendasi) *:"),
    ("pilihan", r" +editor\b"),
    # bylines and credits
    (
        "editor penulis reporter author pewarta wartawan jurnalis kontributor redaktur penyunting sumber uploader "
        "produser by oleh penerjemah urlshort",
        r" *:",
    ),
    ("by", r" +[a-z]+(?: [a-z.]+){0,2}\W*$"),
    ("laporan", r" +wartawan\b"),
    ("foto photo ilustrasi dok", r"(?: +foto)? *[:/.]"),
    ("kredit", r" +foto *[:/.]"),
    ("copyright", r"\b"),
    # advertising and page controls
    ("advertisement iklan advertorial ads sponsored", r"\W*$"),
    ("scroll gulir", r" +(?:to continue|down|untuk|ke bawah)\b"),
    ("lanjutkan lanjut", r" +(?:membaca|baca)\b"),
    ("halaman page", r" +(?:selanjutnya|berikutnya|sebelumnya|[0-9]+ (?:dari|of) [0-9]+)\W*$"),
    ("beranda home berita news nasional bisnis ekonomi kanal network terkini indeks halaman selanjutnya", r"\W*$"),
    ("beranda home", r" *[>/|]"),
    ("tag tags topik", r" *(?::|\W*$)"),
    # share prompts
    (
        "bagikan share salin copy sebarkan",
        r"(?: +(?:artikel|berita|ini|this|article|on|to|ke|link|tautan|url|via|di|facebook|twitter|whatsapp|telegram"
        r"|x))*\W*$",
    ),
    (
        "facebook twitter whatsapp telegram instagram pinterest linkedin line email",
        r"(?:\W+(?:facebook|twitter|whatsapp|telegram|instagram|pinterest|linkedin|line|email|x))*\W*$",
    ),
    (
        "ikuti follow dapatkan cek update gabung mari temukan simak",
        r" .*(?:google news|(?:channel|saluran|kanal|grup) (?:whatsapp|telegram)|(?:whatsapp|telegram) channel"
        r"|berita pilihan|breaking news|berita terkini|berita lainnya)",
    ),
    ("download unduh install", r" +(?:aplikasi|apps?)\b.*(?:berita|news|\.com|sekarang)\b"),
    ("subscribe berlangganan login", r"(?: +(?:newsletter|sekarang|to|untuk|gratis)\b|\W*$)"),
)
#: Headings after which a page has nothing more of the article, written like `LINES`.
TAILS: Final = (
    (
        "artikel berita video konten topik tag",
        r" +(?:terkait|terkini|terbaru|terpopuler|lainnya|populer|pilihan)\W*$",
    ),
    ("terpopuler trending", r"(?: +(?:hari ini|minggu ini|now))?\W*$"),
    ("most related popular", r" +(?:popular|read|articles?|posts?|news)\W*$"),
    ("you", r" +(?:may|might) also like\W*$"),
    ("rekomendasi", r" +(?:untuk anda|untukmu|berita|artikel)\W*$"),
    ("baca", r" +(?:berita|artikel) lainnya\W*$"),
    ("jangan", r" +lewatkan\W*$"),
    ("komentar leave tulis", r"(?: +(?:a reply|a comment|komentar))?\W*$"),
    ("network", r" +updates\W*$"),
)

LONGEST_LINE: Final = 240  # bytes; a longer line that opens like boilerplate is a paragraph, and stays
LEAD: Final = 16  # bytes of brackets, bullets and spaces that may stand before a line's first word
RELATED: Final = b"baca juga"  # a related-article link glued into a paragraph
RELATED_WORDS: Final = 20  # words after "baca juga" that go at most
RELATED_BYTES: Final = 512  # and bytes: so far is looked for their end
LONGEST_SCHEME: Final = 64  # bytes that are looked at before "://"
TAIL_SHARE: Final = 0.6  # a tail heading cuts only past this share of the text

_KEPT, _LINE, _TAIL = 0, 1, 2
_NEWLINE, _SPACE, _QUOTE = 0x0A, 0x20, 0x22
#: Stands for the second and third byte of a blanked symbol, so that characters can still be counted.
FILLER: Final = 0x7F


@cache
def _patterns() -> re.Pattern[str]:
    """What a line of boilerplate looks like: group 1 a heading of `TAILS`, group 2 one of `LINES`."""
    tails, lines = (
        "|".join(f"(?:{'|'.join(words.split())}){rest}" for words, rest in rules) for rules in (TAILS, LINES)
    )
    return re.compile(rf"[\W_]*(?:({tails})|({lines}))")


def _table(members: bytes) -> Mask:
    """Which bytes are among the members: (256,)."""
    table = np.zeros(256, np.bool_)
    table[list(members)] = True
    return table


#: The last part of a document, and what joins parts: Arrow scalars, because Arrow looks for pandas to convert a `str`.
_LINE_END: Final = tuple(string_array(["", "\n"]))
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"
_LOWER: Final = bytes.maketrans(bytes(range(0x20)) + b"\n\r\x7f" + _LETTERS.upper(), b" " * 0x20 + b"\n\n " + _LETTERS)
_WORD: Final = _table(_LETTERS + b"0123456789" + bytes(range(0x80, 0x100)))
_BLANK: Final = _table(b" \n\x7f")
_LINK_END: Final = _table(b" \n\x7f<>()[]\"'")
_BRACKET_END: Final = _table(b")]\n")
_SENTENCE_END: Final = _table(b".!?")
_BEHIND_SENTENCE: Final = _table(b' \n"')
_MARKUP_START: Final = _table(_LETTERS + b"/!#")
_BRACKETED_START: Final = _table("".join(word[0] for word in BRACKETED.split()).encode())
#: Of the Latin-1 symbols these belong to words: the soft hyphen, the ordinal indicators, superscripts, the micro sign.
_LATIN_IN_WORD: Final = _table(b"\xad\xaa\xb2\xb3\xb5\xb9\xba")
#: Bytes that rules hang on: line ends, first bytes of symbols, markup, brackets, "://", "www." and "baca juga".
_LANDMARKS: Final = _table(b"\n\xc2\xe2<&([:wj").tobytes()
_OPENING: Final = 8  # bytes of a word that are compared with the rules


def _openings(words: str) -> npt.NDArray[np.uint64]:
    """The first bytes of some words as numbers, sorted: what `_words_at` gives for them."""
    return np.unique(np.array([word[:_OPENING] for word in words.split()], f"S{_OPENING}").view(np.uint64))


_LINE_OPENINGS: Final = _openings(" ".join(words for words, _ in LINES + TAILS))
_BRACKET_OPENINGS: Final = _openings(BRACKETED)


def clean(texts: pa.StringArray, titles: pa.StringArray | None = None) -> pa.StringArray:
    """Titles and texts as documents: lower case, without markup and boilerplate, each ending in a newline.

    A title is simply put before its text as a line, so that an article given whole predicts exactly as one given as
    title and text. Only ASCII letters are lowered here; `features.tokens.fold` does the rest, once a distinct word.
    Symbols outside ASCII (quotation marks, dashes, bullets) become spaces. What is cut out leaves spaces, so that
    words never fuse and lines stay lines. A document that would be left without a letter stays uncleaned.

    Parameters: texts and titles, string arrays (n_documents,); a null counts as empty.
    Returns: string array (n_documents,).
    """
    parts = [texts] if titles is None else [titles, texts]
    documents = pc.binary_join_element_wise(*parts, *_LINE_END, null_handling="replace", null_replacement="")
    if len(documents) == 0:
        return documents
    batch = _Batch(bytearray(bytes_of(documents)).translate(_LOWER), offsets_of(documents))
    _blank_symbols(batch)
    raw = text = batch.array()
    unmarked = _drop_markup(raw, batch)
    if unmarked is not None:
        text = unmarked
        batch = _Batch(bytearray(bytes_of(text)), offsets_of(text))
    spans = _boilerplate(batch)
    if spans:
        if text is raw:
            batch.data = batch.data.copy()
        _blank(batch.data, spans)
        text = batch.array()
    # Nearly every text has an "a", which is quickly seen; only where one has none a pattern looks for any letter.
    if text is raw or np.logical_or.reduceat(batch.data == ord("a"), batch.offsets[:-1]).all():
        return text
    emptied = pc.invert(pc.match_substring_regex(text, r"\pL"))
    return pc.if_else(emptied, raw, text) if pc.any(emptied).as_py() else text


def clean_text(text: str) -> str:
    """One article cleaned, as `clean` does it: for reading and for tests."""
    return str(clean(string_array([text]))[0].as_py())


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


def ranges(starts: Positions, lengths: Positions) -> Positions:
    """The integers start, start + 1, ..., start + length - 1 of all spans, one span after the other."""
    total = np.cumsum(lengths)
    count = int(total[-1]) if total.size else 0
    return np.arange(count, dtype=np.int64) + np.repeat(starts - total + lengths, lengths)


class _Batch:
    """The bytes of a batch of documents, and where in it the landmarks stand that rules hang on.

    The landmarks are found together, because a pass over the whole batch costs as much as all that is then done with
    them: two to three bytes of a hundred are landmarks.

    Parameters
    ----------
    text: the documents one after the other, each ending in a newline; it becomes this object's own.
    offsets: where in it each document begins, and where the last ends: (n_documents + 1,).
    """

    def __init__(self, text: bytearray, offsets: Positions):
        # `translate` of a bytearray takes half the time of that of bytes.
        self._places = np.flatnonzero(np.frombuffer(text.translate(_LANDMARKS), np.bool_))
        text.extend(b"\n" * LEAD)  # so that there is a window at the last byte
        self._text = text
        self.data: Bytes = np.frombuffer(text, np.uint8, int(offsets[-1]))
        self.offsets = offsets
        self._bytes = self.data[self._places]

    def array(self) -> pa.StringArray:
        return _string_array(self.data, self.offsets)

    def windows(self, places: Positions, width: int) -> Bytes:
        """The bytes from each place on: (n_places, width), width at most `LEAD`."""
        # Rows of a view whose rows overlap: a quarter of the time and a ninth of the memory of an index for each byte.
        rows: Bytes = np.ndarray((self.data.size, width), np.uint8, self._text, strides=(1, 1))
        return rows[places]

    def places_of(self, *values: int) -> Positions:
        """Where one of some landmarks stands, in order."""
        found = self._bytes == values[0]
        for value in values[1:]:
            found |= self._bytes == value
        return self._places.compress(found)  # takes a third of the time of self._places[found]

    def places_of_phrase(self, phrase: bytes, landmark: int = 0) -> Positions:
        """Where a phrase stands, in order. Parameters: landmark, which byte of the phrase is one."""
        places = self.places_of(phrase[landmark]) - landmark
        for offset, byte in enumerate(phrase):
            if offset != landmark and places.size:
                # Beyond one end of the batch is the other: its last byte, a newline, is in no phrase.
                places = places.compress(self.data.take(places + offset, mode="wrap") == byte)
        return places


def _string_array(data: Bytes, offsets: Positions) -> pa.StringArray:
    return pa.StringArray.from_buffers(offsets.size - 1, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data))


def _blank_symbols(batch: _Batch) -> None:
    """Turn symbols outside ASCII into spaces and curly quotation marks into straight ones, in place, byte by byte.

    In UTF-8 the first byte tells the block: C2 opens the Latin-1 symbols, E2 general punctuation and symbols. These are
    settled here because scraped text is full of them; letters with accents and other scripts open with other bytes and
    are left for `features.tokens.fold`, which sees each distinct word once.
    """
    data, two, three = batch.data, batch.places_of(0xC2), batch.places_of(0xE2)
    if two.size:
        two = two[~_LATIN_IN_WORD[data[two + 1]]]
        data[two], data[two + 1] = _SPACE, FILLER
    if three.size:
        second, third = data[three + 1], data[three + 2]
        # Zero-width characters and hyphens (U+200B to U+2011), the word joiner (U+2060), superscripts and subscripts
        # (U+2070 to U+209C, as in CO₂) belong to words: `fold` deals with them.
        inside = (second == 0x80) & (third >= 0x8B) & (third <= 0x91)
        inside |= (second == 0x81) & ((third == 0xA0) | (third >= 0xB0))
        inside |= (second == 0x82) & (third <= 0x9C)
        quote = (second == 0x80) & (third >= 0x9C) & (third <= 0x9F)
        symbols = three[~inside]
        data[symbols] = _SPACE
        data[symbols + 1] = data[symbols + 2] = FILLER
        data[three[quote]] = _QUOTE


def _drop_markup(text: pa.StringArray, batch: _Batch) -> pa.StringArray | None:
    """The documents without tags and entities, or None if there are none; only those that may hold some are read."""
    places = batch.places_of(*b"<&")
    places = places[_MARKUP_START[batch.data[places + 1]]]
    if not places.size:
        return None
    marked = np.zeros(len(text), np.bool_)
    marked[batch.offsets.searchsorted(places, side="right") - 1] = True
    mask = pa.Array.from_buffers(pa.bool_(), len(text), [None, pa.py_buffer(np.packbits(marked, bitorder="little"))])
    before = part = text.filter(mask)
    for sign, pattern, replacement in MARKUP:
        if sign in part.buffers()[2].to_pybytes():
            part = pc.replace_substring_regex(part, pattern, replacement)
    return None if part.equals(before) else pc.replace_with_mask(text, mask, part)


def _boilerplate(batch: _Batch) -> list[Span]:
    """Where links, boilerplate lines, related-article links, credits and tails are."""
    bounds = np.concatenate(([0], batch.places_of(_NEWLINE) + 1))  # of lines; every document ends in a newline
    return [
        *_boilerplate_lines(batch, bounds),
        *_related_links(batch, bounds),
        *_links(batch),
        *_bracketed(batch),
    ]


def _boilerplate_lines(batch: _Batch, bounds: Positions) -> list[Span]:
    """Boilerplate lines and the tails of documents; line i stands at bounds[i] to bounds[i + 1]."""
    data, offsets = batch.data, batch.offsets
    lengths = bounds[1:] - bounds[:-1]
    short = np.flatnonzero((lengths <= LONGEST_LINE) & (lengths > 2))
    starts = bounds[short]
    words, _ = _words_at(batch, starts + _WORD[batch.windows(starts, LEAD)].argmax(axis=1))
    found = short[_among(words, _LINE_OPENINGS)]
    if not found.size:
        return []
    # A line that stands in many documents is looked at once.
    lines = _string_array(data, bounds).take(arrow_array(found)).dictionary_encode()
    kind = np.array([_kind(line) for line in lines.dictionary.to_pylist()])[numpy_array(lines.indices)]
    found, kind = found[kind != _KEPT], kind[kind != _KEPT]
    begin, end = bounds[found], bounds[found + 1]
    document = offsets.searchsorted(begin, side="right") - 1
    document_begin, document_end = offsets[document], offsets[document + 1]
    cuts = (kind == _TAIL) & (begin - document_begin > TAIL_SHARE * (document_end - document_begin))
    return [(begin, np.where(cuts, document_end, end))]


def _kind(line: str) -> int:
    found = _patterns().match(line.replace(chr(FILLER), "").strip())
    if found is None:
        return _KEPT
    return _LINE if found[1] is None else _TAIL


def _related_links(batch: _Batch, bounds: Positions) -> list[Span]:
    """Each "baca juga" to the end of its line, sentence or quotation or `RELATED_WORDS` words, whichever is first.

    A quotation mark right after "baca juga:" opens the quotation that the link is; any other one closes the
    quotation it stands in. Where line ends were lost "baca juga:" may stand right behind a word; only the colon then
    tells it from "membaca juga".
    """
    data, places = batch.data, batch.places_of_phrase(RELATED, landmark=5)
    if places.size:
        behind = data[places + len(RELATED)]
        glued = _WORD[data.take(places - 1, mode="wrap")]  # before the first byte is the last, a newline
        places = places[(behind == ord(":")) | ~(glued | _WORD[behind])]
    if not places.size:
        return []
    # What follows each mark, as one small buffer of windows that do not overlap: the next mark speaks for itself.
    line_end = bounds[bounds.searchsorted(places, side="right")]
    limits = np.minimum(np.minimum(line_end, places + RELATED_BYTES), np.append(places[1:], data.size))
    window_ends = np.cumsum(limits - places)
    starts = window_ends - (limits - places)
    text = np.append(data[ranges(places, limits - places)], np.uint8(_NEWLINE))

    blank = _BLANK[text]
    before = np.concatenate(([True], blank[:-1]))
    before[starts] = True
    words = np.flatnonzero(~blank & before)
    stops = np.flatnonzero(_SENTENCE_END[text])
    stops = stops[_BEHIND_SENTENCE[text[stops + 1]]]
    quotes = np.flatnonzero(text == _QUOTE)

    link = words.searchsorted(starts) + 2  # the word after "baca juga"
    link += text[_at(words, link, text.size - 1)] == ord(":")  # "baca juga : ...": no word of its own
    quote = _next(quotes, starts, text.size)
    opening = quote == _at(words, link, text.size)
    quote[opening] = _next(quotes, quote[opening] + 1, text.size)
    reach = np.minimum(_at(words, link + RELATED_WORDS, text.size), quote + 1)
    reach = np.minimum(reach, _next(stops, starts, text.size) + 1)
    return [(places, places + np.minimum(reach, window_ends) - starts)]


def _links(batch: _Batch) -> list[Span]:
    """Web addresses: the run of bytes without space, bracket or quotation mark around each of `LINKS`."""
    data, places = batch.data, np.concatenate([batch.places_of_phrase(sign) for sign in LINKS])
    if not places.size:
        return []
    places.sort()
    # Backwards is forwards in the mirrored text; as far as the mark before.
    limits = np.maximum(np.concatenate(([0], places[:-1])), places - LONGEST_SCHEME)
    spans = [(data.size - _until(data[::-1], data.size - places, data.size - limits, _LINK_END), places)]
    width = 128
    while places.size:
        limits = np.minimum(places + width, np.append(places[1:], data.size))
        ends = _until(data, places, limits, _LINK_END)
        spans.append((places, ends))
        places = ends[ends == places + width]  # the few that are longer go on
        width *= 2
    return spans


def _bracketed(batch: _Batch) -> list[Span]:
    """Photo credits and embedded pictures: from the bracket to the one that closes it on the same line."""
    data, places = batch.data, batch.places_of(*b"([")
    places = places[_BRACKETED_START[data[places + 1]]]
    words, ends = _words_at(batch, places + 1)
    places = places[_among(words, _BRACKET_OPENINGS) & ((data[ends] == ord(":")) | (data[ends] == ord(".")))]
    if not places.size:
        return []
    limits = np.minimum(places + LONGEST_LINE, np.append(places[1:], data.size))
    ends = _until(data, places, limits, _BRACKET_END)
    last = data.take(ends, mode="clip")
    closed = (last == ord(")")) | (last == ord("]"))
    return [(places[closed], ends[closed] + 1)]


def _words_at(batch: _Batch, places: Positions) -> tuple[npt.NDArray[np.uint64], Positions]:
    """The words that begin at some places, as numbers of their first `_OPENING` bytes, and where those bytes end."""
    letters = batch.windows(places, _OPENING)
    inside = np.logical_and.accumulate(_WORD[letters], axis=1)
    letters *= inside
    return letters.view(np.uint64)[:, 0], places + inside.sum(axis=1)


def _among(words: npt.NDArray[np.uint64], sought: npt.NDArray[np.uint64]) -> Mask:
    """Which of some words are among the sorted `sought`."""
    same: Mask = sought.take(sought.searchsorted(words), mode="clip") == words
    return same


def _until(data: Bytes, places: Positions, limits: Positions, stops: Mask) -> Positions:
    """For each place the first byte from there on that is one of `stops`, at most `limits`.

    The windows between places and limits are gathered into one small buffer, so what they cost is their length.
    """
    lengths = limits - places
    starts = np.cumsum(lengths) - lengths
    found = np.flatnonzero(stops[data[ranges(places, lengths)]])
    ends: Positions = np.minimum(_next(found, starts, data.size) - starts + places, limits)
    return ends


def _next(positions: Positions, after: Positions, otherwise: int) -> Positions:
    """For each of `after` the first of the sorted `positions` that is not before it, else `otherwise`."""
    found: Positions = np.append(positions, otherwise)[positions.searchsorted(after)]
    return found


def _at(positions: Positions, index: Positions, otherwise: int) -> Positions:
    """`positions[index]`, and `otherwise` past the end."""
    return np.append(positions, otherwise)[np.minimum(index, positions.size)]


def _blank(data: Bytes, spans: list[Span]) -> None:
    """Overwrite spans with spaces, in place; newlines stay.

    Spans may overlap: each is blanked only from where those before it left off, so that the work is linear in the bytes
    whatever the spans.
    """
    starts = np.concatenate([begin for begin, _ in spans])
    order = starts.argsort(kind="stable")
    ends = np.concatenate([end for _, end in spans])[order]
    reached = np.maximum.accumulate(ends)
    starts = np.maximum(starts[order], np.concatenate(([0], reached[:-1])))
    inside = ranges(starts, np.maximum(ends - starts, 0))
    data[inside[data[inside] != _NEWLINE]] = _SPACE
