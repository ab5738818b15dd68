"""Text files, one article each -> batches with the columns `id` and `text`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.batch import Batch, ReadError, ReadOptions, Reject
from data.grouping import groups
from data.lines import BYTE_ORDER_MARK, MAX_ROW, SHOWN
from data.streams import Peekable, Readable, open_text
from features.strings import string_array


class Article(NamedTuple):
    """The article of a text file, or why it is none; `read` bytes on disk gave `size` bytes of text."""

    id: str
    text: str
    size: int
    read: int
    reject: Reject | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.array([self.size], dtype=np.int64)

    def part(self, start: int, stop: int) -> Article:
        return self


def read_file(stream: BinaryIO, name: str, path: str, encoding: str) -> Article:
    """The article of a file, packed or not; one that is binary is rejected too. See `read_article`."""
    raw = Peekable(stream)
    try:
        text, encoding = open_text(raw, encoding)
    except ReadError as error:
        shown = raw.peek(SHOWN).decode(encoding, "backslashreplace")
        return Article(name, "", raw.count, raw.count, Reject(path, 1, str(error), shown))
    return read_article(text, name, path, encoding)._replace(read=raw.count)


def read_article(text: Readable, name: str, path: str, encoding: str) -> Article:
    """All of a stream as one article, the byte-order mark dropped; `name` becomes its id.

    It is rejected when it is blank, undecodable, damaged, longer than MAX_ROW bytes or holds a NUL character.
    """
    content = bytearray()
    try:
        while len(content) <= MAX_ROW and (piece := text.read(MAX_ROW + 1 - len(content))):
            content += piece
        problem = _problem(content, encoding)
    except ReadError as error:
        problem = str(error)
    size = len(content)
    if problem is None:
        return Article(name, content.decode(encoding).removeprefix(BYTE_ORDER_MARK), size, size)
    shown = content[: SHOWN if size > MAX_ROW else size].decode(encoding, "backslashreplace")
    return Article(name, "", size, size, Reject(path, 1, problem, shown))


def _problem(content: bytearray, encoding: str) -> str | None:
    if len(content) > MAX_ROW:
        return f"longer than {MAX_ROW} bytes"
    try:
        text = content.decode(encoding).removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        return f"byte 0x{content[error.start]:02x} at position {error.start + 1} is not {encoding}"
    if "\0" in text:
        return "a NUL character"
    return None if text.strip() else "empty, expected an article"


def article_batches(articles: Iterable[Article], path: str, options: ReadOptions) -> Iterator[Batch]:
    """Batches of articles; their `path` is the given one."""
    read = 0
    for group in groups(articles, options):
        good = [article for article in group if article.reject is None]
        columns = {}
        if good and options.keeps("id"):
            columns["id"] = string_array([article.id for article in good])
        if good and options.keeps("text"):
            columns["text"] = string_array([article.text for article in good])
        rejects = [article.reject for article in group if article.reject is not None]
        read += sum(article.read for article in group)
        yield Batch(columns, np.ones(len(good), dtype=np.int64), path, False, rejects, offset=read)
