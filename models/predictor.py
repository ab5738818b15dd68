"""The imported predictor: a trained model, articles in, predictions out.

Only numpy, pyarrow and PySastrawi are imported: no scikit-learn, no MLflow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa

from features.clean import articles_of
from features.columns import StemColumns
from features.pool import WordPool
from features.strings import article_array
from features.vocabulary import Vocabulary
from models.explanation import Explanation, explain
from models.scoring import Labels, Scorer
from models.store import Model, VersionWarning, read_model, version_differences

SHIPPED_MODEL: Final = Path(__file__).resolve().with_name("sektor")
TRACKED: Final = ("models:/", "runs:/")  # how the name of a model begins that MLflow keeps
BATCH_ARTICLES: Final = 1024  # articles that go through the data flow together
BATCH_BYTES: Final = 16 << 20  # and characters, whichever is reached first
EXPLAINED_TOGETHER: Final = 64  # articles, whose explanations are worked out side by side


@dataclass(frozen=True, init=False)
class Prediction:
    """What an article is about.

    sectors: the predicted sectors, in the model's order; empty for none.
    primary: of these the one with the largest probability, else None.
    probabilities: one for every sector the model knows.
    coverage: the share of the article's words that the model's vocabulary knows, 0 to 1. Low coverage means
        another language, or something that is not an article.
    """

    sectors: tuple[str, ...]
    primary: str | None
    probabilities: dict[str, float] = field(hash=False)
    coverage: float

    def __init__(
        self, sectors: tuple[str, ...], primary: str | None, probabilities: dict[str, float], coverage: float
    ) -> None:
        # As millions of them are made: what `dataclass` writes for a frozen class takes twice as long.
        fields = self.__dict__
        fields["sectors"], fields["primary"] = sectors, primary
        fields["probabilities"], fields["coverage"] = probabilities, coverage


class Predictor:
    """A trained model, ready to label articles; safe to share between threads.

    Parameters: model; thresholds, probabilities from which on a sector is predicted, for sectors where it should be
    another than the model's. Raises ValueError for an unknown sector or a threshold outside 0 to 1.
    """

    def __init__(self, model: Model, thresholds: Mapping[str, float] | None = None):
        self.model = model
        self.thresholds = {
            sector: calibration.threshold for sector, calibration in zip(model.sectors, model.calibrations, strict=True)
        }
        for sector, threshold in (thresholds or {}).items():
            if sector not in self.thresholds:
                raise ValueError(f"threshold for {sector!r}: no such sector, expected one of {', '.join(self.sectors)}")
            if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
                raise ValueError(f"threshold for {sector!r}: found {threshold!r}, expected a probability from 0 to 1")
            self.thresholds[sector] = threshold
        self._limits = np.array([self.thresholds[sector] for sector in model.sectors])
        self._powers = 1 << np.arange(len(model.sectors))
        self._vocabulary = Vocabulary(model.terms, model.title_weight, known=model.words)
        self._scorer = Scorer(model)
        # The C library (glibc) gives the memory of freed arrays back to the system, and a fifth of the time went into
        # getting it again for the next batch. Once a block as large as this was freed, it keeps up to twice as much.
        np.empty(31 << 20, np.uint8)

    @classmethod
    def load(cls, folder: str | Path | None = None, thresholds: Mapping[str, float] | None = None) -> Self:
        """The predictor of a model folder, by default the model shipped with this package.

        A model that MLflow keeps is named by its URI: "models:/sektor@champion", "models:/sektor/3", "runs:/RUN". It is
        fetched from where `train.py` records runs (MLFLOW_TRACKING_URI, else the local store); that takes the `train`
        extra, and the seconds in which MLflow is imported.

        Warns (`models.store.VersionWarning`) if it was trained with other versions of what predicts than are installed.
        Raises `models.store.StoreError` or `models.connection.TrackingError` (both a ValueError) in one line if there
        is no sound model.
        """
        model = _read(SHIPPED_MODEL if folder is None else folder)
        if differences := version_differences(model):
            warnings.warn(differences, VersionWarning, stacklevel=2)
        return cls(model, thresholds)

    @property
    def sectors(self) -> tuple[str, ...]:
        """The sectors the model knows, in the order of all arrays."""
        return self.model.sectors

    def predict(
        self, texts: Iterable[str], titles: Iterable[str | None] | None = None, workers: int = 1
    ) -> list[Prediction]:
        """Label articles, in order.

        Parameters
        ----------
        texts: whole articles (`judul\\nisi ...`), or their texts where titles are given apart.
        titles: one a text, None for none. `title + "\\n" + text` predicts exactly the same.
        workers: cores to use: by threads, which label batches side by side, and once there are thousands of new words
            by processes, too, which share the work on them. The predictions are the same, to the last bit.

        Raises TypeError for a bare string; ValueError, naming the place, for an article or title that is no string, or
        for other than one title a text. A blank article gets no sectors.
        """
        texts = _strings(texts, "text")
        heads = None if titles is None else _strings(titles, "title", none=True)
        if not isinstance(workers, int) or workers < 1:
            raise ValueError(f"workers: found {workers!r}, expected a whole number from 1 on")
        if heads is not None and len(heads) != len(texts):
            raise ValueError(f"found {len(heads)} titles for {len(texts)} texts, expected one a text")

        def label(bounds: tuple[int, int], pool: WordPool[StemColumns] | None = None) -> Labels:
            part = None if heads is None else heads[slice(*bounds)]
            return self._label(article_array(texts[slice(*bounds)], part), pool)

        if workers == 1:
            return [prediction for bounds in _batches(texts) for prediction in self._predictions(label(bounds))]
        with self.pool(workers) as pool, ThreadPoolExecutor(threads_for(workers)) as threads:
            run = threads.map(lambda bounds: label(bounds, pool), _batches(texts))
            try:
                return [prediction for labels in run for prediction in self._predictions(labels)]
            finally:
                threads.shutdown(cancel_futures=True)  # after Ctrl-C, what has not begun

    def predict_one(self, text: str, title: str | None = None) -> Prediction:
        """Label one article; raises ValueError if it is not a string."""
        return self.predict([text], None if title is None else [title])[0]

    def explain(self, text: str, title: str | None = None) -> Explanation:
        """Why an article gets its scores: its words, with their places, that push each sector's score up and down.

        Raises ValueError if text or title is not a string.
        """
        return next(self.explanations([text], None if title is None else [title]))

    def explanations(self, texts: Iterable[str], titles: Iterable[str | None] | None = None) -> Iterator[Explanation]:
        """`explain` for many articles, in order, many times as fast; a few are held in memory at a time.

        Raises TypeError and ValueError as `predict` does.
        """
        texts = _strings(texts, "text")
        heads = None if titles is None else _strings(titles, "title", none=True)
        if heads is not None and len(heads) != len(texts):
            raise ValueError(f"found {len(heads)} titles for {len(texts)} texts, expected one a text")
        for start, stop in _batches(texts, EXPLAINED_TOGETHER):
            part = None if heads is None else heads[start:stop]
            yield from explain(self._vocabulary, self._scorer, self._limits, texts[start:stop], part)

    def label(
        self, texts: pa.StringArray, titles: pa.StringArray | None = None, pool: WordPool[StemColumns] | None = None
    ) -> Labels:
        """Label one batch of articles, arrays in, arrays out; nulls count as empty.

        Parameters: texts and titles, string arrays (n,); pool, from `pool`: processes that share the work on new words.
        Memory grows with n: feed thousands at a time, not millions.
        """
        return self._label(articles_of(texts, titles), pool)

    def _label(self, articles: pa.StringArray, pool: WordPool[StemColumns] | None) -> Labels:
        vocabulary, scorer = self._vocabulary, self._scorer
        if pool is None:
            return scorer.labels(vocabulary.finish(vocabulary.begin(articles)), self._limits)
        with pool.turn():
            begun = vocabulary.begin(articles, pool)
        begun.wait()
        with pool.turn():
            return scorer.labels(vocabulary.finish(begun), self._limits)

    def pool(self, workers: int) -> WordPool[StemColumns]:
        """Processes that share the work on new words, for `label`; a context manager. Safe under threads.

        None is started before there are thousands of such words, nor with one worker. Raises ValueError for fewer.
        """
        return WordPool(self._vocabulary.columns_of_new, workers)

    def _predictions(self, labels: Labels) -> list[Prediction]:
        names = self.sectors
        # Few combinations of sectors occur: each is put into words once.
        numbers = labels.predicted @ self._powers
        chosen = {
            number: tuple(name for place, name in enumerate(names) if number >> place & 1)
            for number in set(numbers.tolist())
        }
        primaries = (*names, None)  # the place -1 stands for none
        columns = map(zip, map(repeat, names), labels.probabilities.T.tolist())  # (name, probability) by sector
        rows = map(dict, zip(*columns, strict=True))
        return [
            Prediction(chosen[number], primaries[primary], probabilities, coverage)
            for number, primary, probabilities, coverage in zip(
                numbers.tolist(), labels.primary.tolist(), rows, labels.coverage.tolist(), strict=True
            )
        ]


def threads_for(workers: int) -> int:
    """How many threads label batches, so that `workers` cores have work: one more, while it waits for new words."""
    return workers if workers == 1 else workers + 1


def _read(folder: str | Path) -> Model:
    """The model of a folder, or one that MLflow keeps."""
    name = folder if isinstance(folder, str) else folder.as_posix()
    if not name.startswith(TRACKED):
        return read_model(Path(folder))
    from models.registry import fetched_bundle  # only then is MLflow imported

    with fetched_bundle(name) as bundle:
        return read_model(bundle)


def _strings(values: Iterable[str | None], what: str, none: bool = False) -> list[str]:
    if isinstance(values, str | bytes):
        raise TypeError(f"got one string, expected a list of {what}s; predict_one takes a single article")
    checked = []
    for place, value in enumerate(values):
        if isinstance(value, str):
            checked.append(value)
        elif value is None and none:
            checked.append("")
        else:
            raise ValueError(f"{what} {place} is a {type(value).__name__}, expected a str")
    return checked


def _batches(texts: Sequence[str], most: int | None = None) -> Iterator[tuple[int, int]]:
    """Where batches of at most so many articles and about `BATCH_BYTES` characters begin and end."""
    most = most or BATCH_ARTICLES
    ends = np.fromiter(map(len, texts), np.int64, len(texts)).cumsum()
    start = size = 0
    while start < len(texts):
        fits = int(ends.searchsorted(size + BATCH_BYTES, side="right"))
        stop = min(max(fits, start + 1), start + most, len(texts))
        yield start, stop
        start, size = stop, int(ends[stop - 1])
