"""data.inputs: which files a path stands for, in which order and format, their size and digest."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.inputs import find_inputs, fingerprint, input_bytes
from data.reader import Batch, ReadError, read

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, content: str | bytes = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def ids(batches: Iterator[Batch]) -> list[str | None]:
    return [value for batch in batches for value in batch.column("id").to_pylist()]


def line(name: str) -> str:
    return f'{{"id": "{name}", "text": "isi"}}\n'


# Patterns and folders


def test_pattern_reads_what_it_matches_in_the_order_of_names(write: Write, tmp_path: Path) -> None:
    write("news/b.jsonl", line("b"))
    write("news/a.jsonl.gz", gzip.compress(line("a").encode()))
    write("news/c.csv", "id,text\nc,isi\n")
    write("news/deep/er/d.jsonl", line("d"))
    write("news/.hidden.jsonl", line("no"))
    write("news/notes.md", "no")
    assert ids(read("news/*.jsonl")) == ["b"]
    assert ids(read("news/*.jsonl*")) == ["a", "b"]
    assert ids(read("news/[a-b].*")) == ["a", "b"]
    assert ids(read("news/**/*.jsonl")) == ["b", "d"]
    assert ids(read("news/*")) == ["a", "b", "c", "d"]  # a folder that matches is read whole
    assert ids(read("news/**")) == ["a", "b", "c", "d"]  # each once, though folders match beside their files
    assert ids(read(tmp_path / "news" / "*.csv")) == ["c"]


def test_file_whose_name_looks_like_a_pattern_is_that_file(write: Write) -> None:
    write("news[1].jsonl", line("itself"))
    write("news1.jsonl", line("another"))
    assert ids(read("news[1].jsonl")) == ["itself"]
    assert ids(read("news[12].jsonl")) == ["another"]


def test_text_files_of_a_pattern_are_named_from_its_fixed_part_on(write: Write) -> None:
    write("arsip/2024/satu.txt", "isi satu")
    write("arsip/2025/satu.txt", "isi dua")
    batches = list(read("arsip/**/*.txt"))
    assert len(batches) == 1
    assert batches[0].path == "arsip/**/*.txt"
    assert ids(iter(batches)) == ["2024/satu.txt", "2025/satu.txt"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing/*.jsonl", r"^nothing/\*\.jsonl: nothing matches, expected files named \.jsonl"),
        ("*.md", r"^\*\.md: 1 matches, none of them named \.jsonl"),
        ("nothing.jsonl", "^nothing.jsonl: no such file or folder$"),
        ("packed.parquet.gz", "^packed.parquet.gz: unknown extension '.gz'"),
        ("packed.gz", "^packed.gz: unknown extension '.gz', .*; or say which format it has$"),
        ("empty", "^empty: no articles in this folder"),
        ("blank", "^blank: all 2 files are empty, expected articles$"),
    ],
)
def test_inputs_that_are_not_there(write: Write, tmp_path: Path, path: str, message: str) -> None:
    write("a.md", "no")
    write("packed.parquet.gz", "no")
    write("packed.gz", "no")
    write("blank/a.jsonl", "\n\n")
    write("blank/b.csv.gz", gzip.compress(b""))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match=message):
        list(read(path))


def test_empty_files_of_a_folder_are_skipped(write: Write) -> None:
    write("parts/0.jsonl", "")
    write("parts/1.jsonl", "\n")
    write("parts/2.jsonl.gz", gzip.compress(b""))
    write("parts/3.jsonl", line("a"))
    assert ids(read("parts")) == ["a"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may look into every folder")
def test_folder_that_may_not_be_looked_into_is_not_passed_over(write: Write) -> None:
    write("news/a.jsonl", line("a"))
    closed = write("news/closed/b.jsonl", line("b")).parent
    closed.chmod(0)
    try:
        with pytest.raises(ReadError, match="closed: permission denied"):
            find_inputs("news")
    finally:
        closed.chmod(0o700)


# Formats


def test_format_holds_whatever_the_extension(write: Write) -> None:
    write("export.dat", "id;text\n007;a\n")
    write("page.json", line("x"))
    write("data", "id\ttext\n1\ta, b\n")
    write("a.csv", "just an article")
    assert ids(read("export.dat", format="csv")) == ["007"]
    assert ids(read("page.json", format="jsonl")) == ["x"]
    assert ids(read("data", format="tsv")) == ["1"]
    [batch] = read("a.csv", format="txt")
    assert batch.column("text").to_pylist() == ["just an article"]
    with pytest.raises(ReadError, match="unknown format 'xml', expected one of jsonl, csv, tsv, parquet, txt"):
        list(read("data", format="xml"))


def test_format_holds_for_all_files_of_a_folder(write: Write) -> None:
    write("export/part-1", line("a"))
    write("export/part-2", line("b"))
    write("export/_SUCCESS", "")
    with pytest.raises(ReadError, match="no articles in this folder"):
        list(read("export"))
    assert ids(read("export", format="jsonl")) == ["a", "b"]


@pytest.mark.parametrize("delimiter", [":", "#", " ", "§", "t"])
def test_any_delimiter(write: Write, delimiter: str) -> None:
    path = write("a.csv", f'id{delimiter}isi\n007{delimiter}"x{delimiter}y"\n')
    [batch] = read(path, delimiter=delimiter)
    assert batch.column("id").to_pylist() == ["007"]
    assert batch.column("isi").to_pylist() == [f"x{delimiter}y"]


def test_given_delimiter_is_stronger_than_any_other(write: Write) -> None:
    assert ids(read(write("a.csv", "sep=;\nid,isi;x\n1,a;b\n"), delimiter=",")) == ["1"]
    assert ids(read(write("b.csv", "id\tisi,text\n1\ta,b\n"), delimiter="\\t")) == ["1"]
    assert ids(read(write("c.csv", '"sep=|"\nid|isi\n1|a,b\n'))) == ["1"]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "\0"])
def test_delimiters_that_cannot_be(write: Write, delimiter: str) -> None:
    with pytest.raises(ReadError, match=r"found the delimiter .*, expected one character"):
        list(read(write("a.csv", "id,isi\n1,a\n"), delimiter=delimiter))


# Size and digest


def test_fingerprint_changes_with_names_contents_order_and_format(write: Write) -> None:
    write("news/a.jsonl", line("a"))
    write("news/b.jsonl", line("b"))
    before = fingerprint(["news"])
    assert before == fingerprint(["news"])
    assert before is not None
    assert len(before) == 64
    seen = {before, fingerprint(["news/*.jsonl"]), fingerprint(["news/a.jsonl", "news/b.jsonl"])}
    seen |= {fingerprint(["news/b.jsonl", "news/a.jsonl"]), fingerprint(["news"], format="csv")}
    write("news/c.md", "not read")
    assert fingerprint(["news"]) == before
    write("news/b.jsonl", line("c"))
    seen.add(fingerprint(["news"]))
    write("news/b.jsonl", line("b"))
    assert fingerprint(["news"]) == before
    write("news/c.jsonl", "")
    seen.add(fingerprint(["news"]))
    assert len(seen) == 7


def test_contents_that_move_between_files_change_the_fingerprint(write: Write) -> None:
    write("news/a.jsonl", "12")
    write("news/b.jsonl", "3")
    before = fingerprint(["news"])
    write("news/a.jsonl", "1")
    write("news/b.jsonl", "23")
    assert fingerprint(["news"]) != before


def test_streams_have_neither_fingerprint_nor_size(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", line("a"))
    os.mkfifo(tmp_path / "pipe")
    for stream in ("-", str(tmp_path / "pipe")):
        assert fingerprint([path, stream], format="jsonl") is None
        assert input_bytes([path, stream], format="jsonl") is None
    with pytest.raises(TypeError, match="expected a list of inputs"):
        fingerprint(str(path))


def test_fingerprint_of_what_is_not_there(write: Write) -> None:
    with pytest.raises(ReadError, match=r"nothing\.csv: no such file or folder"):
        fingerprint(["nothing.csv"])


def test_offsets_end_at_the_bytes_of_the_input(write: Write) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write("news/a.jsonl", line("a") * 300)
    write("news/b.jsonl.gz", gzip.compress(line("b").encode() * 300))
    write("news/c.csv", "id,text\n" + "c,isi\n" * 300)
    pq.write_table(pa.table({"id": pa.array(["d"] * 300)}), "news/d.parquet")
    write("news/e/1.txt", "satu")
    write("news/e/2.txt", "dua")
    offsets = [batch.offset for batch in read("news", batch_rows=100)]
    assert len(offsets) == 13
    assert offsets == sorted(offsets)
    assert offsets[0] > 0
    assert offsets[-1] == input_bytes(["news"])
