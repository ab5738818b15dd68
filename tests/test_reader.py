"""data.reader: every column is text, bad rows are set aside, bad inputs stop in one line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import lines, reader, tables
from data.reader import TEXT_COLUMNS, Batch, ReadError, Reject, find_column, read

REPOSITORY = Path(__file__).parent.parent
Write = Callable[..., Path]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write_file


def rows(batches: Iterator[Batch] | list[Batch]) -> list[dict[str, str | None]]:
    """All rows of all batches, a dictionary each."""
    found: list[dict[str, str | None]] = []
    for batch in batches:
        for column in batch.columns.values():
            assert column.type == pa.string()
            assert len(column) == len(batch)
        columns = {name: column.to_pylist() for name, column in batch.columns.items()}
        found += [{name: values[row] for name, values in columns.items()} for row in range(len(batch))]
    return found


def rejects(batches: Iterator[Batch] | list[Batch]) -> list[Reject]:
    return [reject for batch in batches for reject in batch.rejects]


def the_batch(path: Path, **options: object) -> Batch:
    batches = list(read(path, **options))  # type: ignore[arg-type]
    assert len(batches) == 1
    return batches[0]


# JSON lines


def test_json_values_keep_their_text(write: Write) -> None:
    line = '{"id": 7, "text": "a\\u00e9b", "n": 12345678901234567890, "f": 1.0, "e": 1e5, "b": true, "d": "7"}'
    batch = the_batch(write("a.jsonl", line + "\n"))
    assert rows([batch]) == [
        {
            "id": "7",
            "text": "aéb",
            "n": "12345678901234567890",
            "f": "1.0",
            "e": "1e5",
            "b": "true",
            "d": "7",
        }
    ]
    assert batch.json
    assert batch.lines.tolist() == [1]
    assert batch.json_texts("id") == ["7"]
    assert batch.json_texts("d") == ['"7"']
    assert batch.json_texts("e") == ["1e5"]


def test_json_objects_null_and_absent_come_out_as_they_came_in(write: Write) -> None:
    nested = '{"b":  [1.50, "\\u00e9"]}'
    batch = the_batch(write("a.jsonl", f'{{"id": "1", "x": {nested}}}\n{{"id": "2", "x": null}}\n{{"id": "3"}}\n'))
    assert batch.column("x").to_pylist() == [nested, None, None]
    assert batch.json_texts("x") == [nested, "null", None]
    assert batch.column("nothing").to_pylist() == [None] * 3
    assert batch.column(None).to_pylist() == [None] * 3
    assert batch.json_texts("nothing") == [None] * 3


def test_numbers_of_any_length(write: Write) -> None:
    digits = "9" * 10_000
    assert rows(read(write("a.jsonl", f'{{"id": {digits}}}\n')))[0]["id"] == digits


@given(
    st.lists(
        st.dictionaries(TEXT, TEXT | st.none() | st.integers() | st.lists(TEXT, max_size=2), min_size=1),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 3),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_json_lines_round_trip(
    tmp_path: Path, objects: list[dict[str, object]], batch_rows: int, ascii_only: bool
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(o, ensure_ascii=ascii_only) + "\n" for o in objects), encoding="utf-8")
    found: list[object] = []
    for batch in read(path, batch_rows=batch_rows):
        assert len(batch) <= batch_rows
        texts = {name: batch.json_texts(name) for name in batch.columns}
        for row in range(len(batch)):
            present = {name: values[row] for name, values in texts.items()}
            found.append({name: json.loads(text) for name, text in present.items() if text is not None})
    assert found == objects


def test_keys_that_come_later(write: Write) -> None:
    path = write("a.jsonl", '{"id": 1, "isi": "x"}\n' * 3 + '{"id": 2, "isi": "y", "judul": "t"}\n')
    first, second = read(path, batch_rows=2)
    assert list(first.columns) == ["id", "isi"]
    assert list(second.columns) == ["id", "isi", "judul"]
    assert first.column("judul").to_pylist() == [None, None]
    assert second.column("judul").to_pylist() == [None, "t"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 1, "text": "x"', "line ends inside the object"),
        ('{"id": 1 "text": "x"}', "expected ',' or '}' at character 10"),
        ('{"id": 1, }', "expected a quoted key"),
        ('{"id" 1}', "expected ':'"),
        ('{"id": tru}', "Expecting value at character 8"),
        ('{"id": "x}', "Unterminated string"),
        ('{"id": 1} {"id": 2}', "more after the object"),
        ("[1, 2]", "expected a JSON object, found an array"),
        ('"x"', "expected a JSON object, found a string"),
        ("7", "expected a JSON object, found a number"),
        ("judul berita", "broken JSON"),
        ('{"text": "a\\ud800b"}', "lone surrogate"),
        ('{"\\udc00": 1}', "lone surrogate"),
        ('{"text": "a\tb"}', "Invalid control character"),
        ('{"text": "a\0b"}', "a NUL character"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_broken_json_line_is_rejected_alone(write: Write, line: str, reason: str) -> None:
    good = '{"id": "good", "text": "baik"}\n'
    path = write("a.jsonl", good + "\n  \n" + line + "\r\n" + good)
    batch = the_batch(path)
    assert batch.lines.tolist() == [1, 5]
    [reject] = batch.rejects
    assert (reject.path, reject.line, reject.raw) == (str(path), 4, line)
    assert reason in reject.reason
    assert "\n" not in reject.reason


def test_undecodable_line_is_rejected_alone(write: Write) -> None:
    batch = the_batch(write("a.jsonl", b'{"id": 1}\n{"id": "caf\xe9"}\n{"id": 3}\n'))
    assert batch.column("id").to_pylist() == ["1", "3"]
    [reject] = batch.rejects
    assert reject.line == 2
    assert reject.raw == '{"id": "caf\\xe9"}'
    assert reject.reason == "byte 0xe9 at position 12 is not utf-8"


def test_surrogate_pair_is_a_character(write: Write) -> None:
    assert rows(read(write("a.jsonl", '{"text": "\\ud83d\\ude97"}'))) == [{"text": "\U0001f697"}]


def test_nan_is_null_and_the_last_of_a_repeated_key_counts(write: Write) -> None:
    batch = the_batch(write("a.jsonl", '{"a": NaN, "b": -Infinity, "c": 1, "c": "two"}'))
    assert rows([batch]) == [{"a": None, "b": None, "c": "two"}]
    assert [batch.json_texts(name) for name in "abc"] == [["null"], ["null"], ['"two"']]


def test_byte_order_mark_and_encoding(write: Write) -> None:
    assert rows(read(write("a.jsonl", b'\xef\xbb\xbf{"id": 1}\n'))) == [{"id": "1"}]
    latin = write("b.jsonl", '{"id": "café"}\n', "latin-1")
    assert rows(read(latin, encoding="latin-1")) == [{"id": "café"}]
    wide = write("c.csv", "id;isi\n1;baris\u0a0asatu\n", "utf-16")
    assert rows(read(wide, encoding="utf-16")) == [{"id": "1", "isi": "baris\u0a0asatu"}]
    with pytest.raises(ReadError, match="give the encoding utf-16"):
        list(read(wide))
    with pytest.raises(ReadError, match="unknown encoding 'utf-99'"):
        list(read(latin, encoding="utf-99"))


def test_row_longer_than_the_limit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROW", 64)
    batch = the_batch(write("a.jsonl", '{"id": 1}\n{"id": "' + "x" * 500 + '"}\n{"id": 3}\n'))
    assert batch.column("id").to_pylist() == ["1", "3"]
    assert [(reject.line, reject.reason) for reject in batch.rejects] == [(2, "longer than 64 bytes")]


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiters(write: Write, delimiter: str) -> None:
    content = "\ufeffid;judul;isi\r\n007;2024-01-01;a, b | c\r\n8;;\r\n".replace(";", delimiter)
    if delimiter in ",|":
        content = content.replace("a, b | c", '"a, b | c"')
    assert rows(read(write("a.csv", content))) == [
        {"id": "007", "judul": "2024-01-01", "isi": "a, b | c"},
        {"id": "8", "judul": "", "isi": ""},
    ]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ('"id, nomor";isi', ["id, nomor", "isi"]),
        ("text;sectors,levels", ["text", "sectors,levels"]),
        ("text", ["text"]),
        ("id|isi;", ["id", "isi;"]),
        ('id,"isi ""utama"""', ["id", 'isi "utama"']),
        (",id,text", ["column_1", "id", "text"]),
    ],
)
def test_csv_header(write: Write, header: str, names: list[str]) -> None:
    assert list(the_batch(write("a.csv", header + "\n")).columns) == names


def test_csv_spreadsheet_hint_and_tsv(write: Write) -> None:
    assert rows(read(write("a.csv", "sep=|\nid|text\n1|a,b\n"))) == [{"id": "1", "text": "a,b"}]
    assert rows(read(write("a.tsv", 'id\ttext\n1\t"a\tb"\n'))) == [{"id": "1", "text": "a\tb"}]


def test_csv_quoted_newlines_and_line_numbers(write: Write) -> None:
    batch = the_batch(write("a.csv", 'id,text\n1,"satu\n""dua""\r\n\ntiga"\n2,pipa 5" dan\n\n3,""\n'))
    assert rows([batch]) == [
        {"id": "1", "text": 'satu\n"dua"\r\n\ntiga'},
        {"id": "2", "text": 'pipa 5" dan'},
        {"id": "3", "text": ""},
    ]
    assert batch.lines.tolist() == [2, 6, 8]
    assert not batch.json
    assert batch.json_texts("id") == ['"1"', '"2"', '"3"']


@given(
    st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.booleans(),
    st.integers(1, 4),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_csv_round_trip(
    tmp_path: Path, table: list[list[str]], delimiter: str, quote_all: bool, batch_rows: int
) -> None:
    content = io.StringIO(newline="")
    writer = csv.writer(content, delimiter=delimiter, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerows([["id", "text"], *table])
    path = tmp_path / "a.csv"
    path.write_bytes(content.getvalue().encode("utf-8"))
    batches = list(read(path, batch_rows=batch_rows))
    assert not rejects(batches)
    assert rows(batches) == [{"id": first, "text": second} for first, second in table]


def test_csv_wrong_number_of_fields(write: Write) -> None:
    batch = the_batch(write("a.csv", 'id,text\n1,a,b\n2\n3,"x\ny",z\n4,ok\n'))
    assert batch.column("id").to_pylist() == ["4"]
    assert batch.lines.tolist() == [6]
    assert [(reject.line, reject.reason.split(",")[0], reject.raw) for reject in batch.rejects] == [
        (2, "3 fields", "1,a,b"),
        (3, "1 fields", "2"),
        (4, "3 fields", '3,"x\ny",z'),
    ]


def test_unclosed_quote_gives_up_its_line_only(write: Write) -> None:
    batch = the_batch(write("a.csv", 'id,text\n1,"never closed\n2,dua\n3,tiga\n'))
    assert batch.column("id").to_pylist() == ["2", "3"]
    [reject] = batch.rejects
    assert (reject.line, reject.raw) == (2, '1,"never closed')
    assert reject.reason == "the quote opened on line 2 is never closed"


def test_unclosed_quote_before_a_quoted_row(write: Write) -> None:
    batch = the_batch(write("a.csv", 'id,text\n1,"never closed\n2,"dua, dua"\n3,"tiga\nempat"\n'))
    assert rows([batch]) == [{"id": "2", "text": "dua, dua"}, {"id": "3", "text": "tiga\nempat"}]
    [reject] = batch.rejects
    assert reject.line == 2
    assert "closed on line 3" in reject.reason


def test_unclosed_quote_looks_ahead_only_so_far(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROW", 1000)
    monkeypatch.setattr(tables, "MAX_ROW", 1000)
    drawn: list[int] = []

    class Watched(lines.Lines):
        def line(self) -> lines.Line | None:
            line = super().line()
            drawn.append(0 if line is None else line.number)
            return line

    monkeypatch.setattr(reader, "Lines", Watched)
    path = write("a.csv", 'id,text\n1,"open\n' + "2,dua\n" * 10_000)
    batches = read(path, batch_rows=1)
    assert [reject.line for reject in next(batches).rejects] == [2]
    assert max(drawn) < 200
    assert sum(len(batch) for batch in batches) == 10_000


def test_csv_bad_bytes_and_nul(write: Write) -> None:
    content = b'id,text\n1,"a\nb\xff\nc"\n2,nul\0\n3,' + b"baik " * 30 + b"\n"
    batch = the_batch(write("a.csv", content))
    assert batch.column("id").to_pylist() == ["3"]
    assert [(reject.line, reject.raw) for reject in batch.rejects] == [
        (2, '1,"a\nb\\xff\nc"'),
        (5, "2,nul\0"),
    ]


def test_large_csv_field_is_legal(write: Write) -> None:
    text = "kata " * 2_000_000
    assert rows(read(write("a.csv", f'id,text\n1,"{text}"\n2,{text}\n'))) == [
        {"id": "1", "text": text},
        {"id": "2", "text": text},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,Judul,isi berita\n2,Judul,isi\n", "names of the columns"),
        ("id," + "kalimat panjang " * 20 + "\n1,2\n", "names of the columns"),
        (",,\n1,2,3\n", "names of the columns"),
        ('"a\nb",c\n1,2\n', "names of the columns"),
        ('id,"text\n1,2\n', "never closed"),
        ("id,text,id\n1,2,3\n", "column 'id' is there more than once"),
        ("\n \n", "empty"),
        ("sep=;\n", "empty"),
    ],
)
def test_csv_without_a_usable_header(write: Write, content: str, message: str) -> None:
    path = write("a.csv", content)
    with pytest.raises(ReadError, match=message) as error:
        list(read(path))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


# Parquet


def parquet(path: Path, columns: dict[str, pa.Array], row_group_size: int = 1000) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def test_parquet_columns_become_text(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        {
            "id": pa.array([7, None, 9]),
            "text": pa.array(["satu", "dua", None]),
            "large": pa.array(["x", "y", "z"], pa.large_string()),
            "category": pa.array(["p", "q", "p"]).dictionary_encode(),
            "share": pa.array([1.0, float("nan"), 1e22]),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.00")]),
            "flag": pa.array([True, False, None]),
            "day": pa.array([date(2024, 1, 1), None, None]),
            "sectors": pa.array([{"ev": 2, "agro": None}, None, {"ev": 0, "agro": 1}]),
            "tags": pa.array([["a", "é"], [], None]),
            "map": pa.array([[("ev", 2)], None, []], pa.map_(pa.string(), pa.int64())),
            "bytes": pa.array([b"abc", None, b"def"]),
        },
    )
    batch = the_batch(path)
    assert {name: column.to_pylist() for name, column in batch.columns.items()} == {
        "id": ["7", None, "9"],
        "text": ["satu", "dua", None],
        "large": ["x", "y", "z"],
        "category": ["p", "q", "p"],
        "share": ["1.0", "nan", "1e+22"],
        "price": ["1.50", None, "2.00"],
        "flag": ["true", "false", None],
        "day": ["2024-01-01", None, None],
        "sectors": ['{"ev": 2, "agro": null}', None, '{"ev": 0, "agro": 1}'],
        "tags": ['["a", "é"]', "[]", None],
        "map": ['{"ev": 2}', None, "{}"],
        "bytes": ["abc", None, "def"],
    }
    assert batch.lines.tolist() == [1, 2, 3]
    assert batch.json_texts("id") == ["7", "null", "9"]
    assert batch.json_texts("text") == ['"satu"', '"dua"', "null"]
    assert batch.json_texts("share") == ["1.0", '"nan"', "1e+22"]
    assert batch.json_texts("sectors")[0] == '{"ev": 2, "agro": null}'


def test_parquet_batches_and_columns(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"id": pa.array(range(10)), "text": pa.array(["kata " * 100] * 10)})
    batches = list(read(path, batch_rows=4, columns=["text", "nothing"]))
    assert [batch.lines.tolist() for batch in batches] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10],
    ]  # across row groups
    assert all(list(batch.columns) == ["text"] for batch in batches)
    assert max(len(batch) for batch in read(path, batch_bytes=1500)) < 4


def test_parquet_undecodable_row_is_rejected(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"id": pa.array([1, 2, 3]), "text": pa.array([b"a", b"caf\xe9", b"c"])})
    batch = the_batch(path)
    assert rows([batch]) == [{"id": "1", "text": "a"}, {"id": "3", "text": "c"}]
    assert batch.lines.tolist() == [1, 3]
    assert batch.json_texts("id") == ["1", "3"]
    assert batch.rejects == [Reject(str(path), 2, "column 'text' is not utf-8", '{"id": "2", "text": "caf\\\\xe9"}')]


def test_parquet_without_rows_and_broken(tmp_path: Path, write: Write) -> None:
    empty = the_batch(parquet(tmp_path / "a.parquet", {"id": pa.array([], pa.int64())}))
    assert len(empty) == 0
    assert list(empty.columns) == ["id"]
    for name, content in {"b": b"PAR1 not really PAR1", "c": b"text"}.items():
        with pytest.raises(ReadError, match=f"{name}.parquet: unreadable Parquet") as error:
            list(read(write(f"{name}.parquet", content)))
        assert "\n" not in str(error.value)
    good = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(ReadError, match="unreadable Parquet"):
        list(read(write("d.parquet", good[: len(good) // 2])))


# Text files, folders, standard input


def test_text_file_is_one_article(write: Write) -> None:
    batch = the_batch(write("berita.txt", "\ufeffJudul\n\nIsi berita.\n"))
    assert rows([batch]) == [{"id": "berita.txt", "text": "Judul\n\nIsi berita.\n"}]
    assert batch.lines.tolist() == [1]


def test_folder(write: Write, tmp_path: Path) -> None:
    write("b/2.txt", "dua")
    write("b/1.txt", "satu")
    write("b/10.TXT", b"\x00\x01\x02")
    write("b/11.txt", "")
    write("a.jsonl", '{"id": "a", "text": "x"}\n')
    write("c.csv", "id,text\nc,y\n")
    write("d.csv", "")
    write(".hidden.txt", "no")
    write(".git/x.txt", "no")
    write("README.md", "no")
    batches = list(read(tmp_path))
    assert [row["id"] for row in rows(batches)] == ["a", "b/1.txt", "b/2.txt", "c"]
    assert [batch.path for batch in batches] == [
        str(tmp_path / "a.jsonl"),
        str(tmp_path),
        str(tmp_path / "c.csv"),
    ]
    assert [Path(reject.path).name for reject in rejects(batches)] == ["10.TXT", "11.txt"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def given_bytes(content: bytes) -> list[Batch]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return list(read("-"))

    lines = given_bytes(b'\xef\xbb\xbf\n {"id": 1}\nbroken\n{"id": 2}\n')
    assert rows(lines) == [{"id": "1"}, {"id": "2"}]
    assert [(reject.path, reject.line) for reject in rejects(lines)] == [("standard input", 3)]
    assert rows(given_bytes(b"\nJudul\n\nIsi\n")) == [{"id": "-", "text": "\nJudul\n\nIsi\n"}]
    for bad in (b"", b"\n \n", b"\x00\x01\x02\x03", b"Judul berita yang baik\nIsi caf\xe9 yang rusak\n"):
        with pytest.raises(ReadError, match=r"^standard input: "):
            given_bytes(bad)


# Inputs that stop


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "empty file"),
        ("a.jsonl", b"\n\n", "empty"),
        ("a.csv", b"", "empty file"),
        ("a.txt", b"", "empty file"),
        ("a.txt", b" \n", "empty"),
        ("a.txt", b"caf\xe9 yang ramai di kota itu", "byte 0xe9"),
        ("a.jsonl", b"\x00\x01\x02\x03" * 9, "binary"),
        ("a.csv", bytes(range(128, 256)), "binary"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "binary"),
        ("a.csv", b"PK\x03\x04\x14\x00\x06\x00", "Excel"),
        ("a.jsonl", b"\x1f\x8b\x08\x00", "gzip"),
        ("a.json", b"[]", r"unknown extension '.json', expected one of \.jsonl"),
        ("a", b"x", "unknown extension ''"),
    ],
)
def test_inputs_that_stop(write: Write, name: str, content: bytes, message: str) -> None:
    path = write(name, content)
    with pytest.raises(ReadError, match=message) as error:
        list(read(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file or folder"):
        list(read(tmp_path / "nothing.jsonl"))
    with pytest.raises(ReadError, match="no articles in this folder"):
        list(read(tmp_path))


# Columns


def test_find_column() -> None:
    assert find_column(["id", "Isi"], None, TEXT_COLUMNS, "text") == "Isi"
    assert find_column(["body", "text"], None, TEXT_COLUMNS, "text") == "text"
    assert find_column(["id"], None, TEXT_COLUMNS, "text") is None
    assert find_column(["Naskah", "naskah"], "naskah", TEXT_COLUMNS, "text") == "naskah"
    assert find_column([" Naskah"], "naskah", TEXT_COLUMNS, "text") == " Naskah"
    with pytest.raises(ReadError, match="no column 'naskah' for the text; the columns found are: id, isi"):
        find_column(["id", "isi"], "naskah", TEXT_COLUMNS, "text")


def test_kept_columns(write: Write) -> None:
    assert rows(read(write("a.jsonl", '{"id": 1, "text": "x", "n": {}}'), columns=["text"])) == [{"text": "x"}]
    assert rows(read(write("a.csv", "id,text,n\n1,x,2\n"), columns=["n", "id"])) == [{"id": "1", "n": "2"}]


# Cost


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_memory_does_not_grow_with_the_file(write: Write, name: str) -> None:
    text = "kata " * 400
    if name == "a.jsonl":
        path = write(name, ('{"id": 1, "text": "' + text + '"}\n') * 10_000)
    else:
        path = write(name, "id,text\n" + f'1,"{text}"\n' * 10_000)
    tracemalloc.start()
    articles = sum(len(batch) for batch in read(path, batch_rows=256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert articles == 10_000
    assert peak < 6_000_000  # the file has 20 MB


def test_batches_close_at_their_bytes(write: Write) -> None:
    path = write("a.jsonl", ('{"text": "' + "x" * 1000 + '"}\n') * 10)
    assert [len(batch) for batch in read(path, batch_bytes=3000)] == [3, 3, 3, 1]


def test_reading_imports_neither_pandas_nor_scikit_learn(write: Write, tmp_path: Path) -> None:
    paths = [
        write("a.jsonl", '{"id": 1, "text": "x"}\n'),
        write("a.csv", "id,text\n1,x\n"),
        parquet(tmp_path / "a.parquet", {"id": pa.array([1]), "text": pa.array(["x"]), "f": pa.array([1.5])}),
    ]
    program = (
        "import sys; from data.reader import read\n"
        "for path in sys.argv[1:]: assert sum(len(batch) for batch in read(path)) == 1\n"
        "print([name for name in ('pandas', 'sklearn', 'scipy', 'mlflow') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
