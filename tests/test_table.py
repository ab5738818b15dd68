from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.table import HashTable

members = st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1))
keys = st.tuples(members, members)


def rows(of: list[tuple[int, int]]) -> np.ndarray:
    return np.array(of, np.uint64).reshape(-1, 2)


@given(st.lists(keys, unique=True), st.lists(keys))
def test_is_a_dictionary(entries: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    table = HashTable(rows(entries))
    asked = asked + entries + [(second, first) for first, second in entries]
    places = {key: place for place, key in enumerate(entries)}
    assert table.find(rows(asked)).tolist() == [places.get(key, table.absent) for key in asked]
    assert table.keys.tolist() == [list(entry) for entry in entries]


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_is_a_dictionary_where_keys_collide(dtype: type[np.unsignedinteger]) -> None:
    """Tens of thousands of keys in rows, whose slots collide by the thousand; the key 0 is one like any other."""
    numbers = np.random.default_rng(0).choice(90_000, 30_000, replace=False)
    numbers[numbers == numbers[0]] = 0
    numbers = np.unique(numbers)
    table = HashTable((numbers * 4096).astype(dtype))
    expected = np.full(90_000, table.absent)
    expected[numbers] = np.arange(numbers.size)
    assert (table.find((np.arange(90_000) * 4096).astype(dtype)) == expected).all()


def test_empty_table_and_no_keys() -> None:
    none = np.zeros(0, np.uint64)
    table = HashTable(none)
    assert table.find(np.arange(3, dtype=np.uint64)).tolist() == [table.absent] * 3
    assert table.find(none).tolist() == []
