"""Processes that share the work of stemming words never seen before.

A process is `python -c ...` with two pipes: a line of words comes in, a line of their stems goes out, and the end of
the input ends it. So it imports nothing but the stemmer, whatever script asks for it; Ctrl-C does not reach it; and it
does not outlive the process that started it. (A process pool of the standard library imports the caller's script.)
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Final, Self

from features.stems import stem_words

# Starting two processes costs as much as stemming this many words: most are names, settled by the filter.
WORTH_PROCESSES: Final = 4000  # new words, over all calls of at least `WORTH_ASKING`, after which they are started
WORTH_ASKING: Final = 500  # words; fewer are stemmed sooner than it is their turn
_PROGRAM: Final = "import sys; sys.path[:] = sys.argv[1:]; from features.pool import serve; serve()"


class StemmingPool:
    """Processes that share the work of stemming words never seen before; a context manager.

    No process is started before thousands of words have had to be stemmed; from then on they stay until the
    pool is closed. Safe under threads. What a process that died was asked for is stemmed here.

    Args:
        workers: how many processes, at least 1; with 1 none is ever started.

    Raises:
        ValueError: `workers` is below 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers: found {workers}, expected at least 1")
        self.workers = workers
        self._asked = 0
        self._starting = threading.Lock()
        self._processes: list[_Process] = []

    def stem(self, words: Sequence[str]) -> list[str]:
        """Sastrawi's stem of every token of `[a-z0-9-]`, in the order given."""
        processes = self._started(len(words))
        if not processes:
            return stem_words(words)
        parts = [words[first :: len(processes)] for first in range(len(processes))]
        stems = [""] * len(words)
        with ExitStack() as held:
            # All are asked before the first is waited for. Every thread asks them in the same order, so none is stuck.
            for process, part in zip(processes, parts, strict=True):
                held.enter_context(process.lock)
                process.ask(part)
            for first, (process, part) in enumerate(zip(processes, parts, strict=True)):
                stems[first :: len(processes)] = process.answer(part)
        return stems

    def _started(self, asked: int) -> list[_Process]:
        if self.workers == 1 or asked < WORTH_ASKING:
            return []
        with self._starting:
            self._asked += asked
            if not self._processes and self._asked >= WORTH_PROCESSES:
                self._processes = [_Process() for _ in range(self.workers)]
            return self._processes

    def close(self) -> None:
        """End the processes, if any were started."""
        with self._starting:
            for process in self._processes:
                process.close()
            self._processes = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Process:
    """One process; only who holds `lock` may ask it, and must take the answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *(entry for entry in sys.path if isinstance(entry, str))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            start_new_session=True,  # so that Ctrl-C reaches only whoever will close this
        )

    def ask(self, words: Sequence[str]) -> None:
        """Send words; it begins at once."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
        except OSError:
            return  # it died: there will be no answer

    def answer(self, words: Sequence[str]) -> list[str]:
        """The stems of the words that were sent."""
        assert self._process.stdout is not None
        stems = self._process.stdout.readline().split()
        return stems if len(stems) == len(words) else stem_words(words)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it may have died with a line unread
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def serve() -> None:
    """The work of a process: stems the words of each line of standard input."""
    try:
        for line in sys.stdin:
            print(" ".join(stem_words(line.split())), flush=True)
    except BrokenPipeError:
        os._exit(1)  # whoever asked is gone: at once, before the interpreter tries to write the rest
