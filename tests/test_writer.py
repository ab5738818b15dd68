"""Labelled rows as JSON lines, CSV and Parquet: what is written can be read, and cut after any batch."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data import writer
from data.batch import Batch, Reject, json_string
from data.checkpoint import WriteError
from data.writer import (
    Compressed,
    Csv,
    Format,
    JsonLines,
    LabelledBatch,
    Parquet,
    csv_line,
    label_columns,
    output_format,
    plain,
    reject_line,
)
from features.strings import string_array
from models.scoring import Labels

SECTORS = ("ev", "agro")
OUTPUTS = ["labels.jsonl", "labels.csv", "labels.parquet", "labels.jsonl.gz", "labels.csv.zst", "labels.CSV.GZ"]


def batch(ids: list[str], kept: dict[str, list[str | None]] | None = None, skip: tuple[int, ...] = ()) -> LabelledBatch:
    """Rows with these ids (JSON text), labelled by turns with none, ev, agro and both; those in `skip` are not."""
    columns = {name: string_array(values) for name, values in (kept or {}).items()}
    rows = Batch(columns, np.arange(1, len(ids) + 1), "in.csv", json=False)
    picked = np.array([place for place in range(len(ids)) if place not in skip], np.int64)
    turn = picked % 4
    predicted = np.stack([turn % 2 == 1, turn >= 2], axis=1)
    labels = Labels(
        predicted=predicted,
        primary=np.where(predicted.any(axis=1), predicted.argmax(axis=1), -1),
        probabilities=np.stack([turn / 7, turn / 1e9], axis=1),
        coverage=np.full(picked.size, 2 / 3),
    )
    texts = string_array([f"text {place}" for place in picked])
    chosen = [ids[place] for place in picked.tolist()]
    return LabelledBatch(rows, picked, chosen, labels, texts, None, {name: name for name in columns})


def write(output: str, batches: list[LabelledBatch], metadata: dict[str, str] | None = None) -> Path:
    """The output with these batches, as the batch script makes it."""
    format = output_format(output, SECTORS, any(part.explanations for part in batches))
    kept = list(batches[0].kept.values()) if batches else []
    Path(output).write_bytes(b"".join([format.head(kept), *map(format.rows, batches)]))
    return format.finish(Path(output), metadata or {}).rename(output)


def read(path: str | Path) -> list[dict[str, Any]]:
    name = Path(path).name.lower()
    if name.endswith(".parquet"):
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    content = Path(path).read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    if name.endswith(".zst"):
        content = pa.CompressedInputStream(pa.py_buffer(content), "zstd").read()
    stream = io.StringIO(content.decode(), newline="")
    return list(csv.DictReader(stream)) if ".csv" in name else [json.loads(line) for line in stream]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("output", OUTPUTS)
def test_batches_follow_one_another(output: str) -> None:
    first = batch(['"a"', "7", '"x"', "8"], {"note": ["n0", "n1", "n2", None]}, skip=(2,))
    rows = read(write(output, [first, batch(['"\\u00e9 \\""'], {"note": ["n4"]})]))
    assert [str(row["id"]) for row in rows] == ["a", "7", "8", 'é "']
    said = [row["sectors"].split("|") if isinstance(row["sectors"], str) else row["sectors"] for row in rows]
    assert [[s for s in sectors if s] for sectors in said] == [[], ["ev"], ["ev", "agro"], []]
    assert [row["primary"] or None for row in rows] == [None, "ev", "ev", None]
    assert [row["note"] or None for row in rows] == ["n0", "n1", None, "n4"]
    ev = [row["probabilities"]["ev"] if "probabilities" in row else float(row["probability_ev"]) for row in rows]
    assert ev == pytest.approx([0, 1 / 7, 3 / 7, 0], rel=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_small_probabilities_keep_their_digits(output: str) -> None:
    row = read(write(output, [batch(["1", "2", "3"])]))[2]
    agro = row["probabilities"]["agro"] if "probabilities" in row else row["probability_agro"]
    assert float(agro) == pytest.approx(2e-9, rel=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_nothing_written_is_a_sound_file_without_rows(output: str) -> None:
    assert read(write(output, [])) == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_explanations_are_objects_in_json_and_their_text_elsewhere(output: str) -> None:
    explained = batch(["1"], {"note": ["n"]})
    explained = LabelledBatch(**{**vars(explained), "explanations": ['{"ev": ["é", "a, b"]}']})
    (row,) = read(write(output, [explained]))
    found = row["explanation"]
    assert (found if isinstance(found, dict) else json.loads(found)) == {"ev": ["é", "a, b"]}
    assert row["note"] == "n"


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_cut_after_a_batch_and_gone_on_with_is_the_same(output: str) -> None:
    """Formats hold nothing back: each batch's bytes stand for themselves."""
    batches = [batch(['"a"', "7"]), batch(["1", "2", "3"]), batch(["5"])]
    whole = write(output, batches).read_bytes()
    format = output_format(output, SECTORS)
    journal = Path("journal")
    journal.write_bytes(format.head([]) + format.rows(batches[0]))
    with journal.open("ab") as stream:
        again = output_format(output, SECTORS)
        stream.write(again.rows(batches[1]) + again.rows(batches[2]))
    assert again.finish(journal, {}).read_bytes() == whole


@pytest.mark.parametrize("bound", ["ROW_GROUP_ROWS", "ROW_GROUP_BYTES"])
def test_row_groups_are_bounded(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, bound, 5)
    batches = [batch([str(n) for n in range(3)]) for _ in range(4)]
    file = pq.ParquetFile(write("labels.parquet", batches, {"sektor": "ours"}))
    assert file.num_row_groups == 4
    assert [row["id"] for row in file.read().to_pylist()] == ["0", "1", "2"] * 4
    assert file.schema_arrow.metadata[b"sektor"] == b"ours"


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("a.NDJSON", JsonLines, "jsonl"),
        ("a.b/c.Csv", Csv, "csv"),
        ("a.csv.parquet", Parquet, "parquet"),
        ("a.csv.gz", Compressed, "csv"),
        ("a.jsonl.ZST", Compressed, "jsonl"),
    ],
)
def test_the_extension_decides(path: str, kind: type[Format], name: str) -> None:
    assert (type(output_format(path, SECTORS)), output_format(path, SECTORS).name) == (kind, name)


@pytest.mark.parametrize("path", ["", "labels", "labels.xlsx", "labels.gz", "labels.txt.zst", ".csv"])
def test_other_extensions_are_refused(path: str) -> None:
    with pytest.raises(WriteError, match=r"unknown extension .* expected one of \.jsonl, \.ndjson, \.csv, \.parquet"):
        output_format(path, SECTORS)


def test_parquet_is_not_compressed_twice() -> None:
    with pytest.raises(WriteError, match=r"^a\.parquet\.gz: Parquet is compressed as it is, expected a\.parquet$"):
        output_format("a.parquet.gz", SECTORS)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(rows=st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=5))
@example(rows=[["a\rb", 'say "x", y'], ["", "\n"]])
def test_any_csv_reader_finds_the_cells_again(rows: list[list[str]]) -> None:
    text = "".join(map(csv_line, rows))
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


@given(text=st.text(st.characters(codec="utf-8")))
def test_a_string_of_json_is_written_plain(text: str) -> None:
    assert plain(json_string(text)) == text


@pytest.mark.parametrize("value", ["7", "1.10", "true", "null", '{"a": "b"}', "[1]"])
def test_any_other_value_of_json_is_written_as_it_stands(value: str) -> None:
    assert plain(value) == value


def test_a_reject_is_one_line() -> None:
    line = reject_line(Reject("a.csv", 3, "why", 'raw\n"é"'))
    assert "\n" not in line
    assert json.loads(line) == {"path": "a.csv", "line": 3, "reason": "why", "raw": 'raw\n"é"'}


def test_the_names_of_our_columns() -> None:
    assert label_columns(SECTORS) == [
        "id", "sectors", "primary", "probability_ev", "probability_agro", "coverage", "probabilities",
    ]  # fmt: skip
