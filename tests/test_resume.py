"""A run of the batch script that was ended, however it was, goes on to the same bytes as one that was not."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.checkpoint import WorkInProgress
from models import batch, progress, samples
from predict import Predictor, main

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = ["labels.jsonl", "labels.csv", "labels.parquet", "labels.jsonl.gz", "labels.csv.zst"]
WORDS = (
    "mobil",
    "listrik",
    "petani",
    "pupuk",
    "padi",
    "harga",
    "ekspor",
    "kimia",
    "pabrik",
    "Wuling",
    "SPKLU",
    "sawit",
)
ROWS = 2500
GO_ON = "rows are done; the same command with --resume goes on from there"

Capture = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(bundle: Path, capsys: Capture) -> Run:
    """Run the script with the small model; gives exit code, standard output and the lines of standard error."""

    def call(*arguments: object) -> tuple[int, str, list[str]]:
        code = main([*map(str, arguments), "--model", str(bundle)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.splitlines()

    return call


def write_articles(path: str = "in.jsonl", rows: int = ROWS, seed: int = 1) -> Path:
    """Short articles of all sectors; one row in 50 is broken, one in 70 has no text."""
    draw = random.Random(seed)
    lines = []
    for number in range(rows):
        text = " ".join(draw.choices(WORDS, k=draw.randrange(3, 12)))
        row = {"id": f"{number:05}", "text": "" if number % 70 == 3 else text, "penulis": f"é, {number}"}
        row["tanggal"] = f"2024-01-{number % 28 + 1:02}"
        lines.append('{"id": broken' if number % 50 == 7 else json.dumps(row))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Path(path)


def files() -> dict[str, bytes]:
    """Everything in the folder, and so that nothing else is."""
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def end_at(monkeypatch: pytest.MonkeyPatch, batch_number: int, error: BaseException) -> list[int]:
    """Have the labelling of so many batches end with an error; gives a list that grows with every batch labelled."""
    label: Callable[..., Any] = Predictor.label
    calls: list[int] = []

    def failing(self: Predictor, *arguments: Any) -> Any:
        calls.append(len(arguments[0]))
        if len(calls) == batch_number:
            raise error
        return label(self, *arguments)

    monkeypatch.setattr(Predictor, "label", failing)
    return calls


ALL = ["--keep-columns", "--workers", "1"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(run: Run, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles()
    assert run("in.jsonl", "-o", output, *ALL)[0] == 0
    expected = files()
    Path(output).unlink(), Path(f"{output}.rejects.jsonl").unlink(), Path(f"{output}.meta.json").unlink()

    with monkeypatch.context() as patched:
        end_at(patched, 5, KeyboardInterrupt())
        code, out, err = run("in.jsonl", "-o", output, *ALL)
    assert (code, out) == (130, "")
    assert err == [
        "sektor-predict: interrupted; 2,048 rows are done; the same command with --resume goes on from there"
    ]
    assert not Path(output).exists()
    assert not Path(f"{output}.rejects.jsonl").exists()

    with monkeypatch.context() as patched:
        calls = end_at(patched, 0, KeyboardInterrupt())
        code, _, err = run("in.jsonl", "-o", output, *ALL, "--resume")
    assert code == 0
    assert len(calls) == 1  # of five batches
    assert err[0].startswith("labelled 2,414 of 2,500 articles")
    assert files() == expected


def test_report_and_review_are_the_same_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ARTICLES", 100)
    write_articles()
    options = ["-o", "labels.csv", "--report", "report.html", "--review", "5", "review.csv", "--workers", "1"]
    assert run("in.jsonl", *options)[0] == 0
    expected = files()
    assert run("in.jsonl", *options)[2][0].endswith("labels.csv: exists already; give another name or --overwrite")
    for path in expected.keys() - {"in.jsonl"}:
        Path(path).unlink()
    with monkeypatch.context() as patched:
        end_at(patched, 3, KeyboardInterrupt())
        assert run("in.jsonl", *options)[0] == 130
    assert not Path("report.html").exists()
    assert run("in.jsonl", *options, "--resume")[0] == 0
    assert files() == expected
    assert len(Path("review.csv").read_text(encoding="utf-8-sig").splitlines()) == 6


@pytest.mark.parametrize(
    ("given", "expected"), [(";", ";"), (",", ","), ("\t", ","), ("sep=;", ";"), ("; and ,", ","), ("jsonl", ",")]
)
def test_a_sheet_for_review_has_the_delimiter_of_the_table_it_is_of(
    run: Run, given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where decimals have a comma, spreadsheet programs save semicolons and open nothing else; also after --resume."""
    write_articles("in.jsonl" if given == "jsonl" else "other.jsonl", rows=1200)
    between = given[-1] if len(given) > 1 else given
    if given != "jsonl":
        rows = "".join(f"{n};petani panen {n}\r\n" for n in range(1200))
        declared = f"{given}\r\n" if given.startswith("sep=") else ""
        Path("in.csv").write_text(f"{declared}id;isi\r\n{rows}".replace(";", between), encoding="utf-8-sig", newline="")
    Path("too.csv").write_text("id;isi\n1;mobil listrik\n")
    inputs = [*(["too.csv"] if " and " in given else []), "in.jsonl" if given == "jsonl" else "in.csv"]
    options = [*inputs, "-o", "labels.csv", "--review", "2", "review.csv", "--workers", "1"]
    with monkeypatch.context() as patched:
        end_at(patched, 2, KeyboardInterrupt())
        assert run(*options)[0] == 130
    assert run(*options, "--resume")[0] == 0
    header = expected.join(["id", "sectors", "how_to_label", "title", "text"])
    assert Path("review.csv").read_text(encoding="utf-8-sig").splitlines()[0] == header


def test_a_full_folder_for_temporary_files_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_articles(rows=20)
    monkeypatch.setattr(samples.ArticleSample, "add", full)
    code, out, err = run("in.jsonl", "--report", "report.html", "--quiet")
    assert (code, out) == (2, "")
    assert re.search(r"sample: cannot be written: no space left on device$", err[-1])
    assert tempfile.gettempdir() in err[-1]


@pytest.mark.parametrize(
    ("summary", "message"),
    [
        ("in.jsonl", "in.jsonl: is read as input, expected another name for the output"),
        ("labels.jsonl", "labels.jsonl: would be written twice, expected different names"),
        (
            "../{here}/labels.jsonl.meta.json",
            "labels.jsonl.meta.json: would be written twice, expected different names",
        ),
        ("nowhere/s.json", "--json-summary nowhere/s.json: expected a file in a folder that is there"),
        (".", "--json-summary .: expected a file in a folder that is there"),
    ],
)
def test_a_summary_takes_no_other_files_place(run: Run, summary: str, message: str) -> None:
    write_articles(rows=20)
    before = files()
    code, out, err = run("in.jsonl", "-o", "labels.jsonl", "--json-summary", summary.format(here=Path().resolve().name))
    assert (code, out, err) == (2, "", [f"sektor-predict: {message}"])
    assert files() == before


def test_no_half_page_of_a_killed_run_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(rows=60)
    options = ["in.jsonl", "-o", "labels.csv", "--report", "[r].html", "--review", "5", "review.csv"]
    with monkeypatch.context() as patched:
        patched.setattr("models.report.write_report", _interrupt)
        assert run(*options)[0] == 130
    for name in (".[r].html-a1b2c3d4.partial", ".review.csv-a1b2c3d4.partial", ".other.html-a1b2c3d4.partial"):
        Path(name).write_text("half")
    assert run(*options, "--resume")[0] == 0
    assert [name for name in files() if name.startswith(".")] == [".other.html-a1b2c3d4.partial"]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_input_that_goes_while_it_is_read_is_labelled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that rotate files take away what is still being read."""
    write_articles()
    rows_of: Callable[..., Any] = batch.read

    def vanishing(path: str, **options: Any) -> Iterator[Any]:
        for rows in rows_of(path, **options):
            Path(path).unlink(missing_ok=True)
            yield rows

    monkeypatch.setattr(batch, "read", vanishing)
    code, _, err = run("in.jsonl", "-o", "labels.jsonl")
    assert (code, err[0][:32]) == (0, "labelled 2,414 of 2,500 articles")


def test_report_and_review_need_no_output(run: Run) -> None:
    write_articles(rows=60)
    code, out, err = run("in.jsonl", "--report", "report.html", "--review", "3", "review.json")
    assert (code, out) == (0, "")
    assert any(line.startswith("labelled 57 of 60 articles: automotive ") for line in err)
    assert {"report.html", "review.json"} < files().keys()
    assert run("in.jsonl", "--report", "report.html")[2] == [
        "sektor-predict: report.html: exists already; give another name or --overwrite"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--threshold", "ev=0.9"], "--threshold was "),
        (["--keep-columns"], "--keep-columns was false, is now true"),
        (["--text-column", "text"], '--text-column was null, is now "text"'),
        (["--encoding", "latin-1"], '--encoding was "utf-8", is now "latin-1"'),
        (["--explain"], "--explain was false, is now true"),
        (["--report", "r.html"], '--report was null, is now "r.html"'),
        (["--review", "9", "r.csv"], '--review was null, is now [9, "r.csv"]'),
        (["other.jsonl"], "the input has changed since"),
    ],
)
def test_another_run_is_not_gone_on_with(
    run: Run, change: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_articles(), write_articles("other.jsonl", seed=2)
    with monkeypatch.context() as patched:
        end_at(patched, 2, KeyboardInterrupt())
        run("in.jsonl", "-o", "labels.jsonl", "--workers", "1")
    before = files()
    code, _, err = run("in.jsonl", "-o", "labels.jsonl", "--workers", "2", "--resume", *change)
    assert (code, len(err)) == (2, 1)
    assert err[0].startswith("sektor-predict: labels.jsonl.partial: cannot be resumed: ")
    assert message in err[0]
    assert files() == before


def test_what_is_left_of_a_run_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles()
    with monkeypatch.context() as patched:
        end_at(patched, 2, KeyboardInterrupt())
        run("in.jsonl", "-o", "labels.jsonl", "--workers", "1")
    code, _, err = run("in.jsonl", "-o", "labels.jsonl")
    assert (code, len(err)) == (2, 1)
    assert "holds 512 rows of a run that did not end; give --resume to go on with it or --overwrite" in err[0]
    assert run("in.jsonl", "-o", "labels.jsonl", "--overwrite")[0] == 0
    assert files().keys() == {"in.jsonl", "labels.jsonl", "labels.jsonl.meta.json", "labels.jsonl.rejects.jsonl"}


def test_there_is_something_to_resume_or_one_line(run: Run) -> None:
    write_articles(rows=10)
    assert run("in.jsonl", "-o", "labels.jsonl", "--resume")[2] == [
        "sektor-predict: labels.jsonl: nothing to resume, there is no labels.jsonl.partial; start without --resume"
    ]
    assert "expected one with -o" in run("in.jsonl", "--resume")[2][0]


def test_one_run_an_output_at_a_time(run: Run) -> None:
    write_articles(rows=10)
    with WorkInProgress(Path("labels.jsonl"), {"input": "x"}, []):
        for option in ([], ["--overwrite"], ["--resume"]):
            code, _, err = run("in.jsonl", "-o", "labels.jsonl", *option)
            assert (code, len(err)) == (2, 1)
            assert f"another run is writing it (process {os.getpid()})" in err[0]


def test_an_input_that_vanishes_is_one_line_and_the_rest_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles("1.jsonl"), write_articles("2.jsonl", rows=10)
    whole = ["1.jsonl", "2.jsonl", "-o", "labels.jsonl", "--workers", "1"]
    assert run(*whole)[0] == 0
    expected = files()
    Path("labels.jsonl").unlink(), Path("labels.jsonl.meta.json").unlink()
    Path("labels.jsonl.rejects.jsonl").unlink()
    label: Callable[..., Any] = Predictor.label

    def vanish(self: Predictor, *arguments: Any) -> Any:
        Path("2.jsonl").unlink(missing_ok=True)
        return label(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "label", vanish)
        code, _, err = run(*whole)
    assert (code, len(err)) == (2, 1)
    assert err[0].startswith("sektor-predict: 2.jsonl: no such file")
    assert err[0].endswith(f"2,500 {GO_ON}")
    write_articles("2.jsonl", rows=10)
    assert run(*whole, "--resume")[0] == 0
    assert files() == expected


def start(*arguments: object, bundle: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "predict.py"), *map(str, arguments), "--model", str(bundle)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


def wait_for(path: str, process: subprocess.Popen[str]) -> None:
    """Until a file is there, or the process has ended."""
    until = time.monotonic() + 60
    while not Path(path).exists() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.parametrize("output", ["labels.jsonl", "labels.parquet"])
def test_a_disk_that_fills_up_is_one_line_and_the_rest_kept(run: Run, bundle: Path, output: str) -> None:
    """As on a full disk: no file may grow beyond some kilobytes."""
    write_articles(rows=4500)
    assert run("in.jsonl", "-o", output, "--workers", "2", "--keep-columns")[0] == 0
    expected = files()
    for path in expected.keys() - {"in.jsonl"}:
        Path(path).unlink()
    with start(
        *("in.jsonl", "-o", output, "--quiet", "--workers", "2", "--keep-columns"),
        bundle=bundle,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    ) as process:
        err = process.communicate()[1]
    assert process.returncode == 2
    assert len(err.splitlines()) == 1
    assert err.startswith(f"sektor-predict: {output}: cannot be written: ")
    assert GO_ON in err
    assert not Path(output).exists()
    assert run("in.jsonl", "-o", output, "--resume", "--keep-columns")[0] == 0
    assert files() == expected


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "int")])
def test_a_run_that_is_told_to_end_says_how_to_go_on(
    run: Run, bundle: Path, number: signal.Signals, code: int, word: str
) -> None:
    write_articles(rows=30_000)
    with start("in.jsonl", "-o", "labels.jsonl", "--quiet", bundle=bundle) as process:
        wait_for("labels.jsonl.partial/state.json", process)
        process.send_signal(number)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert err.startswith(f"sektor-predict: {word}")
    assert err.endswith(f" {GO_ON}\n")
    assert len(err.splitlines()) == 1
    assert run("in.jsonl", "-o", "labels.jsonl", "--resume")[0] == 0
    assert len(Path("labels.jsonl").read_text().splitlines()) == 30_000 - 600 - 429


def test_a_run_that_waits_for_its_input_can_be_interrupted(bundle: Path) -> None:
    with start("-", "-o", "labels.jsonl", bundle=bundle, stdin=subprocess.PIPE) as process:
        wait_for("labels.jsonl.partial", process)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert process.stderr is not None
        assert process.stderr.read() == "sektor-predict: interrupted; no output file was written\n"
    assert process.returncode == 130
    assert files() == {}


def test_a_stream_is_kept_as_far_as_it_came(run: Run, bundle: Path) -> None:
    write_articles(rows=20_000)
    with start("-", "-o", "labels.csv", bundle=bundle, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(Path("in.jsonl").read_text())
        process.stdin.flush()
        wait_for("labels.csv.partial/state.json", process)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        assert process.stderr is not None
        assert (
            process.stderr.read().rstrip().endswith("rows are done, in labels.csv.partial; a stream cannot be resumed")
        )
    assert Path("labels.csv.partial/output").read_text(encoding="utf-8").startswith("id,sectors,primary")
    assert "holds " in run("in.jsonl", "-o", "labels.csv")[2][0]


def test_work_in_progress_in_the_folder_that_is_read_is_no_input(run: Run) -> None:
    Path("in").mkdir()
    write_articles("in/1.jsonl", rows=2100)
    write_articles("in/2.jsonl", rows=10)
    code, _, err = run("in", "-o", "in/labels.jsonl")
    assert code == 0
    assert " of 2,110 articles" in err[0]


# What a run tells


def test_the_output_is_tied_to_what_it_was_made_of(run: Run, predictor: Predictor) -> None:
    write_articles(rows=100)
    run("in.jsonl", "-o", "1.parquet", "--threshold", "ev=0.5")
    run("in.jsonl", "-o", "2.parquet", "--threshold", "ev=0.5", "--workers", "2", "--quiet")
    assert Path("1.parquet").read_bytes() == Path("2.parquet").read_bytes()
    described = json.loads(Path("1.parquet.meta.json").read_text())
    assert json.loads(pq.read_schema("1.parquet").metadata[b"sektor"]) == described
    assert described["thresholds"] == predictor.thresholds | {"ev": 0.5}
    assert described["counts"]["read"] == 100 == described["counts"]["labelled"] + described["counts"]["rejected"]
    assert described["options"]["encoding"] == "utf-8"
    assert len(described["model"]) == 64
    assert {"numpy", "pyarrow", "PySastrawi"} < described["software"].keys()
    write_articles(rows=101)
    run("in.jsonl", "-o", "3.parquet", "--threshold", "ev=0.5")
    assert json.loads(Path("3.parquet.meta.json").read_text())["input"] != described["input"]


@pytest.mark.parametrize("place", ["-", "summary.json"])
def test_the_summary_as_json(run: Run, place: str) -> None:
    write_articles(rows=100)
    code, out, err = run("in.jsonl", "-o", "labels.jsonl", "--json-summary", place, "--quiet")
    assert (code, err) == (0, [])
    found = json.loads(out if place == "-" else Path(place).read_text())
    assert (found["read"], found["labelled"], found["rejected"]) == (100, 96, 4)
    assert list(found["sectors"]) == ["automotive", "ev", "agro", "chemicals", "none"]
    assert found["articles_per_second"] == pytest.approx(100 / found["seconds"], rel=0.1)
    assert (found["output"], found["rejects"]) == ("labels.jsonl", "labels.jsonl.rejects.jsonl")
    assert run("in.jsonl", "-o", "-", "--json-summary", "-")[0] == 2


def test_where_there_is_no_terminal_lines_tell_how_far_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    write_articles()
    err = run("in.jsonl", "-o", "labels.jsonl")[2]
    assert len(err) == 8  # a line a batch, the summary and the rejects
    assert "512 rows, " in err[0]
    assert "/s, automotive " in err[0]
    assert ", rejected 19" in err[0]
    assert run("in.jsonl", "-o", "labels.jsonl", "--overwrite", "--quiet")[2] == []


@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [
        ("86", 0, ""),
        ("85", 2, "86 of 2,500 rows rejected, more than --max-rejects 85, such as in.jsonl:2058: broken JSON"),
        ("0", 2, "19 of 512 rows rejected, more than --max-rejects 0, such as in.jsonl:4: text is empty"),
        ("3%", 2, "36 of 1,024 rows rejected, more than --max-rejects 3%"),
        ("4%", 0, ""),
        ("100%", 0, ""),
        ("some", 2, "--max-rejects some: expected a number of rows or a share of them, as in 100 or 5%"),
        ("-1", 2, "expected a number of rows"),
        ("101%", 2, "expected a number of rows"),
        ("nan%", 2, "expected a number of rows"),
    ],
)
def test_a_run_that_rejects_too_much_is_stopped(run: Run, limit: str, code: int, message: str) -> None:
    write_articles()
    found, _, err = run("in.jsonl", "-o", "labels.jsonl", f"--max-rejects={limit}", "--workers", "1", "--quiet")
    assert found == code
    assert message in "".join(err)
    if "rows rejected" in message:
        assert err[0].endswith(GO_ON)
        assert run("in.jsonl", "-o", "labels.jsonl", "--max-rejects=9999", "--resume")[0] == 0


def test_standard_output_as_csv(run: Run) -> None:
    write_articles(rows=1100)
    out = run("in.jsonl", "-o", "-", "--output-format", "csv")[1]
    run("in.jsonl", "-o", "labels.csv")
    assert out == Path("labels.csv").read_text()
    assert run("in.jsonl", "-o", "labels.csv", "--output-format", "csv")[0] == 2


def test_explanations_stand_beside_the_labels(run: Run, predictor: Predictor) -> None:
    write_articles(rows=20)
    run("in.jsonl", "-o", "labels.jsonl", "--explain", "--keep-columns")
    rows = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert rows[0]["explanation"] == json.loads(json.dumps(predictor.explain(rows[0]["text"]).to_json()))
    assert run("in.jsonl", "--explain")[2] == [
        "sektor-predict: --explain goes with an output or with --text, expected -o or --text"
    ]
    out = run("--text", "Wuling resmikan SPKLU", "--explain")[1]
    assert "ev: score " in out


def test_a_few_articles_start_no_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    write_articles(rows=100)
    assert run("in.jsonl", "-o", "labels.jsonl", "--workers", "4")[0] == 0
    assert run("--text", "Wuling resmikan SPKLU")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("output", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_a_run_killed_at_ten_random_moments_ends_with_the_same_bytes(
    run: Run, bundle: Path, predictor: Predictor, output: str
) -> None:
    write_articles(rows=100_000)
    options = ["--workers", "2", "--keep-columns", "--quiet"]
    with start("in.jsonl", "-o", output, *options, bundle=bundle) as process:
        assert process.wait() == 0
    expected = files()
    for path in expected.keys() - {"in.jsonl"}:
        Path(path).unlink()

    draw = random.Random(output)
    state = Path(f"{output}.partial/state.json")

    def batches() -> int:
        return int(json.loads(state.read_text())["batches"]) if state.exists() else 0

    done = [0]
    for kill in range(10):
        until = done[-1] + (draw.randrange(1, 6) if kill % 4 else 0)  # some are killed while they start
        with start("in.jsonl", "-o", output, *options, *["--resume"][:kill], bundle=bundle) as process:
            wait_for(f"{output}.partial/run.json", process)
            while batches() < until and process.poll() is None:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.1))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        done.append(batches())
    assert done == sorted(done)
    assert len(set(done)) > 5
    with start("in.jsonl", "-o", output, *options, "--resume", bundle=bundle) as process:
        assert process.wait() == 0
    assert files() == expected
    rows = [json.loads(line) for line in Path("in.jsonl").read_text().splitlines() if not line.endswith("broken")]
    labels = predictor.predict([row["text"] for row in rows if row["text"]])
    if output == "labels.jsonl":
        found = [tuple(json.loads(line)["sectors"]) for line in Path(output).read_text().splitlines()]
        assert found == [prediction.sectors for prediction in labels]
