"""Counting rows of numbers: as numpy counts each row alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.counting import FILLING, count_rows

numbers = st.integers(0, 40) | st.integers(0, FILLING - 1)


def check(pieces: list[list[int]], rows: list[list[int]]) -> None:
    flat = np.array(list(itertools.chain.from_iterable(pieces)), np.int32)
    bounds = np.array([0, *itertools.accumulate(map(len, pieces))])
    width = len(rows[0]) if rows else 2
    room = np.arange(len(pieces), len(pieces) + len(rows))
    offsets, found, counts = count_rows(
        flat, bounds, np.column_stack((np.array(rows, np.int64).reshape(-1, width), room))
    )
    assert offsets.tolist()[:1] == [0]
    assert offsets.size == len(rows) + 1
    assert offsets[-1] == found.size == counts.size
    for row, (begin, end) in zip(rows, itertools.pairwise(offsets.tolist()), strict=True):
        expected = np.unique([number for piece in row for number in pieces[piece]], return_counts=True)
        np.testing.assert_array_equal(found[begin:end], expected[0])
        np.testing.assert_array_equal(counts[begin:end], expected[1])
    assert found.dtype == np.int32


@given(st.data(), st.lists(st.lists(numbers, max_size=12), min_size=1, max_size=12), st.integers(1, 4))
def test_rows_are_counted_as_each_alone(data: st.DataObject, pieces: list[list[int]], k: int) -> None:
    piece = st.integers(0, len(pieces) - 1)
    check(pieces, data.draw(st.lists(st.lists(piece, min_size=k, max_size=k), max_size=10)))


@given(st.lists(st.sampled_from([0, 1, 62, 63, 64, 65, 127, 128, 500, 511, 512, 513, 1100, 5000]), max_size=12))
@settings(deadline=None)
def test_rows_of_all_lengths(lengths: list[int]) -> None:
    draw = np.random.default_rng(sum(lengths))
    pieces = [draw.integers(0, 3 * length + 1, length).tolist() for length in lengths]
    check(pieces, [[place] for place in range(len(pieces))])


@pytest.mark.parametrize("rows", [[], [[0]], [[0], [0], [0]], [[1], [0], [2], [0]], [[0, 0], [1, 1], [2, 1]]])
def test_empty_rows_and_pieces_that_stand_twice(rows: list[list[int]]) -> None:
    check([[], [7] * 70, [FILLING - 1, 0]], rows)


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    draw = np.random.default_rng(1)
    pieces = [draw.integers(0, 300, length).tolist() for length in draw.integers(0, 900, 60)]
    check(pieces, [[place, (place * 7) % 60] for place in draw.permutation(60)])
