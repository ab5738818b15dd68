from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.table import HashTable

MISSING = -7
members = st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1))


def rows(of: list[tuple[int, ...]], width: int) -> np.ndarray:
    return np.array(of, np.uint64).reshape(-1, width)


@pytest.mark.parametrize("width", [2, 4])
@given(data=st.data())
def test_is_a_dictionary(width: int, data: st.DataObject) -> None:
    keys = st.tuples(*[members] * width)
    entries: dict[tuple[int, ...], int] = data.draw(st.dictionaries(keys, st.integers(-5, 5)))
    table = HashTable(rows(list(entries), width), np.array(list(entries.values()), np.int32), MISSING)
    asked = [*data.draw(st.lists(keys)), *entries, *(key[::-1] for key in entries)]
    found = table.get(rows(asked, width))
    assert found.tolist() == [entries.get(key, MISSING) for key in asked]
    assert found.dtype == np.int32
    places, values = table.find(rows(asked, width))
    assert places.tolist() == [place for place, key in enumerate(asked) if key in entries]
    assert (values == found[places]).all()
    assert values.dtype == np.int32
    assert table.keys.tolist() == [list(key) for key in entries]
    assert table.values.tolist() == list(entries.values())
    assert len(table) == len(entries)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize(
    "spread",
    [
        lambda numbers: numbers,
        lambda numbers: numbers * 4096,
        lambda numbers: numbers << 15 if numbers.dtype == np.uint32 else numbers << 47,
    ],
    ids=["low bits", "middle bits", "high bits"],
)
@pytest.mark.parametrize("size", [1, 5, 6, 7, 13, 102, 1638, 26_214, 30_000])
def test_is_a_dictionary_of_many_keys(
    size: int, spread: Callable[[np.ndarray], np.ndarray], dtype: type[np.unsignedinteger]
) -> None:
    """Sizes that fill a table as far as it goes, and keys in rows that differ in few bits; 0 is one like any other."""
    numbers = np.append(0, 1 + np.random.default_rng(size).permutation(89_999)[: size - 1])
    everything = spread(np.arange(90_000, dtype=dtype))
    table = HashTable(everything[numbers], numbers, MISSING)
    expected = np.full(90_000, MISSING)
    expected[numbers] = numbers
    assert (table.get(everything) == expected).all()
    places, values = table.find(everything)
    assert places.tolist() == sorted(numbers)
    assert (values == expected[places]).all()


@pytest.mark.parametrize("width", [2, 4])
def test_keys_that_differ_in_the_upper_bits_of_their_numbers(width: int) -> None:
    """A product with an odd number keeps such differences in its own upper bits, where sums of them would be few."""
    few = np.arange(40, dtype=np.uint64) << np.uint64(56)
    keys = np.full((1600, width), 7, np.uint64)
    keys[:, 0], keys[:, -1] = few.repeat(40), np.tile(few, 40)
    assert HashTable(keys, np.arange(1600), MISSING).get(keys).tolist() == list(range(1600))


def test_a_key_that_is_not_there_may_be_zero() -> None:
    table = HashTable(np.arange(1, 50, dtype=np.uint64), np.ones(49, np.bool_), missing=False)
    assert table.get(np.arange(52, dtype=np.uint64)).tolist() == [False] + [True] * 49 + [False] * 2
    assert table.find(np.arange(52, dtype=np.uint64))[0].tolist() == list(range(1, 50))


def test_empty_table_and_no_keys() -> None:
    none = np.zeros(0, np.uint64)
    table = HashTable(none, np.zeros(0, np.int32), MISSING)
    assert table.get(np.arange(3, dtype=np.uint64)).tolist() == [MISSING] * 3
    assert table.get(none).tolist() == []
    assert [found.tolist() for found in table.find(np.arange(3, dtype=np.uint64))] == [[], []]
    assert [found.tolist() for found in table.find(none)] == [[], []]
    assert len(table) == 0


@pytest.mark.parametrize("keys", [np.array([3, 5, 3], np.uint32), np.array([[1, 2], [4, 4], [1, 2]], np.uint64)])
def test_a_key_that_stands_twice_is_refused(keys: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected each once"):
        HashTable(keys, np.arange(3), MISSING)
