"""Rows kept of a long input: the right ones, whatever the batches, and again after the process ended."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.checkpoint import Journal
from data.sample import RowSample, uniform_keys


def sample(folder: Path, limit: int, rows: int = 0, index: int = 0) -> tuple[RowSample, Journal, Journal]:
    journals = Journal(folder / "rows", rows), Journal(folder / "index", index)
    return RowSample(*journals, limit), *journals


def offer(kept: RowSample, keys: list[float], first: int) -> None:
    numbers = np.arange(first, first + len(keys))
    kept.add(numbers, np.array(keys, np.float64), lambda place: {"text": f"berita {first + place} é"})


@given(
    keys=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1), max_size=40),
    cuts=st.sets(st.integers(0, 40)),
    limit=st.integers(1, 12),
    end=st.integers(0, 40),
)
@settings(deadline=None)
def test_the_smallest_keys_are_kept_however_rows_come(
    tmp_path_factory: pytest.TempPathFactory, keys: list[float], cuts: set[int], limit: int, end: int
) -> None:
    """In any batches, with the process ended once in between."""
    folder = tmp_path_factory.mktemp("sample")
    bounds = sorted({0, len(keys), *(cut for cut in cuts if cut < len(keys))})
    kept, rows, index = sample(folder, limit)
    for start, stop in itertools.pairwise(bounds):
        offer(kept, keys[start:stop], start + 1)
        if start <= end < stop:
            rows.append(b"half a row"), rows.close(), index.close()
            kept, rows, index = sample(folder, limit, rows.size - len(b"half a row"), index.size)
    expected = sorted(sorted(range(len(keys)), key=lambda place: (keys[place], place))[:limit])
    found = kept.kept(lambda number, row: (number, row["text"]))
    assert list(found) == [(place + 1, f"berita {place + 1} é") for place in expected]
    assert found[1:3] == list(found)[1:3] or list(found[1:3]) == list(found)[1:3]
    rows.close(), index.close()


def test_few_rows_are_written_that_are_not_kept(tmp_path: Path) -> None:
    kept, rows, index = sample(tmp_path, 100)
    for first in range(1, 20_001, 1000):
        offer(kept, uniform_keys(np.arange(first, first + 1000)).tolist(), first)
    assert len(kept.kept(lambda number, row: number)) == 100
    assert index.size < 32 * 100 * 10  # about 100 (1 + ln 200)
    rows.close(), index.close()


def test_hashed_numbers_are_spread_evenly() -> None:
    keys = uniform_keys(np.arange(1, 100_001))
    assert len(set(keys.tolist())) == 100_000
    assert np.histogram(keys, 10, (0, 1))[0] == pytest.approx(10_000, rel=0.05)
    assert abs(np.corrcoef(keys[:-1], keys[1:])[0, 1]) < 0.02
