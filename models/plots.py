"""Figures of a training run: arrays, a model or a learning curve in, a matplotlib figure out. Training only.

Figures are made without `pyplot`, whose state is the whole process's; `save` draws them with Agg, which needs no
display. A sector has the same colour throughout, by its place among the sectors, of the palette by Okabe and Ito (2008)
that colour-blind people tell apart, and a marker and line style of its own.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from models.evaluation import Booleans, Floats, average_precision, of_both_kinds
from models.learning_curve import LearningCurve
from models.store import Model
from models.uncertainty import calibration_bins, expected_calibration_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F", "#000000")
MARKERS: Final = "osD^vPX*"
LINES: Final = ("-", "--", "-.", ":")
FAINT: Final = "#B8B8B8"
DOTS_PER_INCH: Final = 150
MOST_POINTS: Final = 5000  # of a line: more are not seen, and Agg gives up on some hundred thousand
COMMON: Final = 0.005  # share of the training articles that hold a term, from which on it is shown


def save(figure: Figure, path: Path, widest: int | None = None) -> None:
    """Write a figure as PNG; the same figure and version of matplotlib give the same bytes.

    Parameters: widest, the pixels it may be wide, if fewer than it is at `DOTS_PER_INCH`.
    Raises OSError, naming the file, if it cannot be written; no part of it is left then.
    """
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in the name of a file, say: a box stands in its place
        dots = DOTS_PER_INCH if widest is None else min(DOTS_PER_INCH, widest / figure.get_figwidth())
        figure.savefig(drawn, format="png", dpi=dots, metadata={"Software": None})
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot write the plot: {(error.strerror or str(error)).lower()}") from error


def evaluation_figures(
    levels: Floats,
    predicted: Booleans,
    probabilities: Floats,
    thresholds: Sequence[float],
    prevalences: Sequence[float],
    sectors: Sequence[str],
    of: str,
) -> dict[str, Figure]:
    """All figures of a set of predictions, by a name fit for a file.

    Parameters: as for `models.measurement.measured_set`; thresholds, (n_sectors,); of, what the articles are, for the
    titles, such as "3,258 training articles, out of fold".
    """
    return {
        "precision-recall": precision_recall(levels, probabilities, thresholds, sectors, of),
        "reliability": reliability(levels, probabilities, prevalences, sectors, of),
        "confusion": confusion(levels, predicted, sectors, of),
    }


def precision_recall(
    levels: Floats, probabilities: Floats, thresholds: Sequence[float], sectors: Sequence[str], of: str
) -> Figure:
    """Precision over recall for every threshold, the chosen one marked, level 1 and up positive.

    Sectors without positives are left out. Parameters: as for `evaluation_figures`.
    """
    figure = _figure(7.2, 6.2)
    axes = figure.add_subplot()
    lowest = 1.0
    for k, sector in enumerate(sectors):
        known = ~np.isnan(levels[:, k])
        positive, scores = levels[known, k] >= 1, probabilities[known, k]
        if not positive.any():
            continue
        colour, line, marker = _colour(k), _line(k), _marker(k)
        axes.step(*_precision_recall(positive, scores), where="pre", lw=2, color=colour, ls=line)
        said = scores >= thresholds[k]
        hits = int((positive & said).sum())
        recall, precision = hits / positive.sum(), hits / said.sum() if said.any() else 1.0
        axes.plot(recall, precision, color=colour, marker=marker, ms=10, mec="white", clip_on=False, zorder=4)
        lowest = min(lowest, recall, precision)
        f1 = 2 * hits / (positive.sum() + said.sum())
        axes.plot(
            [], [], color=colour, ls=line, lw=2, marker=marker, ms=8,
            label=f"{sector}: ap {average_precision(positive, scores):.3f}, F1 {f1:.3f} from {thresholds[k]:.2f} on",
        )  # fmt: skip
    low = 0.5 if lowest >= 0.6 else 0.0  # what is good fills a corner, where nothing could be told apart
    _iso_f1(axes, low)
    axes.set(
        xlim=(low, 1), ylim=(low, 1 + (1 - low) / 200), xlabel="recall (share of a sector's articles that is found)",
        ylabel="precision (share of those labelled that is right)",
    )  # fmt: skip
    _head(axes, "Precision and recall of each sector", f"{of}; marked: the chosen threshold; grey: equal F1")
    _legend(axes, "lower left")
    return figure


def reliability(
    levels: Floats, probabilities: Floats, prevalences: Sequence[float], sectors: Sequence[str], of: str
) -> Figure:
    """What is promised and what is found, in ten bins that hold equally many articles, by sector.

    Probabilities are corrected to the set's own share of positives, see `models.uncertainty.calibration_bins`. Sectors
    without both kinds of article are left out. Parameters: as for `evaluation_figures`.
    """
    figure = _figure(7.2, 6.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1.2, zorder=1, label="found as promised")
    for found in of_both_kinds(levels, probabilities, prevalences, sectors):
        k = list(sectors).index(found.sector)
        measured = found.probabilities, found.positive, found.prevalence
        bins, error = calibration_bins(*measured), expected_calibration_error(*measured)
        axes.plot(
            bins.promised, bins.found, color=_colour(k), ls=_line(k), marker=_marker(k), ms=7, lw=1.6, mec="white",
            clip_on=False, zorder=3, label=f"{found.sector}: calibration error {error:.3f}",
        )  # fmt: skip
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="promised (mean probability in a bin, at the set's own share of the sector)",
        ylabel="found (share of a bin's articles about the sector)",
    )  # fmt: skip
    _head(axes, "Reliability of the probabilities", f"{of}; each point a tenth of the articles")
    _legend(axes, "upper left")
    return figure


def confusion(levels: Floats, predicted: Booleans, sectors: Sequence[str], of: str) -> Figure:
    """What articles about a sector were labelled with, beside what they are about.

    A row holds the articles about a sector (level 1 and up), the last those known to be about none. An article may be
    about several, so the shares of a row add up to more than 1; what of a share is wrong is told below it.
    Parameters: as for `evaluation_figures`.
    """
    none = (levels == 0).all(axis=1)
    about = np.column_stack([levels >= 1, none])
    settled = np.column_stack([~np.isnan(levels), ~np.isnan(levels).any(axis=1) | (levels >= 1).any(axis=1)])
    given = np.column_stack([predicted, ~predicted.any(axis=1)])
    names = [*sectors, "none"]
    everything = np.ones_like(about)
    labelled, wrong, true = (
        np.array(
            [[_share(column[row & among]) for column, among in zip(columns.T, known.T, strict=True)] for row in about.T]
        )
        for columns, known in ((given, everything), (given & ~about, settled), (about, settled))
    )
    off = ~np.eye(len(names), dtype=bool)
    off[-1], off[:, -1] = False, False  # there all is wrong but the corner
    figure = _figure(4.6 + 2.1 * len(names), 2.4 + 0.85 * len(names))
    panels = figure.subplots(1, 2)
    for axes, shares, title in zip(panels, (labelled, true), ("Labelled as", "Truly about"), strict=True):
        image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            if np.isnan(share):
                continue
            told = f"{share:.1%}"
            if shares is labelled and off[row, column] and wrong[row, column] > 0:
                told += f"\n{wrong[row, column]:.1%} wrong"
            axes.text(
                column, row, told, ha="center", va="center", color="white" if share < 0.55 else "black", fontsize=9.5
            )
        axes.set_xticks(range(len(names)), names, rotation=30 * (max(map(len, names)) > 12))
        rows = [f"{name}\n({count:,})" for name, count in zip(names, about.sum(axis=0), strict=True)]
        axes.set_yticks(range(len(names)), rows)
        axes.set_title(title, fontsize=12, loc="left")
        axes.set_ylabel("articles about (how many)")
        axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=panels, shrink=0.8, pad=0.015, format="{x:.0%}")
    bar.set_label("share of the row's articles")
    _over_all(figure, "Sectors taken for each other, and sectors that go together", of)
    return figure


def telling_words(model: Model, words: int = 12) -> Figure:
    """The terms that speak loudest for and against each sector: weight times inverse document frequency.

    That is what a term adds to the log-odds of an article in which it stands alone; in an article of many terms each
    adds its part of it. Only terms that some articles in a thousand hold are shown: the names of a lexicon that hardly
    any article holds weigh the most, and all alike.
    Parameters: words, how many for and how many against.
    """
    fewest = max(1, round(COMMON * model.training.get("articles", 0)))
    common = np.flatnonzero(model.document_frequency >= fewest)
    columns = min(4, len(model.sectors))
    lines = -(-len(model.sectors) // columns)
    figure = _figure(3.7 * columns, (1.1 + 0.4 * words) * lines + 0.6)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for k, (axes, sector) in enumerate(zip(grid, model.sectors, strict=False)):
        effects = model.weights[:, k] * model.idf
        order = common[np.argsort(-effects[common], kind="stable")]
        for_it, against_it = order[effects[order] > 0][:words], order[effects[order] < 0][-words:]
        chosen = np.concatenate([for_it, against_it])
        values = effects[chosen]
        places = np.arange(len(chosen)) + (values < 0)  # a gap between both
        axes.barh(places, values, color=np.where(values > 0, _colour(k), FAINT), height=0.75)
        axes.set_yticks(places, [model.terms[place] for place in chosen], fontsize=9)
        axes.invert_yaxis()
        axes.axvline(0, color="black", lw=0.8)
        axes.set_title(sector, fontsize=12, loc="left")
        axes.set_xlabel("weight x idf (log-odds)")
        _plain(axes)
    for axes in grid[len(model.sectors) :]:
        axes.set_axis_off()
    _over_all(
        figure,
        "The most telling stems of each sector",
        f"colour: for the sector; grey: against it; of stems and pairs that {fewest:,} training articles or more hold",
    )
    return figure


def learning_curve(curve: LearningCurve) -> Figure:
    """How figures grow with the articles learned from: macro F1 and average precision with intervals, F1 by sector."""
    figure = _figure(11, 5)
    whole, single = figure.subplots(1, 2)
    articles = [point.articles for point in curve.points]
    for k, (name, title) in enumerate((("ap", "average precision"), ("full", "F1"))):
        values = [point.figures[name] for point in curve.points]
        ends = np.array([point.intervals[name] for point in curve.points])
        whole.plot(
            articles,
            values,
            color=_colour(-1 - k),
            ls=_line(k),
            marker=_marker(k),
            ms=7,
            lw=2,
            label=f"{title}: {values[-1]:.3f}",
        )
        whole.fill_between(articles, ends[:, 0], ends[:, 1], color=_colour(-1 - k), alpha=0.15, lw=0)
    for k, sector in enumerate(curve.sectors):
        values = [point.figures[f"full_{sector}"] for point in curve.points]
        single.plot(
            articles,
            values,
            color=_colour(k),
            ls=_line(k),
            marker=_marker(k),
            ms=7,
            lw=2,
            label=f"{sector}: {values[-1]:.3f}",
        )
    for axes, title in ((whole, "Means over the sectors, 95% intervals shaded"), (single, "F1 of each sector")):
        axes.set_xscale("log")
        axes.set_xticks(articles, [f"{n:,}" for n in articles])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("training articles (log scale)")
        axes.set_title(title, fontsize=12, loc="left")
        axes.grid(color=FAINT, lw=0.5, alpha=0.6)
        _plain(axes)
        _legend(axes, "lower right")
    low = min(axes.get_ylim()[0] for axes in (whole, single))
    for axes in (whole, single):
        axes.set_ylim(low, 1)
    whole.set_ylabel("F1, average precision (1 is perfect)")
    _over_all(
        figure,
        "Learning curve: what more articles bring",
        f"{curve.folds}-fold cross-validation; the articles tested are the same at every point",
    )
    return figure


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _line(place: int) -> str:
    return LINES[place % len(LINES)]


def _marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _head(axes: Axes, title: str, of: str) -> None:
    """A title, and below it in smaller letters what it is of."""
    axes.set_title(f"{title}\n", fontsize=14, loc="left", fontweight="bold")
    axes.text(0, 1.02, of, transform=axes.transAxes, fontsize=9.5, color="#555555", parse_math=False)
    _plain(axes)


def _over_all(figure: Figure, title: str, of: str) -> None:
    """A title over all panels, and below it in smaller letters what it is of."""
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=14, fontweight="bold")
    figure.text(
        0.01, 1 - 0.44 / figure.get_figheight(), of, fontsize=9.5, color="#555555", va="center", parse_math=False
    )


def _legend(axes: Axes, place: Literal["lower left", "lower right", "upper left"]) -> None:
    axes.legend(loc=place, fontsize=9.5, frameon=True, framealpha=0.9, edgecolor="none")


def _iso_f1(axes: Axes, low: float) -> None:
    """Faint lines of equal F1, where recall and precision are from `low` on."""
    for f1 in (0.5, 0.6, 0.7, 0.8, 0.9):
        end = f1 / (2 - f1)  # the precision at a recall of 1
        if end <= low:
            continue
        recall = np.linspace(end, 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=FAINT, lw=0.8, zorder=1)
        axes.text(1 + (1 - low) / 200, end, f"F1 {f1}", color="#8A8A8A", fontsize=8, va="center")


def _precision_recall(positive: Booleans, scores: Floats) -> tuple[Floats, Floats]:
    """Recall, ascending from 0, and the precision reached there, at each distinct score or enough of them.

    Each precision holds from the recall before to its own: the area below is the average precision.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    if last_of_tie.size > MOST_POINTS:
        last_of_tie = last_of_tie[np.linspace(0, last_of_tie.size - 1, MOST_POINTS).astype(int)]
    hits = np.cumsum(positive[order])[last_of_tie]
    recall, precision = hits / positive.sum(), hits / (last_of_tie + 1)
    return np.append(0.0, recall), np.append(precision[:1], precision)


def _share(chosen: Booleans) -> float:
    """The share that is true; nan of nothing."""
    return float(chosen.mean()) if chosen.size else float("nan")
