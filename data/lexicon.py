"""The lexicon: what is known of the sectors beyond the articles, as lists of names and terms with their kinds.

One CSV file a sector, `lexicon/<sector>.csv`, with the columns `term` (one or two words, as they stand in news) and
`kind` (brand, company, commodity, chemical and so on). `models.classifier` says what training makes of it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LEXICON: Final = Path(__file__).with_name("lexicon")
COLUMNS: Final = ["term", "kind"]
TERM: Final = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:[ -][a-z0-9]+)?")  # a hyphen parts a word into two stems
KIND: Final = re.compile(r"[a-z]+(?: [a-z]+)*")


class LexiconError(ValueError):
    """A lexicon that cannot be used; the message is one line and names file, line and what was expected."""


@dataclass(frozen=True)
class Entry:
    """One line of a lexicon.

    term: one or two words in lower case. sector: what it speaks for. kind: of the term. place: file and line.
    """

    term: str
    sector: str
    kind: str
    place: str


def read_lexicon(sectors: Sequence[str], folder: Path | None = None) -> tuple[Entry, ...]:
    """The entries for some sectors, in their order, from a folder of CSV files; by default those of this package.

    A sector without a file has no entries. Raises LexiconError for a folder that is none or has no file for any of the
    sectors, and for a line that is no term and kind, or whose term stands twice in a file.
    """
    source = LEXICON if folder is None else folder
    if not source.is_dir():
        raise LexiconError(f"{source}: is no folder, expected one with a file SECTOR.csv a sector")
    files = [(sector, source / f"{sector}.csv") for sector in sectors]
    entries = [entry for sector, path in files if path.is_file() for entry in _entries(path, sector)]
    if folder is not None and not entries:
        raise LexiconError(f"{source}: found no entries, expected files named {', '.join(p.name for _, p in files)}")
    return tuple(entries)


def lexicon_digest(entries: Sequence[Entry]) -> str:
    """What tells two lexicons apart: the SHA-256 of terms, sectors and kinds, in hexadecimal."""
    rows = sorted((entry.sector, entry.term, entry.kind) for entry in entries)
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _entries(path: Path, sector: str) -> list[Entry]:
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LexiconError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not lines or lines[0][1] != COLUMNS:
        raise LexiconError(
            f"{path}:1: found {','.join(lines[0][1]) if lines else 'nothing'}, expected {','.join(COLUMNS)}"
        )
    entries: dict[str, Entry] = {}
    for number, line in lines[1:]:
        place = f"{path}:{number}"
        if len(line) != len(COLUMNS):
            raise LexiconError(f"{place}: found {len(line)} cells, expected {len(COLUMNS)}")
        term, kind = line
        if not TERM.fullmatch(term):
            raise LexiconError(f"{place}: term: found {term!r}, expected one or two words of a-z, 0-9 and hyphens")
        if not KIND.fullmatch(kind):
            raise LexiconError(f"{place}: kind: found {kind!r}, expected words of a-z, as in vehicle type")
        if term in entries:
            raise LexiconError(f"{place}: term {term!r} stands at {entries[term].place} too, expected it once")
        entries[term] = Entry(term, sector, kind, place)
    return list(entries.values())
