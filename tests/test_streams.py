"""data.streams: gzip and zstd as if they were not there; damage is told with its place, after the rows before it."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.reader import Batch, ReadError, Reject, read

REPOSITORY = Path(__file__).parent.parent
JSON_LINES = "".join(json.dumps({"id": number, "text": f"isi {number} é"}) + "\n" for number in range(2000)).encode()
CSV = ("id;isi\n" + "".join(f'00{number};"isi; {number}\né"\n' for number in range(2000))).encode()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


PACKERS = {".gz": gzip.compress, ".zst": zstd}


def facts(batches: Iterator[Batch]) -> list[object]:
    """All there is in batches but where they were read from."""
    return [
        (
            {name: (batch.column(name).to_pylist(), batch.literal(name).tolist()) for name in batch.columns},
            batch.lines.tolist(),
            [(reject.line, reject.reason, reject.raw) for reject in batch.rejects],
        )
        for batch in batches
    ]


def until_the_fault(path: Path, **options: object) -> tuple[int, list[Reject], str]:
    """Rows and rejects that come before a ReadError, and its message."""
    batches: list[Batch] = []
    with pytest.raises(ReadError) as error:
        batches.extend(read(path, **options))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    rejects = [reject for batch in batches for reject in batch.rejects]
    return sum(map(len, batches)), rejects, str(error.value)


@pytest.mark.parametrize("extension", PACKERS)
@pytest.mark.parametrize(("name", "content"), [("a.jsonl", JSON_LINES), ("a.csv", CSV), ("a.tsv", b"id\tisi\n1\tx\n")])
def test_packed_files_read_as_what_is_in_them(tmp_path: Path, name: str, content: bytes, extension: str) -> None:
    plain, packed = tmp_path / name, tmp_path / f"{name}{extension}"
    plain.write_bytes(content)
    pack = PACKERS[extension]
    expected = facts(read(plain, batch_rows=300))
    for written in (pack(content), pack(content[:5000]) + pack(b"") + pack(content[5000:]), content):
        packed.write_bytes(written)  # at last not packed at all, as some servers send it
        assert facts(read(packed, batch_rows=300)) == expected


@pytest.mark.parametrize("extension", PACKERS)
def test_packed_text_files_and_folders(tmp_path: Path, extension: str) -> None:
    pack = PACKERS[extension]
    (tmp_path / f"a.txt{extension}").write_bytes(pack("Judul\n\nisi é".encode()))
    (tmp_path / f"b.txt{extension}").write_bytes(pack(b"caf\xe9 yang ramai"))
    (tmp_path / f"c.txt{extension}").write_bytes(pack(b"isi yang panjang " * 10)[:-4])
    (tmp_path / f"d.jsonl{extension}").write_bytes(pack(b'{"id": 7, "text": "isi"}\n'))
    (tmp_path / f"e.txt{extension}").write_bytes(pack(b"\0\1\2\3" * 10))
    first, second, third = read(tmp_path)
    assert first.column("id").to_pylist() == [f"a.txt{extension}"]
    assert first.column("text").to_pylist() == ["Judul\n\nisi é"]
    assert [Path(reject.path).name[0] for reject in first.rejects] == ["b", "c"]
    assert "byte 0xe9 at position 4" in first.rejects[0].reason
    assert "damaged" in first.rejects[1].reason
    assert second.json_texts("id") == ["7"]
    assert [Path(reject.path).name[0] for reject in third.rejects] == ["e"]
    assert "binary" in third.rejects[0].reason


@pytest.mark.parametrize("extension", PACKERS)
@pytest.mark.parametrize("members", [1, 2])
def test_file_that_ends_too_early_gives_the_rows_before(tmp_path: Path, extension: str, members: int) -> None:
    path = tmp_path / f"a.jsonl{extension}"
    content = b"".join(
        json.dumps({"id": number, "text": os.urandom(500).hex()}).encode() + b"\n" for number in range(300)
    )
    packed = PACKERS[extension](content)
    path.write_bytes(packed * (members - 1) + packed[: len(packed) // 2])
    rows, rejects, message = until_the_fault(path, batch_rows=50)
    assert 300 * (members - 1) <= rows < 300 * members
    assert rejects == []  # what was begun there is no row
    if extension == ".gz":
        assert rows > 300 * (members - 1) + 140  # nearly all of the half that is there
    line = int(message.removeprefix(f"{path}:").split(":")[0])
    assert line == rows + 1
    assert "data: it ends too early, the rest of the file is missing" in message
    assert until_the_fault(path, batch_rows=50) == (rows, rejects, message)


def test_short_file_that_ends_too_early(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b'id,isi\n1,a\n2,b\n3,"open and\nlost')[:-8])
    rows, rejects, message = until_the_fault(path)
    assert (rows, rejects) == (2, [])
    assert message.startswith(f"{path}:5: damaged gzip data")


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    packed = bytearray(gzip.compress(JSON_LINES, 0))  # stored as it is: nothing but the check sum tells
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)
    _, _, message = until_the_fault(path)
    assert "damaged gzip data: " in message
    path.write_bytes(gzip.compress(JSON_LINES) + b"what does not belong here")
    rows, _, message = until_the_fault(path)
    assert rows == 2000
    assert "damaged gzip data: " in message
    path.write_bytes(b"\x1f\x8b\x08\x00 no gzip at all")
    assert until_the_fault(path)[0] == 0


@given(cut=st.integers(1, 400), batch_rows=st.integers(1, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_cut_anywhere_rows_are_a_beginning(tmp_path: Path, cut: int, batch_rows: int) -> None:
    path = tmp_path / "a.csv.gz"
    table = [(str(number), f'isi "{number}"\nbaris dua') for number in range(30)]
    content = "id,isi\n" + "".join('{},"{}"\n'.format(name, text.replace('"', '""')) for name, text in table)
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(part.encode()) + packer.flush(zlib.Z_FULL_FLUSH) for part in content.split("\n"))
    packed += packer.flush()
    path.write_bytes(packed[: max(3, len(packed) - cut)])
    batches: list[Batch] = []
    with pytest.raises(ReadError, match=re.escape(str(path))):
        batches.extend(read(path, batch_rows=batch_rows))
    rows = [
        row
        for batch in batches
        for row in zip(batch.column("id").to_pylist(), batch.column("isi").to_pylist(), strict=True)
    ]
    assert not any(batch.rejects for batch in batches)
    assert rows == table[: len(rows)]
    whole = zlib.decompressobj(wbits=31).decompress(path.read_bytes()).decode(errors="ignore")
    assert len(rows) >= len(re.findall(r'"\n(?=\d|$)', whole)) - (not whole.endswith("\n"))


# Standard input


class Trickle(io.RawIOBase):
    """Bytes that come a few at a time, as through a pipe."""

    def __init__(self, content: bytes):
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._content.readinto(buffer[:3])


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Trickle(content))))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("jsonl", JSON_LINES[:20000]),
        ("csv", CSV[:20000]),
        ("tsv", b"id\tisi\n1\tx\n"),
        ("txt", b"{isi}\n"),
        (None, CSV),
    ],
)
def test_standard_input_of_any_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pack: object, format: str | None, content: bytes
) -> None:
    assert callable(pack)
    path = tmp_path / "-"
    path.write_bytes(content)
    standard_input(monkeypatch, pack(content))
    expected = facts(read(path, format=format or "txt", batch_rows=50))  # without a format: one plain article
    assert facts(read("-", format=format, batch_rows=50)) == expected


def test_standard_input_tells_json_lines_by_the_brace(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b' \n{"id": 1}\n', b"\n" * 20_000 + b'\xef\xbb\xbf{"id": 1}\n'[3:], b'\xef\xbb\xbf{"id": 1}'):
        standard_input(monkeypatch, gzip.compress(content))
        [batch] = read("-")
        assert batch.json
        assert batch.lines.tolist() == [content.count(b"\n", 0, content.index(b"{")) + 1]
    standard_input(monkeypatch, '{"id": 1}\n'.encode("utf-16"))
    [batch] = read("-", encoding="utf-16")
    assert batch.json_texts("id") == ["1"]


@pytest.mark.parametrize(
    ("content", "format", "message"),
    [
        (b"PAR1", "parquet", "^standard input: Parquet has to be a file"),
        (b"", None, "^standard input: empty"),
        (gzip.compress(b""), "jsonl", "^standard input: empty"),
        (b"\n\n", "csv", "^standard input: empty"),
        (gzip.compress(b"isi")[:-3], "txt", "^standard input: damaged gzip data"),
        (gzip.compress(b'{"id": 1}\n' * 3)[:-3], "jsonl", "^standard input:4: damaged gzip data"),
        (b"\x28\xb5\x2f\xfd\xff\xff\xff", None, "^standard input: damaged zstd data"),
    ],
)
def test_standard_input_that_stops(
    monkeypatch: pytest.MonkeyPatch, content: bytes, format: str | None, message: str
) -> None:
    standard_input(monkeypatch, content)
    with pytest.raises(ReadError, match=message):
        list(read("-", format=format))


def test_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(JSON_LINES),))
    writer.start()
    assert sum(len(batch) for batch in read(pipe, format="jsonl")) == 2000
    writer.join()


# Encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp500"])
@pytest.mark.parametrize("extension", ["", ".gz"])
def test_encodings_whose_line_end_is_not_ascii(tmp_path: Path, encoding: str, extension: str) -> None:
    path = tmp_path / f"a.csv{extension}"
    content = 'id;isi\n1;"café\nbaris"\n2;x;y\n3;z\n'.encode(encoding)
    path.write_bytes(gzip.compress(content) if extension else content)
    [batch] = read(path, encoding=encoding)
    assert batch.column("isi").to_pylist() == ["café\nbaris", "z"]
    assert batch.lines.tolist() == [2, 5]
    assert [(reject.line, reject.raw) for reject in batch.rejects] == [(4, "2;x;y")]


def test_fault_in_such_an_encoding_comes_after_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(('{"id": 1}\n' * 3000).encode("utf-16-le") + b"\x00\xd8" + "x\n".encode("utf-16-le"))
    rows, rejects, message = until_the_fault(path, encoding="utf-16-le")
    assert rejects == []
    assert 0 < rows <= 3000
    assert message.startswith(f"{path}:{rows + 1}: not utf-16-le: ")


def test_reading_packed_files_imports_neither_pandas_nor_scikit_learn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(
        zstd(
            b'{"id": 1, "ok": true, "author": null, "text": "isi"}\n'
            b'{"id": 0, "ok": true, "author": "x", "text": "-0"}\n'
        )
    )
    program = (
        "import sys; from data.reader import read\n"
        "[batch] = read(sys.argv[1])\n"
        "assert batch.json_texts('author') == ['null', '\"x\"'], batch.columns\n"
        "print([name for name in ('pandas', 'sklearn', 'scipy', 'mlflow') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
