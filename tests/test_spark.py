"""Spark: what workers do, what a real local Spark makes of it, and that all is as on one machine."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import json
import pickle
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmarks.spark as benchmark
import models.spark_session
import models.spark_worker as worker
from data.batch import ReadError
from data.rows import Columns
from models.batch import Job, RejectLimit
from models.batch import run as run_here
from models.predictor import Prediction, Predictor
from models.progress import Progress
from models.spark import label
from models.spark_files import run
from models.spark_session import Files, SparkError, reason, session
from models.spark_worker import PATH, PLACE, VALUE, Bundle, FileTask, FrameTask, Tallies, Tally, pack, unpack
from predict import main

MASTER = "local[2]"
BREAKS = "Harga mobil\r\nlistrik\nnaik, kata \"Budi\"; 'murah' | e\u0301 \U0001f697 \u2028 \x0b"


# A predictor on its way


@pytest.fixture(scope="module")
def packed(predictor: Predictor) -> Bundle:
    return pack(predictor)


def test_a_predictor_arrives_as_it_was_sent(packed: Bundle, predictor: Predictor, unseen: list[str]) -> None:
    arrived = unpack(pickle.loads(pickle.dumps(packed)))
    assert arrived.predict(unseen) == predictor.predict(unseen)
    assert packed.sectors == predictor.sectors
    strict = Predictor(predictor.model, {"ev": 1.0})
    assert unpack(pack(strict)).thresholds == strict.thresholds


def test_a_process_keeps_one_predictor_a_model_and_thresholds(packed: Bundle, predictor: Predictor) -> None:
    assert unpack(pickle.loads(pickle.dumps(packed))) is unpack(packed)
    assert unpack(pack(Predictor(predictor.model, {"ev": 0.123}))) is not unpack(packed)


# Rows of a DataFrame


def check_row(row: dict[str, Any], expected: Prediction) -> None:
    assert row["sectors"] == list(expected.sectors)
    assert row["primary"] == expected.primary
    found = [row[f"probability_{sector}"] for sector in expected.probabilities]
    np.testing.assert_allclose(found, list(expected.probabilities.values()), rtol=0, atol=1e-12)
    assert row["coverage"] == pytest.approx(expected.coverage, abs=1e-12)


ROWS = st.tuples(
    st.one_of(st.none(), st.sampled_from(["", " \n", "Mobil listrik Wuling", "Harga pupuk dan sawit naik", BREAKS])),
    st.one_of(st.none(), st.sampled_from(["", "Pabrik petrokimia", "\U0001f697"])),
    st.one_of(st.none(), st.text("ab0\u00e9\U0001f697", max_size=2)),
)


@settings(deadline=None, max_examples=40)
@given(batches=st.lists(st.lists(ROWS, max_size=5), max_size=3))
def test_every_row_gives_one_row_labelled_or_with_its_error(
    packed: Bundle, batches: list[list[tuple[str | None, str | None, str | None]]]
) -> None:
    task = FrameTask(packed, ("isi", "judul", "nomor"), "isi", "judul", "nomor", {"isi": "isi", "nomor": "input_nomor"})
    schema = pa.schema([("isi", pa.string()), ("judul", pa.string()), ("nomor", pa.string())])
    records = [
        pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        for rows in batches
    ]
    found = [row for record in task(iter(records)) for row in record.to_pylist()]
    given_rows = [row for rows in batches for row in rows]
    assert len(found) == len(given_rows)
    for row, (text, title, identity) in zip(found, given_rows, strict=True):
        assert (row["isi"], row["input_nomor"]) == (text, identity)
        assert row["id"] == (identity or None)
        if (text or "").strip() or (title or "").strip():
            assert row["error"] is None
            check_row(row, unpack(packed).predict([text or ""], [title])[0])
        else:
            assert row["error"] == "isi is empty, expected an article"
            assert row["sectors"] is row["primary"] is row["coverage"] is row["probability_ev"] is None


def test_long_and_many_rows_are_labelled_in_pieces(
    packed: Bundle, unseen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = pa.RecordBatch.from_pylist([{"text": text} for text in unseen])
    monkeypatch.setattr(worker, "BATCH_ARTICLES", 7)
    pieces = list(FrameTask(packed, ("text",), "text", None, None, {})(iter([record])))
    assert max(piece.num_rows for piece in pieces) == 7
    rows = [row for piece in pieces for row in piece.to_pylist()]
    monkeypatch.setattr(worker, "BATCH_BYTES", 1)
    assert [
        row
        for piece in FrameTask(packed, ("text",), "text", None, None, {})(iter([record]))
        for row in piece.to_pylist()
        if piece.num_rows == 1
    ] == rows
    assert [tuple(row["sectors"]) for row in rows] == [found.sectors for found in unpack(packed).predict(unseen)]


@pytest.mark.parametrize(
    ("texts", "errors"),
    [
        (pa.array([7, None], pa.int64()), ["text is 7, expected a string", "text is empty, expected an article"]),
        (pa.array([["a"], None]), ['text is ["a"], expected a string', "text is empty, expected an article"]),
        (pa.array([None, None], pa.null()), ["text is empty, expected an article"] * 2),
        (pa.array([b"mobil \xff", b"mobil"]).view(pa.string()), ["column 'text' is not utf-8", None]),
        (pa.array(["mobil", "x"], pa.large_string()), [None, None]),
        (pa.array(["mobil", "mobil"]).dictionary_encode(), [None, None]),
    ],
)
def test_a_text_that_is_no_text_is_an_error_of_its_row(
    packed: Bundle, texts: pa.Array, errors: list[str | None]
) -> None:
    record = pa.RecordBatch.from_arrays([texts, pa.array([1, 2])], ["text", "id"])
    [found] = FrameTask(packed, ("text", "id"), "text", None, "id", {"id": "other"})(iter([record]))
    assert found.column("error").to_pylist() == errors
    assert found.column("other").to_pylist() == [1, 2]
    assert found.column("id").to_pylist()[1] == "2"


# Lines of files


def line_records(path: str, content: bytes, size: int, place: int = 0) -> Iterator[pa.RecordBatch]:
    """As Spark hands them over, so many a record."""
    lines = content.removesuffix(b"\n").split(b"\n")
    for start in range(0, len(lines), size):
        some = lines[start : start + size]
        arrays = [pa.array(some).view(pa.string()), pa.array([path] * len(some)), pa.array([place] * len(some))]
        yield pa.RecordBatch.from_arrays(arrays, [VALUE, PATH, PLACE])


def file_task(packed: Bundle, **options: Any) -> FileTask:
    given = {"columns": Columns(), "format": "jsonl", "delimiter": None, "encoding": "utf-8", "known": ("id", "text")}
    return FileTask(packed, **{**given, "output": "jsonl", "keep": False, "explain": False, **options})


def lines_of(records: Iterator[pa.RecordBatch]) -> bytes:
    return b"".join(value.encode() + b"\n" for record in records for value in record.column(VALUE).to_pylist())


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("output", ["jsonl", "csv"])
def test_lines_give_the_bytes_that_the_batch_script_writes(
    packed: Bundle, unseen: list[str], tmp_path: Path, size: int, output: str
) -> None:
    rows = [{"id": number, "text": text, "more": [number]} for number, text in enumerate(unseen[:9])]
    content = b"\xef\xbb\xbf" + b"".join(json.dumps(row).encode() + b"\n" for row in rows) + b'{"id": 7, "text": 1}\n'
    source, there = tmp_path / "a b.jsonl", tmp_path / f"labels.{output}"
    source.write_bytes(content)
    job = Job(inputs=(str(source),), output=str(there), keep_columns=True, explain=True)
    run_here(job, unpack(packed), Progress(quiet=True))
    task = file_task(packed, output=output, keep=True, explain=True, known=("id", "text", "more"))
    uri = f"file:{tmp_path}/a%20b.jsonl"
    assert lines_of(task(line_records(uri, content, size))) == there.read_bytes()
    task = file_task(packed, output=output, keep=True, known=("id", "text", "more"), rejected=True)
    rejects = Path(f"{there}.rejects.jsonl").read_bytes()
    assert lines_of(task(line_records(uri, content, size))) == rejects != b""


def test_files_that_come_together_are_kept_apart(packed: Bundle) -> None:
    task = file_task(packed, format="csv", output="csv")
    tables = [("a.csv", b"id,text\n1,mobil\n"), ("b.csv", b'isi;id\n"sawit\n\ndan padi";2\n'), ("c.csv", b"id,text\n")]
    records = [record for name, content in tables for record in line_records(name, content, 2)]
    rows = list(csv.DictReader(lines_of(task(iter(records))).decode().splitlines()))
    assert [row["id"] for row in rows] == ["1", "2"]
    [expected] = unpack(packed).predict(["sawit\n\ndan padi"])
    assert rows[1]["sectors"] == "|".join(expected.sectors)


def test_a_table_that_was_split_is_refused(packed: Bundle) -> None:
    with pytest.raises(ReadError, match=r"/a\.csv: Spark has split it at byte 5, expected it whole"):
        list(file_task(packed, format="csv")(line_records("file:/a.csv", b"id,text\n1,mobil\n", 9, place=5)))


@pytest.mark.parametrize("columns", [Columns(), Columns(text="isi", title="title")])
def test_a_part_of_a_file_may_lack_columns(packed: Bundle, columns: Columns) -> None:
    records = [*line_records("a", b'{"id": 1}\n', 9), *line_records("b", b'{"id": 2, "title": "Mobil listrik"}\n', 9)]
    task = file_task(packed, columns=columns, known=("id", "title", "text", "isi"))
    assert [json.loads(row)["id"] for row in lines_of(task(iter(records))).splitlines()] == [2]
    [reject] = map(json.loads, lines_of(replace(task, rejected=True)(iter(records))).splitlines())
    assert reject["reason"] == f"{columns.text or 'text'} is empty, expected an article"


@pytest.mark.parametrize(("output", "none"), [("jsonl", None), ("csv", "")])
def test_a_row_without_an_id_gets_none(packed: Bundle, output: str, none: str | None) -> None:
    content = b'{"text": "mobil"}\n{"text": "mobil", "id": ""}\n{"text": "mobil", "id": null}\n'
    lines = lines_of(file_task(packed, output=output)(line_records("a", content, 9))).decode().splitlines()
    rows: list[dict[str, Any]] = list(csv.DictReader(lines)) if output == "csv" else [json.loads(row) for row in lines]
    assert [row["id"] for row in rows] == [none] * 3


def test_counts_add_up(packed: Bundle, unseen: list[str]) -> None:
    class Sum:
        value = Tally.of(packed.sectors)

        def add(self, more: Tally) -> None:
            self.value = Tallies().addInPlace(self.value, pickle.loads(pickle.dumps(more)))

    total = Sum()
    for part in (unseen[:5], unseen[5:12]):
        content = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in part) + b"[]\n"
        list(file_task(packed, tally=total)(line_records("a", content, 3)))
    totals = total.value.totals
    assert (totals.read, totals.labelled, totals.rejected) == (14, 12, 2)
    predictions = unpack(packed).predict(unseen[:12])
    assert totals.by_sector["none"] == sum(not found.sectors for found in predictions)
    assert total.value.watch.articles == 12
    assert Tallies().zero(total.value).totals.read == 0


# What is said


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            'Job aborted:\nTraceback (most recent call last):\n  File "x", line 1, in f\n'
            "data.batch.ReadError: a.csv:7: no\n\n\tat org.apache\n\tat java",
            "a.csv:7: no",
        ),
        (
            "Traceback (most recent call last):\nModuleNotFoundError: No module named 'Sastrawi'\n",
            "a worker of Spark has failed: ModuleNotFoundError: No module named 'Sastrawi'; each needs the packages "
            "that `pip install sektor` brings",
        ),
        (
            "Job aborted due to stage failure: Task 0 in stage 4.0 failed 1 times, most recent failure: Lost task 0.0 "
            "in stage 4.0 (TID 8) (10.0.0.1 executor driver): java.io.IOException: Mkdirs failed (x)\n\tat a.b(c)",
            "a task of Spark has failed: Mkdirs failed (x)",
        ),
        ("[PATH_NOT_FOUND] Path does not exist: x. SQLSTATE: 42K03", "Spark has failed: [PATH_NOT_FOUND] Path does"),
        ("", "Spark has failed: RuntimeError"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(told: str, expected: str) -> None:
    found = reason(RuntimeError(told))
    assert found.startswith(expected)
    assert "\n" not in found


def refused(job: Job, predictor: Predictor, master: str = MASTER) -> str:
    """What is said of a job that is not done: one line."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        run(job, predictor, master)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--engine spark writes a folder, expected -o with its name"),
        ({"output": "-"}, "--engine spark does not do standard output, expected --engine local"),
        ({"output": "a.txt"}, "a.txt: unknown extension '.txt', expected one of .jsonl, .ndjson, .csv, .parquet"),
        ({"output": "a.csv", "resume": True}, "--engine spark does not do --resume, expected --engine local"),
        ({"output": "a.csv", "report": Path("r.html")}, "--engine spark does not do --report"),
        ({"output": "a.csv", "encoding": "utf-16"}, "--encoding utf-16: expected one whose line end is one byte"),
        ({"output": "a.csv", "encoding": "klingon"}, "unknown encoding 'klingon'"),
    ],
)
def test_what_spark_does_not_do_is_said_at_once(options: dict[str, Any], said: str, predictor: Predictor) -> None:
    assert refused(Job(inputs=("x.jsonl",), **options), predictor).startswith(said)


def test_what_is_missing_is_named(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = Job(inputs=("x.jsonl",), output="a.csv")
    assert refused(job, predictor, "tcp://a") == (
        "--master tcp://a: expected local[N], spark://HOST:7077, yarn or k8s://..."
    )
    with monkeypatch.context() as patch:
        patch.setattr(models.spark_session.shutil, "which", lambda _: None)
        patch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(SparkError, match="found no Java, expected Java 17 or newer in PATH or JAVA_HOME"):
            models.spark_session._refuse_without_java()
        patch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(SparkError, match=f"in JAVA_HOME, which is {tmp_path}"):
            models.spark_session._refuse_without_java()
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    assert 'found no package pyspark.sql; it needs: pip install "sektor[spark]"' in refused(job, predictor)


def test_a_master_that_does_not_answer_is_named_at_once() -> None:
    with socket.socket() as taken:  # bound, so that no other takes it, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(SparkError, match=f"--master {address}: found no Spark master that answers"):
            models.spark_session._refuse_unreachable(address)
        assert time.monotonic() - started < 5


# The benchmark


@pytest.mark.parametrize("same", [True, False])
def test_the_benchmark_compares_every_row(same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def labelled(name: str, articles: Path, output: Path, *_: Any) -> tuple[float, float, int]:
        if name == "Spark":
            output.mkdir()
            (output / "part-00001.jsonl").write_text("1\n")
            (output / "part-00000.jsonl").write_text("2\n" if same else "3\n")
            return 8.0, 4.0, 2_000_000
        output.write_text("1\n2\n")
        return 2.0, 1.0, 1_000_000

    monkeypatch.setattr(benchmark, "label", labelled)
    costs = [benchmark.Cost("batch script"), benchmark.Cost("Spark")]
    if not same:
        with pytest.raises(RuntimeError, match="1 of 2 rows differ"):
            benchmark.compare(costs, tmp_path / "articles.jsonl", 2, 1, 9)
        return
    assert benchmark.compare(costs, tmp_path / "articles.jsonl", 2, 3, 9) == 2
    lines = benchmark.table(costs, 8).splitlines()
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["Spark", "8.0", "4.0", "1", "2", "2"]
    assert list(tmp_path.iterdir()) == []


# A real Spark


def needs_spark() -> None:
    for package in ("pyspark", "pandas"):
        if find_spec(package) is None:
            pytest.skip(f"missing tool: {package} (make test-slow installs it)")
    if shutil.which("java") is None:
        pytest.skip("missing tool: java")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session as a user has one."""
    needs_spark()
    with session(MASTER) as settled:
        yield settled.newSession()


ARTICLES = [
    {"id": "007", "title": "Mobil listrik", "text": "Wuling menjual mobil listrik baru di Bekasi.", "n": 1},
    {"id": "b", "title": None, "text": BREAKS, "n": 2},
    {"id": "c", "title": "Harga sawit naik", "text": None, "n": None},
    {"id": "d", "title": "", "text": "  ", "n": 4},
    {"id": 12345678901234567890, "title": "Pupuk", "text": "Pupuk urea untuk petani padi.", "n": 5},
    {"id": 1.5, "title": "x", "text": 17, "n": 6},
    {"id": "g", "title": "x", "text": ["mobil"], "n": 7},
]


def local_rows(job: Job, predictor: Predictor) -> tuple[list[Any], list[Any]]:
    """The rows that the batch script writes and rejects."""
    run_here(job, predictor, Progress(quiet=True))
    assert job.output is not None
    rejects = Path(f"{job.output}.rejects.jsonl")
    return read_rows(Path(job.output)), read_rows(rejects) if rejects.exists() else []


def read_rows(place: Path) -> list[Any]:
    """All rows of an output, in an order that does not depend on it."""
    rows: list[Any] = []
    for file in sorted(place.glob("part-*")) if place.is_dir() else [place]:
        if file.suffix == ".jsonl":
            rows += map(json.loads, file.read_text("utf-8").split("\n")[:-1])
        elif file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as stream:
                rows += csv.DictReader(stream)
        else:
            rows += pq.ParquetFile(file).read().to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def check_same_as_here(inputs: Path, output: str, predictor: Predictor, folder: Path, **options: Any) -> None:
    """Spark gives the rows and the rejects that the batch script gives."""
    here = Job(inputs=(str(inputs),), output=str(folder / f"here{output}"), keep_columns=True, **options)
    there = Job(inputs=(str(inputs),), output=str(folder / f"there{output}"), keep_columns=True, **options)
    expected, expected_rejects = local_rows(here, predictor)
    outcome = run(there, predictor, MASTER)
    found = read_rows(Path(str(there.output)))
    assert [without_numbers(row) for row in found] == [without_numbers(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert numbers(row) == pytest.approx(numbers(other), rel=0, abs=1e-12)
    rejects = [] if outcome.rejects is None else read_rows(outcome.rejects)
    assert rejects == expected_rejects
    totals = outcome.totals
    assert (totals.read, totals.labelled, totals.rejected) == (len(found) + len(rejects), len(found), len(rejects))
    described = json.loads(Path(f"{there.output}.meta.json").read_text())
    assert described["counts"]["labelled"] == len(found)
    assert not Path(f"{there.output}.partial").exists()


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    found = {**row, **row.get("probabilities", {})}
    return {name: float(value) for name, value in found.items() if name.startswith(("probability_", "coverage"))}


def without_numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith(("probabilit", "coverage"))}


@pytest.mark.slow
@pytest.mark.parametrize("output", [".jsonl", ".csv", ".parquet"])
def test_json_lines_give_what_the_batch_script_gives(
    spark: Any, predictor: Predictor, unseen: list[str], tmp_path: Path, output: str
) -> None:
    folder = tmp_path / "news [1] {a} ümlaut %20"
    (folder / "more").mkdir(parents=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ARTICLES).encode()
    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + content + b'\n{"id": "h", "text": \n"x"\n{"id": "\xff"}\n')
    rows = [{"id": f"u{number}", "title": None, "text": text, "n": True} for number, text in enumerate(unseen)]
    packed_rows = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "more" / "b.jsonl.gz").write_bytes(gzip.compress(packed_rows.removesuffix(b"\n")))
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "_hidden").mkdir()
    check_same_as_here(folder, output, predictor, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("output", [".jsonl", ".csv"])
def test_tables_give_what_the_batch_script_gives(
    spark: Any, predictor: Predictor, unseen: list[str], tmp_path: Path, output: str
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    with (folder / "a,b[1].csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["id", "judul", "isi", "n"])
        for row in ARTICLES[:5]:
            writer.writerow([row["id"], row["title"], row["text"], row["n"]])
        stream.write('x;"open quote;never closed\r\ny;judul;mobil listrik;1\r\nz;too few\r\n')
    with gzip.open(folder / "b.csv.gz", "wt", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "judul", "isi", "n"])
        writer.writerows(
            [f"u{number}", "", f'{text}\n"{text[:20]}"\r\nx', number] for number, text in enumerate(unseen)
        )
    (folder / "c.csv").write_bytes(b'id,judul,isi,n\n1,\xff,mobil,2\n2,"a","b\xc3\xa9\n",3')
    (folder / "header.csv").write_bytes(b"id,judul,isi,n\n")
    check_same_as_here(folder, output, predictor, tmp_path)


@pytest.mark.slow
def test_tables_in_other_encodings_with_other_columns(spark: Any, predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("kode\tisi\tcatatan\n1\t‘Mobil’ listrik naïf\té\n".encode("cp1252"))
    columns = Columns(text="ISI", id="kode")
    check_same_as_here(
        path, ".csv", predictor, tmp_path, encoding="cp1252", delimiter="\\t", columns=columns, explain=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("output", [".jsonl", ".csv", ".parquet"])
def test_parquet_gives_what_the_batch_script_gives(
    spark: Any, predictor: Predictor, unseen: list[str], tmp_path: Path, output: str
) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    size = len(unseen)
    table = pa.table(
        {
            "id": pa.array(range(size), pa.int32()),
            "isi": pa.array([None if number % 5 == 3 else text for number, text in enumerate(unseen)]),
            "price": pa.array([number / 3 for number in range(size)]),
            "day": pa.array([datetime.date(2024, 1, 1)] * size),
            "tags": pa.array([["a", None], []] * (size // 2) + [None] * (size % 2), pa.list_(pa.string())),
            "Isi": pa.array([{"a": 1, "b": BREAKS}] * size),
            "flag": pa.array([True, None] * (size // 2) + [False] * (size % 2)),
            "sum": pa.array([decimal.Decimal("1.10")] * size),
        }
    )
    pq.write_table(table, folder / "a.parquet", row_group_size=7)
    pq.write_table(table.slice(0, 0), folder / "none.parquet")
    check_same_as_here(folder, output, predictor, tmp_path, columns=Columns(text="isi"))


@pytest.mark.slow
def test_columns_that_the_first_file_lacks_are_kept(spark: Any, predictor: Predictor, tmp_path: Path) -> None:
    for name, columns in (("a", {"text": ["mobil"]}), ("b", {"text": ["sawit"], "more": ["x"]})):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    output = tmp_path / "labels"  # without an extension, Parquet
    outcome = run(Job(inputs=(str(tmp_path / "*.parquet"),), output=str(output), keep_columns=True), predictor, MASTER)
    assert {row["more"] for row in read_rows(output)} == {None, "x"}
    assert any("no column of ids" in warning for warning in outcome.warnings)


@pytest.mark.slow
def test_nothing_is_lost_where_a_run_is_refused(
    spark: Any, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"id": 1, "text": "mobil"}\n[]\n')
    job = Job(inputs=("a.jsonl",), output="labels.jsonl")
    assert "1 of 2 rows rejected, more than --max-rejects 0" in refused(
        Job(inputs=("a.jsonl",), output="labels.jsonl", max_rejects=RejectLimit(count=0)), predictor
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]
    assert run(job, predictor, MASTER).totals.read == 2
    assert refused(job, predictor) == "labels.jsonl: exists already; give another name or --overwrite"
    Path("a.jsonl").write_text('{"id": 2, "text": "mobil"}\n')
    again = Job(inputs=("a.jsonl",), output="labels.jsonl", overwrite=True)
    run(again, predictor, MASTER)
    assert [row["id"] for row in read_rows(Path("labels.jsonl"))] == [2]
    Path("labels.jsonl/notes.txt").write_text("mine")
    assert "labels.jsonl: holds notes.txt, which would be lost" in refused(again, predictor)
    Path("labels.jsonl/notes.txt").unlink()
    assert "labels.jsonl: is read as input" in refused(
        Job(inputs=("labels.jsonl",), output="labels.jsonl", overwrite=True), predictor
    )
    Path("file.csv").write_text("mine")
    assert "file.csv: is a file, expected a folder" in refused(
        Job(inputs=("a.jsonl",), output="file.csv", overwrite=True), predictor
    )
    Path("labels.csv.partial").mkdir()
    other = Job(inputs=("a.jsonl",), output="labels.csv")
    assert "labels.csv.partial: is in the way" in refused(other, predictor)
    Path("labels.csv.partial/mine").touch()
    assert "remove it" in refused(Job(inputs=("a.jsonl",), output="labels.csv", overwrite=True), predictor)


@pytest.mark.slow
def test_the_batch_script_takes_spark_as_its_engine(
    spark: Any, bundle: Path, unseen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    articles, here, there = tmp_path / "articles.jsonl", tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    articles.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(unseen)))
    assert main([str(articles), "-o", str(here), "--model", str(bundle), "--quiet"]) == 0
    options = ["--engine", "spark", "--master", MASTER, "--model", str(bundle)]
    assert main([*options, str(articles), str(there)]) == 0
    assert f"labelled {len(unseen):,} of {len(unseen):,} articles" in capsys.readouterr().err
    rows = [line for part in sorted(there.glob("part-*")) for line in part.read_text(encoding="utf-8").splitlines()]
    assert sorted(rows) == sorted(here.read_text(encoding="utf-8").splitlines())


@pytest.mark.slow
def test_inputs_that_are_no_use_are_named(spark: Any, predictor: Predictor, tmp_path: Path) -> None:
    def said(*names: str, **options: Any) -> str:
        job = Job(tuple(str(tmp_path / name) for name in names), str(tmp_path / "out.csv"), **options)
        return refused(job, predictor).replace(str(tmp_path), "")

    (tmp_path / "a.jsonl").write_text('{"id": 1, "story": "mobil"}\n')
    (tmp_path / "b.csv").write_text("id,text\n1,mobil\n")
    (tmp_path / "c.txt").write_text("mobil")
    (tmp_path / "d.csv").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "e.jsonl").touch()
    (tmp_path / "f.parquet").write_text("PAR0")
    (tmp_path / "g.xlsx").touch()
    assert said("nothing*") == "/nothing*: no such file or folder"
    assert said("g.xlsx").startswith("/g.xlsx: expected files named .jsonl")
    assert said("a.jsonl").startswith("/a.jsonl: found no text column among id, story")
    assert "no column 'isi' for the text" in said("b.csv", columns=Columns(text="isi"))
    assert said("a.jsonl", "b.csv") == "found jsonl (/a.jsonl) and csv (/b.csv), expected one format at a time"
    assert said("c.txt").startswith("/c.txt: one text a file")
    assert said("d.csv").startswith("/d.csv: expected utf-8 text, found a binary file")
    assert said("e.jsonl") == "/e.jsonl: all 1 files are empty, expected articles"
    assert said("f.parquet").startswith("Spark has failed: ")
    assert not (tmp_path / "out.csv.partial").exists()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("id,text\n1,mobil\n")
    (tmp_path / "tables" / "b.csv").write_text("id,story\n1,mobil\n")
    assert said("tables").startswith("/tables/b.csv: found no text column among id, story")
    assert not (tmp_path / "out.csv.partial").exists()


@pytest.mark.slow
def test_a_frame_is_labelled_row_by_row(spark: Any, bundle: Path, predictor: Predictor, unseen: list[str]) -> None:
    from pyspark.sql import Row

    moment = datetime.datetime(2024, 5, 1, 12, 30)
    rows = [
        Row(
            **{
                "nomor": number,
                "judul": None if number % 2 else "Mobil listrik",
                "isi": None if number % 7 == 1 else text,
                "when": moment,
                "price": decimal.Decimal("1.50"),
                "tags": ["a", None],
                "a.b`c": {"k": number},
                "coverage": number / 2,
                "raw": bytearray(b"\xff"),
            }
        )
        for number, text in enumerate(unseen)
    ]
    schema = (
        "nomor long, judul string, isi string, when timestamp, price decimal(5,2), tags array<string>, "
        "`a.b``c` map<string,int>, coverage double, raw binary"
    )
    frame = spark.createDataFrame(rows, schema).repartition(3)
    labels = label(frame, bundle, id="nomor")
    assert labels.columns == [
        "id", "sectors", "primary", *(f"probability_{sector}" for sector in predictor.sectors), "coverage", "judul",
        "isi", "when", "price", "tags", "a.b`c", "input_coverage", "raw", "error",
    ]  # fmt: skip
    found = {row["id"]: row.asDict() for row in labels.collect()}
    assert set(found) == {str(number) for number in range(len(rows))}
    for row in rows:
        other = found[str(row["nomor"])]
        for name in ("judul", "isi", "when", "price", "tags", "a.b`c", "raw"):
            assert other[name] == row[name]
        assert other["input_coverage"] == row["coverage"]
        if row["isi"] is None and row["judul"] is None:
            assert other["error"] == "isi is empty, expected an article"
            assert other["sectors"] is None
        else:
            assert other["error"] is None
            check_row(other, predictor.predict([row["isi"] or ""], [row["judul"]])[0])


@pytest.mark.slow
def test_what_of_a_frame_is_labelled_and_kept_is_a_choice(spark: Any, bundle: Path, predictor: Predictor) -> None:
    frame = spark.createDataFrame([("mobil listrik", 7, "x")], "text string, n int, other string")
    assert label(frame, bundle, keep=False).columns[-2:] == ["coverage", "error"]
    [row] = label(frame, bundle, keep=["n"], thresholds=dict.fromkeys(predictor.sectors, 0.0)).collect()
    assert (row["id"], row["n"], row["sectors"]) == (None, 7, list(predictor.sectors))
    [row] = label(frame, bundle, text="n", id="other").collect()
    assert (row["id"], row["error"], row["sectors"]) == ("x", "n is 7, expected a string", None)
    assert label(frame.limit(0), bundle).collect() == []
    spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
    try:
        [row] = label(frame, bundle).collect()
        assert (row["text"], row["error"]) == ("mobil listrik", None)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")
    for options, said in (
        ({"text": "isi"}, "no column 'isi' for the text; the columns found are: text, n, other"),
        ({"keep": ["isi"]}, "no column 'isi' to keep; the columns found are: text, n, other"),
        ({"thresholds": {"cars": 1}}, "threshold for 'cars': no such sector"),
    ):
        with pytest.raises(ValueError, match=said):
            label(frame, bundle, **options)
    with pytest.raises(ReadError, match="found no text column among n; expected one of text, content"):
        label(frame.select("n"), bundle)
    with pytest.raises(ReadError, match="found two columns 'n', expected different names"):
        label(frame.select("text", "n", "n"), bundle)


@pytest.mark.slow
def test_workers_run_the_code_they_are_sent(spark: Any, bundle: Path) -> None:
    def where(records: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import models.predictor

        list(records)
        yield pa.RecordBatch.from_arrays([pa.array([models.predictor.__file__])], ["value"])

    for _ in range(2):  # what is there already is not sent again
        label(spark.range(1).selectExpr("'mobil' as text"), bundle)
    before = list(sys.path)
    places = {row["value"] for row in spark.range(2).mapInArrow(where, "value string").collect()}
    assert all("sektor_code-" in place for place in places)
    assert not any("sektor_code-" in place for place in before)


@pytest.mark.slow
def test_files_are_found_as_the_batch_script_finds_them(spark: Any, tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "in/c.csv", ".hidden/d.csv", "_tmp/e.csv", "in/_f.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    files = Files(spark)
    found = [worker.shown_path(file.name).removeprefix(f"{tmp_path}/") for file in files.find(str(tmp_path))]
    assert found == ["a.csv", "b.csv", "in/c.csv"]
    assert [file.size for file in files.find(str(tmp_path / "*.csv"))] == [1, 1]
    assert files.find(str(tmp_path / "nothing")) == []
    assert files.names(str(tmp_path / "a.csv")) is None


@pytest.mark.slow
def test_a_disk_that_cannot_be_written_is_one_line(spark: Any, predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "mobil"}\n')
    (tmp_path / "file").touch()
    said = refused(Job((str(tmp_path / "a.jsonl"),), str(tmp_path / "file" / "out.csv")), predictor)
    assert "Spark has failed" in said or "a task of Spark has failed" in said
