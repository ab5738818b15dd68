"""The sectors articles are labelled with, read from `sectors.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECTORS_FILE = Path(__file__).with_name("sectors.toml")
ID_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


class SectorError(ValueError):
    """A sectors file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True)
class Sector:
    """One sector.

    `prevalence` is the share, between 0 and 1, of the articles of the stream to be labelled that are
    expected to carry the sector at level 1 or 2.
    """

    id: str
    title: str
    meaning: str
    prevalence: float


def read_sectors(path: Path | None = None) -> tuple[Sector, ...]:
    """The sectors of a TOML file (array of tables `sector`), in file order; of the bundled file by default.

    Raises SectorError, in one line naming the file and the entry, when the file cannot be read or parsed,
    when an id is repeated or does not match `[a-z][a-z0-9_]*`, when a title or meaning is empty, or when a
    prevalence is not strictly between 0 and 1.
    """
    source = SECTORS_FILE if path is None else path
    try:
        document = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise SectorError(f"{source}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SectorError(f"{source}: not TOML: {' '.join(str(error).split())}") from error
    entries = document.get("sector")
    if not isinstance(entries, list) or not entries:
        raise SectorError(f"{source}: found no [[sector]] table, expected at least one")
    sectors: list[Sector] = []
    for number, entry in enumerate(entries, start=1):
        sector = _sector(entry, f"{source}: sector {number}")
        if sector.id == "none":
            raise SectorError(f"{source}: sector {number}: id 'none' means no sector in summaries, expected another")
        if any(other.id == sector.id for other in sectors):
            raise SectorError(f"{source}: sector {number}: id {sector.id!r} is there twice, expected unique ids")
        sectors.append(sector)
    return tuple(sectors)


def _sector(entry: object, place: str) -> Sector:
    """One validated entry; `place` begins every error message."""
    if not isinstance(entry, Mapping):
        raise SectorError(f"{place}: found {entry!r}, expected a table")
    texts: dict[str, str] = {}
    for field in ("id", "title", "meaning"):
        value = entry.get(field)
        if not isinstance(value, str) or not value.strip():
            raise SectorError(f"{place}: {field}: found {value!r}, expected text")
        texts[field] = value
    if not ID_PATTERN.fullmatch(texts["id"]):
        raise SectorError(f"{place}: id: found {texts['id']!r}, expected {ID_PATTERN.pattern}")
    share = entry.get("prevalence")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise SectorError(f"{place} ({texts['id']}): prevalence: found {share!r}, expected a number between 0 and 1")
    return Sector(prevalence=float(share), **texts)
