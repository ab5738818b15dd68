"""All that is measured of predictions for a labelled set, in one place: for the terminal, the model card and MLflow.

`measured_set` takes arrays, such as the out-of-fold predictions of a training run; `measure` has a predictor label a
corpus first.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from features.arrays import arrow_array
from features.strings import string_array
from models.evaluation import Booleans, Evaluation, Floats, brier_scores, evaluate
from models.predictor import Predictor
from models.slices import FEWEST, FEWEST_FOR_INTERVALS, Members, Slice, measure_slices, members
from models.uncertainty import Predictions, calibration_errors, intervals

PRIMARY: Final = ("full", "core", "ap", "micro_full", "micro_core", "fp_none")
_OF_SECTOR: Final = ("full", "core", "ap", "precision", "recall", "brier", "ece")
_OF_SLICE: Final = ("full", "ap", "micro_full", "fp_none")
_NAMES: Final = {"full": "F1", "core": "core F1", "ap": "ap", "brier": "Brier", "ece": "ECE"} | {
    "micro_full": "micro F1",
    "fp_none": "fp none",
}
_METRICS: Final = {"full": "f1", "core": "core_f1"}
_MEANS: Final = {"full": "macro_f1", "core": "macro_core_f1", "ap": "macro_ap"} | {
    "micro_full": "micro_f1",
    "micro_core": "micro_core_f1",
    "fp_none": "fp_none",
    "brier": "macro_brier",
}


class Cell(NamedTuple):
    """What stands in a place of a table, and the interval that belongs to it."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class MeasuredSet:
    """All figures of one set of articles.

    evaluation: see `models.evaluation`. errors: those of the probabilities, Brier scores ("brier", "brier_ev") and
    expected calibration errors ("ece_ev"), without sectors of which one kind of article is lacking.
    intervals: the 95% interval of every figure of both, by name. slices: the figures of kinds of articles.
    resamples: how many the intervals come from.
    """

    evaluation: Evaluation
    errors: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    slices: tuple[Slice, ...]
    resamples: int

    def metrics(self) -> dict[str, float]:
        """All figures as `metrics_of` names them; those of slices as "slices/long_f1", beside "slices/long_articles".

        Of a slice only F1 (macro) or, without positives, the false positives, lest slices be most of what there is to
        see; `markdown` has the rest.
        """
        figures = {**self.evaluation.metrics(), **self.errors}
        found = metrics_of(figures, self.intervals, list(self.evaluation.sectors))
        for part in self.slices:
            found[f"slices/{part.name}_articles"] = float(part.articles)
            for name in ("full", "fp_none"):
                if name in part.figures:
                    found[f"slices/{part.name}_{_METRICS.get(name, name)}"] = part.figures[name]
                    break
        return found

    def table(self) -> str:
        """The figures as lines of text for people, an interval under its figure."""
        tables = [_aligned(self._sectors())]
        if self.slices:
            tables.append(_aligned(self._slices()))
        return "\n\n".join(["\n".join(tables[0].splitlines() + self._notes()), *tables[1:]])

    def markdown(self) -> str:
        """The figures as Markdown tables, without a heading."""
        tables = [_markdown(self._sectors()), "\n".join(f"- {note}" for note in self._notes())]
        if self.slices:
            tables.append(_markdown(self._slices()))
            tables.append(
                f"Figures from {FEWEST} articles on, intervals from {FEWEST_FOR_INTERVALS} on; F1 and ap of a slice "
                "are means over the sectors it has positives of."
            )
        return "\n\n".join(tables) + "\n"

    def _sectors(self) -> list[list[Cell]]:
        """Rows of cells: a head, the sectors, macro and micro."""
        figures = {**self.evaluation.metrics(), **self.errors}

        def cells(names: Iterable[str]) -> list[Cell]:
            return [_cell(name, figures, self.intervals) for name in names]

        rows = [[Cell("sector"), Cell("positives"), *(Cell(_NAMES.get(name, name)) for name in _OF_SECTOR)]]
        for sector, of in self.evaluation.sectors.items():
            rows.append([Cell(sector), Cell(f"{of.positives:,}"), *cells(f"{name}_{sector}" for name in _OF_SECTOR)])
        rows.append([Cell("macro"), Cell(""), *cells(name if name in figures else "" for name in _OF_SECTOR)])
        rows.append([Cell("micro"), Cell(""), *cells(("micro_full", "micro_core", *[""] * (len(_OF_SECTOR) - 2)))])
        return rows

    def _slices(self) -> list[list[Cell]]:
        rows = [[Cell("articles that are"), Cell("articles"), Cell("positives"), *(Cell(_NAMES[n]) for n in _OF_SLICE)]]
        for part in self.slices:
            sectors = len(part.positives)
            of = f" of {sectors}" if 0 < sectors < len(self.evaluation.sectors) else ""
            rows.append(
                [
                    Cell(part.title),
                    Cell(f"{part.articles:,}"),
                    Cell(f"{sum(part.positives.values()):,}", f"{', '.join(part.positives)}" if of else ""),
                    *(_cell(name, part.figures, part.intervals, lacking="-") for name in _OF_SLICE),
                ]
            )
        return rows

    def _notes(self) -> list[str]:
        low, high = self.intervals["fp_none"]
        given = f"{self.evaluation.fp_none:.1%} ({low:.1%} to {high:.1%})"
        notes = [
            f"{self.evaluation.articles:,} articles; a sector was given to {given} of those about none",
            f"intervals: 95%, from {self.resamples:,} resamples of the articles",
        ]
        if lacking := [sector for sector, of in self.evaluation.sectors.items() if not of.positives]:
            notes.append(f"no positives of {', '.join(lacking)}: F1 and ap of none found count as 1, in the macro, too")
        return notes


class Measurement(NamedTuple):
    """What a predictor makes of a corpus: the figures, the predictions they are of, and `articles_table`."""

    measured: MeasuredSet
    predictions: Predictions
    articles: pa.Table


def measured_set(
    levels: Floats,
    predicted: Booleans,
    probabilities: Floats,
    prevalences: Sequence[float],
    sectors: Sequence[str],
    kinds: Sequence[Members] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> MeasuredSet:
    """Measure predictions against graded labels.

    Parameters: levels (n_articles, n_sectors) of 0, 1, 2 or nan for unknown; predicted and probabilities of the same
    shape; prevalences, (n_sectors,), that the model declares; sectors, their names; kinds, the slices, see
    `models.slices.members`; resamples and seed, of the intervals. Raises ValueError if there is no article.
    """
    return MeasuredSet(
        evaluation=evaluate(levels, predicted, probabilities, sectors),
        errors=brier_scores(levels, probabilities, prevalences, sectors)
        | calibration_errors(levels, probabilities, prevalences, sectors),
        intervals=intervals(levels, predicted, probabilities, sectors, resamples, seed, prevalences),
        slices=measure_slices(levels, predicted, probabilities, sectors, kinds, resamples, seed),
        resamples=resamples,
    )


def measure(
    predictor: Predictor, corpus: Corpus, workers: int = 1, resamples: int = 1000, seed: int = 0
) -> Measurement:
    """Have a corpus labelled, and measure the predictions.

    Parameters: workers, see `Predictor.predict`; resamples and seed, of the intervals.
    Raises ValueError if the corpus is labelled with other sectors than the model knows, or in another order, or empty.
    """
    if corpus.sectors != predictor.sectors:
        raise ValueError(
            f"found articles labelled with {', '.join(corpus.sectors)}, expected the sectors of the model: "
            f"{', '.join(predictor.sectors)}"
        )
    found = predictor.predict(corpus.texts, corpus.titles, workers)
    predicted = [[sector in each.sectors for sector in corpus.sectors] for each in found]
    probabilities = [[each.probabilities[sector] for sector in corpus.sectors] for each in found]
    shape = corpus.levels.shape
    predictions = Predictions(np.array(predicted, bool).reshape(shape), np.array(probabilities, float).reshape(shape))
    kinds = members(corpus.titles, corpus.texts, corpus.styles, corpus.levels)
    measured = measured_set(
        corpus.levels, *predictions, predictor.model.prevalences, corpus.sectors, kinds, resamples, seed
    )
    return Measurement(measured, predictions, articles_table(corpus, predictions))


def articles_table(corpus: Corpus, predictions: Predictions) -> pa.Table:
    """What is said of each article beside what is true, without a word of its text.

    Columns: id; place, the name of the file without its folder, and the line; and for each sector level_<sector>, null
    where unknown, probability_<sector> and predicted_<sector>.
    """
    columns = {
        "id": string_array(corpus.ids),
        "place": string_array([PurePath(place).name for place in corpus.places]),
    }
    for k, sector in enumerate(corpus.sectors):
        known = ~np.isnan(corpus.levels[:, k])
        columns[f"level_{sector}"] = arrow_array(np.where(known, corpus.levels[:, k], 0).astype(np.int8), known)
        columns[f"probability_{sector}"] = arrow_array(predictions.probabilities[:, k])
        columns[f"predicted_{sector}"] = arrow_array(predictions.predicted[:, k].astype(np.int8)).cast(pa.bool_())
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def metrics_of(
    figures: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], sectors: Sequence[str]
) -> dict[str, float]:
    """Figures under the names that MLflow shows; its page groups them by what stands before the last slash.

    "macro_f1" for "full", "micro_core_f1" for "micro_core", "ev/f1" for "full_ev", "ev/ap" for "ap_ev"; the ends of the
    intervals of `PRIMARY` figures as "intervals/macro_f1.low" and "intervals/macro_f1.high". What matters most is
    first. Parameters: figures and intervals by the names of `Evaluation.metrics` and of the errors; sectors, their
    names.
    """
    means = {_MEANS[name]: figures[name] for name in _MEANS if name in figures}
    of_sectors = {
        f"{sector}/{_METRICS.get(name, name)}": figures[f"{name}_{sector}"]
        for sector in sectors
        for name in _OF_SECTOR
        if f"{name}_{sector}" in figures
    }
    ends = {
        f"intervals/{_MEANS[name]}.{end}": value
        for name in PRIMARY
        if name in intervals
        for end, value in zip(("low", "high"), intervals[name], strict=True)
    }
    return {**means, **of_sectors, **ends}


def _cell(
    name: str, figures: Mapping[str, float], ranges: Mapping[str, tuple[float, float]], lacking: str = ""
) -> Cell:
    """A figure and its interval; `lacking` where there is no such figure."""
    if name not in figures:
        return Cell(lacking)
    if name not in ranges:
        return Cell(f"{figures[name]:.3f}")
    low, high = ranges[name]
    return Cell(f"{figures[name]:.3f}", f"{low:.3f}-{high:.3f}")


def _aligned(rows: Sequence[Sequence[Cell]]) -> str:
    """Rows as lines of text, intervals on lines of their own; the first column to the left, others to the right."""
    widths = [max(len(text) for row in rows for text in row[place]) for place in range(len(rows[0]))]

    def line(texts: Sequence[str]) -> str:
        first = f"{texts[0]:<{widths[0]}}"
        rest = (f"{text:>{width}}" for text, width in zip(texts[1:], widths[1:], strict=True))
        return "  ".join([first, *rest]).rstrip()

    lines = []
    for row in rows:
        lines.append(line([cell.value for cell in row]))
        if any(cell.interval for cell in row):
            lines.append(line([cell.interval for cell in row]))
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[Cell]]) -> str:
    """Rows as a Markdown table, an interval in brackets behind its figure."""

    def line(texts: Iterable[str]) -> str:
        return f"| {' | '.join(texts)} |"

    cells = [[f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in row] for row in rows]
    escaped = [[html.escape(text, quote=False).replace("|", "\\|") for text in row] for row in cells]
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join([line(escaped[0]), line(rule), *map(line, escaped[1:])])
