"""Work side by side comes out in order, a few items at a time, and its errors in their turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from models.pipeline import in_order


def slowly(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return -number


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers: int) -> None:
    assert list(in_order(range(50), slowly, workers)) == [-number for number in range(50)]
    assert list(in_order([], slowly, workers)) == []


def test_a_few_items_are_drawn_ahead_and_no_more() -> None:
    drawn = taken = 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal drawn, most
        for number in range(40):
            drawn += 1
            most = max(most, drawn - taken)
            yield number

    for _ in in_order(items(), slowly, 2, ahead=1):
        time.sleep(0.002)
        taken += 1
    assert 1 < most <= 4


def test_an_error_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("gone")

    found = []
    with pytest.raises(OSError, match="gone"):
        found.extend(in_order(items(), slowly, 3))
    run = in_order(items(), slowly, 3)
    assert [next(run), next(run)] == [-1, -2]
    with pytest.raises(OSError, match="gone"):
        next(run)

    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    run = in_order(range(10), work, 2)
    assert [next(run), next(run)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(run)


def test_whoever_stops_leaves_no_thread_behind() -> None:
    run = in_order(range(1000), slowly, 2)
    next(run)
    run.close()
    time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "label"))]
