"""Processes that share the work on new words: the same values, nothing lost, nothing left behind."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    with pytest.MonkeyPatch.context() as patch, WordPool(COLUMNS, 3) as pool:
        patch.setattr(features.pool, "WORTH_PROCESSES", 1)
        patch.setattr(features.pool, "WORTH_ASKING", 1)
        started(pool)
        yield pool


def started(pool: WordPool[Any]) -> None:
    """Wait until its processes can be asked, or have ended."""
    deadline = time.monotonic() + 30
    pool.map(["makanan"])
    while not all(process.ready or process.ended for process in pool._processes):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def words_like(seed: int, n: int) -> list[str]:
    """Distinct words, most of them new to everyone."""
    found: dict[str, None] = {}
    for word in generated(seed=seed):
        found[word] = None
        if len(found) == n:
            break
    return list(found)


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
        for size, n_processes in ((99, 0), (99, 0), (99, 0), (100, 0), (100, 0), (100, 1), (1, 1)):
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


def test_more_than_a_pipe_holds(eager: None) -> None:
    """Parts of two megabytes go there and come back, without anyone waiting for good."""
    words = [f"{number}{'xa' * 1000}" for number in range(3000)]
    with WordPool(Stems(memo_size=1).stems, 2) as pool, ThreadPoolExecutor(2) as threads:
        started(pool)
        first, second = (threads.submit(pool.map, words) for _ in range(2))
        assert first.result(60) == second.result(60) == [(word,) for word in words]


def test_who_asks_takes_a_share_and_all_of_it_until_the_processes_are_there(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.pool, "PART", 1)
    own = str(os.getpid())
    with WordPool(slowly, 3) as pool:
        assert pool.map(["a"]) == [own]
        started(pool)
        by = pool.map([f"a{number}" for number in range(100)])
    assert len(set(by)) == 3
    assert own in by


def test_what_several_ask_for_at_once_is_worked_on_once(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "_Process", Idle)
    worked_on: list[str] = []

    def work(words: Sequence[str]) -> list[str]:
        worked_on.extend(words)
        return [word.upper() for word in words]

    pool = WordPool(Work(work), 2)
    words = words_like(8, 200)
    first, second, third = pool.ask(words[:100]), pool.ask(words[50:150]), pool.ask(words)
    for asked, lot in ((words, third), (words[:100], first), (words[50:150], second)):
        assert lot.values() == {word: word.upper() for word in asked}
    assert sorted(worked_on) == sorted(words)
    # What has just come back may not be remembered by whoever asks for it next, but it is not kept for ever.
    assert pool.map(words[:10]) == [word.upper() for word in words[:10]]
    assert len(worked_on) == 200
    for number in range(9):
        pool.map([str(number)])
    pool.map(words[:10])
    assert len(worked_on) == 219


@pytest.mark.parametrize(
    ("workers", "busy", "at_once"), [(2, 1, 1), (2, 0, 2), (3, 2, 1), (4, 2, 2), (5, 1, 4), (5, 3, 2)]
)
def test_so_many_threads_work_as_processes_leave_cores(
    eager: None, monkeypatch: pytest.MonkeyPatch, workers: int, busy: int, at_once: int
) -> None:
    monkeypatch.setattr(features.pool, "_Process", Idle)
    pool = WordPool(Work(list), workers)
    pool.map(["a"])
    for process in pool._processes[:busy]:
        process.busy = True  # type: ignore[misc]
    now, most = [0], [0]

    def work() -> None:
        with pool.turn():
            now[0] += 1
            most[0] = max(most[0], now[0])
            time.sleep(0.01)
            now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most[0] == at_once


def test_without_processes_all_cores_are_for_threads() -> None:
    pool = WordPool(stem_words, 3)
    with pool.turn(), pool.turn(), pool.turn():
        assert pool.map(["makanan"]) == ["makan"]


def test_a_process_that_dies_loses_nothing(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "PART", 10)
    words = words_like(7, 300)
    with WordPool(Stems().stems, 3) as pool:
        assert pool.map(words) == Stems().stems(words)
        started(pool)
        for seed, process in enumerate(pool._processes, 70):
            more = words_like(seed, 300)
            process._process.kill()
            assert pool.map(more) == Stems().stems(more)
            process._process.wait()
            assert pool.map(words) == Stems().stems(words)


def test_a_process_that_dies_at_work_loses_nothing(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "PART", 10)
    words = [f"a{number}" for number in range(400)]
    with WordPool(dies_elsewhere_of("a77", os.getpid()), 2) as pool:
        pool.map(["a"])
        started(pool)
        assert pool.map(words) == words
        assert pool.map(words[::-1]) == words[::-1]


def test_work_that_fails_there_fails_here(eager: None) -> None:
    """With the error it has, not with that of a process that is gone."""
    with WordPool(fails, 2) as pool:
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


def test_where_no_process_can_be_started_it_works_without(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def first_only(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if started:
            raise BlockingIOError("Resource temporarily unavailable")
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(features.pool.subprocess, "Popen", first_only)
    with WordPool(stem_words, 4) as pool:
        assert pool.map(["makanan", "minuman"]) == pool.map(["makanan", "minuman"]) == ["makan", "minum"]
        assert not pool._processes
    assert len(started) == 1
    assert started[0].returncode is not None


def test_an_interrupt_or_an_error_concerns_its_own_words_alone(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "_Process", Idle)
    raised: list[BaseException] = [KeyboardInterrupt()]

    def work(words: Sequence[str]) -> list[str]:
        if raised and {"zat", "zut"} & {*words}:
            raise raised.pop(0)
        return list(words)

    pool = WordPool(Work(work), 2)
    with pytest.raises(KeyboardInterrupt):
        pool.map(["a", "zat"])
    assert pool.map(["a", "zat"]) == ["a", "zat"]
    raised.append(LookupError("no zat"))
    with pytest.raises(LookupError, match="no zat"):
        pool.map(["c", "zut", "b"])
    assert pool.map(["a", "b"]) == ["a", "b"]
    assert pool.map(["a", "zut"]) == ["a", "zut"]


def test_who_waits_when_the_pool_is_closed_does_the_rest(eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.pool, "PART", 1)
    with ThreadPoolExecutor(1) as threads:
        with WordPool(functools.partial(_sleeps, os.getpid()), 2) as pool:
            started(pool)
            lot = threads.submit(pool.map, ["a", "b", "c"])
            deadline = time.monotonic() + 30
            while not pool._processes[0].busy:
                assert time.monotonic() < deadline
        assert lot.result(30) == ["a", "b", "c"]
        assert pool.map(["d", "e"]) == ["d", "e"]
        assert not pool._processes


def test_closing_waits_for_no_process_that_begins(eager: None) -> None:
    with WordPool(stem_words, 2) as pool:
        pool.map(["makanan"])
        processes = pool._processes
    assert len(processes) == 1
    assert all(process._process.returncode is not None for process in processes)


def test_processes_end_with_the_pool_and_with_their_parent(tmp_path: Path) -> None:
    """A script needs no guard, its processes do not import it, and they are gone when it is, whatever ended it."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import os, signal, time\n"
        "from features import pool, stems\n"
        "print('imported', flush=True)\n"
        "pool.WORTH_PROCESSES = pool.WORTH_ASKING = 1\n"
        "two = pool.WordPool(stems.stem_words, 3)\n"
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


class Idle:
    """A process that never begins."""

    busy = ready = ended = False

    def __init__(self, *_: object) -> None:
        pass


class Work:
    """Any function, as work that is never sent anywhere."""

    def __init__(self, function: Callable[[Sequence[str]], list[str]]) -> None:
        self.function = function

    def __call__(self, words: Sequence[str]) -> list[str]:
        return self.function(words)

    def __reduce__(self) -> tuple[type[list[str]], tuple[()]]:
        return list, ()


def slowly(words: Sequence[str]) -> list[str]:
    """Who does it: the number of the process."""
    time.sleep(0.005)
    return [str(os.getpid()) for _ in words]


def dies_elsewhere_of(word: str, here: int) -> Callable[[Sequence[str]], list[str]]:
    return functools.partial(_dies, word, here)


def _dies(word: str, here: int, words: Sequence[str]) -> list[str]:
    if word in words and os.getpid() != here:
        os._exit(3)
    return list(words)


def _sleeps(here: int, words: Sequence[str]) -> list[str]:
    time.sleep(0.05 if os.getpid() == here else 60)
    return list(words)


def fails(words: Sequence[str]) -> list[str]:
    if "zat" in words:
        raise LookupError("no zat")
    return list(words)
