"""data/README.md says what is in data/articles and data/lexicon; data/samples holds pages as scrapers deliver them."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.corpus import Corpus, read_corpus
from data.duplicates import deduplicate
from data.lexicon import Entry
from data.reader import read
from data.sectors import read_sectors

REPOSITORY = Path(__file__).parent.parent
DATA = REPOSITORY / "data"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus([DATA / "articles"], [sector.id for sector in read_sectors()])


@pytest.fixture(scope="module")
def datasheet() -> str:
    return (DATA / "README.md").read_text(encoding="utf-8")


def table(page: str, first_header: str) -> list[list[str]]:
    """The cells of the Markdown table whose first column has that header, without header and rule."""
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_header} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_counts_by_sector_and_level(corpus: Corpus, datasheet: str) -> None:
    expected = [
        [sector, *(str(counts[level]) for level in (0, 1, 2)), f"{(counts[1] + counts[2]) / len(corpus):.1%}"]
        for sector, counts in corpus.counts().items()
    ]
    assert table(datasheet, "sector") == expected


def test_counts_by_style(corpus: Corpus, datasheet: str) -> None:
    stated = {style: int(articles) for style, articles, _ in table(datasheet, "style")}
    assert stated == Counter(corpus.styles)


def test_figures_in_the_text(corpus: Corpus, datasheet: str) -> None:
    page = " ".join(datasheet.split())
    lengths = np.array([len(text.split()) for text in corpus.texts])
    positive = (corpus.levels >= 1).sum(axis=1)
    slight = corpus.levels.max(axis=1) == 1
    for claim in (
        f"{len(corpus):,} Indonesian news articles",
        f"{(positive == 0).sum()} articles have every sector at level 0",
        f"{(positive > 1).sum()} have more than one sector",
        f"{lengths.min()} to {lengths.max()} words an article",
        f"median {statistics.median(lengths.tolist()):.0f}, mean {lengths.mean():.0f}, {lengths.sum():,} words",
        f"{(lengths >= 300).sum()} of {len(corpus):,} have 300 or more",
        f"the {slight.sum()} articles whose highest level is 1, {(slight & (lengths >= 300)).sum()} have 300",
    ):
        assert claim in page


def test_counts_of_the_lexicon_by_kind_and_sector(lexicon: tuple[Entry, ...], datasheet: str) -> None:
    sectors = [sector.id for sector in read_sectors()]
    counts = Counter((entry.kind, entry.sector) for entry in lexicon)
    rows = [[kind, *(str(counts[kind, sector]) for sector in sectors)] for kind in sorted({e.kind for e in lexicon})]
    totals = ["all kinds", *(str(sum(entry.sector == sector for entry in lexicon)) for sector in sectors)]
    assert table(datasheet, "kind") == [*rows, totals]
    assert f"| kind | {' | '.join(sectors)} |" in datasheet


def test_bundled_articles_are_complete_and_do_not_repeat(corpus: Corpus) -> None:
    assert all(title.strip() for title in corpus.titles)
    assert not np.isnan(corpus.levels).any()
    assert deduplicate(corpus)[1] == []


def test_the_codebook_is_there_in_full(datasheet: str) -> None:
    original = REPOSITORY.parent / "shared" / "codebook.md"
    if not original.exists():
        pytest.skip("the original codebook, ../shared/codebook.md, is absent")
    demoted = re.sub(r"^#", "##", original.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert demoted.strip() in datasheet


def test_samples(corpus: Corpus) -> None:
    pages = {
        str(id): str(text)
        for batch in read(DATA / "samples")
        for id, text in zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
    }
    assert [name.split("-")[0] for name in pages] == list("123456")
    everything = "\n".join(pages.values())
    for boilerplate in (
        "Beranda >",
        "Penulis:",
        "Editor :",
        "(Foto: ",
        "Baca juga: ",
        "ADVERTISEMENT",
        "SCROLL TO CONTINUE WITH CONTENT",
        "[img.2]",
        "Artikel Terkait",
        "Berita Terkini",
        "&nbsp;",
        "https://",
    ):
        assert boilerplate in everything
    for text in pages.values():
        assert 200 <= len(text.split()) <= 600
        assert text not in corpus.texts
