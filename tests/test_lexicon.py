"""The bundled lexicon is sound, and one that cannot be used is refused in a line that says where."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.lexicon import LEXICON, Entry, LexiconError, lexicon_digest, read_lexicon
from data.sectors import Sector, read_sectors
from features.columns import stems_of
from features.stems import Stems

SECTORS = tuple(sector.id for sector in read_sectors())
#: Terms that speak for two sectors, and no others may: a maker of both kinds of cars, the chemicals of batteries, and
#: what the chemical industry makes for farms or of crops.
SHARED = {
    ("automotive", "ev"): {"wuling"},
    ("ev", "chemicals"): {"kobalt sulfat", "litium hidroksida", "litium karbonat", "nikel sulfat"},
    ("agro", "chemicals"): {
        "agrokimia", "biodiesel", "biopestisida", "corteva", "fungisida", "herbisida", "insektisida", "minyak atsiri",
        "pestisida", "syngenta",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def stems(lexicon: tuple[Entry, ...]) -> dict[str, tuple[str, ...]]:
    """The stems of each term, as an article that holds it would have them."""
    stems = Stems()
    return {e.term: tuple(chain.from_iterable(stems_of(stems.stems, e.term.split()))) for e in lexicon}


def write(folder: Path, **files: str | bytes) -> Path:
    for sector, content in files.items():
        path = folder / f"{sector}.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def refusal(folder: Path, sectors: Iterable[str] = ("ev",)) -> str:
    """What is said of a folder that cannot be used: one line that begins with it."""
    with pytest.raises(LexiconError) as refused:
        read_lexicon(tuple(sectors), folder)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message.removeprefix(str(folder))


# The bundled files


def test_each_bundled_sector_has_a_file_and_no_other_has(sectors: tuple[Sector, ...]) -> None:
    assert {path.name for path in LEXICON.iterdir()} == {f"{sector.id}.csv" for sector in sectors}
    for sector in sectors:
        assert len(read_lexicon([sector.id])) > 100


def test_each_term_has_one_or_two_stems(stems: dict[str, tuple[str, ...]]) -> None:
    assert {term: its for term, its in stems.items() if len(its) not in (1, 2)} == {}


@pytest.mark.parametrize("sector", SECTORS)
def test_files_are_sorted_by_kind_then_term(sector: str) -> None:
    rows = [(entry.kind, entry.term) for entry in read_lexicon([sector])]
    assert rows == sorted(rows)


def test_no_term_speaks_for_two_sectors_but_those_listed(
    lexicon: tuple[Entry, ...], stems: dict[str, tuple[str, ...]]
) -> None:
    of_stems: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for entry in lexicon:
        of_stems[stems[entry.term]][entry.sector] = entry.term
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for terms in of_stems.values():
        if len(terms) > 1:
            found[tuple(terms)] |= set(terms.values())
    assert found == SHARED


def test_entries_say_where_they_stand(lexicon: tuple[Entry, ...]) -> None:
    for sector in SECTORS:
        path = LEXICON / f"{sector}.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [entry for entry in lexicon if entry.sector == sector]
        assert [f"{entry.term},{entry.kind}" for entry in entries] == lines[1:]
        assert [entry.place for entry in entries] == [f"{path}:{number}" for number in range(2, len(lines) + 1)]


# What is read


def test_entries_come_in_the_order_of_the_sectors_asked_for(tmp_path: Path) -> None:
    write(tmp_path, ev="term,kind\nspklu,term\nbyd,brand\n", agro="term,kind\nsawah lestari,vehicle type\n")
    found = read_lexicon(["agro", "ev"], tmp_path)
    assert [(e.term, e.sector, e.kind) for e in found] == [
        ("sawah lestari", "agro", "vehicle type"), ("spklu", "ev", "term"), ("byd", "ev", "brand"),
    ]  # fmt: skip


def test_sectors_without_a_file_have_no_entries() -> None:
    assert read_lexicon(["mining", "sport"]) == ()
    assert {entry.sector for entry in read_lexicon(["mining", "ev"])} == {"ev"}


def test_files_of_sectors_not_asked_for_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, ev="term,kind\nbyd,brand\n", mining="no lexicon at all")
    assert len(read_lexicon(["ev"], tmp_path)) == 1


@pytest.mark.parametrize(
    "content", ["\ufeffterm,kind\nbyd,brand\n", "term,kind\r\nbyd,brand\r\n", "term,kind\nbyd,brand"]
)
def test_files_as_spreadsheets_and_editors_save_them_do(tmp_path: Path, content: str) -> None:
    (entry,) = read_lexicon(["ev"], write(tmp_path, ev=content))
    assert (entry.term, entry.kind) == ("byd", "brand")


# What is refused

LINES: dict[str, tuple[str, str]] = {
    "upper case": ("BYD,brand", "term: found 'BYD', expected one or two words of a-z, 0-9 and hyphens"),
    "three words": ("motor roda tiga,term", "term: found 'motor roda tiga', expected one or two words"),
    "no term": (",brand", "term: found '', expected one or two words"),
    "spaces around": (" byd,brand", "term: found ' byd', expected one or two words"),
    "accents": ("citroën,brand", "term: found 'citroën', expected one or two words"),
    "punctuation": ("p.t. byd,brand", "term: found 'p.t. byd', expected one or two words"),
    "hyphen at the end": ("plug-,term", "term: found 'plug-', expected one or two words"),
    "no kind": ("byd,", "kind: found '', expected words of a-z, as in vehicle type"),
    "kind in upper case": ("byd,Brand", "kind: found 'Brand', expected words of a-z"),
    "one cell": ("byd", "found 1 cells, expected 2"),
    "three cells": ("byd,brand,ev", "found 3 cells, expected 2"),
    "empty line": ("", "found 0 cells, expected 2"),
}


@pytest.mark.parametrize(("line", "message"), LINES.values(), ids=LINES)
def test_lines_that_are_no_entry_are_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, ev=f"term,kind\nspklu,term\n{line}\nzeekr,brand\n")
    assert refusal(tmp_path).startswith(f"/ev.csv:3: {message}")


def test_a_term_that_stands_twice_is_named_with_both_places(tmp_path: Path) -> None:
    write(tmp_path, ev="term,kind\nbyd,brand\nspklu,term\nbyd,company\n")
    assert refusal(tmp_path) == f"/ev.csv:4: term 'byd' stands at {tmp_path}/ev.csv:2 too, expected it once"


@pytest.mark.parametrize(
    ("content", "found"), [("", "nothing"), ("\n", ""), ("kind,term\n", "kind,term"), ("byd,brand\n", "byd,brand")]
)
def test_a_file_with_another_header_is_named(tmp_path: Path, content: str, found: str) -> None:
    assert refusal(write(tmp_path, ev=content)) == f"/ev.csv:1: found {found}, expected term,kind"


@pytest.mark.parametrize("content", [b"term,kind\n\xff\xfe,brand\n", f"term,kind\n{'a' * 200_000},brand\n".encode()])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    assert refusal(write(tmp_path, ev=content)).startswith("/ev.csv: cannot be read: ")


@pytest.mark.parametrize("place", ["absent", "file"])
def test_what_is_no_folder_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("term,kind\n", encoding="utf-8")
    assert refusal(tmp_path / place) == ": is no folder, expected one with a file SECTOR.csv a sector"


@pytest.mark.parametrize("files", [{}, {"mining": "term,kind\nnikel,commodity\n"}, {"ev": "term,kind\n"}])
def test_a_folder_without_an_entry_is_named_with_the_files_it_lacks(tmp_path: Path, files: dict[str, str]) -> None:
    said = refusal(write(tmp_path, **files), ["ev", "agro"])
    assert said == ": found no entries, expected files named ev.csv, agro.csv"


# The digest

ENTRIES = st.lists(
    st.builds(
        Entry,
        term=st.sampled_from(["byd", "spklu", "wuling", "mobil listrik"]),
        sector=st.sampled_from(["ev", "automotive"]),
        kind=st.sampled_from(["brand", "term"]),
        place=st.text(max_size=3),
    ),
    max_size=6,
)


@given(entries=ENTRIES, seed=st.integers(0, 99))
def test_the_digest_knows_no_order_and_no_places(entries: list[Entry], seed: int) -> None:
    shuffled = [Entry(entry.term, entry.sector, entry.kind, "elsewhere") for entry in entries]
    random.Random(seed).shuffle(shuffled)
    assert lexicon_digest(shuffled) == lexicon_digest(entries)


@given(first=ENTRIES, second=ENTRIES)
def test_the_digest_tells_any_two_contents_apart(first: list[Entry], second: list[Entry]) -> None:
    rows = [sorted((e.sector, e.term, e.kind) for e in entries) for entries in (first, second)]
    assert (lexicon_digest(first) == lexicon_digest(second)) == (rows[0] == rows[1])


def test_the_digest_of_the_bundled_lexicon_is_a_sha256(lexicon: tuple[Entry, ...]) -> None:
    digest = lexicon_digest(lexicon)
    assert len(digest) == 64
    assert lexicon_digest(lexicon[1:]) != digest
    assert lexicon_digest(read_lexicon(SECTORS[::-1])) == digest
