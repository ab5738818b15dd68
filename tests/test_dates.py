"""Dates as scraped pages write them, and the periods articles are counted by."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dates import parse_date, periods

DAY = date(2024, 5, 12)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-12", "2024-05-12T08:00:00Z", "2024-05-12 23:59:59.5+07:00", "2024/05/12", " 20240512", "2024.5.12"),
        *(
            "12 Mei 2024",
            "Minggu, 12 Mei 2024 | 10:30 WIB",
            "12 MEI 2024, 10.30",
            "12-Mei-2024",
            "Sun, 12 May 2024 10:00",
        ),
        *(
            "12/05/2024",
            "12-05-2024 10:00",
            "Minggu (12/5/2024)",
            "12.05.2024",
            "Terbit: 2024-05-12",
            "May 12, 2024",
            "Mei 12 2024",
        ),
    ],
)
def test_a_day_is_read_in_every_usual_form(text: str) -> None:
    assert parse_date(text) == DAY


@pytest.mark.parametrize(
    ("text", "month"),
    [("1 Agustus 2023", 8), ("1 Agt 2023", 8), ("1 Okt. 2023", 10), ("1 Desember 2023", 12), ("1 Pebruari 2023", 2)],
)
def test_indonesian_months(text: str, month: int) -> None:
    assert parse_date(text) == date(2023, month, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kemarin",
        "2024",
        "31/02/2024",
        "2024-13-01",
        "05/13/2024",
        "12 Foo 2024",
        "1715472000",
        "0001-01-01",
        "12 Mei",
    ],
)
def test_what_names_no_day_is_none(text: str) -> None:
    assert parse_date(text) is None


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_iso_and_day_first_read_back(day: date) -> None:
    assert parse_date(day.isoformat()) == parse_date(f"{day:%d/%m/%Y}") == day


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_date(text)


@pytest.mark.parametrize(("days", "unit"), [(0, "day"), (44, "day"), (45, "week"), (400, "month"), (5000, "year")])
def test_the_unit_fits_the_span(days: int, unit: str) -> None:
    found = periods([DAY, None, DAY + timedelta(days=days)])
    assert found is not None
    assert found.unit == unit
    assert found.places == (0, None, len(found.starts) - 1)
    assert len(found.starts) <= 122


def test_no_date_no_periods() -> None:
    assert periods([]) is None
    assert periods([None, None]) is None


@given(st.lists(st.none() | st.dates(date(1900, 1, 1), date(2100, 12, 31)), max_size=50))
def test_every_date_of_a_few_falls_into_its_period(dates: list[date | None]) -> None:
    found = periods(dates)
    assert (found is None) == (not any(dates))
    if found is not None:
        bounds = [*found.starts, date.max]
        for day, place in zip(dates, found.places, strict=True):
            assert (place is None) == (day is None)
            if day is not None and place is not None:
                assert bounds[place] <= day < bounds[place + 1]


def test_one_wrong_date_among_many_does_not_stretch_the_chart() -> None:
    dates: list[date | None] = [DAY + timedelta(days=n % 30) for n in range(300)]
    found = periods([*dates, date(1970, 1, 1)])
    assert found is not None
    assert found.unit == "day"
    assert found.places[-1] is None
    assert None not in found.places[:-1]
