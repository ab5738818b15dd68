"""features.strings: Python strings to Arrow without pandas."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import strings
from features.strings import string_array


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_round_trip(values: list[str | None]) -> None:
    array = string_array(values)
    array.validate(full=True)
    assert array.type == pa.string()
    assert array.null_count == values.count(None)
    assert array.to_pylist() == values


def test_lone_surrogate_becomes_a_question_mark() -> None:
    assert string_array(["a\ud800b"]).to_pylist() == ["a?b"]


def test_more_than_a_string_array_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "MAX_BYTES", 4)
    assert len(string_array(["ab", "cd"])) == 2
    with pytest.raises(OverflowError, match="5 bytes"):
        string_array(["ab", "cde"])
