"""Kinds of articles within a labelled set, and how good predictions are on each: arrays in, dataclasses out.

A mean over all articles hides where a model fails: on long articles that mention a sector in one paragraph, on bare
headlines, on one outlet's prose. The kinds overlap; each is scored as a set of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.evaluation import Booleans, Evaluation, Floats, evaluate
from models.uncertainty import intervals

SHORT: Final = 150  # words of title and text together, up to which an article is short
LONG: Final = 350  # and from which on it is long
HEADLINE: Final = 25  # words of a text on one line without a title, up to which it is a title itself
FEWEST: Final = 20  # articles for figures
FEWEST_FOR_INTERVALS: Final = 100  # articles; the percentiles of fewer are hardly worth reading
MOST_STYLES: Final = 20  # styles with a slice of their own; the rest share one
_LONGEST_NAME: Final = 40  # characters of a style


class Members(NamedTuple):
    """Which articles are of a kind.

    name: fit for the name of a metric. title: for people. chosen: (n_articles,).
    """

    name: str
    title: str
    chosen: Booleans


@dataclass(frozen=True)
class Slice:
    """How good the predictions of one kind of article are.

    name, title: as of its `Members`. articles: how many. positives: how many at level 1 or 2, of the sectors that have
    any. figures: full and ap, means over those sectors; micro_full; fp_none; those that the articles allow to work out:
    none below `FEWEST` articles, fp_none only with articles about no sector, the others only with positives.
    intervals: their 95% intervals, from `FEWEST_FOR_INTERVALS` articles on.
    """

    name: str
    title: str
    articles: int
    positives: Mapping[str, int]
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def members(titles: Sequence[str], texts: Sequence[str], styles: Sequence[str], levels: Floats) -> list[Members]:
    """The kinds of articles: by length, title only, by how many sectors they are about, by style or outlet.

    An article is about one sector or none only if its levels of all others are known. Styles come by how many articles
    they have, at most `MOST_STYLES` for themselves; there are none where no article or every one has the same.
    Parameters: titles, texts, styles, (n_articles,), empty where an article has none; levels, (n_articles, n_sectors).
    """
    n = len(texts)
    words = np.array([len(title.split()) + len(text.split()) for title, text in zip(titles, texts, strict=True)], int)
    bare = np.array([_is_title(title, text) for title, text in zip(titles, texts, strict=True)], bool)
    sectors, known = (levels >= 1).sum(axis=1), ~np.isnan(levels).any(axis=1)
    kinds = [
        Members("short", f"short (up to {SHORT} words)", words <= SHORT),
        Members("medium", f"medium ({SHORT + 1} to {LONG - 1} words)", (words > SHORT) & (words < LONG)),
        Members("long", f"long ({LONG} words or more)", words >= LONG),
        Members("title_only", "title only", bare),
        Members("several_sectors", "about several sectors", sectors > 1),
        Members("one_sector", "about one sector", (sectors == 1) & known),
        Members("no_sector", "about no sector", (sectors == 0) & known),
    ]
    counts = Counter(style for style in styles if style)
    ranked = sorted(counts, key=lambda style: (-counts[style], style))
    if not ranked or counts[ranked[0]] == n:
        return kinds
    number = {style: place for place, style in enumerate(ranked)}
    numbers = np.array([number.get(style, -1) for style in styles])
    taken: set[str] = set()
    kinds += [
        Members(_free(f"style_{_slug(style)}", taken), f"style: {_printable(style)}", numbers == number[style])
        for style in ranked[:MOST_STYLES]
    ]
    if rest := ranked[MOST_STYLES:]:
        kinds.append(Members(_free("style_others", taken), f"{len(rest)} other styles", numbers >= MOST_STYLES))
    return kinds


def measure_slices(
    levels: Floats,
    predicted: Booleans,
    probabilities: Floats,
    sectors: Sequence[str],
    kinds: Sequence[Members],
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Slice, ...]:
    """Score each kind of article by itself. Parameters: as for `models.uncertainty.intervals`; kinds, see `members`."""
    return tuple(
        _slice(kind, levels[kind.chosen], predicted[kind.chosen], probabilities[kind.chosen], sectors, resamples, seed)
        for kind in kinds
    )


def _slice(
    kind: Members,
    levels: Floats,
    predicted: Booleans,
    probabilities: Floats,
    sectors: Sequence[str],
    resamples: int,
    seed: int,
) -> Slice:
    articles = levels.shape[0]
    of_sector = (levels >= 1).sum(axis=0).tolist()
    positives = {sector: count for sector, count in zip(sectors, of_sector, strict=True) if count}
    there = [count > 0 for count in of_sector]
    figures: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}
    if articles >= FEWEST:
        figures = _figures(evaluate(levels, predicted, probabilities, sectors), positives)
        if not (levels == 0).all(axis=1).any():
            del figures["fp_none"]
    if articles >= FEWEST_FOR_INTERVALS:
        ranges = intervals(levels, predicted, probabilities, sectors, resamples, seed)
        if positives and not all(there):  # the means are over some of the sectors
            some = levels[:, there], predicted[:, there], probabilities[:, there]
            means = intervals(*some, list(positives), resamples, seed)
            ranges |= {name: means[name] for name in ("full", "ap")}
    return Slice(
        kind.name, kind.title, articles, positives, figures, {name: ranges[name] for name in figures if ranges}
    )


def _figures(evaluation: Evaluation, positives: Mapping[str, int]) -> dict[str, float]:
    figures = {"fp_none": evaluation.fp_none}
    if positives:
        means = {
            name: float(np.mean([getattr(evaluation.sectors[sector], name) for sector in positives]))
            for name in ("full", "ap")
        }
        figures = {**means, "micro_full": evaluation.micro_full, **figures}
    return figures


def _is_title(title: str, text: str) -> bool:
    """Whether there is no body beyond the title."""
    head, body = (" ".join(part.split()).casefold() for part in (title, text))
    if head:
        return body in ("", head)
    return len(text.strip().splitlines()) <= 1 and len(body.split()) <= HEADLINE


def _slug(style: str) -> str:
    """A style as part of a metric's name: lower-case letters, digits and underscores."""
    plain = unicodedata.normalize("NFKD", style).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_NAME] or "unnamed"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number if another style has it; takes it."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _printable(style: str) -> str:
    """A style on one line, without control characters, not too long."""
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in style).split())
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}..."
