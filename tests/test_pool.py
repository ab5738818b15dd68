"""Processes that share the work on new words: the same values, nothing lost, nothing left behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.pool
from features.columns import UNKNOWN, WordColumns
from features.pool import WordPool
from features.stems import Stems, stem_words
from tests.test_stems import contract, generated

ROOT = Path(__file__).parents[1]
COLUMNS = WordColumns({"makan": 0, "minum": 1, "mobil": 2, "listrik": 3}, {"astra": ("astra",)})


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools start their processes for the first word, and ask them for the second already, if they are ready."""
    monkeypatch.setattr(features.pool, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(features.pool, "WORTH_ASKING", 1)


@pytest.fixture(scope="module")
def two() -> Iterator[WordPool[tuple[int, ...]]]:
    """Two processes that are there."""
    with pytest.MonkeyPatch.context() as patch, WordPool(COLUMNS, 2) as pool:
        patch.setattr(features.pool, "WORTH_PROCESSES", 1)
        patch.setattr(features.pool, "WORTH_ASKING", 1)
        started(pool)
        yield pool


def started(pool: WordPool[Any]) -> None:
    """Wait until its processes can be asked."""
    deadline = time.monotonic() + 30
    pool.map(["makanan"])
    while not all(process.ready for process in pool._processes):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def words_like(seed: int, n: int) -> list[str]:
    return list(itertools.islice(generated(seed=seed), n))


def test_refuses_no_workers() -> None:
    with pytest.raises(ValueError, match="workers: found 0"):
        WordPool(stem_words, 0)


def test_no_process_for_one_worker_or_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(features.pool.subprocess, "Popen", refuse)
    words = words_like(5, 300)
    expected = [contract(word) for word in words]
    assert WordPool(Stems().stems, 4).map(words) == expected
    monkeypatch.setattr(features.pool, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(features.pool, "WORTH_ASKING", 1)
    assert WordPool(Stems().stems, 1).map(words) == expected
    with pytest.raises(AssertionError, match="a process was started"):
        WordPool(Stems().stems, 2).map(words)


def test_it_takes_many_new_words_to_start_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "WORTH_PROCESSES", 250)
    monkeypatch.setattr(features.pool, "WORTH_ASKING", 100)
    with WordPool(stem_words, 2) as pool:
        for size, n_processes in ((99, 0), (99, 0), (99, 0), (100, 0), (100, 0), (100, 2), (1, 2)):
            words = words_like(6, size)
            assert pool.map(words) == stem_words(words)
            assert len(pool._processes) == n_processes
    assert not pool._processes


@given(st.lists(st.text("aemknrty0-é", min_size=1, max_size=12), max_size=40))
def test_processes_agree(two: WordPool[tuple[int, ...]], words: list[str]) -> None:
    assert two.map([*words, "makanan", "mobil-listrik", "x"]) == [*COLUMNS(words), (0,), (2, 3), (UNKNOWN,)]


def test_threads_agree(two: WordPool[tuple[int, ...]]) -> None:
    asked = [words_like(seed, 50 * seed) for seed in range(1, 9)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(two.map, asked)) == list(map(COLUMNS, asked))


def test_more_words_than_a_pipe_holds(two: WordPool[tuple[int, ...]]) -> None:
    """Two lots of 600 kB are on their way at once, and as much comes back, without anyone waiting for good."""
    words = [f"{word}{number}" for number, word in enumerate(words_like(9, 2000) * 30)]
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(two.map, words) for _ in range(2))
        assert first.result(120) == second.result(120) == COLUMNS(words)


def test_what_is_new_is_shared_and_what_comes_before_they_are_ready_is_done_here(eager: None) -> None:
    with WordPool(work_here_or_there, 2) as pool:
        before = pool.map(["a", "b", "c"])
        started(pool)
        after = pool.map(["a", "b", "c", "d", "e"])
    own = str(os.getpid())
    assert before[0] == own
    assert own not in after
    assert after == [after[0]] * 3 + [after[3]] * 2  # one after the other, in shares that differ by a word at most
    assert after[0] != after[3]


def test_a_process_that_dies_loses_nothing(eager: None) -> None:
    words = words_like(7, 300)
    with WordPool(Stems().stems, 2) as pool:
        assert pool.map(words) == Stems().stems(words)
        started(pool)
        for seed, process in enumerate(pool._processes, 70):
            more = words_like(seed, 300)
            process._process.kill()
            process._process.wait()
            assert pool.map(more) == Stems().stems(more)
            process._reader.join(30)
            assert pool.map(more) == Stems().stems(more)


def test_work_that_fails_there_fails_here(eager: None) -> None:
    """With the error it has, not with that of a process that is gone."""
    with WordPool(fails, 2) as pool:
        assert pool.map(["a"]) == ["a"]
        started(pool)
        with pytest.raises(LookupError, match="no zat"):
            pool.map(["a", "zat"])
        assert pool.map(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("said", ["print('good morning')", "import os, pickle; os.write(1, pickle.dumps(None))"])
def test_a_start_up_file_that_prints_spoils_nothing(
    eager: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"{said}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WordPool(stem_words, 2) as pool:
        assert pool.map(["makanan"]) == ["makan"]
        started(pool)
        assert pool.map(["makanan", "minuman", "menyapu"]) == ["makan", "minum", "sapu"]


def test_closing_waits_for_no_process_that_begins(eager: None) -> None:
    with WordPool(stem_words, 2) as pool:
        pool.map(["makanan"])
        processes = pool._processes
    assert len(processes) == 2
    assert all(process._process.returncode is not None for process in processes)


def test_processes_end_with_the_pool_and_with_their_parent(tmp_path: Path) -> None:
    """A script needs no guard, its processes do not import it, and they are gone when it is, whatever ended it."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import os, signal, time\n"
        "from features import pool, stems\n"
        "print('imported', flush=True)\n"
        "pool.WORTH_PROCESSES = pool.WORTH_ASKING = 1\n"
        "two = pool.WordPool(stems.stem_words, 2)\n"
        "print(two.map(['makanan', 'minuman']), flush=True)\n"
        "while not all(each.ready for each in two._processes):\n"
        "    time.sleep(0.01)\n"
        "print(two.map(['menyapu', 'berlari']), flush=True)\n"
        "print(*(each._process.pid for each in two._processes), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, timeout=60, env=environment)
    once, stems, more, pids = run.stdout.splitlines()
    assert (once, stems, more) == ("imported", "['makan', 'minum']", "['sapu', 'lari']")
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and not ended(pid) for pid in pids.split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(pid: str) -> bool:
    """Whether a process has ended, even if nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_process_imports_little() -> None:
    """Each begins with what works on words, without numpy and Arrow, or the distributions' metadata."""
    code = (
        "import sys, features.pool_process, features.columns\n"
        "print(*{'numpy', 'pyarrow', 'importlib.metadata', 'features.pool'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "\n"


def work_here_or_there(words: Sequence[str]) -> list[str]:
    return [str(os.getpid()) for _ in words]


def fails(words: Sequence[str]) -> list[str]:
    if "zat" in words:
        raise LookupError("no zat")
    return list(words)
