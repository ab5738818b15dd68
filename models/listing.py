"""Labelled articles for people: lines of a table in a terminal, and one prediction in words."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Final

from data.writer import LabelledBatch, plain
from features.clean import clean
from features.markup import without_markup
from models.explanation import LONGEST_SHOWN, SHOWN, Explanation, shorten
from models.predictor import Prediction, Predictor

NAME: Final = 20  # characters of an article's id and headline that are shown at least
CELL: Final = 12  # characters a sector


class Listing:
    """Lines of a table as wide as the terminal: id and headline, a probability a sector, coverage.

    `+` marks a predicted sector, `*` the primary one.
    """

    def __init__(self, sectors: Sequence[str]) -> None:
        self.sectors = sectors
        self._room = max(NAME, shutil.get_terminal_size().columns - CELL * len(sectors) - CELL)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a headline's letters still gets the table

    def head(self) -> str:
        """The line above the others."""
        heads = "".join(f"{sector[: CELL - 2]:>{CELL}}" for sector in self.sectors)
        return f"{'article':<{self._room + 2}}{heads}{'coverage':>10}\n"

    def rows(self, batch: LabelledBatch) -> str:
        """A line an article."""
        labels, lines = batch.labels, []
        for place, headline in enumerate(_headlines(batch)):
            name = f"{plain(batch.ids[place])}  {headline}"
            name = "".join(c if c.isprintable() else " " for c in name)  # no control codes to the terminal
            name = name if len(name) <= self._room else name[: self._room - 1] + "…"
            cells = "".join(
                f"{('* ' if k == labels.primary[place] else '+ ' if said else '') + f'{p:.2f}':>{CELL}}"
                for k, (p, said) in enumerate(
                    zip(labels.probabilities[place].tolist(), labels.predicted[place].tolist(), strict=True)
                )
            )
            lines.append(f"{name:<{self._room + 2}}{cells}{labels.coverage[place]:>10.0%}\n")
        return "".join(lines)


def _headlines(batch: LabelledBatch) -> list[str]:
    """The title of each labelled row, or the first line of its text that is not boilerplate."""
    titles = [None] * len(batch.ids) if batch.titles is None else batch.titles.to_pylist()
    headlines = []
    texts, cleaned = without_markup(batch.texts).to_pylist(), clean(batch.texts).to_pylist()
    for title, text, lines in zip(titles, texts, cleaned, strict=True):
        if not (title or "").strip():
            # Cleaning leaves lines where they are and blanks those that are boilerplate.
            left = zip(re.split("[\r\n]", text or ""), (lines or "").split("\n"), strict=False)
            title = next((line for line, rest in left if rest.strip()), "")
        headlines.append(" ".join(title[:300].split()))
    return headlines


def prediction_lines(predictor: Predictor, prediction: Prediction) -> str:
    """One prediction: a line a sector with its probability and threshold, and the coverage."""
    lines = []
    for sector, probability in prediction.probabilities.items():
        said = "primary" if sector == prediction.primary else "yes" if sector in prediction.sectors else "no"
        lines.append(f"{sector:<14}{probability:>7.3f}  {said:<9}(from {predictor.thresholds[sector]:.3f} on)\n")
    return "".join([*lines, f"{'coverage':<14}{prediction.coverage:>7.0%}\n"])


def explanation_lines(explanation: Explanation) -> str:
    """For each sector the score, the words that pushed it up and down most, and the sentence that adds most."""
    lines = []
    for sector, its in explanation.sectors.items():
        lines.append(f"\n{sector}: score {its.score:+.2f}, of which {its.intercept:+.2f} before the first word")
        for way, words in (("up", its.up(SHOWN)), ("down", its.down(SHOWN))):
            if words:
                lines.append(f"  {way:<5}{', '.join(f'{word.text} {word.contribution:+.2f}' for word in words)}")
        if abs(its.rest(SHOWN)) >= 0.005:
            lines.append(f"  rest {its.rest(SHOWN):+.2f} by all other words together")
        if its.sentence is not None:
            lines.append(f"  from {shorten(its.sentence.text, LONGEST_SHOWN)}")
    return "".join("".join(c if c.isprintable() or c == "\n" else " " for c in line) + "\n" for line in lines)
