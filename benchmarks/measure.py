"""Time and memory of fresh processes."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from data.reader import TEXT_COLUMNS, TITLE_COLUMNS, ReadError, find_column, read

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLE_EVERY: Final = 0.02  # seconds
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_IO_THREADS"), "1"
)
MEGABYTE: Final = 1e6


class OverBudget(RuntimeError):
    """A process took longer than it was given."""


class Failed(RuntimeError):
    """A process failed; the message is the last line it wrote to standard error."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended well.

    seconds: wall time from its start to its end. peak: the largest sum of the proportional set sizes of it and all
    processes under it, in bytes; None where it was not watched or the system does not tell. output: of standard output.
    """

    seconds: float
    peak: int | None
    output: str


def run(
    command: Sequence[str | Path],
    *,
    watch: bool = False,
    every: float = SAMPLE_EVERY,
    budget: float = 3600,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a command in a fresh process, in the root of the repository.

    Parameters: watch, whether to sample its memory (a fresh process that is timed is better not watched, or seldom);
    every, seconds between samples; budget, seconds after which it is ended; environment, variables beside those of
    this process.
    Raises OverBudget, Failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        start = perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        over = threading.Event()

        def end() -> None:
            over.set()
            _kill(process)

        timer = threading.Timer(budget, end)
        timer.start()
        watcher = _Watcher(process.pid, every) if watch else None
        try:
            code = process.wait()
            seconds = perf_counter() - start
        finally:
            timer.cancel()
            if watcher is not None:
                watcher.stop()
            if process.poll() is None:
                _kill(process)
                process.wait()
        out.seek(0)
        err.seek(0)
        if over.is_set():
            raise OverBudget(f"over {budget:g} s")
        if code:
            lines = err.read().strip().splitlines()
            raise Failed(lines[-1] if lines else f"ended with code {code}")
        return Finished(seconds, None if watcher is None else watcher.peak or None, out.read())


def python(*arguments: str | Path) -> list[str | Path]:
    """The command that runs this Python with these arguments."""
    return [sys.executable, *arguments]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started: it leads a process group of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Watcher:
    """Samples the memory of a process and all processes under it, in a thread."""

    def __init__(self, pid: int, every: float):
        self.peak = 0
        self._pid = pid
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(self._every):
            self.peak = max(self.peak, tree_pss(self._pid))

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


def tree_pss(pid: int) -> int:
    """The proportional set sizes of a process and all processes under it, summed, in bytes; 0 where /proc lacks them.

    A page shared by k processes counts 1/k in each, so that the sum counts it once (proc(5), smaps_rollup).
    """
    return sum(map(_pss, family(pid)))


def _pss(pid: int) -> int:
    # A process may be gone by now: it counts nothing.
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def family(pid: int) -> list[int]:
    """The process and all processes under it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def peak_text(peak: int | None) -> str:
    """A peak for a table, in MB."""
    return "-" if peak is None else f"{peak / MEGABYTE:,.0f}"


def median(values: Sequence[float]) -> float:
    """The median; nan of nothing."""
    return statistics.median(values) if values else float("nan")


def cpus() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_articles(path: Path) -> list[str]:
    """The articles of any file that predict.py reads, each as one string with its title on the first line.

    Raises data.reader.ReadError for a file that cannot be read or has no text column; rows that cannot be read are left
    out.
    """
    articles: list[str] = []
    for batch in read(path):
        if not len(batch):
            continue
        columns = list(batch.columns)
        text = find_column(columns, None, TEXT_COLUMNS, "text")
        title = find_column(columns, None, TITLE_COLUMNS, "title")
        if text is None:
            raise ReadError(f"{path}: found no text column among {', '.join(columns)}")
        bodies = batch.column(text).to_pylist()
        heads = [""] * len(bodies) if title is None else batch.column(title).to_pylist()
        articles += [f"{head}\n{body or ''}" if head else body or "" for head, body in zip(heads, bodies, strict=True)]
    return articles
