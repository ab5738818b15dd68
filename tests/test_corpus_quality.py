"""The bundled articles keep to the rules of `data/README.md` and differ from one another, and from published news.

Limits hold for the articles there are with little slack: who writes more of them varies how they open, or raises a
limit knowing why.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.corpus import Corpus
from data.duplicates import repeats
from data.sectors import Sector
from tests.test_datasheet import table
from train import BUNDLED

COLUMNS = {"id", "title", "text", "sectors", "style"}
ID = re.compile(r"[a-z]+(?:-[a-z]+)*-[0-9]+")
WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|\n+")
#: What stands before the first sentence of a report: "JAKARTA, Harian - ".
DATELINE = re.compile(r"^.{1,60}?\s[-–—]{1,2}\s")
FIRST_PARAGRAPH = 10  # words it has at least: bylines and labels of scraped pages are shorter

#: At most so many articles open with the same words. What they share are names: of the 3,258 articles there were when
#: this was written, 13 open with the four words "Indeks harga saham gabungan" and 3 with the six of an agency's name.
OPENINGS = {4: 14, 6: 3}
SENTENCE = 10  # words from which a sentence stands in one article alone
RUN = 12  # words in a row from which a run is no coincidence
#: Names of laws and institutions, which are the same wherever they stand.
NAMES = (
    "Undang-Undang Nomor 1 Tahun 2022 tentang Hubungan Keuangan antara Pemerintah Pusat dan Pemerintahan Daerah",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of a file of articles."""

    place: str
    values: dict[str, Any]

    @property
    def article(self) -> str:
        return f"{self.values['title']}\n{self.values['text']}"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [
        Row(f"{path.name}:{number}", json.loads(line))
        for path in sorted(BUNDLED.glob("*.jsonl"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    ]


@pytest.fixture(scope="module")
def styles() -> set[str]:
    """Those that the datasheet names."""
    datasheet = (BUNDLED.parent / "README.md").read_text(encoding="utf-8")
    return {row[0] for row in table(datasheet, "style")}


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def runs_of(text: str, length: int) -> Iterator[tuple[str, ...]]:
    """All runs of so many words."""
    words = words_of(text)
    return zip(*(words[start:] for start in range(length)), strict=False)


def opening_of(text: str, length: int) -> tuple[str, ...]:
    """The first words of an article behind bylines and dateline; fewer where its first paragraph ends."""
    paragraphs = [part for part in text.split("\n") if len(part.split()) >= FIRST_PARAGRAPH]
    return tuple(words_of(DATELINE.sub("", (paragraphs or [text])[0], count=1))[:length])


# Form


def test_nothing_but_articles_lies_there(rows: list[Row]) -> None:
    assert {path.suffix for path in BUNDLED.iterdir()} == {".jsonl"}
    assert rows
    for row in rows:
        assert set(row.values) == COLUMNS, row.place


def test_ids_are_unique_and_name_beat_and_number(rows: list[Row]) -> None:
    ids = Counter(row.values["id"] for row in rows)
    assert [id for id, times in ids.items() if times > 1] == []
    assert [row.place for row in rows if not ID.fullmatch(row.values["id"])] == []


def test_a_beat_is_one_file(rows: list[Row]) -> None:
    files = defaultdict(set)
    for row in rows:
        files[row.values["id"].rsplit("-", 1)[0]].add(row.place.split(":")[0])
    assert {beat: names for beat, names in files.items() if len(names) > 1} == {}


def test_every_sector_has_a_level(rows: list[Row], sectors: tuple[Sector, ...]) -> None:
    ids = {sector.id for sector in sectors}
    for row in rows:
        assert set(row.values["sectors"]) == ids, row.place
        for level in row.values["sectors"].values():
            assert type(level) is int, row.place
            assert level in (0, 1, 2), row.place


def test_styles_are_those_of_the_datasheet(rows: list[Row], styles: set[str]) -> None:
    assert {row.place: row.values["style"] for row in rows if row.values["style"] not in styles} == {}


def test_titles_and_texts_are_there(rows: list[Row]) -> None:
    for row in rows:
        title, text = row.values["title"], row.values["text"]
        assert title == title.strip() != "", row.place
        assert "\n" not in title, row.place
        assert text == text.strip() != "", row.place
        assert "\ufffd" not in row.article, row.place


# Variety


def test_no_article_nearly_repeats_another(bundled: Corpus) -> None:
    first = repeats(bundled.articles())
    again = np.flatnonzero(first != np.arange(len(bundled)))
    assert [(bundled.ids[index], bundled.ids[first[index]]) for index in again] == []


@pytest.mark.parametrize(("length", "limit"), OPENINGS.items())
def test_articles_open_differently(rows: list[Row], length: int, limit: int) -> None:
    openings = defaultdict(list)
    for row in rows:
        opening = opening_of(row.values["text"], length)
        if len(opening) == length:
            openings[opening].append(row.values["id"])
    assert {" ".join(opening): ids for opening, ids in openings.items() if len(ids) > limit} == {}


def test_no_two_articles_share_a_title(rows: list[Row]) -> None:
    titles = Counter(tuple(words_of(row.values["title"])) for row in rows)
    assert [" ".join(title) for title, times in titles.items() if times > 1] == []


def test_no_sentence_stands_in_two_articles(rows: list[Row]) -> None:
    sentences = defaultdict(set)
    for row in rows:
        for sentence in SENTENCE_END.split(row.values["text"]):
            words = tuple(words_of(sentence))
            if len(words) >= SENTENCE:
                sentences[words].add(row.values["id"])
    assert {" ".join(words): ids for words, ids in sentences.items() if len(ids) > 1} == {}


# Written, not taken


def test_nothing_is_taken_from_real_news(rows: list[Row], real_news: Path) -> None:
    """Messages show our own articles' words only."""
    names = {run for name in NAMES for run in runs_of(name, RUN)}
    with open(real_news / "dev.jsonl", encoding="utf-8") as lines:
        news = [json.loads(line) for line in lines]
    published = [f"{article['title'] or ''}\n{article['text']}" for article in news]
    published += [path.read_text(encoding="utf-8") for path in (real_news / "pages").glob("*.txt")]
    assert len(published) > 300
    taken = {run for text in published for run in runs_of(text, RUN)} - names
    found = {row.values["id"]: [" ".join(run) for run in runs_of(row.article, RUN) if run in taken] for row in rows}
    assert {id: runs for id, runs in found.items() if runs} == {}


def test_the_names_that_may_be_shared_are_needed(rows: list[Row]) -> None:
    everything = {run for row in rows for run in runs_of(row.article, RUN)}
    for name in NAMES:
        assert everything.intersection(runs_of(name, RUN)), name
