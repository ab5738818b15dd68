"""Processes that share the work on words never seen before.

A process is `python -c ...` with two pipes: words come in, what is wanted of them goes out, and the end of the input
ends it (see `features.pool_process`). So it imports nothing but what works on words, whatever script asks for it;
Ctrl-C does not reach it; and it does not outlive the process that started it. (A process pool of the standard library
imports the caller's script.)
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Generic, Self, TypeVar

Value = TypeVar("Value")

# A new word takes some ten microseconds, most being names that the filter settles; a process begins in a tenth of a
# second. Where so many words were new, many more are on their way.
WORTH_PROCESSES: Final = 4000  # new words, over all calls of at least `WORTH_ASKING`, after which they are started
WORTH_ASKING: Final = 500  # words; fewer are done sooner than it is their turn
_PROGRAM: Final = "import sys; sys.path[:] = sys.argv[1:]; from features.pool_process import serve; serve()"


class WordPool(Generic[Value]):
    """Processes that share the work on words never seen before; a context manager.

    No process is started before thousands of words have been asked for; from then on they stay until the pool is
    closed. Safe under threads. What a process is not there for, or no longer, is done here.

    Parameters: work, from words without line breaks to a value for each, which depends on that word alone; every
    process gets a copy of it, by pickle. workers: how many processes; with 1 none is ever started.
    Raises ValueError if `workers` is below 1.
    """

    def __init__(self, work: Callable[[Sequence[str]], list[Value]], workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers: found {workers}, expected at least 1")
        self.work = work
        self.workers = workers
        self._asked = 0
        self._starting = threading.Lock()
        self._processes: list[_Process[Value]] = []

    def map(self, words: Sequence[str]) -> list[Value]:
        """The value of every word, in the order given: what `work` gives for them."""
        processes = self._started(len(words))
        if not processes:
            return self.work(words)
        values: list[Value] = []
        while len(values) < len(words) and not all(process.ready for process in processes):
            values += self.work(words[len(values) : len(values) + WORTH_ASKING])
        left = words[len(values) :]
        size = -(-len(left) // len(processes))
        shares = [left[size * number : size * (number + 1)] for number in range(len(processes))]
        answers = [process.ask(share) for process, share in zip(processes, shares, strict=True)]
        for share, answer in zip(shares, answers, strict=True):
            try:
                values += answer.result()
            except _Died:
                values += self.work(share)
        return values

    def _started(self, asked: int) -> list[_Process[Value]]:
        """The processes, if so many words make it worth while to ask them."""
        if self.workers == 1 or asked < WORTH_ASKING:
            return []
        with self._starting:
            self._asked += asked
            if not self._processes and self._asked >= WORTH_PROCESSES:
                work = pickle.dumps(self.work)
                self._processes = [_Process(work) for _ in range(self.workers)]
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


class _Died(Exception):
    """A process ended before it answered."""


class _Process(Generic[Value]):
    """One process, which any number of threads may ask; it answers one after the other.

    Parameters: work, pickled. ready: whether it can be asked by now.
    """

    def __init__(self, work: bytes) -> None:
        self.ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *(entry for entry in sys.path if isinstance(entry, str))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only whoever will close this
        )
        self._asking = threading.Lock()
        self._asked: deque[tuple[int, Future[list[Value]]]] = deque()  # of how many words, and what will be said
        self._died = False
        # It takes each answer as soon as it is there, so that the process, and who writes to it, never wait for good.
        self._reader = threading.Thread(target=self._read, args=(work,), name="words", daemon=True)
        self._reader.start()

    def ask(self, words: Sequence[str]) -> Future[list[Value]]:
        """The values of some words, when they are there; raises `_Died` instead if they never will be."""
        assert self._process.stdin is not None
        answer: Future[list[Value]] = Future()
        with self._asking:
            if self._died:
                answer.set_exception(_Died())
            elif not words:
                answer.set_result([])
            else:
                self._asked.append((len(words), answer))
                with suppress(OSError):  # it has died, as the reader is about to find out
                    pickle.dump("\n".join(words), self._process.stdin)
                    self._process.stdin.flush()
        return answer

    def _read(self, work: bytes) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Whatever is wrong with what it says (a start-up file of this Python may print, too), it is of no use then.
        with suppress(Exception):
            self._process.stdin.write(work)
            self._process.stdin.flush()
            self.ready = pickle.load(self._process.stdout) is None
            while self.ready:
                values = pickle.load(self._process.stdout)
                n_words, answer = self._asked[0]
                if len(values) != n_words:
                    break
                self._asked.popleft()
                answer.set_result(values)
        self._process.kill()
        with self._asking:
            self._died = self.ready = True
        for _, answer in self._asked:
            answer.set_exception(_Died())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what it has not read is lost
                pipe.close()
        self._process.wait()
