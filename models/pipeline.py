"""Reading, working and writing side by side, in order, with a bounded number of items under way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE: Final = 0.2  # seconds to wait for a reader that is not wanted any more; it may be stuck in a read


def in_order(items: Iterable[Item], work: Callable[[Item], Result], workers: int, ahead: int = 1) -> Iterator[Result]:
    """`map(work, items)`: a thread draws the items, `workers` threads work on them, results come in order.

    Parameters: ahead, how many items more than there are workers may be under way, results not yet taken among them.
    An error of `items` or `work` is raised in its turn, after the results before it. Closing the iterator ends it all.
    """
    turns: queue.SimpleQueue[Future[Result] | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(workers + ahead)
    stopped = threading.Event()

    def feed() -> None:
        try:
            drawn = iter(items)
            while room.acquire() and not stopped.is_set():
                try:
                    item = next(drawn)
                except StopIteration:
                    break
                turns.put(threads.submit(work, item))
            turns.put(None)
        except BaseException as error:
            turns.put(error)

    with ThreadPoolExecutor(workers, thread_name_prefix="label") as threads:
        feeder = threading.Thread(target=feed, name="read", daemon=True)
        feeder.start()
        try:
            while (turn := turns.get()) is not None:
                if isinstance(turn, BaseException):
                    raise turn
                yield turn.result()
                del turn  # with the batch it holds
                room.release()
        finally:
            stopped.set()
            room.release()
            feeder.join(PATIENCE)
            threads.shutdown(cancel_futures=True)
