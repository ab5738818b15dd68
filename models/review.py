"""Which articles are worth a label, and the files in which people give it.

The labelling loop: `pick` chooses from labelled articles those whose labels would teach the model most, `write_review`
writes them for Label Studio or a spreadsheet program, `data.corpus.read_corpus` reads them back.
"""

from __future__ import annotations

import csv
import heapq
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from data.cells import guarded
from data.corpus import REVIEW_COLUMN
from data.duplicates import repeats
from data.label_studio import Suggestion, configuration, task
from data.levels import NO_SECTOR, UNREVIEWED
from features.clean import clean
from features.strings import string_array
from features.tokens import split
from models.labelled import LabelledArticle
from models.predictor import Predictor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SHEET: Final = ".csv"
TASKS: Final = ".json"
CONFIGURATION: Final = ".xml"
SHEET_COLUMNS: Final = ("id", "sectors", REVIEW_COLUMN, "title", "text")
FEWEST_ARTICLES: Final = 3  # that hold a word for it to be learned, see `models.classifier.Configuration`
LONGEST_CELL: Final = 32_000  # UTF-16 units; what goes beyond 32,767 Excel puts into further rows
CUT: Final = " [...]"
_BATCH: Final = 1024  # articles
_LEAST: Final = 1e-9


class ReviewError(ValueError):
    """A file for reviewers that cannot be written; the message is one line and names the file."""


def usefulness(probabilities: Floats, coverage: Floats, thresholds: Floats) -> Floats:
    """How much the label of each article would teach, 0 to 2; 0 for an article without a word: (n_articles,).

    The sum of two parts from 0 to 1. Uncertainty: for the sector that is nearest to its threshold, 4 q (1 - q), where
    the log-odds of q are the distance in log-odds from the threshold; 1 at the threshold itself (uncertainty sampling,
    Lewis and Gale 1994, at the threshold instead of at one half). Novelty: the share of words the model does not know.

    Parameters: probabilities (n_articles, n_sectors), coverage (n_articles,), thresholds (n_sectors,).
    """
    distance = np.abs(_log_odds(probabilities) - _log_odds(thresholds)).min(axis=1, initial=np.inf)
    q = 1 / (1 + np.exp(-distance))
    blank = (coverage == 0) & (probabilities == 0).all(axis=1)
    return np.where(blank, 0.0, 4 * q * (1 - q) + (1 - coverage))


def _log_odds(shares: Floats) -> Floats:
    shares = shares.clip(_LEAST, 1 - _LEAST)
    return np.asarray(np.log(shares / (1 - shares)))


def pick(articles: Sequence[LabelledArticle], predictor: Predictor, n: int, seed: int = 0) -> list[LabelledArticle]:
    """The n articles whose labels would teach the model most, the best first; fewer where the rest repeat these.

    Useful articles that together hold as many words as they can, each word often enough to be learned: greedily, each
    next one adds most to the sum, over all words, of held / (held + half). Held is how much of the word the picked
    articles hold, each weighed by its usefulness; half is what `FEWEST_ARTICLES` articles hold on average (a
    feature-based submodular function, as in Wei, Iyer and Bilmes, "Submodularity in data subset selection and active
    learning", 2015). So a second article of a story is worth less than a first of another, and a tenth nothing. How
    much an article holds of a word is its TF-IDF weight among these articles; words the model does not know count,
    words of fewer than `FEWEST_ARTICLES` articles do not.

    No two picked articles are near duplicates (see `data.duplicates.repeats`), and none is without a word. The same
    articles and seed give the same picks: the seed settles ties. Raises ValueError for an n below 1.
    """
    if n < 1:
        raise ValueError(f"found {n} articles to review, expected at least 1")
    if not articles:
        return []
    names = predictor.sectors
    useful = usefulness(
        np.array([[article.prediction.probabilities[name] for name in names] for article in articles]),
        np.array([article.prediction.coverage for article in articles]),
        np.array([predictor.thresholds[name] for name in names]),
    )
    picked: list[int] = []
    for place in _spread(_Words.of(articles), useful, seed):
        picked.append(place)
        if len(picked) == n:
            picked = _distinct(articles, picked)
            if len(picked) == n:
                break
    return [articles[place] for place in _distinct(articles, picked)]


def _distinct(articles: Sequence[LabelledArticle], picked: Sequence[int]) -> list[int]:
    """Those that repeat none picked before."""
    first = repeats([f"{articles[place].title}\n{articles[place].text}" for place in picked])
    return [picked[number] for number in np.flatnonzero(first == np.arange(len(picked))).tolist()]


def _spread(words: _Words, useful: Floats, seed: int) -> Iterator[int]:
    """All useful articles in the order in which they are picked.

    What an article adds only shrinks as others are picked, so an earlier figure is an upper bound, and only articles
    whose bound is the largest are worked out again (the accelerated greedy algorithm of Minoux 1978).
    """
    ties = np.random.default_rng(seed).permutation(useful.size)
    candidates = np.flatnonzero(useful > 0)
    parts = words.weights * useful.repeat(np.diff(words.offsets))
    half = FEWEST_ARTICLES * float(parts[parts > 0].mean()) if (parts > 0).any() else 1.0
    held = np.zeros(words.n_words)

    def adds(place: int) -> float:
        columns, weights = words.row(place)
        before = held[columns]
        after = before + useful[place] * weights
        return float((after / (after + half) - before / (before + half)).sum())

    bounds = [(-adds(place), int(ties[place]), place) for place in candidates.tolist()]
    heapq.heapify(bounds)
    while bounds:
        _, tie, place = bounds[0]
        gain = adds(place)
        if len(bounds) > 1 and (-gain, tie, place) > min(bounds[1:3]):
            heapq.heapreplace(bounds, (-gain, tie, place))
            continue
        heapq.heappop(bounds)
        columns, weights = words.row(place)
        held[columns] += useful[place] * weights
        yield place


@dataclass(frozen=True, eq=False)
class _Words:
    """TF-IDF weights of the words of articles, each article's scaled to length one: a sparse matrix in rows.

    offsets: (n_articles + 1,). columns, weights: (n_nonzero,).
    """

    offsets: Integers
    columns: npt.NDArray[np.int32]
    weights: Floats
    n_words: int

    @classmethod
    def of(cls, articles: Sequence[LabelledArticle]) -> Self:
        number_of: dict[str, int] = {}
        rows: list[Integers] = []
        columns: list[npt.NDArray[np.int32]] = []
        counts: list[Integers] = []
        for start in range(0, len(articles), _BATCH):
            batch = articles[start : start + _BATCH]
            texts, titles = (string_array([getattr(a, name) for a in batch]) for name in ("text", "title"))
            tokens = split(clean(texts, titles))
            numbers = np.array([number_of.setdefault(word, len(number_of)) for word in tokens.distinct], np.int32)
            row_of = np.arange(len(batch)).repeat(np.diff(tokens.offsets))
            pairs, its_counts = np.unique(row_of * max(numbers.size, 1) + tokens.numbers, return_counts=True)
            in_row, in_batch = np.divmod(pairs, max(numbers.size, 1))
            rows.append(start + in_row)
            columns.append(numbers[in_batch])
            counts.append(its_counts)
        row, column, count = (np.concatenate(parts) for parts in (rows, columns, counts))
        n_words = len(number_of)
        frequency = np.bincount(column, minlength=n_words)
        weights = (1 + np.log(count)) * np.log(len(articles) / np.maximum(frequency, 1))[column]
        length = np.sqrt(np.bincount(row, weights**2, minlength=len(articles)))
        weights /= np.where(length > 0, length, 1.0)[row]
        shared = (frequency >= min(FEWEST_ARTICLES, len(articles)))[column] & (weights > 0)
        offsets = np.concatenate(([0], np.bincount(row[shared], minlength=len(articles)).cumsum()))
        return cls(offsets, column[shared], weights[shared], n_words)

    def row(self, place: int) -> tuple[npt.NDArray[np.int32], Floats]:
        """The words of an article, and how much it holds of each."""
        span = slice(self.offsets[place], self.offsets[place + 1])
        return self.columns[span], self.weights[span]


# Files for reviewers


def review_files(path: Path) -> tuple[Path, ...]:
    """The files that `write_review` writes: the path itself, and for Label Studio its labelling configuration.

    Raises ReviewError for an extension other than .json and .csv.
    """
    extension = path.suffix.lower()
    if extension not in (TASKS, SHEET):
        raise ReviewError(
            f"{path}: found extension {extension or 'none'}, expected {TASKS} (Label Studio) or {SHEET} (spreadsheet)"
        )
    return (path, path.with_suffix(CONFIGURATION)) if extension == TASKS else (path,)


def write_review(
    path: Path,
    picked: Sequence[LabelledArticle],
    predictor: Predictor,
    *,
    overwrite: bool = False,
    delimiter: str = ",",
) -> tuple[Path, ...]:
    """Write picked articles with what the model suggests for them; gives the files written.

    `.json`: tasks to import into Label Studio, suggestions ticked in advance; beside it, as `.xml`, the labelling
    configuration to paste into the project's settings before.

    `.csv`: a sheet whose cells under `sectors` hold the suggestion and a question mark, as in "ev|automotive ?". A
    reviewer corrects the names and deletes the question mark; rows that keep it are left out when the sheet is read
    back. UTF-8 with a byte-order mark, by which spreadsheet programs know it. Cells that such a program would take for
    a formula or a number are guarded by an apostrophe, which goes when the sheet is read back. An article longer than
    a cell may be is cut, and says so at its end; NULs become spaces.

    Parameters: delimiter, of the sheet; where decimals have a comma, Excel opens no other than ";" as a table.
    Raises ReviewError for another extension, a file that exists (unless `overwrite`) or cannot be written.
    """
    files = review_files(path)
    if not overwrite:
        for file in files:
            if file.exists():
                raise ReviewError(f"{file}: exists, expected a free name (or --overwrite)")
    if len(files) == 1:
        _write(path, _sheet(picked, predictor.sectors, delimiter).encode("utf-8-sig", "replace"))
        return files
    model = f"sektor {str(predictor.model.training.get('digest', ''))[:12]}".rstrip()
    tasks = [
        task(article.id, article.title, article.text, Suggestion(article.prediction.sectors, _sureness(article), model))
        for article in picked
    ]
    _write(path, (json.dumps(tasks, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace"))
    _write(files[1], configuration(predictor.sectors).encode())
    return files


def _sureness(article: LabelledArticle) -> float:
    """How probable the least probable part of a prediction is, 0 to 1."""
    prediction = article.prediction
    sure = (p if name in prediction.sectors else 1 - p for name, p in prediction.probabilities.items())
    return round(min(sure, default=1.0), 6)


def _sheet(picked: Sequence[LabelledArticle], sectors: Sequence[str], delimiter: str) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(SHEET_COLUMNS)
    several = "|".join(sectors[:2])
    rule = (
        f"Correct the cell under sectors, then delete its {UNREVIEWED}; rows that keep it, or are left without "
        "sectors, teach nothing. "
        f"Names: {', '.join(sectors)}. Several: {several}. No sector: {NO_SECTOR}. "
        f"A sector that is only part of the article: {sectors[0]}:1."
    )
    for article in picked:
        suggestion = f"{'|'.join(article.prediction.sectors) or NO_SECTOR} {UNREVIEWED}"
        writer.writerow([_cell(article.id), suggestion, rule, _cell(article.title), _cell(article.text)])
        rule = ""  # once is enough
    return stream.getvalue()


def _cell(text: str) -> str:
    text = text.replace("\0", " ")
    units = text.encode("utf-16-le", "replace")
    if len(units) > 2 * LONGEST_CELL:
        text = units[: 2 * LONGEST_CELL].decode("utf-16-le", "ignore") + CUT
    return guarded(text)


def _write(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing."""
    try:
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(partial, 0o666 & ~mask)  # a temporary file is its owner's alone
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ReviewError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
