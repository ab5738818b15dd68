"""A page to look at: what was predicted, for whom reads it in a browser, as one HTML file that asks for nothing else.

The page is `report.html` with the data of a run put in: an index of all articles as JSON, and the articles themselves
with their telling words in compressed blocks, each of which the page unpacks when one of its articles is opened or
searched. Nothing in the data can become markup or a script: JSON has no "<" left, the blocks are base64, the page
shows text as text only, and its content security policy allows no script and style but its own, and no connection.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from features.markup import BLOCKS
from models.dates import parse_date, periods
from models.explanation import Explanation, Place, SectorExplanation, shorten
from models.labelled import LabelledArticle
from models.predictor import Predictor
from models.scoring import Floats

MOST_ARTICLES: Final = 20_000  # that a page holds
UNCERTAIN: Final = 1.0  # log-odds between a probability and its threshold below which an article counts as uncertain
LOW_COVERAGE: Final = 0.5  # coverage below which a prediction says little
BINS: Final = 20  # of the histograms
TEXT_BUDGET: Final = 60_000_000  # characters of all texts in a page; shared out evenly
LONGEST_TEXT: Final = 20_000  # characters of a text that are shown, and
SHORTEST_CUT: Final = 1_500  # however many articles there are
LONGEST_HEADLINE: Final = 160  # characters
LONGEST_ID: Final = 80
LONGEST_DATE: Final = 60
LONGEST_SENTENCE: Final = 600
WORDS: Final = 8  # for and against each sector that are shown, if
LEAST: Final = 2  # hundredths of log-odds are what they add or take away, or more
MOST_PLACES: Final = 100  # of a word that are highlighted
BLOCK: Final = 64  # articles that are unpacked together

COLUMNS: Final = (  # of the index
    *("number", "id", "title", "date", "day", "probabilities", "sectors", "primary", "coverage", "margin"),
)

_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LINE_END: Final = re.compile(rf"</?(?:{'|'.join(BLOCKS.split())})\b", re.IGNORECASE)
_POLICY: Final = "<!-- policy -->"
_DATA: Final = "<!-- data -->"


class ReportError(ValueError):
    """A report that cannot be written; the message is one line."""


@dataclass(frozen=True)
class Totals:
    """What a run counted, whatever part of it a report shows.

    labelled, rejected: rows. none: labelled rows without a sector. by_sector: labelled rows with each sector.
    """

    labelled: int
    rejected: int
    none: int
    by_sector: Mapping[str, int]


def write_report(
    path: Path,
    articles: Sequence[LabelledArticle],
    predictor: Predictor,
    totals: Totals,
    rule: str | None = None,
) -> None:
    """Write the page, all of it or nothing; a file that stands there is replaced.

    Parameters
    ----------
    articles: those to show, at most `MOST_ARTICLES`; each is asked for once.
    predictor: the one that labelled them, which explains them here.
    rule: how the articles were chosen if they are not all of the run, a sentence; None for all.

    Raises ReportError for too many articles, or if the file cannot be written.
    """
    if len(articles) > MOST_ARTICLES:
        raise ReportError(
            f"{path}: found {len(articles):,} articles, expected at most {MOST_ARTICLES:,}: a sample of them"
        )
    head, tail = _template()
    partial: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".partial", dir=path.resolve().parent)
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(head)
            index = _Index(predictor, totals, rule, len(articles))
            for number, block in enumerate(_blocks(index, articles)):
                packed = base64.b64encode(gzip.compress(_json(block), compresslevel=6, mtime=0))
                file.write(b'<script type="text/plain" class="block" id="block-%d">%b</script>\n' % (number, packed))
            # In JSON "<" stands in strings only, where it may be written so; then no string can end the element.
            data = _json(index.to_json()).replace(b"<", b"\\u003c")
            file.write(b'<script type="application/json" id="index">%b</script>\n' % data)
            file.write(tail)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise ReportError(f"{path}: cannot write the report: {(error.strerror or str(error)).lower()}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _template() -> tuple[bytes, bytes]:
    """The page before and behind the data, with a policy that names its style and its script by their digests."""
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    digests = [
        base64.b64encode(hashlib.sha256(pattern.findall(page)[0].encode()).digest()).decode()
        for pattern in (_STYLE, _SCRIPT)
    ]
    policy = (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = page.replace(_POLICY, f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
    head, _, tail = page.partition(_DATA)
    return head.encode(), tail.encode()


def _json(value: object) -> bytes:
    """JSON in UTF-8, which has no lone surrogates: "?" stands for one, as in the predictor."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def _blocks(index: _Index, articles: Sequence[LabelledArticle]) -> Iterator[list[dict[str, Any]]]:
    """The articles in blocks as the page takes them; the index takes note of each."""
    remaining = iter(articles)
    while batch := list(islice(remaining, BLOCK)):
        # A row without a title is explained as the run labelled it: given whole.
        explanations = index.predictor.explanations(
            [article.text for article in batch], [article.title or None for article in batch]
        )
        yield [index.add(article, explanation) for article, explanation in zip(batch, explanations, strict=True)]


class _Index:
    """What the page knows of all articles before one is opened."""

    def __init__(self, predictor: Predictor, totals: Totals, rule: str | None, n_articles: int):
        self.predictor = predictor
        self._totals = totals
        self._rule = rule
        self._longest = min(LONGEST_TEXT, max(SHORTEST_CUT, TEXT_BUDGET // max(n_articles, 1)))
        self._cut = 0
        self._rows: list[list[Any]] = []
        self._probabilities: list[list[float]] = []
        self._predicted: list[list[bool]] = []
        self._dates: list[date | None] = []

    def add(self, article: LabelledArticle, explanation: Explanation) -> dict[str, Any]:
        """Take note of an article; returns what is shown when it is opened."""
        prediction, sectors = article.prediction, self.predictor.sectors
        probabilities = [prediction.probabilities[sector] for sector in sectors]
        predicted = [sector in prediction.sectors for sector in sectors]
        day = parse_date(article.date[:LONGEST_DATE])
        self._dates.append(day)
        self._probabilities.append(probabilities)
        self._predicted.append(predicted)
        self._rows.append(
            [
                article.number,
                shorten(article.id, LONGEST_ID),
                _headline(article, explanation),
                shorten(" ".join(article.date.split()), LONGEST_DATE),
                "" if day is None else day.isoformat(),
                [_four_digits(probability) for probability in probabilities],
                [place for place, said in enumerate(predicted) if said],
                -1 if prediction.primary is None else sectors.index(prediction.primary),
                round(prediction.coverage, 3),
            ]
        )
        self._cut += len(article.text) > self._longest
        return self._body(article, explanation)

    def _body(self, article: LabelledArticle, explanation: Explanation) -> dict[str, Any]:
        def within(place: Place) -> bool:
            return place.start < self._longest

        # In hundredths, which is what the page shows. A word is read off the text, at the first of its places.
        hundredths = np.rint(100 * explanation.contributions).astype(np.int64)
        telling: set[int] = set()
        for its in hundredths:
            order = np.argsort(its, kind="stable")
            strongest = np.concatenate((order[:WORDS], order[-WORDS:]))
            telling.update(strongest[np.abs(its[strongest]) >= LEAST].tolist())
        words = []
        for number in sorted(telling):
            places = explanation.places(number)
            shown = [place for place in places if place.end <= self._longest][:MOST_PLACES]
            word = [hundredths[:, number].tolist(), _flat(shown), int(any(place.headline for place in places))]
            if not shown:
                first = places[0]
                whole = article.title if first.part == "title" else article.text
                word.append(shorten(whole[first.start : first.end], LONGEST_ID))
            words.append(word)
        return {
            "title": article.title[: self._longest],
            "text": article.text[: self._longest],
            "length": len(article.text),
            "skipped": _flat([place for place in explanation.skipped if within(place)]),
            "words": words,
            "sectors": [self._sector(its) for its in explanation.sectors.values()],
        }

    def _sector(self, its: SectorExplanation) -> list[Any]:
        """Decision score, and the sentence that carries most: what it adds, its place, its words if cut off."""
        if its.sentence is None:
            return [round(its.score, 3), None]
        text, adds, place = its.sentence
        cut_off = place.end > self._longest or len(text) > LONGEST_SENTENCE
        sentence = [round(adds, 3), _flat([place]), *([shorten(text, LONGEST_SENTENCE)] if cut_off else [])]
        return [round(its.score, 3), sentence]

    def to_json(self) -> dict[str, Any]:
        """What the page is drawn from."""
        sectors = self.predictor.sectors
        thresholds = np.array([self.predictor.thresholds[sector] for sector in sectors])
        probabilities = np.array(self._probabilities, np.float64).reshape(-1, len(sectors))
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        margins = _margins(probabilities, thresholds).tolist()
        return {
            "sectors": [
                {"name": name, "threshold": self.predictor.thresholds[name], "intercept": round(float(intercept), 3)}
                for name, intercept in zip(sectors, self.predictor.model.intercepts, strict=True)
            ],
            "totals": {
                "labelled": self._totals.labelled,
                "rejected": self._totals.rejected,
                "none": self._totals.none,
                "sectors": [self._totals.by_sector.get(sector, 0) for sector in sectors],
            },
            "rule": self._rule,
            "limits": {"uncertain": UNCERTAIN, "coverage": LOW_COVERAGE, "text": self._longest, "cut": self._cut},
            "block": BLOCK,
            "trend": self._trend(),
            "histograms": [np.bincount(column, minlength=BINS).tolist() for column in bins.T],
            "columns": list(COLUMNS),
            "rows": [
                [*row, round(margin, 3) if math.isfinite(margin) else None]
                for row, margin in zip(self._rows, margins, strict=True)
            ],
        }

    def _trend(self) -> dict[str, Any] | None:
        """How many articles carry each sector, period by period; None without dates."""
        found = periods(self._dates)
        if found is None:
            return None
        counts = np.zeros((len(self.predictor.sectors) + 1, len(found.starts)), np.int64)
        for place, predicted in zip(found.places, self._predicted, strict=True):
            if place is not None:
                counts[:-1, place] += np.array(predicted, np.int64)
                counts[-1, place] += 1
        return {
            "unit": found.unit,
            "starts": [start.isoformat() for start in found.starts],
            "sectors": counts[:-1].tolist(),
            "articles": counts[-1].tolist(),
            "undated": sum(day is None for day in self._dates),
            "outside": sum(
                day is not None and place is None for day, place in zip(self._dates, found.places, strict=True)
            ),
        }


def _flat(places: Sequence[Place]) -> list[list[int]]:
    """The characters of places in the title and in the text: [start, length, start, length, ...] each."""
    parts: dict[str, list[int]] = {"title": [], "text": []}
    for place in places:
        parts[place.part] += (place.start, place.end - place.start)
    return [parts["title"], parts["text"]]


def _margins(probabilities: Floats, thresholds: Floats) -> Floats:
    """How far the sector nearest to its threshold is from it, in log-odds: (n_articles,); infinite without words.

    Parameters: probabilities (n_articles, n_sectors), thresholds (n_sectors,).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.abs(np.log(probabilities / (1 - probabilities)) - np.log(thresholds / (1 - thresholds)))
    return np.asarray(np.nan_to_num(distances, nan=np.inf, posinf=np.inf).min(axis=1, initial=np.inf))


def _four_digits(probability: float) -> float:
    """Four significant digits, which are more than the page shows."""
    return float(f"{probability:.4g}")


def _headline(article: LabelledArticle, explanation: Explanation) -> str:
    """The title, or the first line of the text that is not boilerplate, on one line."""
    title = " ".join(article.title[: 4 * LONGEST_HEADLINE].split())
    if title:
        return shorten(title, LONGEST_HEADLINE)
    pieces, reached = [], 0
    for skip in explanation.skipped:
        if skip.part == "text" and skip.start < 20 * LONGEST_HEADLINE:
            skipped = article.text[skip.start : skip.end]
            pieces += [
                article.text[reached : skip.start],
                "\n" if "\n" in skipped or _LINE_END.search(skipped) else " ",
            ]
            reached = skip.end
    pieces.append(article.text[reached : reached + 4 * LONGEST_HEADLINE])
    lines = (" ".join(line.split()) for line in "".join(pieces).splitlines())
    line = next((line for line in lines if any(map(str.isalnum, line))), "")
    return shorten(line, LONGEST_HEADLINE)
