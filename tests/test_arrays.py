"""Where the few are that a mask marks, and pieces of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import features.arrays
from features.arrays import pieces, places_of_few, ranges


@given(arrays(np.bool_, st.integers(0, 100), elements=st.booleans()), st.integers(0, 8))
def test_few_are_found_as_many_are(mask: np.ndarray, skipped: int) -> None:
    """Wherever the mask begins in memory, and whatever its length."""
    assert places_of_few(mask[skipped:]).tolist() == mask[skipped:].nonzero()[0].tolist()


def test_few_among_many() -> None:
    mask = np.random.default_rng(0).random(100_003) < 0.02
    assert (places_of_few(mask) == mask.nonzero()[0]).all()
    assert places_of_few(mask).dtype == np.int64


@pytest.mark.parametrize("few", [0, 8192])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@given(data=st.data())
def test_pieces_are_slices_one_after_the_other(few: int, dtype: type[np.generic], data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 4), max_size=8))
    bounds = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    values = np.arange(bounds[-1]).astype(dtype)
    which = data.draw(st.lists(st.sampled_from(range(len(lengths))), max_size=10) if lengths else st.just([]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.arrays, "_FEW", few)
        found = pieces(values, bounds, np.array(which, np.int64))
    assert found.dtype == dtype
    assert found.tolist() == [value for piece in which for value in values[bounds[piece] : bounds[piece + 1]].tolist()]
    if found.size:
        found[:] = 0  # it is an array of its own
        assert values.tolist() == list(range(values.size))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=10))
def test_ranges_are_those_of_python(spans: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(spans, np.int64).reshape(-1, 2).T
    expected = [place for start, length in spans for place in range(start, start + length)]
    assert ranges(starts, lengths).tolist() == expected
