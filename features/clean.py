"""Drop boilerplate and markup from raw scraped articles, a whole batch at a time.

The data flow starts here: `clean` turns Arrow arrays of titles and texts into documents in lower case without tags,
links, bylines, related-article links and everything else a page carries beside its article. `features.tokens`
splits what is left into words.

Nothing here loops over documents in Python: the batch is one buffer of bytes, numpy finds what may be boilerplate in
all of it at once and blanks it in place, so offsets stay as they are. Lines that open like boilerplate meet a regular
expression once a *distinct* line; HTML goes through RE2, whose time is linear whatever the text. The rules are the
constants below: read them as a list.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.strings import string_array

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

# All patterns are matched against text that has been lower-cased, so they are written in lower case.

#: Tags that end a line of text; every other tag only ends a word.
BLOCK_TAGS: Final = (
    r"</?(?:p|div|br|hr|li|ul|ol|h[1-6]|tr|td|table|section|article|header|footer|figure|figcaption|blockquote|aside)"
    r"(?:[\s/][^<>]*)?>"
)
#: Scripts, styles and comments go with what they enclose.
ENCLOSED: Final = r"(?s)<script\b.*?</script>|<style\b.*?</style>|<!--.*?-->"
TAGS_AND_ENTITIES: Final = r"</?[a-z!][^<>]*>|&(?:[a-z]+|#[0-9]+|#x[0-9a-f]+);"
#: What tells a link; it reaches to the next space, bracket or quotation mark on both sides.
LINKS: Final = (b"://", b"www.")

#: Boilerplate lines: (words that open the line, pattern of what follows them). A line of its own that opens so goes.
LINES: Final = (
    # related articles
    ("baca simak lihat tonton saksikan", r" +(?:juga|pula|selengkapnya|berita|artikel|video)\b"),
    ("baca", r" *:"),
    ("artikel berita video", r" +(?:terkait|lainnya|pilihan|rekomendasi) *:"),
    ("pilihan", r" +editor\b"),
    # bylines and credits
    (
        "editor penulis reporter author pewarta wartawan jurnalis kontributor redaktur penyunting sumber uploader "
        "produser by oleh penerjemah",
        r" *:",
    ),
    ("by", r" +[a-z]+(?: [a-z.]+){0,2}\W*$"),
    ("laporan", r" +wartawan\b"),
    ("foto photo ilustrasi dok kredit", r"(?: +foto)? *[:/.]"),
    ("copyright", r"\b"),
    # advertising and page controls
    ("advertisement iklan advertorial ads sponsored", r"\W*$"),
    ("scroll gulir", r" +(?:to continue|down|untuk|ke bawah)\b"),
    ("lanjutkan lanjut", r" +(?:membaca|baca)\b"),
    ("halaman page", r" +(?:selanjutnya|berikutnya|sebelumnya|[0-9]+ (?:dari|of) [0-9]+)\W*$"),
    ("img gambar image gambas embed video", r"(?:[.:_ ] ?[0-9a-z]+)*\\?\]\W*$"),
    ("beranda home berita news nasional bisnis ekonomi kanal network terkini indeks tag tags topik", r"\W*$"),
    ("beranda home", r" *[>/|]"),
    # share prompts
    (
        "bagikan share salin copy sebarkan",
        r"(?: +(?:artikel|berita|ini|this|article|on|to|ke|link|tautan|url|via|di|facebook|twitter|whatsapp|telegram|x))*"
        r"\W*$",
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
    ("download unduh install", r" +(?:aplikasi|apps?)\b"),
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
TAIL_SHARE: Final = 0.6  # a tail heading cuts only past this share of the text

_KEPT, _LINE, _TAIL = 0, 1, 2
_NEWLINE, _SPACE, _QUOTE = 0x0A, 0x20, 0x22
#: Stands for the second and third byte of a blanked symbol, so that characters can still be counted.
FILLER: Final = 0x7F


@cache
def _pattern(rules: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    return re.compile(r"\W*(?:" + "|".join(f"(?:{'|'.join(words.split())}){rest}" for words, rest in rules) + ")")


def _byte_classes() -> tuple[bytes, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    lower = bytearray(range(256))
    lower[:32] = bytes([_SPACE]) * 32
    lower[0x0A] = lower[0x0D] = _NEWLINE
    lower[FILLER] = _SPACE
    lower[ord("A") : ord("Z") + 1] = b"abcdefghijklmnopqrstuvwxyz"
    word = np.zeros(256, bool)
    word[[*b"abcdefghijklmnopqrstuvwxyz0123456789", *range(0x80, 256)]] = True
    ends_link = np.zeros(256, bool)
    ends_link[[_SPACE, _NEWLINE, FILLER, *b"<>()[]\"'"]] = True
    return bytes(lower), word, ends_link


_LOWER, WORD_BYTES, _ENDS_LINK = _byte_classes()
_OPENINGS: Final = np.unique(
    [int.from_bytes(word.ljust(3).encode()[:3], "big") for words, _ in LINES + TAILS for word in words.split()]
)


def clean(texts: pa.StringArray, titles: pa.StringArray | None = None) -> pa.StringArray:
    """Titles and texts as documents: lower case, without markup and boilerplate, each ending in a newline.

    A title is simply put before its text as a line, so that an article given whole predicts exactly as one given as
    title and text. Only ASCII letters are lowered here; `features.tokens.fold` does the rest, once a distinct word.
    Symbols outside ASCII (quotation marks, dashes, bullets) become spaces. What is cut out leaves spaces, so that
    words never fuse and lines stay lines. A document that would be left without a letter or digit stays uncleaned.

    Parameters: texts and titles, string arrays (n_documents,); a null counts as empty.
    Returns: string array (n_documents,).
    """
    parts = [texts, ""] if titles is None else [titles, texts, ""]
    documents = pc.binary_join_element_wise(*parts, "\n", null_handling="replace", null_replacement="")
    if len(documents) == 0:
        return documents
    raw = _from_bytes(documents, _fold_bytes(bytes_of(documents)))
    text = _drop_markup(raw)
    text = _from_bytes(text, _drop_boilerplate(bytes_of(text), offsets_of(text)))
    emptied = pc.invert(pc.match_substring_regex(text, r"[a-z0-9]|[^\x00-\x7f]"))
    return pc.if_else(emptied, raw, text) if pc.any(emptied).as_py() else text


def clean_text(text: str) -> str:
    """One article cleaned, as `clean` does it: for reading and for tests."""
    return str(clean(string_array([text]))[0].as_py())


def bytes_of(array: pa.StringArray) -> Bytes:
    """The UTF-8 bytes of all strings of an array, one after the other, without a copy: (n_bytes,)."""
    bounds = np.frombuffer(array.buffers()[1], np.int32)
    data = array.buffers()[2]
    if data is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(data, np.uint8)[bounds[array.offset] : bounds[array.offset + len(array)]]


def offsets_of(array: pa.StringArray) -> Positions:
    """Where in `bytes_of(array)` each string begins, and where the last ends: (n_strings + 1,)."""
    bounds = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return bounds.astype(np.int64) - bounds[0]


def _from_bytes(like: pa.StringArray, data: Bytes) -> pa.StringArray:
    """An array whose strings have the lengths of `like` and the bytes of `data`."""
    offsets = offsets_of(like).astype(np.int32)
    return pa.StringArray.from_buffers(len(like), pa.py_buffer(offsets), pa.py_buffer(data))


def _fold_bytes(data: Bytes) -> Bytes:
    """Lower ASCII letters, turn control characters and symbols outside ASCII into spaces; lengths do not change.

    In UTF-8 the first byte tells the block: C2 opens the Latin-1 symbols, E2 general punctuation and symbols. Their
    characters are blanked here, byte by byte, because scraped text is full of them; letters with accents and other
    scripts open with other bytes and are left for `features.tokens.fold`, which sees each distinct word once.
    """
    folded = np.frombuffer(bytearray(data).translate(_LOWER), np.uint8)
    lead = np.flatnonzero(folded >= 0xC2)
    if not lead.size:
        return folded
    first, second = folded[lead], folded[lead + 1]
    # Kept of C2: the soft hyphen, the ordinal indicators and the micro sign.
    two = lead[(first == 0xC2) & (second != 0xAD) & (second != 0xAA) & (second != 0xB5) & (second != 0xBA)]
    folded[two], folded[two + 1] = _SPACE, FILLER
    three = lead[first == 0xE2]
    if three.size:
        second, third = folded[three + 1], folded[three + 2]
        # Zero-width characters, hyphens and the word joiner belong inside words: `fold` deals with them.
        inside = ((second == 0x80) & (third >= 0x8B) & (third <= 0x91)) | ((second == 0x81) & (third == 0xA0))
        quote = (second == 0x80) & (third >= 0x9C) & (third <= 0x9F)
        folded[three[~inside]] = _SPACE
        folded[three[quote]] = _QUOTE
        folded[three[~inside] + 1] = folded[three[~inside] + 2] = FILLER
    return folded


def _drop_markup(text: pa.StringArray) -> pa.StringArray:
    """Tags and entities become spaces, tags that end a line newlines; only documents with "<" or "&" are looked at."""
    data, offsets = bytes_of(text), offsets_of(text)
    places = np.flatnonzero((data == ord("<")) | (data == ord("&")))
    if not places.size:
        return text
    marked = np.unique(np.searchsorted(offsets, places, side="right") - 1)
    part = text.take(pa.array(marked))
    for pattern, replacement in ((ENCLOSED, " "), (BLOCK_TAGS, "\n"), (TAGS_AND_ENTITIES, " ")):
        part = pc.replace_substring_regex(part, pattern, replacement)
    order = np.arange(len(text))
    order[marked] = len(text) + np.arange(marked.size)
    return pa.concat_arrays([text, part]).take(pa.array(order))


def _drop_boilerplate(data: Bytes, offsets: Positions) -> Bytes:
    """Blank links, boilerplate lines, related-article links and tails.

    Parameters: data, the lower-cased bytes of the batch (n_bytes,); offsets, (n_documents + 1,) into it.
    Returns: a copy of `data` with spaces in their place; newlines stay.
    """
    if not data.size:
        return data
    ends = np.flatnonzero(data == _NEWLINE) + 1  # every document ends in a newline; a line's newline belongs to it
    starts = np.concatenate(([0], ends[:-1]))
    spans = [
        *_boilerplate_lines(data, offsets, starts, ends),
        _related_links(data, starts, ends),
        _links(data, starts, ends),
    ]
    begin = np.concatenate([span[0] for span in spans])
    end = np.concatenate([span[1] for span in spans])
    order = np.argsort(begin, kind="stable")
    cleaned = data.copy()
    _blank(cleaned, begin[order], end[order])
    return cleaned


Span = tuple[Positions, Positions]  # where spans of bytes begin and where they end


def _boilerplate_lines(data: Bytes, offsets: Positions, starts: Positions, ends: Positions) -> list[Span]:
    """Boilerplate lines and the tails of documents; `starts` and `ends` are those of all lines."""
    short = np.flatnonzero((ends - starts <= LONGEST_LINE) & (ends - starts > 2))
    places = np.minimum(starts[short, None] + np.arange(LEAD), data.size - 1)
    first = starts[short] + WORD_BYTES[data[places]].argmax(axis=1)
    # The first three bytes of a line's first word as one number, to be compared with those of the rules.
    opening = data[np.minimum(first[:, None] + np.arange(3), data.size - 1)].astype(np.int64)
    key = opening @ np.array([65536, 256, 1])
    found = short[_OPENINGS[np.minimum(np.searchsorted(_OPENINGS, key), _OPENINGS.size - 1)] == key]
    if not found.size:
        return []
    lengths = ends[found] - starts[found]
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    lines = pa.StringArray.from_buffers(
        found.size, pa.py_buffer(bounds), pa.py_buffer(data[ranges(starts[found], lengths)])
    ).dictionary_encode()
    kind = np.array([_kind(line) for line in lines.dictionary.to_pylist()])[lines.indices.to_numpy()]
    heading, kind = found[kind != _KEPT], kind[kind != _KEPT]
    begin, end = starts[heading], ends[heading].copy()
    document = np.searchsorted(offsets, begin, side="right") - 1
    size = offsets[document + 1] - offsets[document]
    cuts = (kind == _TAIL) & (begin - offsets[document] > TAIL_SHARE * size)
    end[cuts] = offsets[document + 1][cuts]
    return [(begin, end)]


def _kind(line: str) -> int:
    line = line.replace(chr(FILLER), "").strip()
    if _pattern(TAILS).match(line):
        return _TAIL
    return _LINE if _pattern(LINES).match(line) else _KEPT


def _related_links(data: Bytes, starts: Positions, ends: Positions) -> Span:
    """Each "baca juga" to the end of its line, sentence or quotation or `RELATED_WORDS` words, whichever is first.

    A quotation mark right after "baca juga:" opens the quotation that the link is; any other one closes the
    quotation it stands in.
    """
    marks = _places(data, RELATED, anchor=5)
    after = np.minimum(marks + len(RELATED), data.size - 1)
    marks = marks[~WORD_BYTES[data[np.maximum(marks - 1, 0)]] & ~WORD_BYTES[data[after]] | (marks == 0)]
    if not marks.size:
        return marks, marks
    text, place, line_end = _lines_of(data, marks, starts, ends)
    blank = (text == _SPACE) | (text == _NEWLINE) | (text == FILLER)
    words = np.flatnonzero(~blank & np.concatenate(([True], blank[:-1])))
    stops = np.flatnonzero((text == ord(".")) | (text == ord("!")) | (text == ord("?")))
    quotes = np.flatnonzero(text == _QUOTE)
    follower = np.append(text, _NEWLINE)[stops + 1]
    stops = stops[(follower == _SPACE) | (follower == _NEWLINE) | (follower == _QUOTE)]

    link = np.searchsorted(words, place) + 2  # the word after "baca juga"
    link += np.append(text, _NEWLINE)[_at(words, link, text.size)] == ord(":")  # "baca juga : ...": no word of its own
    quote = _next(quotes, place, text.size)
    opening = quote == _at(words, link, text.size)
    quote[opening] = _next(quotes, quote[opening] + 1, text.size)
    reach = np.minimum(_at(words, link + RELATED_WORDS, text.size), quote + 1)
    reach = np.minimum(reach, _next(stops, place, text.size) + 1)
    return marks, marks + np.minimum(reach, line_end) - place


def _links(data: Bytes, starts: Positions, ends: Positions) -> Span:
    """Web addresses: the run of bytes without space, bracket or quotation mark around each of `LINKS`."""
    marks = np.sort(np.concatenate([_places(data, sign) for sign in LINKS]))
    if not marks.size:
        return marks, marks
    text, place, line_end = _lines_of(data, marks, starts, ends)
    stops = np.flatnonzero(_ENDS_LINK[text])
    number = np.searchsorted(stops, place)
    begin = np.concatenate(([0], stops + 1))[number]
    end = np.minimum(_at(stops, number, text.size), line_end)
    order = np.argsort(begin, kind="stable")
    return (marks + begin - place)[order], (marks + end - place)[order]


def _places(data: Bytes, phrase: bytes, anchor: int = 0) -> Positions:
    """Where a phrase stands in the bytes; `anchor` is the place in the phrase of its rarest byte, looked for first."""
    places = np.flatnonzero(data == phrase[anchor]) - anchor
    places = places[(places >= 0) & (places <= data.size - len(phrase))]
    for offset, byte in enumerate(phrase):
        places = places[data[places + offset] == byte]
    return places


def _lines_of(data: Bytes, places: Positions, starts: Positions, ends: Positions) -> tuple[Bytes, Positions, Positions]:
    """The lines around some places, as one small buffer; the places in it, and where in it each one's line ends."""
    lines, line = np.unique(np.searchsorted(starts, places, side="right") - 1, return_inverse=True)
    lengths = ends[lines] - starts[lines]
    line_end = np.cumsum(lengths)[line]
    return data[ranges(starts[lines], lengths)], places - ends[lines][line] + line_end, line_end


def _next(positions: Positions, after: Positions, otherwise: int) -> Positions:
    """For each of `after` the first of the sorted `positions` that is not before it, else `otherwise`."""
    return np.append(positions, otherwise)[np.searchsorted(positions, after)]


def _at(positions: Positions, index: Positions, otherwise: int) -> Positions:
    """`positions[index]`, and `otherwise` past the end."""
    return np.append(positions, otherwise)[np.minimum(index, positions.size)]


def _blank(data: Bytes, starts: Positions, ends: Positions) -> None:
    """Overwrite the spans [start, end) with spaces, in place; newlines stay.

    Parameters: starts, sorted; spans may overlap: each is blanked only from where those before it left off, so that
    the work is linear in the bytes whatever the spans.
    """
    if not starts.size:
        return
    reached = np.maximum.accumulate(ends)
    starts = np.maximum(starts, np.concatenate(([0], reached[:-1])))
    inside = ranges(starts, np.maximum(ends - starts, 0))
    data[inside[data[inside] != _NEWLINE]] = _SPACE


def ranges(starts: Positions, lengths: Positions) -> Positions:
    """The integers start, start + 1, ..., start + length - 1 of all spans, one span after the other."""
    total = np.cumsum(lengths)
    count = int(total[-1]) if total.size else 0
    return np.arange(count, dtype=np.int64) + np.repeat(starts - total + lengths, lengths)
