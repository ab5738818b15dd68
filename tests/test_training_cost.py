"""benchmarks.training: what its figures mean, and what it calls missed."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import training
from benchmarks.measure import Finished
from benchmarks.training import Cost, Reading, growth, main, missed, table

SMALL = Cost(1_500, 3_500_000, Reading(0.1, 0.2, 1_500), 10.0, 250_000_000)


def cost(articles: int, seconds: float, kept: int | None = None, peak: int | None = 10**9) -> Cost:
    return Cost(articles, 2_400 * articles, Reading(1.0, 2.0, articles if kept is None else kept), seconds, peak)


@given(st.lists(st.integers(1_000, 10**7), min_size=2, max_size=6, unique=True).map(sorted), st.floats(1e-6, 1))
def test_growth_is_one_where_time_is_n_log_n(sizes: list[int], seconds: float) -> None:
    costs = [cost(n, seconds * n * math.log(n)) for n in sizes]
    assert all(growth(*two) == pytest.approx(1) for two in pairwise(costs))
    squares = [cost(n, seconds * n * n) for n in sizes]
    assert all(growth(*two) > 1 for two in pairwise(squares))


def test_table_has_a_line_a_size() -> None:
    head, _, *lines = table([SMALL, cost(15_000, 95.0, kept=14_925, peak=None)]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *lines)]
    assert cells[1] == ["1,500", "4", "100.0%", "0.1", "0.2", "2.0%", "10", "150", "-", "250"]
    assert cells[2] == ["15,000", "36", "99.5%", "1.0", "2.0", "2.1%", "95", "158", "0.72", "-"]
    assert len(cells[0]) == len(cells[1])


@pytest.mark.parametrize(
    ("costs", "found"),
    [
        ([SMALL], []),
        ([SMALL, cost(15_000, 100.0), cost(150_000, 900.0, peak=4 * 10**9)], []),
        ([cost(1_500, 10.0, kept=1_400)], ["1,500 articles: 93.3% survive de-duplication, expected at least 95%"]),
        ([SMALL, cost(15_000, 140.0)], ["15,000 articles: 1.06 times what n log n lets expect, expected at most 1"]),
        ([cost(150_000, 901.0)], ["150,000 articles: 901 s, expected at most 900"]),
        ([cost(150_000, 900.0, peak=5 * 10**9)], ["150,000 articles: 5,000 MB, expected at most 4,000"]),
        ([cost(300_000, 2_000.0, peak=5 * 10**9)], []),
    ],
)
def test_what_is_missed_is_said(costs: list[Cost], found: list[str]) -> None:
    assert missed(costs) == found


def test_reading_is_measured_as_training_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": " ".join(f"kata{number}x{place}" for place in range(50)), "sectors": ["ev"]} for number in (0, 1, 2, 1)
    ]
    path = tmp_path / "articles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["--read", str(path)]) == 0
    found = Reading(**json.loads(capsys.readouterr().out))
    assert found.kept == 3
    assert min(found.read, found.deduplicate) > 0


def test_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are those of the documentation, each size has its line, and files are removed."""
    commands: list[list[str]] = []

    def run(command: list[str | Path], *, watch: bool = False, budget: float = 3600) -> Finished:
        words = list(map(str, command))[1:]
        commands.append(words)
        if "benchmarks.generate" in words:
            Path(words[-1]).write_text("{}\n" * int(words[2]), encoding="utf-8")
        output = json.dumps({"read": 1.0, "deduplicate": 2.0, "kept": 1_500}) if "--read" in words else ""
        return Finished(30.0, 10**9 if watch else None, output)

    monkeypatch.setattr(training, "run", run)
    result = tmp_path / "result.json"
    assert main(["--sizes", "1500", "--jobs", "2", "--folder", str(tmp_path), "--json", str(result)]) == 0
    assert [words[0] for words in commands] == ["-m", "-m", "train.py"]
    assert {"--no-bundled", "--no-tracking", "--output"} <= set(commands[2])
    assert list(tmp_path.iterdir()) == [result]
    assert json.loads(result.read_text(encoding="utf-8"))["costs"][0]["seconds"] == 30.0
    printed = capsys.readouterr().out
    assert "1,500" in printed.splitlines()[4]
    assert "Nothing missed." in printed


@pytest.mark.parametrize("size", ["0", "-5", "x", "999"])
def test_sizes_too_small_to_train_on_are_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--sizes", size])
    assert "expected" in capsys.readouterr().err
