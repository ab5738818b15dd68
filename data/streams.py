"""A file or standard input -> the bytes of its text: unpacked, and known to be text."""

from __future__ import annotations

import codecs
import zlib
from typing import Protocol

import pyarrow as pa

from data.batch import ReadError

SAMPLE = 8192  # bytes looked at to tell text from binary
BINARY_SHARE = 0.1  # share of NUL and undecodable characters in the sample above which a file is binary
# Bytes unpacked at a time. What a fault in the compressed data costs beside the data itself is the rest of
# such a piece.
PIECE = 1 << 14

PACKED = 1 << 16  # bytes of gzip data read at a time

GZIP = b"\x1f\x8b"
GZIP_HEADER = 16 + zlib.MAX_WBITS  # has zlib expect the header and the check sum of gzip
ZSTD = b"\x28\xb5\x2f\xfd"
SKIPPABLE_FRAME = b"\x2a\x4d\x18"  # second to fourth byte of a zstd frame without data, as pzstd writes first

SIGNATURES = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"PK\x03\x04": "a zip file or an Excel workbook; save it as CSV",
    b"%PDF": "a PDF file; extract its text first",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ": "an xz file; unpack it first",
    b"\xff\xfe": "UTF-16 text; give the encoding utf-16",
    b"\xfe\xff": "UTF-16 text; give the encoding utf-16",
}


class Readable(Protocol):
    """What gives bytes: at most as many as asked for, none at its end."""

    def read(self, size: int, /) -> bytes: ...


class Peekable:
    """A stream whose beginning can be looked at; `count` is how many bytes were read from it."""

    closed = False  # asked for by pyarrow

    def __init__(self, stream: Readable):
        self.count = 0
        self._stream = stream
        self._head = bytearray()
        self._fault: OSError | ReadError | None = None

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay to be read; fewer than `size` only where the stream ends, or cannot be
        read on, which is raised if there are none at all.
        """
        while len(self._head) < size and self._fault is None:
            try:
                more = self._stream.read(size - len(self._head))
            except (OSError, ReadError) as error:
                self._fault = error
                break
            if not more:
                break
            self._head += more
            self.count += len(more)
        if self._fault is not None and not self._head:
            raise self._fault
        return bytes(self._head[:size])

    def read(self, size: int) -> bytes:
        if self._head:
            taken = bytes(self._head[:size])
            del self._head[:size]
            return taken
        if self._fault is not None:
            raise self._fault
        taken = self._stream.read(size)
        self.count += len(taken)
        return taken

    def close(self) -> None:
        """Nothing: the stream is closed by whoever opened it."""


class Gunzipped:
    """What a gzip stream holds, of all its members.

    pyarrow unpacks gzip too, but where the stream ends too early it keeps back what it unpacked last.
    """

    def __init__(self, stream: Readable):
        self._stream = stream
        self._packed = b""
        self._member = zlib.decompressobj(GZIP_HEADER)

    def read(self, size: int) -> bytes:
        """Raises ReadError, without a place, for data that is damaged or ends too early."""
        while True:
            if not self._packed:
                self._packed = self._stream.read(PACKED)
            if self._member.eof:
                if not self._packed:
                    return b""
                self._member = zlib.decompressobj(GZIP_HEADER)
            if not self._packed:
                raise ReadError("damaged gzip data: it ends too early, the rest of the file is missing")
            try:
                taken = self._member.decompress(self._packed, min(size, PIECE))
            except zlib.error as error:
                raise ReadError(f"damaged gzip data: {error}") from error
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if taken:
                return taken


class Unzstd:
    """What a zstd stream holds, of all its frames."""

    def __init__(self, stream: Peekable):
        self._stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")

    def read(self, size: int) -> bytes:
        """Raises ReadError, without a place, for data that is damaged or ends too early."""
        try:
            taken: bytes = self._stream.read(min(size, PIECE))
        except OSError as error:
            problem = str(error).splitlines()[0]
            if "truncated" in problem.lower():
                problem = "it ends too early, the rest of the file is missing"
            raise ReadError(f"damaged zstd data: {problem}") from error
        return taken


class Transcoded:
    """The text of a stream in UTF-8, from an encoding whose line end is no single byte (UTF-16)."""

    def __init__(self, stream: Readable, encoding: str):
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int) -> bytes:
        """Raises ReadError, without a place, for undecodable bytes: with them the line ends are lost."""
        text = b""
        raw = b"more"
        while raw and not text:
            raw = self._stream.read(size)
            try:
                text = self._decoder.decode(raw, final=not raw).encode("utf-8")
            except UnicodeError as error:
                raise ReadError(f"not {self._encoding}: {error}") from error
        return text


def open_text(raw: Peekable, encoding: str) -> tuple[Peekable, str]:
    """The text of a stream, and its encoding, in which a line end is one byte.

    gzip and zstd are recognised by their first bytes, whatever the file is called, and unpacked. A byte-order
    mark stays.

    Raises ReadError, without a place, when the stream begins like no text in that encoding.
    """
    head = raw.peek(4)
    stream = raw
    if head.startswith(GZIP):
        stream = Peekable(Gunzipped(raw))
    elif head == ZSTD or (head[1:] == SKIPPABLE_FRAME and head[0] >> 4 == 5):
        stream = Peekable(Unzstd(raw))
    problem = binary(stream.peek(SAMPLE), encoding)
    if problem:
        raise ReadError(problem)
    if is_wide(encoding):
        return Peekable(Transcoded(stream, encoding)), "utf-8"
    return stream, encoding


def is_wide(encoding: str) -> bool:
    """Whether the encoding writes a line end as anything but the one byte of ASCII."""
    return "\n".encode(encoding) != b"\n"


def binary(sample: bytes, encoding: str) -> str | None:
    """Why a stream that begins like this is no text in that encoding, or None."""
    text = sample.decode(encoding, "replace")
    odd = text.count("\ufffd") + text.count("\0")
    for signature, meaning in SIGNATURES.items():
        if sample.startswith(signature) and (odd or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")):
            return f"expected {encoding} text, found {meaning}"
    if odd > BINARY_SHARE * len(text):
        return f"expected {encoding} text, found a binary file or another encoding"
    return None
