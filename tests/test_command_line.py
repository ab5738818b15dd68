"""The batch script: every format in and out, nothing lost, nothing mixed up, and bad input told in one line."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import predict
from predict import Predictor, main

ROOT = Path(__file__).resolve().parent.parent
TITLES = ["Wuling Resmikan SPKLU", "Harga Pupuk Naik", "Final Piala Presiden"]
TEXTS = [
    "Wuling membuka stasiun pengisian kendaraan listrik umum dan menjual mobil listrik baru di Indonesia.",
    "Petani padi di Subang mengeluhkan harga pupuk urea bersubsidi yang naik menjelang musim tanam.",
    "Pertandingan final di stadion berakhir imbang dan dilanjutkan dengan adu penalti.",
]
LABEL_COLUMNS = ["id", "sectors", "primary"] + [f"probability_{s}" for s in ("automotive", "ev", "agro", "chemicals")]
LABEL_COLUMNS += ["coverage"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(bundle: Path, capsys: Capture) -> Callable[..., tuple[int, str, list[str]]]:
    """Run the script with the small model; gives exit code, standard output and the lines of standard error."""

    def call(*arguments: object) -> tuple[int, str, list[str]]:
        code = main([*map(str, arguments), "--model", str(bundle)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.splitlines()

    return call


Run = Callable[..., tuple[int, str, list[str]]]


def articles(**more: list[Any]) -> list[dict[str, Any]]:
    columns = {"id": ["a", "b", "c"], "title": TITLES, "text": TEXTS, **more}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_json(path: Path | str, rows: list[Any]) -> Path:
    """Rows as JSON lines; a row that is a string stands as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return Path(path)


def write_csv(path: Path | str, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def write_parquet(path: Path | str, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return Path(path)


def write_texts(folder: Path | str, texts: list[str]) -> Path:
    Path(folder).mkdir()
    for name, text in zip("abcdefghij", texts, strict=False):
        Path(folder, f"{name}.txt").write_text(text, encoding="utf-8")
    return Path(folder)


def read_json(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


def read_csv(path: Path | str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_parquet(path: Path | str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


# Formats


def write_input(kind: str) -> Path:
    if kind == "folder":
        return write_texts("pages", [f"{title}\n{text}" for title, text in zip(TITLES, TEXTS, strict=True)])
    if kind == "utf-16.csv":
        path = write_csv("input.csv", articles())
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-16")
        return path
    write = {"jsonl": write_json, "ndjson": write_json, "csv": write_csv, "parquet": write_parquet}
    if kind == "tsv":
        return write_csv("input.tsv", articles(), "\t")
    if kind == "semicolon.csv":
        return write_csv("input.csv", articles(), ";")
    return write[kind](f"input.{kind}", articles())


@pytest.fixture
def expected(predictor: Predictor) -> list[predict.Prediction]:
    return predictor.predict(TEXTS, TITLES)


def assert_labelled(rows: list[dict[str, Any]], expected: list[predict.Prediction], ids: list[str]) -> None:
    """JSON rows hold the predictions, in order."""
    assert [list(row) for row in rows] == [["id", "sectors", "primary", "probabilities", "coverage"]] * len(expected)
    assert [row["id"] for row in rows] == ids
    for row, prediction in zip(rows, expected, strict=True):
        assert (tuple(row["sectors"]), row["primary"]) == (prediction.sectors, prediction.primary)
        assert row["probabilities"] == pytest.approx(prediction.probabilities, rel=1e-5)
        assert list(row["probabilities"]) == list(prediction.probabilities)
        assert row["coverage"] == pytest.approx(prediction.coverage, rel=1e-5)


@pytest.mark.parametrize("kind", ["jsonl", "ndjson", "csv", "tsv", "semicolon.csv", "utf-16.csv", "parquet", "folder"])
def test_every_input_gives_the_same_labels(run: Run, kind: str, expected: list[predict.Prediction]) -> None:
    encoding = ["--encoding", "utf-16"] if kind.startswith("utf-16") else []
    code, out, err = run(write_input(kind), "-o", "labels.jsonl", *encoding)
    assert (code, out) == (0, "")
    assert err[0].startswith("labelled 3 of 3 articles -> labels.jsonl: automotive 1, ev 1, agro ")
    ids = ["a.txt", "b.txt", "c.txt"] if kind == "folder" else ["a", "b", "c"]
    assert_labelled(read_json("labels.jsonl"), expected, ids)
    left = sorted(path.name for path in Path().iterdir() if path.name.startswith("labels"))
    assert left == ["labels.jsonl", "labels.jsonl.meta.json"]


def test_a_text_file_is_one_article(run: Run, expected: list[predict.Prediction]) -> None:
    Path("page.txt").write_text(f"{TITLES[0]}\n\n{TEXTS[0]}", encoding="utf-8")
    assert run("page.txt", "-o", "labels.jsonl")[0] == 0
    assert_labelled(read_json("labels.jsonl"), expected[:1], ["page.txt"])


@pytest.mark.parametrize("lines", [True, False])
def test_standard_input_is_json_lines_or_one_article(
    run: Run, lines: bool, expected: list[predict.Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(json.dumps(row) + "\n" for row in articles()) if lines else f"{TITLES[0]}\n{TEXTS[0]}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, out, _ = run("-", "-o", "-")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert_labelled(rows, expected if lines else expected[:1], ["a", "b", "c"] if lines else ["-"])


def test_several_inputs_follow_one_another(run: Run, expected: list[predict.Prediction]) -> None:
    rows = articles()
    for row in rows:
        del row["id"]
    write_json("one.jsonl", rows[:1]), write_csv("two.csv", rows[1:2]), write_parquet("three.parquet", rows[2:])
    assert run("one.jsonl", "two.csv", "-o", "labels.jsonl", "three.parquet")[0] == 0
    assert_labelled(read_json("labels.jsonl"), expected, [1, 2, 3])  # type: ignore[list-item]


def test_csv_output(run: Run, expected: list[predict.Prediction]) -> None:
    assert run(write_input("jsonl"), "-o", "labels.csv")[0] == 0
    rows = read_csv("labels.csv")
    assert [list(row) for row in rows] == [LABEL_COLUMNS] * 3
    for row, prediction, id in zip(rows, expected, "abc", strict=True):
        assert row["id"] == id
        assert row["sectors"] == "|".join(prediction.sectors)
        assert row["primary"] == (prediction.primary or "")
        for sector, probability in prediction.probabilities.items():
            assert float(row[f"probability_{sector}"]) == pytest.approx(probability, rel=1e-5)
        assert float(row["coverage"]) == pytest.approx(prediction.coverage, rel=1e-5)
    assert rows[0]["sectors"] == "automotive|ev"


def test_parquet_output(run: Run, expected: list[predict.Prediction]) -> None:
    assert run(write_input("jsonl"), "-o", "labels.parquet")[0] == 0
    assert pq.read_schema("labels.parquet").names == LABEL_COLUMNS
    assert pq.read_schema("labels.parquet").field("sectors").type == pa.list_(pa.string())
    for row, prediction, id in zip(read_parquet("labels.parquet"), expected, "abc", strict=True):
        assert (row["id"], tuple(row["sectors"]), row["primary"]) == (id, prediction.sectors, prediction.primary)
        for sector, probability in prediction.probabilities.items():
            assert row[f"probability_{sector}"] == pytest.approx(probability, rel=1e-9)
        assert row["coverage"] == prediction.coverage


def test_without_output_a_table_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run(write_input("csv"))
    head, *lines = out.splitlines()
    assert (code, len(err)) == (0, 1)
    assert head.split() == ["article", "automotive", "ev", "agro", "chemicals", "coverage"]
    assert [line.split("  ")[0] for line in lines] == ["a", "b", "c"]
    assert lines[0].startswith("a  Wuling Resmikan SPKLU ")
    assert lines[0].count("* ") == lines[0].count("+ ") == 1
    assert {len(line) for line in (head, *lines)} == {100}


@pytest.mark.parametrize("columns", ["1", "60", "80", "200"])
def test_the_table_fits_what_it_can(run: Run, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    rows = articles(id=["a" * 300, "b", "c"])
    lines = run(write_json("in.jsonl", rows))[1].splitlines()
    assert {len(line) for line in lines} == {max(int(columns), 80)}
    assert "…" in lines[1]


def test_no_control_code_of_a_page_reaches_the_terminal(run: Run) -> None:
    rows = articles(title=["\x1b[2J\x07 judul\u202e", "x\ty\r\nz", "\x9b31m"])
    out = run(write_json("in.jsonl", rows))[1]
    assert all(character.isprintable() or character == "\n" for character in out)
    assert len(out.splitlines()) == 4


def test_one_text_on_the_command_line(run: Run, predictor: Predictor) -> None:
    code, out, err = run("--text", f"{TITLES[0]}\n{TEXTS[0]}")
    assert (code, err) == (0, [])
    assert [line.split()[0] for line in out.splitlines()] == [*predictor.sectors, "coverage"]
    assert "primary" in next(line for line in out.splitlines() if line.startswith("ev"))
    assert run("--text", "")[0] == 2


def test_quiet_is_quiet(run: Run) -> None:
    assert run(write_input("csv"), "-o", "labels.csv", "--quiet") == (0, "", [])


# Ids and columns

IDS = [
    "007",
    "12345678901234567890",
    "1e5",
    "0.10",
    " padded ",
    "kopi \u2615 \u0627\u0644",
    'say "hi", a|b',
    "-",
    "NaN",
]


@pytest.mark.parametrize("output", ["labels.jsonl", "labels.csv", "labels.parquet"])
@pytest.mark.parametrize("source", ["jsonl", "csv", "parquet"])
def test_ids_are_passed_byte_for_byte(run: Run, source: str, output: str) -> None:
    rows = [{"id": id, "text": TEXTS[0]} for id in IDS]
    write = {"jsonl": write_json, "csv": write_csv, "parquet": write_parquet}[source]
    assert run(write(f"in.{source}", rows), "-o", output)[0] == 0
    read: Any = {"jsonl": read_json, "csv": read_csv, "parquet": read_parquet}[output.split(".")[1]]
    assert [row["id"] for row in read(output)] == IDS


def test_numbers_of_json_stay_the_numbers_they_are(run: Run) -> None:
    ids = ["7", "12345678901234567890", "1.10", "-0", "1E5", "true", '{"a": [1, 2]}', '"007"', '"\\u00e9"']
    write_json("in.jsonl", [f'{{"text": "mobil listrik", "id": {id}}}' for id in ids])
    assert run("in.jsonl", "-o", "labels.jsonl")[0] == 0
    lines = Path("labels.jsonl").read_text(encoding="utf-8").splitlines()
    found = [line.removeprefix('{"id": ').split(', "sectors"')[0] for line in lines]
    assert found == [*ids[:-1], '"é"']
    assert run("in.jsonl", "-o", "labels.csv")[0] == 0
    assert [row["id"] for row in read_csv("labels.csv")] == [*ids[:-2], "007", "é"]


def test_a_missing_id_is_the_row_number(run: Run) -> None:
    text = "mobil listrik"
    rows: list[Any] = [{"text": text}, "broken", {"id": None, "text": text}, {"text": ""}, {"id": "x", "text": text}]
    rows += [{"id": "", "text": text}]
    run(write_json("in.jsonl", rows), "-o", "labels.jsonl")
    assert [row["id"] for row in read_json("labels.jsonl")] == [1, 3, "x", 6]
    Path("in.csv").write_text(f"id,text\n,{text}\nb,{text}\n", encoding="utf-8")
    run("in.csv", "-o", "labels.csv")
    assert [row["id"] for row in read_csv("labels.csv")] == ["1", "b"]


def test_row_numbers_run_through_batches(run: Run) -> None:
    n = 2500
    rows: list[Any] = [{"text": "mobil listrik"} for _ in range(n)]
    for place in (0, 5, 1023, 1024, 1500, 2499):
        rows[place] = "{broken"
    code, _, err = run(write_json("in.jsonl", rows), "-o", "labels.jsonl")
    assert [row["id"] for row in read_json("labels.jsonl")] == [
        place + 1 for place in range(n) if rows[place] != "{broken"
    ]
    assert [row["line"] for row in read_json("labels.jsonl.rejects.jsonl")] == [1, 6, 1024, 1025, 1501, 2500]
    assert (code, err[0].split(":")[0]) == (0, f"labelled {n - 6:,} of {n:,} articles -> labels.jsonl")


@pytest.mark.parametrize("text", ["text", "content", "body", "isi", "isi_berita", "artikel", "berita", " Isi "])
@pytest.mark.parametrize("title", ["title", "judul", "headline", "JUDUL"])
def test_usual_names_are_found(
    run: Run, text: str, title: str, expected: list[predict.Prediction], bundle: Path
) -> None:
    rows = [{title: row["title"], "other": "x", text: row["text"]} for row in articles()]
    assert run(write_csv("in.csv", rows), "-o", "labels.jsonl")[0] == 0
    assert_labelled(read_json("labels.jsonl"), expected, [1, 2, 3])  # type: ignore[list-item]


@pytest.mark.parametrize("write", [write_json, write_csv, write_parquet])
def test_columns_can_be_named(run: Run, write: Callable[..., Path], expected: list[predict.Prediction]) -> None:
    rows = [{"text": "x", "n": row["id"], "Kepala": row["title"], "tubuh": row["text"]} for row in articles()]
    path = write(f"in.{ {write_json: 'jsonl', write_csv: 'csv', write_parquet: 'parquet'}[write] }", rows)
    named = ["--text-column", "tubuh", "--title-column", "kepala", "--id-column", "n"]
    assert run(path, "-o", "labels.jsonl", *named)[0] == 0
    assert_labelled(read_json("labels.jsonl"), expected, ["a", "b", "c"])


def test_a_named_column_may_be_missing_from_later_lines(run: Run, expected: list[predict.Prediction]) -> None:
    """More lines than a batch holds, of which only the first have a title and only the last lack the text."""
    rows = articles() + [{"tubuh": TEXTS[0]} for _ in range(2000)] + [{"other": "x"}] * 1100
    for row in rows[:3]:
        row["kepala"], row["tubuh"] = row.pop("title"), row.pop("text")
    code, _, err = run(
        write_json("in.jsonl", rows), "-o", "labels.jsonl", "--text-column", "tubuh", "--title-column", "kepala"
    )
    assert code == 0
    assert err[1] == "rejected 1,100 rows: see labels.jsonl.rejects.jsonl"
    assert_labelled(read_json("labels.jsonl")[:3], expected, ["a", "b", "c"])


def test_the_text_column_found_first_holds_for_the_whole_file(run: Run, predictor: Predictor) -> None:
    rows = [{"isi": TEXTS[0]}] * 1500 + [{"isi": TEXTS[0], "text": TEXTS[2]}] * 10
    run(write_json("in.jsonl", rows), "-o", "labels.jsonl")
    assert {tuple(row["sectors"]) for row in read_json("labels.jsonl")} == {predictor.predict_one(TEXTS[0]).sectors}


def test_broken_first_lines_do_not_hide_the_columns(run: Run) -> None:
    rows: list[Any] = ["{broken"] * 1100 + [{"tubuh": TEXTS[0]}]
    code, _, _ = run(write_json("in.jsonl", rows), "-o", "labels.csv", "--text-column", "tubuh", "--keep-columns")
    assert code == 0
    assert [row["id"] for row in read_csv("labels.csv")] == ["1101"]
    assert read_csv("labels.csv")[0]["tubuh"] == TEXTS[0]


KEPT = {
    "date": ["2024-01-01", "01/02/2024", ""],
    "price": ["007", "1.50", "1e5"],
    "note": ['with "quotes", commas', "two\nlines\r\nand a\rreturn", "\u00e9\u2028 end"],
}


@pytest.mark.parametrize("source", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("output", ["jsonl", "csv", "parquet", "CSV"])
def test_kept_columns_come_through_unchanged(run: Run, source: str, output: str) -> None:
    rows = articles(**KEPT)
    write = {"jsonl": write_json, "csv": write_csv, "parquet": write_parquet}[source]
    assert run(write(f"in.{source}", rows), "-o", f"labels.{output}", "--keep-columns")[0] == 0
    read: Any = {"jsonl": read_json, "csv": read_csv, "parquet": read_parquet}[output.lower()]
    for row, original in zip(read(f"labels.{output}"), rows, strict=True):
        assert {name: row[name] for name in original} == original
        own = ["id", "sectors", "primary", "probabilities", "coverage"] if output == "jsonl" else LABEL_COLUMNS
        assert list(row) == [*own, *(name for name in original if name != "id")]


def test_without_the_option_no_column_is_kept(run: Run) -> None:
    run(write_csv("in.csv", articles(**KEPT)), "-o", "labels.csv")
    assert list(read_csv("labels.csv")[0]) == LABEL_COLUMNS


def test_values_of_json_are_kept_as_they_stand(run: Run) -> None:
    values = '"n": 1.10, "big": 12345678901234567890, "x": null, "o": {"a": [1, "\\u00e9"]}, "s": "\\n\\u0007"'
    rows = [f'{{"text": "mobil", {values}}}', '{"text": "mobil", "late": true}']
    run(write_json("in.jsonl", rows), "-o", "labels.jsonl", "--keep-columns")
    first, second = Path("labels.jsonl").read_text(encoding="utf-8").splitlines()
    assert first.endswith(f', "text": "mobil", {values}}}')
    assert second.endswith(', "text": "mobil", "late": true}')


@pytest.mark.parametrize("output", ["jsonl", "csv", "parquet"])
def test_columns_with_the_names_of_ours_are_renamed(run: Run, output: str) -> None:
    clash = {name: [f"{name} {n}" for n in range(3)] for name in ("sectors", "primary", "probability_ev", "coverage")}
    clash |= {"input_sectors": ["s0", "s1", "s2"]}
    run(write_csv("in.csv", articles(**clash)), "-o", f"labels.{output}", "--keep-columns")
    read: Any = {"jsonl": read_json, "csv": read_csv, "parquet": read_parquet}[output]
    for n, row in enumerate(read(f"labels.{output}")):
        assert row["input_input_sectors"] == f"sectors {n}"
        assert row["input_sectors"] == f"s{n}"
        assert (row["input_primary"], row["input_coverage"]) == (f"primary {n}", f"coverage {n}")
        assert row["input_probability_ev"] == f"probability_ev {n}"
        assert float(row["coverage"]) <= 1


@pytest.mark.parametrize("output", ["labels.csv", "labels.CSV", "labels.parquet"])
def test_a_column_that_comes_too_late_for_a_table_costs_its_rows_alone(run: Run, output: str) -> None:
    rows = [{"text": TEXTS[0], "a": "1"}] * 1024 + [
        {"text": TEXTS[1], "a": "2", "late": "x"},
        {"text": TEXTS[2], "late": None},
    ]
    code, _, _ = run(write_json("in.jsonl", rows), "-o", output, "--keep-columns")
    assert code == 0
    read: Any = read_parquet if output.endswith("parquet") else read_csv
    assert [row["id"] for row in read(output)] == [str(n) for n in [*range(1, 1025), 1026]]
    (reject,) = read_json(f"{output}.rejects.jsonl")
    assert (reject["line"], json.loads(reject["raw"])) == (1025, rows[1024])
    assert reject["reason"].startswith("column 'late' is not among those of the first rows")
    assert run("in.jsonl", "-o", "labels.jsonl", "--keep-columns")[0] == 0
    assert len(read_json("labels.jsonl")) == 1026


@pytest.mark.parametrize("output", ["labels.csv", "labels.parquet"])
def test_tables_of_different_columns_do_not_mix(run: Run, output: str) -> None:
    """In another order, with a column less and with one more."""
    write_csv("1.csv", [{"id": "a", "text": TEXTS[0], "x": "x1", "y": "y1"}])
    write_csv("2.csv", [{"y": "y2", "x": "x2", "text": TEXTS[1], "id": "b"}])
    write_csv("3.csv", [{"text": TEXTS[2], "x": "x3", "id": "c"}])
    write_csv("4.csv", [{"text": TEXTS[2], "z": "z4", "id": "d"}])
    assert run("1.csv", "2.csv", "3.csv", "4.csv", "-o", output, "--keep-columns")[0] == 0
    read: Any = read_parquet if output.endswith("parquet") else read_csv
    found = [(row["id"], row["text"], row["x"], row["y"] or "") for row in read(output)]
    assert found == [("a", TEXTS[0], "x1", "y1"), ("b", TEXTS[1], "x2", "y2"), ("c", TEXTS[2], "x3", "")]
    assert [row["path"] for row in read_json(f"{output}.rejects.jsonl")] == ["4.csv"]


# Rejects

BAD: dict[str, tuple[str, str]] = {
    "broken JSON": ('{"id": "x", "text": "mobil', "broken JSON"),
    "no object": ('["mobil"]', "expected a JSON object, found an array"),
    "no text": ('{"id": "x"}', "text is empty, expected an article"),
    "blank text": ('{"id": "x", "text": " \\n"}', "text is empty, expected an article"),
    "null text": ('{"id": "x", "text": null}', "text is empty, expected an article"),
    "a number": ('{"id": "x", "text": 5}', "text is 5, expected a string"),
    "a list": ('{"id": "x", "text": ["mobil"]}', 'text is ["mobil"], expected a string'),
    "half a character": ('{"id": "x", "text": "\\ud83d"}', "lone surrogate"),
}


@pytest.mark.parametrize(("row", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("output", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_a_bad_row_is_set_aside_and_the_rest_labelled(run: Run, row: str, reason: str, output: str) -> None:
    good = articles()
    code, _, err = run(write_json("in.jsonl", [good[0], row, *good[1:]]), "-o", output)
    read: Any = {"jsonl": read_json, "csv": read_csv, "parquet": read_parquet}[output.split(".")[1]]
    assert [found["id"] for found in read(output)] == ["a", "b", "c"]
    (reject,) = read_json(f"{output}.rejects.jsonl")
    assert (reject["path"], reject["line"]) == ("in.jsonl", 2)
    assert reason in reject["reason"]
    assert reject["raw"] == row or json.loads(reject["raw"]) == json.loads(row)
    assert code == 0
    assert err[0].startswith("labelled 3 of 4 articles")
    assert err[1:] == [f"rejected 1 row: see {output}.rejects.jsonl"]


def test_a_title_alone_is_an_article(run: Run) -> None:
    assert run(write_json("in.jsonl", [{"title": TITLES[1], "text": ""}]), "-o", "labels.jsonl")[0] == 0


def test_without_an_output_file_rejects_are_told_on_standard_error(run: Run) -> None:
    path = write_json("in.jsonl", [*articles(), '{"text": 5}'])
    for output in ([], ["-o", "-"]):
        code, out, err = run(path, *output)
        assert code == 0
        assert len(out.splitlines()) == (3 if output else 4)
        assert err[0] == "in.jsonl:4: text is 5, expected a string"
        assert err[-1] == "rejected 1 row: reasons above"


def test_where_no_row_can_be_labelled_the_exit_code_says_so(run: Run) -> None:
    code, _, err = run(write_json("in.jsonl", ["{", '{"text": 1}']), "-o", "labels.jsonl")
    assert code == 1
    assert err[-1] == "sektor-predict: none of 2 rows could be labelled"
    assert read_json("labels.jsonl") == []
    assert len(read_json("labels.jsonl.rejects.jsonl")) == 2


def test_a_table_without_rows_gives_a_table_without_rows(run: Run) -> None:
    Path("in.csv").write_text("id,text\n", encoding="utf-8")
    for output, read in (("labels.csv", read_csv), ("labels.parquet", read_parquet), ("labels.jsonl", read_json)):
        assert run("in.csv", "-o", output)[0] == 0
        assert read(output) == []  # type: ignore[operator]
    assert Path("labels.csv").read_text(encoding="utf-8") == ",".join(LABEL_COLUMNS) + "\n"
    assert pq.read_schema("labels.parquet").names == LABEL_COLUMNS


row_of_any_kind = st.one_of(
    st.fixed_dictionaries({"text": st.text(max_size=30)}, optional={"id": st.integers() | st.text(max_size=5)}),
    st.sampled_from(
        ["{", "null", '{"text": 1}', '{"text": "\\ud800"}', '{"id": 1, "text": "mobil"}', '{"judul": "x"}']
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20).filter(str.strip),
)


@given(rows=st.lists(row_of_any_kind, min_size=1, max_size=20))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labelled_and_rejected_rows_are_all_rows_in_order(bundle: Path, here: Path, rows: list[Any]) -> None:
    rows = [{"text": "mobil"}, *rows]
    write_json("in.jsonl", rows)
    assert main(["in.jsonl", "-o", "labels.jsonl", "--overwrite", "--quiet", "--model", str(bundle)]) == 0
    labelled = read_json("labels.jsonl")
    rejects_file = Path("labels.jsonl.rejects.jsonl")
    rejects = read_json(rejects_file) if rejects_file.exists() else []
    assert len(labelled) + len(rejects) == len(rows)
    assert [row["line"] for row in rejects] == sorted({row["line"] for row in rejects})
    left = [row for line, row in enumerate(rows, 1) if line not in {reject["line"] for reject in rejects}]
    for place, (row, label) in enumerate(zip(left, labelled, strict=True)):
        value = json.loads(row) if isinstance(row, str) else row
        numbered = [line for line, other in enumerate(rows, 1) if other is row]
        assert label["id"] == (value["id"] if value.get("id") not in (None, "") else label["id"])
        if value.get("id") in (None, ""):
            assert label["id"] in numbered, place


def test_a_file_name_that_is_no_text_costs_its_article_alone(run: Run) -> None:
    folder = write_texts("pages", [TEXTS[0]])
    (folder / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"")
    (folder / os.fsdecode(b"d\xe9.txt")).write_text(TEXTS[1], encoding="utf-8")
    assert run(folder, "-o", "labels.jsonl")[0] == 0
    assert len(read_json("labels.jsonl")) == 2
    assert len(read_json("labels.jsonl.rejects.jsonl")) == 1


# Outputs are safe


@pytest.mark.parametrize("output", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_an_output_that_exists_is_replaced_only_on_request(run: Run, output: str) -> None:
    Path(output).write_text("precious", encoding="utf-8")
    path = write_input("jsonl")
    code, _, err = run(path, "-o", output)
    assert (code, err) == (2, [f"sektor-predict: {output}: exists already; give another name or --overwrite"])
    assert Path(output).read_text(encoding="utf-8") == "precious"
    assert run(path, "-o", output, "--overwrite")[0] == 0
    assert b"precious" not in Path(output).read_bytes()
    assert not list(Path().glob("*.partial"))


def test_a_file_in_the_place_of_the_rejects_is_safe_too(run: Run) -> None:
    rejects = Path("labels.csv.rejects.jsonl")
    rejects.write_text("precious", encoding="utf-8")
    path = write_input("jsonl")
    code, _, err = run(path, "-o", "labels.csv")
    assert (code, err) == (2, [f"sektor-predict: {rejects}: exists already; give another name or --overwrite"])
    assert rejects.read_text(encoding="utf-8") == "precious"
    assert not Path("labels.csv").exists()
    assert run(path, "-o", "labels.csv", "--overwrite")[0] == 0
    assert not rejects.exists()  # the rejects of another run would be taken for this one's


def test_the_input_is_never_the_output(run: Run) -> None:
    path = write_json("in.jsonl", articles())
    before = path.read_bytes()
    Path("link.jsonl").symlink_to("in.jsonl")
    for output in ("in.jsonl", "./in.jsonl", "link.jsonl"):
        code, _, err = run("in.jsonl", "-o", output, "--overwrite")
        assert (code, len(err)) == (2, 1)
        assert "is read as input" in err[0]
    assert path.read_bytes() == before


def test_an_output_inside_the_input_folder_is_not_read_as_input(run: Run) -> None:
    folder = write_texts("pages", TEXTS)
    assert run(folder, "-o", "pages/labels.jsonl")[0] == 0
    assert len(read_json("pages/labels.jsonl")) == 3
    code, _, err = run(folder, "-o", "pages/labels.jsonl", "--overwrite")
    assert (code, err) == (
        2,
        ["sektor-predict: pages/labels.jsonl: is read as input, expected another name for the output"],
    )


def test_an_interruption_before_the_first_batch_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "label", interrupt)
    write_json("in.jsonl", articles())
    assert run("in.jsonl", "-o", "labels.csv") == (130, "", ["sektor-predict: interrupted; no output file was written"])
    assert {path.name for path in Path().iterdir()} == {"in.jsonl"}


# Bad input: one clear line


def no_articles() -> Path:
    Path("empty").mkdir()
    Path("empty", "notes.md").write_text("x", encoding="utf-8")
    return Path("empty")


def with_bytes(name: str, content: bytes) -> Path:
    Path(name).write_bytes(content)
    return Path(name)


BAD_INPUTS: dict[str, tuple[Callable[[], object], str]] = {
    "missing": (lambda: "absent.jsonl", "absent.jsonl: no such file"),
    "missing folder": (lambda: "absent/", "absent/: no such file or folder"),
    "extension": (lambda: with_bytes("a.docx", b"PK"), "unknown extension '.docx'"),
    "no extension": (lambda: with_bytes("articles", b"x"), "unknown extension ''"),
    "empty jsonl": (lambda: with_bytes("a.jsonl", b""), "a.jsonl: empty file"),
    "blank jsonl": (lambda: with_bytes("a.jsonl", b"\n \n"), "a.jsonl: empty"),
    "empty csv": (lambda: with_bytes("a.csv", b""), "a.csv: empty file"),
    "empty parquet": (lambda: with_bytes("a.parquet", b""), "a.parquet: empty file"),
    "empty text": (lambda: with_bytes("a.txt", b""), "a.txt: empty file"),
    "blank text": (lambda: with_bytes("a.txt", b" \n"), "a.txt: empty"),
    "binary jsonl": (lambda: with_bytes("a.jsonl", bytes(range(256)) * 40), "a.jsonl: expected utf-8 text"),
    "binary csv": (lambda: with_bytes("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(5000)), "a.csv: expected utf-8 text"),
    "binary text": (lambda: with_bytes("a.txt", b"\x7fELF" + bytes(500)), "a.txt: expected utf-8 text"),
    "no parquet": (lambda: with_bytes("a.parquet", b"id,text\n1,x\n"), "a.parquet: unreadable Parquet"),
    "parquet named csv": (lambda: write_parquet("a.csv", articles()), "name it .parquet"),
    "no articles": (no_articles, "empty: no articles in this folder"),
    "no text column": (lambda: write_csv("a.csv", [{"id": 1, "x": "y"}]), "found no text column among id, x"),
    "no text column, no rows": (lambda: with_bytes("a.csv", b"id,x\n"), "found no text column among id, x"),
    "no text key": (lambda: write_json("a.jsonl", [{"x": "y"}]), "found no text column among x"),
    "objects without keys": (lambda: write_json("a.jsonl", ["{}"]), "found no text column among none"),
    "no header": (lambda: with_bytes("a.csv", b"1,2\n3,4\n"), "expected the names of the columns"),
    "columns twice": (lambda: with_bytes("a.csv", b"text,text\na,b\n"), "'text' is there more than once"),
}


@pytest.mark.parametrize(("make", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
@pytest.mark.parametrize("output", [[], ["-o", "labels.csv"], ["-o", "-"]])
def test_an_input_that_is_no_use_is_one_line(
    run: Run, make: Callable[[], object], message: str, output: list[str]
) -> None:
    source = make()
    code, out, err = run(source, *output)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("sektor-predict: ")
    assert message in err[0]
    assert not Path("labels.csv").exists()
    assert not list(Path().glob("*.partial"))


BAD_OPTIONS: dict[str, tuple[list[str], str]] = {
    "text column": (["--text-column", "tubuh"], "in.csv: no column 'tubuh' for the text; the columns found are: id,"),
    "title column": (["--title-column", "kepala"], "no column 'kepala' for the title"),
    "id column": (["--id-column", "nomor"], "no column 'nomor' for the id"),
    "encoding": (["--encoding", "utf-99"], "unknown encoding 'utf-99'"),
    "codec of bytes": (["--encoding", "base64"], "unknown encoding 'base64'"),
    "output extension": (["-o", "labels.xlsx"], "labels.xlsx: unknown extension '.xlsx', expected one of .jsonl"),
    "output without extension": (["-o", "labels"], "labels: unknown extension ''"),
    "output folder": (["-o", "folder.csv", "--overwrite"], "folder.csv: is a folder"),
    "output in no folder": (["-o", "absent/labels.csv"], "absent/labels.csv: cannot be written: no such file"),
    "output in a file": (["-o", "in.csv/labels.csv"], "in.csv/labels.csv: cannot be written: not a directory"),
    "threshold without value": (["--threshold", "ev"], "ev: expected SECTOR=VALUE with a decimal point, as in ev=0.4"),
    "threshold with a comma": (["--threshold", "ev=0,5"], "expected SECTOR=VALUE with a decimal point"),
    "report of another format": (["--report", "report.pdf"], "--report report.pdf: expected a name that ends in .html"),
    "threshold of words": (["--threshold", "ev=high"], "--threshold ev=high: expected SECTOR=VALUE"),
    "threshold too large": (["--threshold", "ev=40"], "found 40.0, expected a probability from 0 to 1"),
    "threshold nan": (["--threshold", "ev=nan"], "found nan, expected a probability"),
    "threshold of no sector": (["--threshold", "mining=0.4"], "'mining': no such sector, expected one of automotive"),
    "workers": (["--workers", "0"], "--workers 0: expected at least 1"),
    "two inputs in one": (["--text", "mobil"], "found --text and an input"),
}


@pytest.mark.parametrize("text", ["", " ", "12345", "2.000-3.000 %"])
def test_a_text_without_a_word_is_refused(run: Run, text: str) -> None:
    code, out, err = run("--text", text)
    assert (code, out, len(err)) == (2, "", 1)
    assert f"--text {text!r}: found no word, expected an article" in err[0]


def test_options_that_are_cut_short_are_not_guessed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv("in.csv", articles())
    with pytest.raises(SystemExit):
        run("in.csv", "--title-colum", "judul")
    assert "unrecognized arguments: --title-colum" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_that_are_no_use_are_one_line(run: Run, options: list[str], message: str) -> None:
    write_csv("in.csv", articles())
    Path("folder.csv").mkdir()
    code, out, err = run("in.csv", *options)
    assert (code, out, len(err)) == (2, "", 1)
    assert message in err[0]


def test_no_input_is_one_line(run: Run) -> None:
    assert run() == (2, "", ["sektor-predict: found no input, expected a file, a folder or --text"])
    assert run("") == (2, "", ["sektor-predict: found an input without a name, expected a file or folder"])
    assert run("--text", "x", "-o", "y.csv")[2] == ["sektor-predict: --text prints its result; -o takes an input file"]


def test_a_model_folder_without_a_model_is_one_line(capsys: Capture) -> None:
    assert main(["--text", "mobil", "--model", "absent"]) == 2
    assert capsys.readouterr().err == (
        "sektor-predict: absent/model.json: no such file, expected a model folder with model.json\n"
    )


def test_an_unknown_option_is_told_with_the_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["in.csv", "--colour"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --colour" in capsys.readouterr().err


def test_thresholds_decide(run: Run) -> None:
    path = write_input("csv")
    run(path, "-o", "eager.csv", *(f"--threshold={sector}=0" for sector in ("automotive", "ev", "agro", "chemicals")))
    assert {row["sectors"] for row in read_csv("eager.csv")} == {"automotive|ev|agro|chemicals"}
    run(path, "-o", "never.csv", "--threshold", "ev=1", "--threshold", " automotive =1")
    assert read_csv("never.csv")[0]["sectors"] == ""


def test_the_shipped_model_is_the_default(tmp_path: Path, shipped: Predictor) -> None:
    write_json("in.jsonl", articles())
    assert main(["in.jsonl", "-o", "labels.jsonl", "--quiet"]) == 0
    assert_labelled(read_json("labels.jsonl"), shipped.predict(TEXTS, TITLES), ["a", "b", "c"])


# As a process


def start(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=options.pop("capture_output", True), check=False, **options)


def test_from_a_pipe_to_a_pipe(bundle: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in articles())
    found = start("-", "-o", "-", "--quiet", "--model", bundle, input=text.encode())
    assert (found.returncode, found.stderr) == (0, b"")
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == ["a", "b", "c"]


@pytest.mark.parametrize("output", [["-o", "-"], []])
def test_a_reader_that_leaves_early_hears_nothing_of_it(bundle: Path, output: list[str]) -> None:
    write_json("in.jsonl", [{"text": "mobil listrik " * 20}] * 5000)
    command = [sys.executable, str(ROOT / "predict.py"), "in.jsonl", *output, "--quiet", "--model", str(bundle)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("output", [["-o", "-"], []])
def test_a_full_disk_behind_standard_output_is_one_line(bundle: Path, output: list[str]) -> None:
    write_json("in.jsonl", articles())
    with open("/dev/full", "wb") as full:
        found = start(
            "in.jsonl", *output, "--quiet", "--model", bundle,
            stdout=full, stderr=subprocess.PIPE, capture_output=False,
        )  # fmt: skip
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert b"no space left on device" in found.stderr.lower()


@pytest.mark.parametrize("output", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_a_full_disk_is_one_line_that_names_the_file(bundle: Path, output: str) -> None:
    """As on a full disk: no file may grow beyond a few kilobytes."""
    write_json("in.jsonl", [{"text": "mobil listrik " * 20, "n": str(n) * 50} for n in range(3000)])
    found = start(
        "in.jsonl", "-o", output, "--quiet", "--keep-columns", "--model", bundle,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert found.stderr.decode().startswith(f"sektor-predict: {output}: cannot be written: ")
    assert {path.name for path in Path().iterdir()} == {"in.jsonl"}


@pytest.mark.slow
def test_streams_that_are_closed_from_the_start_are_no_traceback(bundle: Path) -> None:
    write_json("in.jsonl", articles())
    command = f'"{sys.executable}" "{ROOT / "predict.py"}" in.jsonl --quiet --model "{bundle}"'
    for line in (f"{command} >&-", f"{command} -o - >&-", f"{command} - <&-", f"{command} -o labels.csv <&- >&- 2>&-"):
        found = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
        assert b"Traceback" not in found.stderr
        assert len(found.stderr.splitlines()) <= 1
    assert len(read_csv("labels.csv")) == 3


def test_a_terminal_without_the_letters_gets_the_table_all_the_same(bundle: Path) -> None:
    write_json("in.jsonl", articles(title=["\u65e5\u672c kopi \u2615", "b" * 200, "c"]))
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "90"}
    found = start("in.jsonl", "--quiet", "--model", bundle, env=environment)
    assert (found.returncode, found.stderr) == (0, b"")
    assert len(found.stdout.decode("ascii").splitlines()) == 4


def test_from_any_folder(bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(bundle, elsewhere / "model")
    found = start("--text", "Harga pupuk naik", "--model", "model", cwd=elsewhere)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"coverage" in found.stdout


def test_two_workers_give_the_same_labels(bundle: Path, unseen: list[str]) -> None:
    write_json("in.jsonl", [{"text": text} for text in unseen * 30])
    for output, workers in (("one.jsonl", 1), ("two.jsonl", 2)):
        found = start("in.jsonl", "-o", output, "--workers", workers, "--quiet", "--model", bundle)
        assert (found.returncode, found.stderr) == (0, b"")
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()


def test_the_rejects_of_the_output_cannot_be_its_input(run: Run) -> None:
    """Labelling mended rejects in place would delete them: the rejects file of the new output has their name."""
    source = write_json("labels.jsonl.rejects.jsonl", articles())
    content = source.read_bytes()
    code, _, err = run(source, "-o", "labels.jsonl", "--overwrite")
    assert code == 2
    assert len(err) == 1
    assert "is read as input" in err[0]
    assert source.read_bytes() == content


@pytest.mark.parametrize("output", ["labels.csv", "labels.parquet"])
def test_a_table_without_rows_keeps_its_columns(run: Run, output: str) -> None:
    Path("in.csv").write_text("id,isi,penulis\n", encoding="utf-8")
    assert run("in.csv", "-o", output, "--keep-columns")[0] == 0
    names = pq.read_schema(output).names if output.endswith("parquet") else Path(output).read_text().strip().split(",")
    assert names == [*LABEL_COLUMNS, "isi", "penulis"]


def test_the_table_shows_the_headline_not_the_boilerplate(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    Path("a.txt").write_text(f"ADVERTISEMENT\n\n{TITLES[0]}\n{TEXTS[0]}", encoding="utf-8")
    Path("b.txt").write_text(f"<div>ADVERTISEMENT</div><h1>{TITLES[1]}</h1>\n<p>{TEXTS[1]}</p>", encoding="utf-8")
    out = run("a.txt", "b.txt", "--quiet")[1].splitlines()
    assert f"a.txt  {TITLES[0]}" in out[1]
    assert "ADVERTISEMENT" not in out[2]


def test_rows_in_another_encoding_are_told_from_others(run: Run) -> None:
    Path("in.csv").write_bytes("id,isi\n1,Petani padi\n2,Kafé padi\n".encode("latin-1"))
    code, _, err = run("in.csv", "-o", "out.csv")
    assert code == 0
    assert err[-1].endswith("1 are not utf-8: name theirs with --encoding, spreadsheets often have cp1252")
    assert run("in.csv", "-o", "out.csv", "--overwrite", "--encoding", "latin-1")[2][-1].startswith("labelled 2 of 2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--master", "local[2]", "articles.jsonl"], "--master is that of Spark, expected --engine spark"),
        (["--engine", "spark", "articles.jsonl"], "--engine spark writes a folder, expected INPUT and OUTPUT"),
    ],
)
def test_options_of_spark_go_together(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    assert capsys.readouterr().err == f"sektor-predict: {said}\n"
