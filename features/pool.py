"""Processes that share the work on words never seen before with the threads that ask for them.

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
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Final, Generic, Self, TypeVar

Value = TypeVar("Value")

# A new word takes some ten microseconds, most being names that the filter settles; a process begins in a twentieth of
# a second. Where so many words were new, many more are on their way.
WORTH_PROCESSES: Final = 4000  # new words, over all calls of at least `WORTH_ASKING`, after which they are started
WORTH_ASKING: Final = 500  # words; fewer are done sooner than it is their turn
PART: Final = 1000  # words that are handed out at a time
SHARED: Final = 2**16  # words of a lot at most that later ones share; more are not from a batch of news
AHEAD: Final = 4  # parts that a process is given: they last while a thread, at its turn, brings no new ones
_PROGRAM: Final = "import sys; sys.path[:] = sys.argv[1:]; from features.pool_process import serve; serve()"


class WordPool(Generic[Value]):
    """Processes that share the work on words never seen before; a context manager.

    Threads and processes share the cores. A thread works on many articles at once when it is its `turn`, and then asks
    for their new words. So many have a turn as there are cores that processes leave to threads, and half of them at
    least: more would hinder each other, for Python runs one at a time. Whoever waits for its words takes a share in
    the work on them, or on those of others.

    No process is started before thousands of words have been asked for; from then on they stay until the pool is
    closed. Safe under threads. What a process that died was asked for is done here.

    Parameters: work, from words without line breaks to a value for each, which depends on that word alone; every
    process gets a copy of it, by pickle. workers: cores to use; with 1 no process is ever started.
    Raises ValueError if `workers` is below 1.
    """

    def __init__(self, work: Callable[[Sequence[str]], list[Value]], workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers: found {workers}, expected at least 1")
        self.work = work
        self.workers = workers
        # One lock guards all that changes.
        lock = threading.Lock()
        self._more = threading.Condition(lock)  # for the threads of processes: there may be a part to take
        self._moved = threading.Condition(lock)  # for all others: a lot may be done, a turn or a part free
        self._parts: deque[_Part[Value]] = deque()  # that nobody works on
        # Batches that are worked on side by side have many new words in common, and each is asked for once.
        self._lots: deque[Lot[Value]] = deque(maxlen=workers + 2)
        self._asked = 0  # words
        self._processes: list[_Process[Value]] = []
        self._may_start, self._starting = workers > 1, False
        self._turns = 0  # that are taken
        self._coming = 0  # threads that wait for one

    def ask(self, words: Sequence[str]) -> Lot[Value]:
        """Begin to work on distinct words; none or few are done at once."""
        lot: Lot[Value] = Lot(self)
        if not self._worth_asking(len(words)):
            lot.found = dict(zip(words, self.work(words), strict=True))
            return lot
        with self._more:
            own = dict.fromkeys(words)
            for other in self._lots:
                if common := other.words & own.keys():
                    lot.others.append((other, common))
                    for word in common:
                        del own[word]
            lot.words = own.keys()
            left = list(own)
            lot.parts = [_Part(left[first : first + PART]) for first in range(0, len(left), PART)]
            if len(left) <= SHARED:
                self._lots.append(lot)
            self._parts.extend(lot.parts)
            self._more.notify_all()
        return lot

    def map(self, words: Sequence[str]) -> list[Value]:
        """The value of every word, in the order given: what `work` gives for them."""
        found = self.ask(list(dict.fromkeys(words))).values()
        return [found[word] for word in words]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What a thread does with many articles at once; not to be held while it waits for words."""
        with self._moved:
            self._coming += 1
            try:
                self._moved.wait_for(self._is_room)
                self._turns += 1
            finally:
                self._coming -= 1
                self._moved.notify_all()
        try:
            yield
        finally:
            with self._moved:
                self._turns -= 1
                self._moved.notify_all()

    def finish(self, parts: Sequence[_Part[Value]]) -> None:
        """Wait until all these parts are done; until then, help with whatever nobody works on.

        Raises what `work` raised for one of them.
        """
        while True:
            with self._moved:
                while any(part.values is None for part in parts):
                    for part in parts:
                        if part.error is not None:
                            raise part.error
                    # Who has arrays to work on goes first: it brings new words.
                    if self._parts and self._is_room() and not self._coming:
                        break
                    self._moved.wait()
                else:
                    return
                self._turns += 1
                part = self._parts.popleft()
            try:
                part.values = self.work(part.words)
            except Exception as error:
                part.error = error  # for whoever asked for it, who may be another
            finally:
                with self._moved:
                    self._turns -= 1
                    if part.values is None and part.error is None:  # Ctrl-C
                        self._parts.appendleft(part)
                    self._moved.notify_all()

    def _is_room(self) -> bool:
        """Whether one more thread may work: on cores that processes leave to threads, or on half of them at least."""
        busy = sum(process.busy for process in self._processes)
        return self._turns < max(self.workers - busy, self.workers // 2)

    def forget(self, lot: Lot[Value]) -> None:
        """Let no other lot share the words of this one."""
        with self._more, suppress(ValueError):
            self._lots.remove(lot)

    def _worth_asking(self, n_words: int) -> bool:
        """Whether there are processes to ask for so many words; starts them when it is time."""
        if self.workers == 1 or n_words < WORTH_ASKING:
            return False
        with self._more:
            self._asked += n_words
            if not self._may_start or self._asked < WORTH_PROCESSES:
                return bool(self._processes)
            self._may_start = False
            self._starting = True
        self._start()
        return bool(self._processes)

    def _start(self) -> None:
        processes: list[_Process[Value]] = []
        try:
            work = pickle.dumps(self.work)
            for _ in range(self.workers - self.workers // 2):
                processes.append(_Process(work, self._parts, self._more, self._moved))
        except (OSError, RuntimeError):  # no more processes or threads for us: it works without them, too
            _end(processes)
            processes = []
        with self._more:
            if self._starting:
                self._processes, processes = processes, []
        _end(processes)  # the pool was closed meanwhile

    def close(self) -> None:
        """End the processes, if any were started. Whoever still waits for words does the rest of the work."""
        with self._more:
            self._may_start = self._starting = False
            processes, self._processes = self._processes, []
            self._lots.clear()
        _end(processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Part(Generic[Value]):
    """A few words, and their values when they are there, or why they cannot be."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.values: list[Value] | None = None
        self.error: Exception | None = None


class Lot(Generic[Value]):
    """Distinct words that someone asked for, from `WordPool.ask`."""

    def __init__(self, pool: WordPool[Value]) -> None:
        self._pool = pool
        self.found: dict[str, Value] | None = None
        self.words: Set[str] = frozenset()  # that were asked for here first
        self.parts: list[_Part[Value]] = []  # in their order
        self.others: list[tuple[Lot[Value], Set[str]]] = []  # where the other words are

    def values(self) -> dict[str, Value]:
        """The value of each word, once all are there. Safe under threads. Raises what `work` raises."""
        parts, others = self.parts, self.others  # first, for another thread may be about to let go of them
        if self.found is None:
            try:
                self._pool.finish(parts)
            except BaseException:
                self._pool.forget(self)
                raise
            values = chain.from_iterable(part.values or () for part in parts)
            found = dict(zip(self.words, values, strict=True))
            for other, common in others:
                theirs = other.values()
                found.update((word, theirs[word]) for word in common)
            self.found = found
            self.parts, self.others = [], []  # with which go lots that were asked for long ago
        return self.found

    def forget(self) -> None:
        """Let no later lot share these words: for who remembers their values, and seldom asks again."""
        self._pool.forget(self)


class _Process(Generic[Value]):
    """One process, with two threads: one gives it what nobody works on, the other takes its answers in turn.

    Parameters: work, pickled; the other ones are those of the pool.
    """

    def __init__(
        self, work: bytes, parts: deque[_Part[Value]], more: threading.Condition, moved: threading.Condition
    ) -> None:
        self._parts = parts
        self._more = more
        self._moved = moved
        self._given: deque[_Part[Value]] = deque()  # what it has not answered
        self.ready = False
        self.ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *(entry for entry in sys.path if isinstance(entry, str))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # So that Ctrl-C reaches only whoever will close this.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # what Windows has for it
        )
        self._threads: list[threading.Thread] = []  # that run
        try:
            for target, arguments in ((self._take, ()), (self._give, (work,))):
                thread = threading.Thread(target=target, args=arguments, name="words", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # there are too many
            _end([self])
            raise

    @property
    def busy(self) -> bool:
        """Whether it has something to do."""
        return not self.ended and (not self.ready or bool(self._given))

    def _give(self, work: bytes) -> None:
        assert self._process.stdin is not None
        try:
            with suppress(OSError):  # it has died
                self._process.stdin.write(work)
                self._process.stdin.flush()
                while (part := self._next()) is not None:
                    pickle.dump("\n".join(part.words), self._process.stdin)
                    self._process.stdin.flush()
        finally:
            self.kill()  # so that the other thread finds out

    def _next(self) -> _Part[Value] | None:
        with self._more:
            self._more.wait_for(lambda: self.ended or (self.ready and self._parts and len(self._given) < AHEAD))
            if self.ended:
                return None
            part = self._parts.popleft()
            self._given.append(part)
            return part

    def _take(self) -> None:
        assert self._process.stdout is not None
        # Whatever is wrong with what it says (a start-up file of this Python may print, too), it is of no use then.
        with suppress(Exception):
            if pickle.load(self._process.stdout) is None:
                with self._more:
                    self.ready = True
                    self._more.notify_all()
                    self._moved.notify_all()
                while True:
                    values = pickle.load(self._process.stdout)
                    with self._more:
                        if len(values) != len(self._given[0].words):
                            break
                        self._given.popleft().values = values
                        self._more.notify_all()
                        self._moved.notify_all()
        with self._more:
            self.ended = True
            self._parts.extendleft(reversed(self._given))  # for another one to do
            self._given.clear()
            self._more.notify_all()
            self._moved.notify_all()
        self.kill()

    def kill(self) -> None:
        """Have it end."""
        with suppress(OSError):  # Windows refuses where it is about to end
            self._process.kill()

    def close(self) -> None:
        """Wait until it has ended."""
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what it has not read is lost
                pipe.close()
        self._process.wait()


def _end(processes: Sequence[_Process[Any]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.close()
