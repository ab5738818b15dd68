"""Where the few are that a mask marks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.arrays import places_of_few


@given(arrays(np.bool_, st.integers(0, 100), elements=st.booleans()), st.integers(0, 8))
def test_few_are_found_as_many_are(mask: np.ndarray, skipped: int) -> None:
    """Wherever the mask begins in memory, and whatever its length."""
    assert places_of_few(mask[skipped:]).tolist() == mask[skipped:].nonzero()[0].tolist()


def test_few_among_many() -> None:
    mask = np.random.default_rng(0).random(100_003) < 0.02
    assert (places_of_few(mask) == mask.nonzero()[0]).all()
    assert places_of_few(mask).dtype == np.int64
