"""Drop boilerplate and markup from raw scraped articles, a whole batch at a time.

The data flow starts here: `clean` turns Arrow arrays of titles and texts into documents in lower case without tags,
links, bylines, related-article links and everything else a page carries beside its article. `features.tokens`
splits what is left into words.

Nothing here loops over documents in Python: the batch is one buffer of bytes. One pass finds its landmarks, the few
bytes that a rule can hang on; numpy looks around those and blanks what has to go in place, so that offsets stay as they
are. Lines that open like boilerplate meet a regular expression once a *distinct* line. The rules are the constants
below: read them as a list. HTML has its own in `features.markup`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import computed, ranges
from features.markup import cut_markup
from features.search import (
    FILLER,
    NEWLINE,
    PADDING,
    SPACE,
    WINDOW,
    Batch,
    Mask,
    Positions,
    Span,
    apart,
    at,
    blank,
    bytes_of,
    distinct_strings,
    in_words,
    next_of,
    offsets_of,
    openings,
    string_array_of,
    table,
    until,
    whole_characters,
    words_at,
)
from features.strings import string_array

# All patterns are matched against text that has been lower-cased, so they are written in lower case.

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
LEAD: Final = WINDOW  # bytes of brackets, bullets and spaces that may stand before a line's first word
RELATED: Final = b"baca juga"  # a related-article link glued into a paragraph
RELATED_WORDS: Final = 20  # words after "baca juga" that go at most
RELATED_BYTES: Final = 512  # and bytes: so far is looked for their end
LONGEST_SCHEME: Final = 64  # bytes that are looked at before "://"
REMEMBERED_LINES: Final = 4096  # distinct lines that open like boilerplate: those of a site come again and again
TAIL_SHARE: Final = 0.6  # a tail heading cuts only past this share of the text
SEARCHED_FOR_A: Final = 256  # bytes from the beginning of a document on

_KEPT, _LINE, _TAIL = 0, 1, 2
_QUOTE: Final = 0x22


@cache
def _patterns() -> re.Pattern[str]:
    """What a line of boilerplate looks like: group 1 a heading of `TAILS`, group 2 one of `LINES`."""
    tails, lines = (
        "|".join(f"(?:{'|'.join(words.split())}){rest}" for words, rest in rules) for rules in (TAILS, LINES)
    )
    return re.compile(rf"[\W_]*(?:({tails})|({lines}))")


#: The last part of a document, and what joins parts: Arrow scalars, because Arrow looks for pandas to convert a `str`.
_LINE_END: Final = tuple(string_array(["", "\n"]))
_A: Final = table(b"a")
_BLANK: Final = table(b" \n\x7f")
_LINK_END: Final = table(b" \n\x7f<>()[]\"'")
_BRACKET_END: Final = table(b")]\n")
_SENTENCE_END: Final = table(b".!?")
_BEHIND_SENTENCE: Final = table(b' \n"')
_BRACKETED_START: Final = table("".join(word[0] for word in BRACKETED.split()).encode())
#: Of the Latin-1 symbols these belong to words: the soft hyphen, the ordinal indicators, superscripts, the micro sign.
_LATIN_IN_WORD: Final = table(b"\xad\xaa\xb2\xb3\xb5\xb9\xba")
_LINE_OPENINGS: Final = openings(" ".join(words for words, _ in LINES + TAILS))
_BRACKET_OPENINGS: Final = openings(BRACKETED)


@dataclass(frozen=True)
class Origins:
    """What the bytes of a batch of cleaned documents were before.

    articles: string array (n_documents,), from `articles_of`.
    places: (n_bytes_cleaned,), where each byte of the cleaned documents, one after the other, stands in `articles`.
    skipped: (n_bytes,), which bytes of `articles` are markup or boilerplate.
    """

    articles: pa.StringArray
    places: Positions
    skipped: Mask


def clean(texts: pa.StringArray, titles: pa.StringArray | None = None) -> pa.StringArray:
    """Titles and texts as documents: lower case, without markup and boilerplate, each ending in a newline.

    A title is simply put before its text as a line, so that an article given whole predicts exactly as one given as
    title and text. Only ASCII letters are lowered here; `features.tokens.fold` does the rest, once a distinct word.
    Symbols outside ASCII (quotation marks, dashes, bullets) become spaces. What is cut out leaves spaces, so that
    words never fuse and lines stay lines. A document that would be left without a letter stays uncleaned.

    Parameters: texts and titles, string arrays (n_documents,); a null counts as empty.
    Returns: string array (n_documents,).
    """
    return clean_batch(texts, titles).array()


def clean_batch(texts: pa.StringArray, titles: pa.StringArray | None = None) -> Batch:
    """The documents that `clean` gives, as one buffer of bytes in which line ends and hyphens are known."""
    return clean_articles(articles_of(texts, titles))


def clean_articles(articles: pa.StringArray) -> Batch:
    """What `clean_batch` gives for texts and titles that are joined already, as `articles_of` does it."""
    return _clean(articles).documents


def articles_of(texts: pa.StringArray, titles: pa.StringArray | None = None) -> pa.StringArray:
    """Articles in one piece each: `title + newline + text + newline`, or without a title if none are given: (n,).

    Parameters: texts and titles, string arrays (n,); a null counts as empty.
    """
    parts = [texts] if titles is None else [titles, texts]
    pool = pa.system_memory_pool()  # as in `features.arrays.computed`
    return pc.binary_join_element_wise(
        *parts, *_LINE_END, null_handling="replace", null_replacement="", memory_pool=pool
    )


def clean_with_origins(texts: pa.StringArray, titles: pa.StringArray | None = None) -> tuple[pa.StringArray, Origins]:
    """The documents that `clean` gives, and what their bytes were before."""
    articles = articles_of(texts, titles)
    documents, marked, spans, kept = _clean(articles)
    size = bytes_of(articles).size
    places, skipped = np.arange(size), np.zeros(size, np.bool_)
    if marked.cut is not None:
        starts, ends = marked.cut
        skipped[ranges(starts, ends - starts)] = True
        places = np.delete(places, ranges(starts + 1, ends - starts - 1))
    if spans:
        starts, ends = apart(spans)
        skipped[places[ranges(starts, ends - starts)]] = True
    if kept is not None:
        whole, bounds = offsets_of(articles), marked.offsets
        parts = [places[begin:end] for begin, end in pairwise(bounds.tolist())]
        for document in kept.nonzero()[0].tolist():
            parts[document] = np.arange(whole[document], whole[document + 1])
            skipped[parts[document]] = False
        places = np.concatenate(parts)
    return documents.array(), Origins(articles, places, skipped)


class _Cleaned(NamedTuple):
    """documents; of what they were made: the batch without markup, the spans of boilerplate in it, and which documents
    stayed as they were (None for none)."""

    documents: Batch
    marked: Batch
    boilerplate: list[Span]
    kept: Mask | None


def _clean(articles: pa.StringArray) -> _Cleaned:
    batch = Batch.of(bytearray(bytes_of(computed("ascii_lower", articles))), offsets_of(articles))
    _blank_symbols(batch)
    raw = batch.text
    marked = cut_markup(batch)
    spans = _boilerplate(marked)
    if spans:
        if marked is batch:
            marked.text = marked.text.copy()
        blank(marked.data, spans)
    # Nearly every text has an "a" near its beginning, which is quickly seen; only where one has none a pattern looks
    # for any letter.
    if _all_have_an_a(marked):
        return _Cleaned(marked, marked, spans, None)
    text = marked.array()
    emptied = pc.invert(pc.match_substring_regex(text, r"\pL"))
    if not pc.any(emptied).as_py():
        return _Cleaned(marked, marked, spans, None)
    kept = np.array(emptied.to_pylist(), np.bool_)
    documents = pc.if_else(emptied, string_array_of(raw, batch.offsets), text)
    return _Cleaned(Batch.of(bytearray(bytes_of(documents)), offsets_of(documents)), marked, spans, kept)


def _all_have_an_a(batch: Batch) -> bool:
    """Whether every document has the letter "a" near its beginning."""
    starts, ends = batch.offsets[:-1], batch.offsets[1:]
    is_a = batch.windows(starts, PADDING) == ord("a")
    first = is_a.argmax(axis=1)
    later = (~(is_a.any(axis=1) & (starts + first < ends))).nonzero()[0]
    limits = np.minimum(starts[later] + SEARCHED_FOR_A, ends[later])
    return bool((until(batch.data, starts[later], limits, _A) < limits).all())


def clean_text(text: str) -> str:
    """One article cleaned, as `clean` does it: for reading and for tests."""
    return str(clean(string_array([text]))[0].as_py())


def _blank_symbols(batch: Batch) -> None:
    """Turn symbols outside ASCII into spaces and curly quotation marks into straight ones, in place, byte by byte.

    In UTF-8 the first byte tells the block: C2 opens the Latin-1 symbols, E2 general punctuation and symbols. These are
    settled here because scraped text is full of them; letters with accents and other scripts open with other bytes and
    are left for `features.tokens.fold`, which sees each distinct word once.
    """
    data, two, three = batch.data, batch.places_of(0xC2), batch.places_of(0xE2)
    if two.size:
        two = two[~_LATIN_IN_WORD.take(data[two + 1])]
        data[two], data[two + 1] = SPACE, FILLER
    if three.size:
        second, third = data[three + 1], data[three + 2]
        # Zero-width characters and hyphens (U+200B to U+2011), the word joiner (U+2060), superscripts and subscripts
        # (U+2070 to U+209C, as in CO₂) belong to words: `fold` deals with them.
        inside = (second == 0x80) & (third >= 0x8B) & (third <= 0x91)
        inside |= (second == 0x81) & ((third == 0xA0) | (third >= 0xB0))
        inside |= (second == 0x82) & (third <= 0x9C)
        quote = (second == 0x80) & (third >= 0x9C) & (third <= 0x9F)
        symbols = three[~inside]
        data[symbols] = SPACE
        data[symbols + 1] = data[symbols + 2] = FILLER
        data[three[quote]] = _QUOTE


def _boilerplate(batch: Batch) -> list[Span]:
    """Where links, boilerplate lines, related-article links, credits and tails are."""
    bounds = np.concatenate(([0], batch.places_of(NEWLINE) + 1))  # of lines; every document ends in a newline
    return [
        *_boilerplate_lines(batch, bounds),
        *_related_links(batch, bounds),
        *_links(batch),
        *_bracketed(batch),
    ]


def _boilerplate_lines(batch: Batch, bounds: Positions) -> list[Span]:
    """Boilerplate lines and the tails of documents; line i stands at bounds[i] to bounds[i + 1]."""
    data, offsets = batch.data, batch.offsets
    lengths = bounds[1:] - bounds[:-1]
    short = ((lengths <= LONGEST_LINE) & (lengths > 2)).nonzero()[0]
    starts = bounds[short]
    led = (~in_words(data[starts])).nonzero()[0]
    first = starts.copy()
    if led.size:
        first[led] += in_words(batch.windows(starts[led], LEAD)).argmax(axis=1)
    words, _ = words_at(batch, first)
    found = short[_LINE_OPENINGS.get(words)]
    if not found.size:
        return []
    # A line that stands in many documents is looked at once.
    lines, numbers = distinct_strings(data, bounds[found], lengths[found] - 1)
    kind = np.array([_kind(line) for line in lines])[numbers]
    found, kind = found[kind != _KEPT], kind[kind != _KEPT]
    begin, end = bounds[found], bounds[found + 1]
    document = offsets.searchsorted(begin, side="right") - 1
    document_begin, document_end = offsets[document], offsets[document + 1]
    cuts = (kind == _TAIL) & (begin - document_begin > TAIL_SHARE * (document_end - document_begin))
    return [(begin, np.where(cuts, document_end, end))]


@lru_cache(maxsize=REMEMBERED_LINES)
def _kind(line: str) -> int:
    found = _patterns().match(line.replace(chr(FILLER), "").strip())
    if found is None:
        return _KEPT
    return _LINE if found[1] is None else _TAIL


def _related_links(batch: Batch, bounds: Positions) -> list[Span]:
    """Each "baca juga" to the end of its line, sentence or quotation or `RELATED_WORDS` words, whichever is first.

    A quotation mark right after "baca juga:" opens the quotation that the link is; any other one closes the
    quotation it stands in. Where line ends were lost "baca juga:" may stand right behind a word; only the colon then
    tells it from "membaca juga".
    """
    data, places = batch.data, batch.places_of_phrase(RELATED, landmark=5)
    if places.size:
        behind = data[places + len(RELATED)]
        glued = in_words(data.take(places - 1, mode="wrap"))  # before the first byte is the last, a newline
        places = places[(behind == ord(":")) | ~(glued | in_words(behind))]
    if not places.size:
        return []
    # What follows each mark, as one small buffer of windows that do not overlap: the next mark speaks for itself.
    line_end = bounds[bounds.searchsorted(places, side="right")]
    limits = np.minimum(np.minimum(line_end, places + RELATED_BYTES), np.append(places[1:], data.size))
    window_ends = (limits - places).cumsum()
    starts = window_ends - (limits - places)
    text = np.append(data[ranges(places, limits - places)], np.uint8(NEWLINE))

    blank = _BLANK.take(text)
    before = np.concatenate(([True], blank[:-1]))
    before[starts] = True
    words = (~blank & before).nonzero()[0]
    stops = _SENTENCE_END.take(text).nonzero()[0]
    stops = stops[_BEHIND_SENTENCE.take(text[stops + 1])]
    quotes = (text == _QUOTE).nonzero()[0]

    link = words.searchsorted(starts) + 2  # the word after "baca juga"
    link += text[at(words, link, text.size - 1)] == ord(":")  # "baca juga : ...": no word of its own
    quote = next_of(quotes, starts, text.size)
    opening = quote == at(words, link, text.size)
    quote[opening] = next_of(quotes, quote[opening] + 1, text.size)
    reach = np.minimum(at(words, link + RELATED_WORDS, text.size), quote + 1)
    reach = np.minimum(reach, next_of(stops, starts, text.size) + 1)
    return [(places, whole_characters(data, places + np.minimum(reach, window_ends) - starts))]


def _links(batch: Batch) -> list[Span]:
    """Web addresses: the run of bytes without space, bracket or quotation mark around each of `LINKS`."""
    data, places = batch.data, np.concatenate([batch.places_of_phrase(sign) for sign in LINKS])
    if not places.size:
        return []
    places.sort()
    # Backwards is forwards in the mirrored text; as far as the mark before.
    limits = np.maximum(np.concatenate(([0], places[:-1])), places - LONGEST_SCHEME)
    begins = data.size - until(data[::-1], data.size - places, data.size - limits, _LINK_END)
    spans = [(whole_characters(data, begins), places)]
    width = 128
    while places.size:
        limits = np.minimum(places + width, np.append(places[1:], data.size))
        ends = until(data, places, limits, _LINK_END)
        spans.append((places, ends))
        places = ends[ends == places + width]  # the few that are longer go on
        width *= 2
    return spans


def _bracketed(batch: Batch) -> list[Span]:
    """Photo credits and embedded pictures: from the bracket to the one that closes it on the same line."""
    data, places = batch.data, batch.places_of(*b"([")
    places = places[_BRACKETED_START.take(data[places + 1])]
    if not places.size:
        return []
    words, ends = words_at(batch, places + 1)
    places = places[_BRACKET_OPENINGS.get(words) & ((data[ends] == ord(":")) | (data[ends] == ord(".")))]
    if not places.size:
        return []
    limits = np.minimum(places + LONGEST_LINE, np.append(places[1:], data.size))
    ends = until(data, places, limits, _BRACKET_END)
    last = data.take(ends, mode="clip")
    closed = (last == ord(")")) | (last == ord("]"))
    return [(places[closed], ends[closed] + 1)]
