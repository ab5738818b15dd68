from __future__ import annotations

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.memo import Memo


def test_answers_what_was_stored() -> None:
    memo: Memo[int] = Memo(10)
    memo.update({"a": 1, "b": 0})
    assert (memo.get("a"), memo.get("b"), memo.get("c")) == (1, 0, None)


def test_fixed_entries_answer_first_and_stay() -> None:
    memo: Memo[int] = Memo(2, {"a": 1})
    memo.update({"a": 99})
    memo.update({str(number): number for number in range(50)})
    assert memo.get("a") == 1


@given(st.integers(1, 6), st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=20))
def test_bound_holds_and_no_value_is_wrong(limit: int, batches: list[list[int]]) -> None:
    memo: Memo[int] = Memo(limit, {"fixed": -1})
    for batch in batches:
        memo.update({str(number): number for number in batch})
        assert len(memo) <= 2 * limit + 1
        for number in range(31):
            assert memo.get(str(number)) in (None, number)
            assert len(memo) <= 2 * limit + 1


def test_frequent_word_survives() -> None:
    memo: Memo[int] = Memo(10)
    memo.update({"often": 1, "once": 2})
    for number in range(1000):
        memo.update({f"rare{number}": number})
        assert memo.get("often") == 1
    assert memo.get("once") is None


def test_one_large_update_keeps_the_last_entries() -> None:
    memo: Memo[int] = Memo(10)
    memo.update({str(number): number for number in range(1000)})
    assert len(memo) <= 20
    assert [memo.get(str(number)) for number in range(990, 1000)] == list(range(990, 1000))


def test_threads_never_see_a_wrong_value() -> None:
    memo: Memo[int] = Memo(50)
    wrong: list[tuple[str, int]] = []

    def hammer(seed: int) -> None:
        for step in range(4000):
            number = (step * (7 + seed)) % 300
            value = memo.get(str(number))
            if value is None:
                memo.update({str(number): number})
            elif value != number:
                wrong.append((str(number), value))

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(memo) <= 100


def test_pickled_copy_keeps_limit_and_fixed_entries() -> None:
    memo: Memo[int] = Memo(3, {"a": 1})
    memo.update({"b": 2})
    copy: Memo[int] = pickle.loads(pickle.dumps(memo))
    assert (copy.limit, copy.get("a"), copy.get("b")) == (3, 1, None)


def test_refuses_a_limit_below_one() -> None:
    with pytest.raises(ValueError, match="found 0, expected at least 1"):
        Memo(0)
