"""The labels of an article in all their written forms -> the level of each sector."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from data.reader import json_string

LEVELS: Final = (0, 1, 2)
LISTED_LEVEL: Final = 2  # the level of a sector that is only named, in a list or a delimited string
NO_SECTOR: Final = "none"  # what may stand alone for "about none of the sectors"
NONE_AT_ALL: Final = (NO_SECTOR, "-")
UNREVIEWED: Final = "?"  # ends labels that a model suggested and nobody has looked at


def shown(value: object) -> str:
    """A value for an error message, on one line and not too long."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


def is_unreviewed(labels: str | None) -> bool:
    """Whether labels in a cell still end in a question mark."""
    return labels is not None and labels.rstrip().endswith(UNREVIEWED)


def parse_levels(labels: str | None, sectors: Sequence[str], *, is_json: bool = False) -> list[float]:
    """The level of each sector, nan where unknown, from one of the forms that `data.corpus.read_corpus` tells.

    `is_json` says that the labels were JSON, not a string; a string that begins with "{" or "[" is JSON all
    the same, as in a CSV cell. Raises ValueError with what was found and what was expected.
    """
    example = json_string(sectors[0])
    expected = f'expected levels such as {{{example}: 2}}, a list such as [{example}] or names with "|" between'
    if labels is None:
        raise ValueError(f"found nothing, {expected}")
    if not is_json and not labels.lstrip().startswith(("{", "[")):
        return listed_levels([part for part in map(str.strip, re.split(r"[|,;]", labels)) if part], sectors)
    try:
        value: Any = json.loads(labels)
    except ValueError:
        raise ValueError(f"found {shown(labels)}, which is broken JSON, {expected}") from None
    if isinstance(value, list):
        return listed_levels(value, sectors)
    if not isinstance(value, dict):
        raise ValueError(f"found {shown(value)}, {expected}")
    _refuse_unknown(value, sectors)
    for sector, level in value.items():
        if level is not None and (isinstance(level, bool) or not isinstance(level, int) or level not in LEVELS):
            raise ValueError(f"{sector}: found level {shown(level)}, expected 0, 1, 2 or null")
    levels = [math.nan if value.get(sector) is None else float(value[sector]) for sector in sectors]
    if all(map(math.isnan, levels)):
        raise ValueError(f"found no level, expected one for at least one of {', '.join(sectors)}")
    return levels


def listed_levels(names: Sequence[object], sectors: Sequence[str]) -> list[float]:
    """The level of each sector where those present are listed: "ev" for level 2, "ev:1" for level 1; the others are 0.

    Upper and lower case are the same, since spreadsheet programs write the first letter of a cell large. "none" or "-"
    alone stands for no sector. Raises ValueError for an unknown name, or one listed with two levels.
    """
    if len(names) == 1 and isinstance(names[0], str) and names[0].strip().casefold() in NONE_AT_ALL:
        return [0.0] * len(sectors)
    places = {sector.casefold(): place for place, sector in enumerate(sectors)}
    levels = [0.0] * len(sectors)
    for name in names:
        place, level = _listed(name, places)
        if place is None:
            beside = "alone or " if isinstance(name, str) and name.strip().casefold() in NONE_AT_ALL else ""
            if isinstance(name, str) and name.rpartition(":")[0].strip().casefold() in places:
                raise ValueError(f"found sector {shown(name)}, expected its level to be 1 or 2")
            raise ValueError(f"found sector {shown(name)}, expected {beside}{', '.join(sectors)}")
        if levels[place] not in (0.0, level):
            raise ValueError(f"found sector {sectors[place]} at levels 1 and 2, expected one of them")
        levels[place] = level
    return levels


def _listed(name: object, places: dict[str, int]) -> tuple[int | None, float]:
    """Which sector a listed name stands for, None for none, and at which level."""
    if not isinstance(name, str):
        return None, 0.0
    folded = name.strip().casefold()
    if folded in places:
        return places[folded], float(LISTED_LEVEL)
    sector, _, level = folded.rpartition(":")
    return (places.get(sector.rstrip()), float(level)) if level.strip() in ("1", "2") else (None, 0.0)


def _refuse_unknown(names: Iterable[object], sectors: Sequence[str]) -> None:
    for name in names:
        if name not in sectors:
            raise ValueError(f"found sector {shown(name)}, expected {', '.join(sectors)}")
