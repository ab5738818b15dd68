"""Dates as they stand beside Indonesian articles, and the days, weeks, months or years to count articles by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

EARLIEST: Final = 1900  # before this year, and after the next, a figure is no year of an article
LATEST: Final = 2100
MOST_DAYS: Final = 45  # the span of dates, in days, up to which they are counted by days
MOST_WEEKS: Final = 370  # by weeks
MOST_MONTHS: Final = 3660  # and by months; beyond, by years
TAIL: Final = 0.01  # the share of articles at each end that may be far off: a wrong date is no reason to count by years

#: Indonesian, English and their abbreviations, by their first three letters; a month's number.
MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            *("jan", "feb peb", "mar", "apr", "mei may", "jun"),
            *("jul", "agu ags agt aug", "sep", "okt oct", "nov nop", "des dec"),
        ),
        start=1,
    )
    for name in names.split()
}
_COMPACT: Final = re.compile(r"\s*(\d{4})(\d\d)(\d\d)(?!\d)")
_ISO: Final = re.compile(r"(?<!\d)(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)")
_DAY_FIRST: Final = re.compile(r"(?<!\d)(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)")
_NAMED: Final = re.compile(r"(?<!\d)(\d{1,2})[\s-]+([a-z]{3})[a-z]*\.?,?[\s-]+(\d{4})(?!\d)", re.IGNORECASE)
_MONTH_FIRST: Final = re.compile(r"\b([a-z]{3})[a-z]*\.?\s+(\d{1,2}),?\s+(\d{4})(?!\d)", re.IGNORECASE)


def parse_date(text: str) -> date | None:
    """The day that a text names, None if none is recognised or there is no such day.

    Read are ISO 8601 (`2024-05-12`, `2024-05-12T08:00:00Z`, `2024/05/12`, `20240512`), Indonesian and English names of
    months (`Minggu, 12 Mei 2024 | 10:30 WIB`, `12 May 2024`, `May 12, 2024`) and figures, day before month as in
    Indonesia (`12/05/2024`, `12-05-2024`). The time of day and its zone are left out.
    """
    if found := _COMPACT.match(text):
        return _date(found[1], found[2], found[3])
    if found := _ISO.search(text):
        return _date(found[1], found[3], found[4])
    if found := _DAY_FIRST.search(text):
        return _date(found[4], found[3], found[1])
    if found := _NAMED.search(text):
        return _date(found[3], MONTHS.get(found[2].lower(), 0), found[1])
    if found := _MONTH_FIRST.search(text):
        return _date(found[3], MONTHS.get(found[1].lower(), 0), found[2])
    return None


def _date(year: str, month: str | int, day: str) -> date | None:
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found if EARLIEST <= found.year <= LATEST else None


@dataclass(frozen=True)
class Periods:
    """Days, weeks, months or years without a gap.

    unit: "day", "week", "month" or "year". starts: the first day of each. places: for each date the place of its
    period, None for no date and for one before the first period or after the last.
    """

    unit: str
    starts: tuple[date, ...]
    places: tuple[int | None, ...]


def periods(dates: Sequence[date | None]) -> Periods | None:
    """The periods in which to count articles of some dates, few enough for a chart; None without a date.

    They reach over all dates, unless the first or last hundredth of them would more than double their span: then these
    are left out.
    """
    known = sorted(day for day in dates if day is not None)
    if not known:
        return None
    tail = int(len(known) * TAIL)
    first, last = known[tail], known[-1 - tail]
    slack = max(last - first, timedelta(days=6)) / 2
    if known[0] >= first - slack:
        first = known[0]
    if known[-1] <= last + slack:
        last = known[-1]
    span = (last - first).days + 1
    unit = "day" if span <= MOST_DAYS else "week" if span <= MOST_WEEKS else "month" if span <= MOST_MONTHS else "year"
    starts = [_start(first, unit)]
    while (following := _next(starts[-1], unit)) <= last:
        starts.append(following)
    place_of = {start: place for place, start in enumerate(starts)}
    places = tuple(None if day is None else place_of.get(_start(day, unit)) for day in dates)
    return Periods(unit, tuple(starts), places)


def _start(day: date, unit: str) -> date:
    """The first day of its period; a week begins on Monday."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def _next(start: date, unit: str) -> date:
    if unit == "year":
        return start.replace(year=start.year + 1)
    if unit == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if unit == "week" else 1)
