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
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from queue import SimpleQueue
from typing import Final, Self

from features.stems import stem_words

# A new word takes some ten microseconds, most being names that the filter settles; a process begins in a tenth of a
# second. Where so many words were new, many more are on their way.
WORTH_PROCESSES: Final = 4000  # new words, over all calls of at least `WORTH_ASKING`, after which they are started
WORTH_ASKING: Final = 500  # words; fewer are stemmed sooner than it is their turn. So many are sent at a time
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
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._askers: ThreadPoolExecutor | None = None
        self._sharing = threading.Lock()
        # Batches that are stemmed side by side have many new words in common, and each is asked for once: a word may
        # be looked for in the memo, asked for by another thread, and back, before it is asked for here.
        self._calls: deque[_Call] = deque(maxlen=workers + 2)

    def stem(self, words: Sequence[str]) -> list[str]:
        """Sastrawi's stem of every token of `[a-z0-9-]`, in the order given."""
        askers = self._started(len(words))
        if askers is None:
            return stem_words(words)
        stem_of: dict[str, str] = {}
        with self._sharing:
            own = dict.fromkeys(words)
            shared: list[tuple[_Call, set[str]]] = []
            for call in self._calls:
                if common := call.places.keys() & own.keys():
                    shared.append((call, common))
                    for word in common:
                        del own[word]
            last = _Call(list(own), self._ask, askers)
            if own:
                self._calls.append(last)
        for call, its in (*shared, (last, last.places)):
            stems = call.stems()
            stem_of.update((word, stems[call.places[word]]) for word in its)
        return [stem_of[word] for word in words]

    def _ask(self, words: Sequence[str]) -> list[str]:
        process = self._idle.get()  # never waits: there are as many askers as processes
        try:
            return process.stem(words)
        finally:
            self._idle.put(process)

    def _started(self, asked: int) -> ThreadPoolExecutor | None:
        if self.workers == 1 or asked < WORTH_ASKING:
            return None
        with self._starting:
            self._asked += asked
            if self._askers is None and self._asked >= WORTH_PROCESSES:
                self._processes = [_Process() for _ in range(self.workers)]
                for process in self._processes:
                    self._idle.put(process)
                self._askers = ThreadPoolExecutor(self.workers, thread_name_prefix="stem")
            return self._askers

    def close(self) -> None:
        """End the processes, if any were started."""
        with self._starting:
            if self._askers is not None:
                self._askers.shutdown(cancel_futures=True)
                self._askers = None
            for process in self._processes:
                process.close()
            self._calls.clear()
            self._processes, self._idle = [], SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Call:
    """Distinct words that are being stemmed, or were just now.

    places: each word's place in `stems`.
    """

    def __init__(self, words: list[str], ask: Callable[[Sequence[str]], list[str]], askers: Executor) -> None:
        self.places = dict(zip(words, range(len(words)), strict=True))
        # In small parts, so that no process is idle while another still has several to go, whoever asked for them.
        parts = [words[first : first + WORTH_ASKING] for first in range(0, len(words), WORTH_ASKING)]
        self._parts = [askers.submit(ask, part) for part in parts]

    def stems(self) -> list[str]:
        """The stem of every word, once it is there."""
        return list(chain.from_iterable(part.result() for part in self._parts))


class _Process:
    """One process, which one thread at a time may ask."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *(entry for entry in sys.path if isinstance(entry, str))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            start_new_session=True,  # so that Ctrl-C reaches only whoever will close this
        )

    def stem(self, words: Sequence[str]) -> list[str]:
        """The stems of some words, in order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
        except OSError:
            return stem_words(words)  # it died
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
    if sys.platform == "linux":
        # A core that goes to and fro between this and whoever asks forgets what it had in its cache.
        with suppress(OSError):  # some sandboxes do not allow it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        for line in sys.stdin:
            print(" ".join(stem_words(line.split())), flush=True)
    except BrokenPipeError:
        os._exit(1)  # whoever asked is gone: at once, before the interpreter tries to write the rest
