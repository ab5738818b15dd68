"""The bytes of a text -> its physical lines, one by one or as blocks of many."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data.batch import ReadError
from data.streams import Readable

MAX_ROW = 64 << 20  # bytes of one row; a legitimate article never comes near
BLOCK = 1 << 19  # bytes of lines handed out together
SHOWN = 1000  # bytes kept of a line longer than MAX_ROW
BYTE_ORDER_MARK = "\ufeff"


class RawLine(NamedTuple):
    """The bytes of a physical line with its line end, its number from 1, and what is wrong with it."""

    number: int
    raw: bytes
    problem: str | None = None


class Line(NamedTuple):
    """A physical line: its number from 1, its text with the line end, its bytes, and what is wrong with it."""

    number: int
    text: str
    size: int
    problem: str | None = None


class Lines:
    """The lines of a stream; a byte-order mark before them is dropped.

    They are taken from the front, one by one (`line`, `raw_line`), or many at once, looked at first (`block`,
    `take`). Lines that turn out to have been taken too early are put back.
    """

    def __init__(self, stream: Readable, path: str, encoding: str):
        self.path = path
        self.encoding = encoding
        self.number = 0  # of the last line taken from the stream
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._fault: ReadError | None = None
        self._put_back: deque[Line] = deque()
        if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
            self.encoding = "utf-8"
            self._fill(len(codecs.BOM_UTF8))
            self._at = len(codecs.BOM_UTF8) if self._buffer.startswith(codecs.BOM_UTF8) else 0

    def line(self) -> Line | None:
        """The next line, or None at the end; like `raw_line` and `decoded`."""
        if self._put_back:
            return self._put_back.popleft()
        raw = self.raw_line()
        return None if raw is None else self.decoded(raw)

    def raw_line(self) -> RawLine | None:
        """The next line, or None at the end; one longer than MAX_ROW bytes is marked, and cut.

        Raises ReadError, with the place, where the stream cannot be read on; a line begun there is lost.
        """
        end = self._buffer.find(b"\n", self._at)
        while end < 0 and not self._ended and len(self._buffer) - self._at < MAX_ROW:
            searched = len(self._buffer) - self._at
            self._fill(min(max(BLOCK, 2 * searched), MAX_ROW))
            end = self._buffer.find(b"\n", self._at + searched)
        if end < 0 and self._ended:
            if self._fault is not None:
                raise self._fault
            end = len(self._buffer) - 1
            if end < self._at:
                return None
        self.number += 1
        if end < 0 or end + 1 - self._at > MAX_ROW:
            raw = self._buffer[self._at : self._at + SHOWN]
            self._skip_line()
            return RawLine(self.number, raw, f"longer than {MAX_ROW} bytes")
        raw = self._buffer[self._at : end + 1]
        self._at = end + 1
        return RawLine(self.number, raw)

    def decoded(self, line: RawLine) -> Line:
        """The text of a line; one that is undecodable or holds a NUL character is marked, not raised."""
        number, raw, problem = line
        try:
            text = raw.decode(self.encoding)
        except UnicodeDecodeError as error:
            text = raw.decode(self.encoding, "surrogateescape")
            problem = problem or f"byte 0x{raw[error.start]:02x} at position {error.start + 1} is not {self.encoding}"
        if number == 1:
            text = text.removeprefix(BYTE_ORDER_MARK)
        if problem is None and "\0" in text:
            problem = "a NUL character"
        return Line(number, text, len(raw), problem)

    def block(self) -> bytes:
        """The next whole lines, as many as fit into BLOCK bytes, which stay to be taken.

        Empty where the next line does not fit or is the unfinished last one, and where lines were put back.
        """
        if self._put_back:
            return b""
        size = min(BLOCK, MAX_ROW)
        self._fill(size)
        end = self._buffer.rfind(b"\n", self._at, self._at + size)
        return self._buffer[self._at : end + 1]

    def take(self, size: int, lines: int) -> None:
        """Take that many bytes, which are that many lines, from the front of the last `block`."""
        self._at += size
        self.number += lines

    def put_back(self, lines: Iterable[Line]) -> None:
        """Have these lines, in their order, come before the next."""
        self._put_back.extendleft(reversed(list(lines)))

    def _skip_line(self) -> None:
        while (end := self._buffer.find(b"\n", self._at)) < 0 and not self._ended:
            self._at = len(self._buffer)
            self._fill(BLOCK)
        self._at = len(self._buffer) if end < 0 else end + 1

    def _fill(self, size: int) -> None:
        """Read on until that many bytes are at hand, or the stream ends."""
        missing = size - (len(self._buffer) - self._at)
        if missing <= 0 or self._ended:
            return
        pieces = [self._buffer[self._at :]]
        while missing > 0 and not self._ended:
            try:
                piece = self._stream.read(missing)
            except (OSError, ReadError) as error:
                self._ended = True
                what = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
                line = self.number + sum(piece.count(b"\n") for piece in pieces) + 1
                self._fault = ReadError(f"{self.path}:{line}: {what}")
                break
            self._ended = not piece
            missing -= len(piece)
            pieces.append(piece)
        self._buffer, self._at = b"".join(pieces), 0


def is_utf8(text: bytes) -> bool:
    """Whether that is UTF-8; up to 2 GiB, and several times faster than decoding it."""
    offsets = pa.py_buffer(np.array([0, len(text)], dtype=np.int32))
    try:
        pa.StringArray.from_buffers(1, offsets, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def shown(text: str, encoding: str) -> str:
    """A raw row for a reject: without its line end, undecodable bytes as backslash escapes."""
    text = without_line_end(text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode(encoding, "surrogateescape").decode(encoding, "backslashreplace")
    return text


def without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def through_first_text(lines: Lines) -> list[Line]:
    """The lines up to and with the first that is not blank; none when all are blank."""
    start: list[Line] = []
    while (line := lines.line()) is not None:
        start.append(line)
        if line.text.strip():
            return start
    return []
