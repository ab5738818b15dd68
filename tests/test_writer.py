"""Labelled rows as JSON lines, CSV and Parquet: what is written can be read, and is there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.reader import Batch, Reject, json_string
from data.writer import (
    CsvWriter,
    JsonLinesWriter,
    LabelledBatch,
    ParquetWriter,
    StandardOutputWriter,
    WriteError,
    Writer,
    csv_line,
    label_columns,
    naming,
    open_writer,
    plain,
    refuse_to_replace,
    reject_line,
    writer_for,
)
from features.strings import string_array
from models.scoring import Labels

SECTORS = ("ev", "agro")
OUTPUTS = ["labels.jsonl", "labels.csv", "labels.parquet"]


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


def read(path: str | Path) -> list[dict[str, Any]]:
    path = Path(path)
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream)) if path.suffix == ".csv" else [json.loads(line) for line in stream]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("output", OUTPUTS)
def test_batches_follow_one_another(output: str) -> None:
    with open_writer(output, SECTORS) as writer:
        writer.write(batch(['"a"', "7", '"x"', "8"], {"note": ["n0", "n1", "n2", None]}, skip=(2,)))
        writer.write(batch(['"\\u00e9 \\""'], {"note": ["n4"]}))
        assert not Path(output).exists()
    rows = read(output)
    assert [str(row["id"]) for row in rows] == ["a", "7", "8", 'é "']
    said = [row["sectors"].split("|") if isinstance(row["sectors"], str) else row["sectors"] for row in rows]
    assert [[s for s in sectors if s] for sectors in said] == [[], ["ev"], ["ev", "agro"], []]
    assert [row["primary"] or None for row in rows] == [None, "ev", "ev", None]
    assert [row["note"] or None for row in rows] == ["n0", "n1", None, "n4"]
    ev = [row["probabilities"]["ev"] if "probabilities" in row else float(row["probability_ev"]) for row in rows]
    assert ev == pytest.approx([0, 1 / 7, 3 / 7, 0], rel=1e-5)
    assert [path.name for path in Path().iterdir()] == [output]


@pytest.mark.parametrize("output", OUTPUTS)
def test_small_probabilities_keep_their_digits(output: str) -> None:
    with open_writer(output, SECTORS) as writer:
        writer.write(batch(["1", "2", "3"]))
    row = read(output)[2]
    agro = row["probabilities"]["agro"] if "probabilities" in row else row["probability_agro"]
    assert float(agro) == pytest.approx(2e-9, rel=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_nothing_written_is_a_sound_file_without_rows(output: str) -> None:
    with open_writer(output, SECTORS):
        pass
    assert read(output) == []


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("begun", [True, False])
def test_after_an_error_nothing_is_left(output: str, error: BaseException, begun: bool) -> None:
    with pytest.raises(type(error)), open_writer(output, SECTORS) as writer:  # noqa: PT012
        if begun:
            writer.write(batch(["1"]))
        raise error
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_file_that_cannot_take_its_place_is_an_error_and_leaves_nothing(output: str) -> None:
    writer = open_writer(output, SECTORS)
    with pytest.raises(WriteError, match=f"^{output}: is a folder"), writer:  # noqa: PT012
        writer.write(batch(["1"]))
        Path(output).mkdir()
    assert [path.name for path in Path().iterdir()] == [output]


def test_what_stands_there_is_replaced_only_on_request() -> None:
    Path("labels.csv").write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError, match="exists already"):
        open_writer("labels.csv", SECTORS)
    with open_writer("labels.csv", SECTORS, overwrite=True):
        pass
    assert read("labels.csv") == []
    with pytest.raises(WriteError, match="is a folder"):
        refuse_to_replace(Path(), overwrite=True)


def test_standard_output_takes_json_lines_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    with open_writer("-", SECTORS) as writer:
        writer.write(batch(['"a"', '"b"']))
        assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]
    print("still open")
    assert capsys.readouterr().out == "still open\n"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("-", StandardOutputWriter),
        ("a.jsonl", JsonLinesWriter),
        ("a.NDJSON", JsonLinesWriter),
        ("a.b/c.Csv", CsvWriter),
        ("a.csv.parquet", ParquetWriter),
    ],
)
def test_the_extension_decides(path: str, kind: type[Writer]) -> None:
    assert writer_for(path) is kind


@pytest.mark.parametrize("path", ["", "labels", "labels.xlsx", "labels.csv.gz", ".csv"])
def test_other_extensions_are_refused(path: str) -> None:
    with pytest.raises(WriteError, match=r"unknown extension .* expected one of \.jsonl, \.ndjson, \.csv, \.parquet"):
        open_writer(path, SECTORS)


def test_a_broken_pipe_stays_one() -> None:
    with pytest.raises(BrokenPipeError), naming("x"):
        raise BrokenPipeError
    with pytest.raises(WriteError, match=r"^x: cannot be written: no space left on device$"), naming("x"):
        raise OSError(28, "No space left on device")


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


def test_of_two_runs_with_one_output_the_first_to_finish_keeps_it() -> None:
    first, second = (open_writer("labels.jsonl", SECTORS) for _ in range(2))
    second.write(batch(["2"]))
    first.write(batch(["1"]))
    with first:
        pass
    written = Path("labels.jsonl").read_bytes()
    with pytest.raises(WriteError, match="exists already"), second:
        pass
    assert Path("labels.jsonl").read_bytes() == written
    assert [path.name for path in Path().iterdir()] == ["labels.jsonl"]


def test_a_users_own_partial_file_is_left_alone() -> None:
    Path("labels.jsonl.partial").write_text("precious", encoding="utf-8")
    with open_writer("labels.jsonl", SECTORS) as writer:
        writer.write(batch(["1"]))
    assert Path("labels.jsonl.partial").read_text(encoding="utf-8") == "precious"
