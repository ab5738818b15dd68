"""The labelled corpus: read, validate, split."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.reader import ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, Batch, find_column, json_string, read

LABEL_COLUMNS = ("sectors", "labels", "levels")
STYLE_COLUMNS = ("style", "outlet")
LEVELS = (0, 1, 2)
LISTED_LEVEL = 2  # the level of a sector that is only named, in a list or a delimited string


class CorpusError(ValueError):
    """A labelled file that cannot be used; one line naming file, line, field, what was found and expected."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Labelled articles, in the order they were read; every sequence has one entry an article.

    ids       unique
    titles    empty where an article has none
    texts     never blank
    levels    float64 array of shape (articles, sectors): 0, 1 or 2, nan where the level is unknown
    sectors   the columns of `levels`
    places    "file:line" the article was read from
    styles    its style or outlet, empty where not given
    """

    ids: list[str]
    titles: list[str]
    texts: list[str]
    levels: NDArray[np.float64]
    sectors: tuple[str, ...]
    places: list[str]
    styles: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, indices: Iterable[int]) -> Corpus:
        """The articles at these indices, in that order."""
        chosen = [int(index) for index in indices]
        return Corpus(
            ids=[self.ids[index] for index in chosen],
            titles=[self.titles[index] for index in chosen],
            texts=[self.texts[index] for index in chosen],
            levels=self.levels[np.array(chosen, dtype=np.intp)],
            sectors=self.sectors,
            places=[self.places[index] for index in chosen],
            styles=[self.styles[index] for index in chosen],
        )

    def articles(self) -> list[str]:
        """Title and text of each article as one string, the title on the first line if there is one."""
        return [_article(title, text) for title, text in zip(self.titles, self.texts, strict=True)]

    def files(self) -> NDArray[np.int64]:
        """For each article the number of the file it was read from, in order of first appearance: (articles,)."""
        numbers: dict[str, int] = {}
        names = [place.rpartition(":")[0] for place in self.places]
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)

    def digest(self) -> str:
        """SHA-256 over sectors, ids, titles, texts and levels in their order; files and styles play no
        part.
        """
        known = np.where(np.isnan(self.levels), -1, self.levels).astype(np.int8).tolist()
        content = hashlib.sha256()
        content.update(json.dumps(self.sectors).encode())
        for row in zip(self.ids, self.titles, self.texts, known, strict=True):
            content.update(json.dumps(row).encode())
        return content.hexdigest()

    def counts(self) -> dict[str, dict[int, int]]:
        """Per sector the number of articles at each level, as {sector: {0: n, 1: n, 2: n}}; unknown not
        counted.
        """
        return {
            sector: {level: int((self.levels[:, column] == level).sum()) for level in LEVELS}
            for column, sector in enumerate(self.sectors)
        }


def read_corpus(paths: Sequence[Path | str], sectors: Sequence[str]) -> Corpus:
    """The labelled articles of JSONL, CSV and Parquet files, or folders of these, as one corpus.

    Columns: the text and optionally title and id under their usual names (see `data.reader`), a style or
    outlet, and the labels in a column `sectors`, `labels` or `levels`, in one of these forms:

    - levels: a JSON object such as `{"automotive": 2, "ev": 0}`; a sector that is missing or null is unknown
    - a list, `["ev"]`: those sectors at level 2, the others 0
    - a delimited string, `ev|automotive`, also with "," or ";": the same; an empty string is no sector at all

    An article without an id gets "file-stem:line".

    Raises CorpusError for the first row that cannot be read, is not labelled, has an unknown sector, a level
    other than 0, 1, 2 or null, a blank text or the id of another article, and for two articles with the same
    title and text but different levels; ReadError for a file that cannot be read at all.
    """
    gathered = _Gathered(tuple(sectors))
    for path in paths:
        for batch in read(path):
            gathered.add(batch)
    if not gathered.ids:
        raise CorpusError(f"{', '.join(map(str, paths))}: found no articles, expected at least one")
    return gathered.corpus()


class _Gathered:
    """Articles validated one by one, on their way to a corpus."""

    def __init__(self, sectors: tuple[str, ...]) -> None:
        self.sectors = sectors
        self.ids: list[str] = []
        self.titles: list[str] = []
        self.texts: list[str] = []
        self.levels: list[list[float]] = []
        self.places: list[str] = []
        self.styles: list[str] = []
        self.index_of_id: dict[str, int] = {}
        self.index_of_article: dict[str, int] = {}

    def corpus(self) -> Corpus:
        levels = np.array(self.levels, dtype=np.float64)
        return Corpus(self.ids, self.titles, self.texts, levels, self.sectors, self.places, self.styles)

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch; raises CorpusError at the first that cannot be used."""
        if batch.rejects:
            reject = batch.rejects[0]
            raise CorpusError(f"{reject.path}:{reject.line}: {reject.reason}")
        if not len(batch):
            return
        names = {what: find_column(batch.columns, None, usual, what) for what, usual in _COLUMNS.items()}
        for what in ("text", "labels"):
            if names[what] is None:
                found = ", ".join(batch.columns) or "none"
                expected = f"one of {', '.join(_COLUMNS[what])}"
                raise CorpusError(f"{batch.path}:{batch.lines[0]}: {what}: found columns {found}, expected {expected}")
        values = {what: batch.column(name).to_pylist() for what, name in names.items()}
        text_is_json = batch.literal(names["text"]).tolist()
        labels_are_json = batch.literal(names["labels"]).tolist()
        stem = Path(batch.path).stem
        for row, line in enumerate(batch.lines.tolist()):
            place = f"{batch.path}:{line}"
            text = values["text"][row]
            if not text or not text.strip() or text_is_json[row]:
                raise CorpusError(f"{place}: {names['text']}: found {_shown(text)}, expected the text of an article")
            labels = values["labels"][row]
            try:
                levels = parse_levels(labels, self.sectors, is_json=labels_are_json[row])
            except ValueError as error:
                raise CorpusError(f"{place}: {names['labels']}: {error}") from None
            self._add_article(
                id=values["id"][row] or f"{stem}:{line}",
                title=values["title"][row] or "",
                text=text,
                levels=levels,
                place=place,
                style=values["style"][row] or "",
            )

    def _add_article(self, id: str, title: str, text: str, levels: list[float], place: str, style: str) -> None:
        index = len(self.ids)
        same_id = self.index_of_id.setdefault(id, index)
        if same_id != index:
            raise CorpusError(f"{place}: id: found {_shown(id)}, which {self.places[same_id]} has, expected unique ids")
        same = self.index_of_article.setdefault(_article(title, text), index)
        if same != index:
            for sector, here, there in zip(self.sectors, levels, self.levels[same], strict=True):
                if here != there and not math.isnan(here) and not math.isnan(there):
                    raise CorpusError(
                        f"{place}: {sector}: found level {here:.0f} for the very text of {self.places[same]}, "
                        f"expected its level {there:.0f}"
                    )
        self.ids.append(id)
        self.titles.append(title)
        self.texts.append(text)
        self.levels.append(levels)
        self.places.append(place)
        self.styles.append(style)


_COLUMNS = {
    "id": ID_COLUMNS,
    "title": TITLE_COLUMNS,
    "text": TEXT_COLUMNS,
    "labels": LABEL_COLUMNS,
    "style": STYLE_COLUMNS,
}


def _article(title: str, text: str) -> str:
    return f"{title}\n{text}" if title.strip() else text


def _shown(value: object) -> str:
    """A value for an error message, on one line and not too long."""
    if value is None:
        return "nothing"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def parse_levels(labels: str | None, sectors: Sequence[str], *, is_json: bool = False) -> list[float]:
    """The level of each sector, nan where unknown, from one of the forms that `read_corpus` tells.

    `is_json` says that the labels were JSON, not a string; a string that begins with "{" or "[" is JSON all
    the same, as in a CSV cell. Raises ValueError with what was found and what was expected.
    """
    example = json_string(sectors[0])
    expected = f'expected levels such as {{{example}: 2}}, a list such as [{example}] or names with "|" between'
    if labels is None:
        raise ValueError(f"found nothing, {expected}")
    if not is_json and not labels.lstrip().startswith(("{", "[")):
        return _listed([part for part in map(str.strip, re.split(r"[|,;]", labels)) if part], sectors)
    try:
        value: Any = json.loads(labels)
    except ValueError:
        raise ValueError(f"found {_shown(labels)}, which is broken JSON, {expected}") from None
    if isinstance(value, list):
        return _listed(value, sectors)
    if not isinstance(value, dict):
        raise ValueError(f"found {_shown(value)}, {expected}")
    _refuse_unknown(value, sectors)
    for sector, level in value.items():
        if level is not None and (isinstance(level, bool) or not isinstance(level, int) or level not in LEVELS):
            raise ValueError(f"{sector}: found level {_shown(level)}, expected 0, 1, 2 or null")
    levels = [math.nan if value.get(sector) is None else float(value[sector]) for sector in sectors]
    if all(map(math.isnan, levels)):
        raise ValueError(f"found no level, expected one for at least one of {', '.join(sectors)}")
    return levels


def _listed(names: Sequence[object], sectors: Sequence[str]) -> list[float]:
    _refuse_unknown(names, sectors)
    return [float(LISTED_LEVEL) if sector in names else 0.0 for sector in sectors]


def _refuse_unknown(names: Iterable[object], sectors: Sequence[str]) -> None:
    for name in names:
        if name not in sectors:
            raise ValueError(f"found sector {_shown(name)}, expected {', '.join(sectors)}")


# Splits


def folds(
    levels: NDArray[np.float64], groups: NDArray[np.int64], n_splits: int = 5, seed: int = 0
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Splits for cross-validation: pairs of ascending indices (train, test), every article in one test set.

    levels   shape (articles, sectors), nan for unknown, as in `Corpus`
    groups   shape (articles,): articles with the same number, such as `data.duplicates.repeats` gives, stay on one side

    The combinations of sectors at level 1 or 2 are spread evenly over the splits; see `combinations`. The
    same arguments give the same splits. Raises ValueError when there are fewer groups than splits.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # training only: slow to import

    distinct = len(np.unique(groups))
    if distinct < n_splits:
        raise ValueError(f"found {distinct} different articles, expected at least {n_splits} for {n_splits} splits")
    classes = combinations(levels, n_splits)
    if distinct == len(groups):  # groups of one make no difference, and without groups it is much faster
        splits = StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(classes, classes)
    else:
        splits = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(classes, classes, groups)
    return list(splits)


def combinations(levels: NDArray[np.float64], at_least: int) -> NDArray[np.int64]:
    """The combination of sectors at level 1 or 2 of each article, as a number; shape (articles,).

    A combination that fewer than `at_least` articles have counts as the most similar one that more have: the
    one that differs in the fewest sectors, of these the most frequent. An unknown level counts as 0.
    """
    numbers = (levels >= 1) @ (1 << np.arange(levels.shape[1], dtype=np.int64))
    counts: Counter[int] = Counter(numbers.tolist())
    frequent = sorted(number for number, count in counts.items() if count >= at_least)
    if not frequent:
        return np.zeros(len(numbers), dtype=np.int64)

    def nearest(number: int) -> int:
        return min(frequent, key=lambda other: ((number ^ other).bit_count(), -counts[other], other))

    merged = {number: number if counts[number] >= at_least else nearest(number) for number in counts}
    return np.fromiter((merged[number] for number in numbers.tolist()), dtype=np.int64, count=len(numbers))
