"""The labelled corpus: read, validate, split."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from data.cells import unguarded
from data.label_studio import LABELS as LABEL_COLUMNS
from data.label_studio import read_annotations
from data.levels import LEVELS, NO_SECTOR, UNREVIEWED, is_unreviewed, parse_levels, shown
from data.reader import EXTENSIONS, ID_COLUMNS, TEXT_COLUMNS, TITLE_COLUMNS, Batch, ReadError, find_column, read

STYLE_COLUMNS = ("style", "outlet")
THERE_BEFORE: Final = "there before"
REVIEW_COLUMN: Final = "how_to_label"  # tells a sheet made for labelling, whose cells are guarded
ARRAY_EXTENSION: Final = ".json"


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

    def lazy_articles(self) -> Sequence[str]:
        """`articles`, each made when it is asked for: all at once they take as much memory as the corpus."""
        return _Articles(self)

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


class _Articles(Sequence[str]):
    """The articles of a corpus, each made when it is asked for."""

    def __init__(self, corpus: Corpus) -> None:
        self._titles, self._texts = corpus.titles, corpus.texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(map(_article, self._titles[index], self._texts[index]))
        return _article(self._titles[index], self._texts[index])


def read_corpus(
    paths: Sequence[Path | str], sectors: Sequence[str], say: Callable[[str], None] | None = None
) -> Corpus:
    """The labelled articles of JSONL, CSV, Parquet and JSON files, or folders of these, as one corpus.

    Columns: the text and optionally title and id under their usual names (see `data.reader`), a style or
    outlet, and the labels in a column `sectors`, `labels` or `levels`, in one of these forms:

    - levels: a JSON object such as `{"automotive": 2, "ev": 0}`; a sector that is missing or null is unknown
    - a list, `["ev"]`: those sectors at level 2, the others 0; `"ev:1"` is level 1, `["none"]` no sector at all
    - a delimited string, `ev|automotive:1`, also with "," or ";": the same; `none`, `-` or an empty string is
      no sector at all; one that ends in "?" is a suggestion nobody has reviewed, and the article is left out,
      as is one whose cell is empty in a sheet made for labelling

    A `.json` file is an array: an export of Label Studio (see `data.label_studio`) or such objects; in a folder
    one that begins otherwise is skipped. An article without an id gets "file-stem:line". An article with the id,
    title and text of one before it, and no other levels, is left out. `say` is told, in a line a file, what was
    left out.

    Raises CorpusError for the first row that cannot be read, is not labelled, has an unknown sector, a level
    other than 0, 1, 2 or null, a blank text or the id of another article, and for two articles with the same
    title and text but different levels; ReadError for a file that cannot be read at all.
    """
    gathered = _Gathered(tuple(sectors))
    for path in map(Path, paths):
        before = len(gathered.ids)
        arrays = _arrays(path)
        # What holds nothing but arrays has nothing for the other reader, which would refuse it.
        if not arrays or any(_is_table(file) for file in _visible(path)):
            for batch in read(path):
                gathered.add(batch)
        for file in arrays:
            gathered.add_annotations(file)
        unused = gathered.left_out.get(str(path), Counter())
        if path.is_file() and len(gathered.ids) == before and unused and THERE_BEFORE not in unused:
            why = gathered.note(str(path)).removeprefix(f"{path}: ")
            raise CorpusError(f"{path}: found no articles, expected at least one ({why})")
    notes = gathered.notes()
    if say is not None:
        for note in notes:
            say(note)
    if not gathered.ids:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise CorpusError(f"{', '.join(map(str, paths))}: found no articles, expected at least one{why}")
    return gathered.corpus()


def _arrays(path: Path) -> list[Path]:
    """The JSON files that hold arrays: the path itself if it is named so, or those in the folder, in sorted order."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ARRAY_EXTENSION else []
    found = []
    for file in _visible(path):
        if file.suffix.lower() == ARRAY_EXTENSION:
            try:
                with file.open(encoding="utf-8-sig", errors="replace") as stream:
                    array = stream.read(1024).lstrip().startswith("[")
            except OSError as error:
                raise ReadError(f"{file}: {(error.strerror or str(error)).lower()}") from error
            if array:
                found.append(file)
    return found


def _visible(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden, in sorted order."""
    inside = {file: file.relative_to(folder).parts for file in folder.rglob("*") if file.is_file()}
    files = [file for file, parts in inside.items() if not any(part.startswith(".") for part in parts)]
    return sorted(files, key=lambda file: inside[file])


def _is_table(file: Path) -> bool:
    """Whether `data.reader` reads a file in a folder, compressed or not."""
    return file.suffix.lower() != ARRAY_EXTENSION and any(suffix.lower() in EXTENSIONS for suffix in file.suffixes)


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
        self.index_of_article: dict[bytes, int] = {}  # by digest: the articles once more would double the memory
        self.left_out: dict[str, Counter[str]] = defaultdict(Counter)  # file -> reason -> articles
        self.read: Counter[str] = Counter()  # file -> articles in it

    def notes(self) -> list[str]:
        """A line a file of which articles were left out."""
        return [self.note(path) for path in self.left_out]

    def note(self, path: str) -> str:
        """How many articles of a file were left out, and why."""
        reasons = self.left_out[path]
        return f"{path}: {reasons.total():,} of {self.read[path]:,} articles left out: " + ", ".join(
            f"{number:,} {reason}" for reason, number in reasons.items()
        )

    def corpus(self) -> Corpus:
        levels = np.array(self.levels, dtype=np.float64)
        return Corpus(self.ids, self.titles, self.texts, levels, self.sectors, self.places, self.styles)

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch; raises CorpusError at the first that cannot be used."""
        if batch.rejects:
            reject = batch.rejects[0]
            hint = "; save the sheet as CSV UTF-8" if reject.reason.endswith("is not utf-8") else ""
            raise CorpusError(f"{reject.path}:{reject.line}: {reject.reason}{hint}")
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
        is_sheet = REVIEW_COLUMN in batch.columns
        if is_sheet:
            for what in ("id", "title", "text"):
                values[what] = [None if value is None else unguarded(value) for value in values[what]]
        stem = Path(batch.path).stem
        for row, line in enumerate(batch.lines.tolist()):
            place = f"{batch.path}:{line}"
            text = values["text"][row]
            if not any(column[row] and column[row].strip() for column in values.values()):
                continue  # an empty row, as spreadsheet programs leave them at the end
            self.read[batch.path] += 1
            if not text or not text.strip() or text_is_json[row]:
                raise CorpusError(f"{place}: {names['text']}: found {shown(text)}, expected the text of an article")
            labels = values["labels"][row]
            if is_unreviewed(labels) and not labels_are_json[row]:
                self.left_out[batch.path][f"not reviewed, their labels still end in {UNREVIEWED}"] += 1
                continue
            if is_sheet and not (labels or "").strip():
                self.left_out[batch.path][f"without labels: {NO_SECTOR} is what says that there is no sector"] += 1
                continue
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
                path=batch.path,
            )

    def add_annotations(self, path: Path) -> None:
        """Add the articles of an array; raises CorpusError at the first that cannot be used."""
        try:
            articles, left_out = read_annotations(path, self.sectors)
        except ReadError:
            raise
        except ValueError as error:
            raise CorpusError(str(error)) from None
        self.read[str(path)] += len(articles) + left_out.total()
        if left_out:
            self.left_out[str(path)] += left_out
        for article in articles:
            place = f"{path}: task {article.number}"
            id = article.id or f"{path.stem}:{article.number}"
            self._add_article(id, article.title, article.text, article.levels, place, "", str(path))

    def _add_article(
        self, id: str, title: str, text: str, levels: list[float], place: str, style: str, path: str
    ) -> None:
        index = len(self.ids)
        same_id = self.index_of_id.setdefault(id, index)
        article = _article(title, text).encode("utf-8", "surrogatepass")
        identity = hashlib.blake2b(article, digest_size=16).digest()
        # Reviewed twice, as an article picked again is: its levels are compared below.
        again = same_id != index and self.index_of_article.get(identity) == same_id
        if same_id != index and not again:
            raise CorpusError(f"{place}: id: found {shown(id)}, which {self.places[same_id]} has, expected unique ids")
        same = self.index_of_article.setdefault(identity, index)
        if same != index:
            for sector, here, there in zip(self.sectors, levels, self.levels[same], strict=True):
                if here != there and not math.isnan(here) and not math.isnan(there):
                    raise CorpusError(
                        f"{place}: {sector}: found level {here:.0f} for the very text of {self.places[same]}, "
                        f"expected its level {there:.0f}"
                    )
        if again:
            self.left_out[path][THERE_BEFORE] += 1
            return
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
