"""What each part of the model is worth: trained anew without it, or with another setting, and measured beside the rest.

    python -m benchmarks.ablation                                         # prints Markdown, after some minutes
    python -m benchmarks.ablation --output models/ablation.md             # and writes it
    python train.py --output models/sektor --notes models/ablation.md     # puts it at the end of the model card

Needs the `train` extra. Figures come from cross-validation and, where there are any, from labelled real articles that
nothing was trained on: ../shared/real-news/dev.jsonl, or those named by --labelled. All variants are timed in turn, in
one process on one thread, so that whatever else disturbs the machine hits all alike.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.compare import LABELLED, markdown, say, signed
from benchmarks.generate import articles as generated
from benchmarks.measure import median
from benchmarks.systems import STEP, WHOLE, WINDOW, BestWindow, Plain, System, calibrated, windows, with_best_window
from data.corpus import Corpus, read_corpus
from data.duplicates import deduplicate
from data.lexicon import Entry, lexicon_digest, read_lexicon
from data.sectors import Sector, read_sectors
from features.vectorizer import StemVectorizer
from models.calibration import Calibration, calibrate
from models.classifier import Configuration, lexicon_groups, pipeline
from models.evaluation import Evaluation, evaluate
from models.store import read_model
from models.uncertainty import Difference, Predictions, calibration_errors, intervals, paired_differences
from predict import SHIPPED_MODEL
from train import BUNDLED, Settings, splits, train

NEWS: Final = "news-"  # how the names of the files begin that were written last
FIGURES: Final = {
    "micro_full": "micro full",
    "micro_core": "micro core",
    "full": "macro full",
    "core": "macro core",
    "ap": "macro ap",
    "fp_none": "fp_none",
}
JUDGED: Final = ("micro_full", "full", "ap")  # what says whether a variant helped
WARM_UP: Final = 2  # untimed passes: a word is remembered at its first, and joins the table at its second coming
QUICK_ARTICLES: Final = 300


#: What the labelled set of this project was looked at for.
CHOICES: Final = (
    "No weight, threshold or calibration was fitted to the labelled articles. These choices looked at them: what kinds "
    "of articles to write last (from the errors); that the lexicon leaves out words that are eaten, cooked with or "
    "rubbed on as often as traded (a rule, applied to whole kinds of words after false alarms were read); the "
    "lexicon's weight, which cross-validation prefers too; that recall counts 1.25 times; that folds keep files whole; "
    "and that the best window stays out. Tried once, on the way, and not kept for want of a gain: square roots, "
    "saturated counts (BM25) and powers of counts in place of logarithms, and a length normalisation that favours long "
    "articles."
)


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    name, meaning: what it is, in the table and below it. configuration: of the model. without: whether a part of the
    shipped configuration is left out, else another setting is tried. lexicon, news: whether it learns from the lexicon,
    and from the articles whose files are named news-*. settings: what differs in how it is
    trained. window: whether the best window has a share of the score. quick: whether it is there with --quick.
    """

    name: str
    meaning: str
    configuration: Configuration = field(default_factory=Configuration)
    without: bool = False
    lexicon: bool = True
    news: bool = True
    settings: Settings = field(default_factory=Settings)
    window: bool = False
    quick: bool = False


def variants() -> list[Variant]:
    """All rows of the table; the first is what the others are measured beside."""
    usual = Configuration()
    return [
        Variant("as shipped", "All articles, the lexicon, and the defaults of `train.py`", quick=True),
        Variant("no lexicon", "Learns from the articles alone: `--no-lexicon`", without=True, lexicon=False),
        Variant(
            f"no {NEWS}* articles",
            f"Without the files of `data/articles` named {NEWS}*, written last: what more articles are worth. It is "
            "cross-validated on the articles that are left, so that only its other columns compare with the first row",
            without=True,
            news=False,
        ),
        Variant(
            "no pairs of stems",
            "Single stems only, beside the pairs the lexicon names: `--bigram-min-df 0`",
            replace(usual, bigram_min_df=None),
            without=True,
            quick=True,
        ),
        Variant(
            "title once",
            "Words of a title count once, as others do: `--title-weight 1`",
            replace(usual, title_weight=1),
            without=True,
        ),
        Variant(
            "counts as they are",
            "A term weighs its count c, not 1 + ln c: `--no-sublinear`",
            replace(usual, sublinear=False),
            without=True,
        ),
        Variant(
            "recall as precision",
            "Thresholds of the largest expected F1, recall counting as much as precision: `--beta 1`",
            settings=Settings(beta=1.0),
            without=True,
        ),
        Variant(
            "files in parts",
            "Probabilities and thresholds from folds that part the articles of a file, so that each is scored by a "
            "model that saw others of its beat: `--split-files`. Its cross-validation is easier and does not compare",
            settings=Settings(whole_files=False),
            without=True,
        ),
        Variant(
            "lexicon weight 0.1",
            "Terms of a group of the lexicon share less: `--lexicon-weight 0.1`",
            replace(usual, lexicon_weight=0.1),
        ),
        Variant(
            "lexicon weight 0.4",
            "Terms of a group of the lexicon share more: `--lexicon-weight 0.4`",
            replace(usual, lexicon_weight=0.4),
        ),
        Variant(
            "balanced classes",
            "Both classes of a sector weigh alike in training: `--class-weight balanced`",
            replace(usual, class_weight="balanced"),
        ),
        Variant(
            "regularization 1",
            "A penalty on weights ten times as strong: `--regularization 1`",
            replace(usual, regularization=1.0),
        ),
        Variant(
            "regularization 100",
            "A penalty on weights a tenth as strong: `--regularization 100`",
            replace(usual, regularization=100.0),
        ),
        Variant(
            "pairs from 2 articles",
            "Keeps pairs of stems that stand in two articles: `--bigram-min-df 2`",
            replace(usual, bigram_min_df=2),
        ),
        Variant(
            "all from 2 articles",
            "Keeps stems and pairs of them that stand in two articles: `--min-df 2 --bigram-min-df 2`",
            replace(usual, min_df=2, bigram_min_df=2),
        ),
        Variant(
            "best window",
            f"An article's score is {WHOLE:g} of its own and {1 - WHOLE:g} of that of its best window of {WINDOW} "
            f"words (one every {STEP}), calibrated on such out-of-fold scores. Its speed counts one more pass, in "
            "which the windows are labelled like articles of their own; cutting them is not counted",
            window=True,
            quick=True,
        ),
    ]


@dataclass
class Row:
    """A variant and what was measured of it.

    cross_validation: its out-of-fold figures. labelled: what it says of the labelled articles, None without any.
    seconds: of each round.
    """

    variant: Variant
    cross_validation: Evaluation
    system: System
    labelled: Predictions | None = None
    seconds: list[float] = field(default_factory=list)


class Ablation:
    """One run: the same articles, sectors and lexicon for all variants.

    Parameters: corpus, without duplicates; sectors; lexicon; settings, of the training.
    """

    def __init__(self, corpus: Corpus, sectors: Sequence[Sector], lexicon: Sequence[Entry], settings: Settings):
        self.corpus = corpus
        self.sectors = sectors
        self.lexicon = lexicon
        self.settings = settings

    def row(self, variant: Variant) -> Row:
        """Train a variant."""
        corpus = self.corpus
        if not variant.news:
            corpus = corpus.select(np.flatnonzero(~is_news(corpus)))
        lexicon = self.lexicon if variant.lexicon else ()
        own, run = variant.settings, self.settings
        settings = replace(run, beta=own.beta, whole_files=own.whole_files)
        trained = train(corpus, self.sectors, variant.configuration, settings, lexicon=lexicon)
        if not variant.window:
            return Row(variant, trained.evaluation, Plain(trained.model))
        calibrations, evaluation = self._windowed(variant.configuration)
        return Row(variant, evaluation, BestWindow(trained.model, calibrations))

    def _windowed(self, configuration: Configuration) -> tuple[list[Calibration], Evaluation]:
        """Calibrations and figures of out-of-fold scores in which the best window has a share."""
        corpus, levels = self.corpus, self.corpus.levels
        articles = corpus.articles()
        vectorizer = StemVectorizer(
            configuration.min_df,
            configuration.max_df,
            configuration.bigram_min_df,
            configuration.title_weight,
            [entry.term for entry in self.lexicon],
            self.settings.jobs,
        )
        counts = vectorizer.fit(articles).transform(articles)
        texts, owners = windows(articles)
        parts = vectorizer.transform(texts)
        groups = lexicon_groups(vectorizer.columns_of_terms_, self.lexicon, counts.shape[1]) if self.lexicon else None
        scores = np.zeros(levels.shape)
        for learned, held_out in splits(corpus, self.settings):
            fitted = pipeline(configuration, groups).fit(counts[learned], levels[learned])
            its_parts = np.flatnonzero(np.isin(owners, held_out))
            scores[held_out] = with_best_window(
                fitted.decision_function(counts[held_out]),
                fitted.decision_function(parts[its_parts]),
                np.searchsorted(held_out, owners[its_parts]),
            )
        known = ~np.isnan(levels)
        calibrations = [
            calibrate(scores[known[:, k], k], levels[known[:, k], k] >= 1, sector.prevalence, self.settings.beta)
            for k, sector in enumerate(self.sectors)
        ]
        return calibrations, evaluate(levels, *calibrated(scores, calibrations), corpus.sectors)


def is_news(corpus: Corpus) -> npt.NDArray[np.bool_]:
    """Which articles come from files named news-*: (n_articles,)."""
    return np.array([Path(place.rpartition(":")[0]).name.startswith(NEWS) for place in corpus.places], bool)


def time_in_turn(rows: Sequence[Row], articles: list[str], rounds: int) -> None:
    """Time all rows on the same raw articles, as often as asked; each time another one begins."""
    given = [row.system.given(articles) for row in rows]
    for row, its in zip(rows, given, strict=True):
        for _ in range(WARM_UP):
            row.system.label(its)
    for number in range(rounds):
        first = number * len(rows) // rounds
        for place in [*range(first, len(rows)), *range(first)]:
            start = perf_counter()
            rows[place].system.label(given[place])
            rows[place].seconds.append(perf_counter() - start)


def report(rows: Sequence[Row], labelled: Corpus | None) -> str:
    """The table and what it means, as Markdown. Parameters: labelled, the articles that the rows labelled, if any."""
    lines = [_line(row, rows[0], labelled) for row in rows]
    heads = ["variant", "cv macro ap", "cv macro F1", "cv micro F1", *FIGURES.values(), "speed"]
    parts = ["## What each part is worth", markdown(heads, lines), _fill(_how_to_read(labelled))]
    compared = [_beside(row, rows[0], labelled) for row in rows]
    parts.append("\n".join(map(_bullet, rows, [rows[0]] * len(rows), compared)))
    parts += map(_fill, _verdicts(rows, compared))
    if labelled is not None:
        parts += ["As shipped, on the labelled articles, by sector:", _by_sector(rows[0], labelled)]
    return "\n\n".join(parts) + "\n"


def _line(row: Row, shipped: Row, labelled: Corpus | None) -> list[str]:
    own = row.cross_validation
    cells = [row.variant.name, *(f"{value:.3f}" for value in (own.ap, own.full, own.micro_full))]
    if row.labelled is None or labelled is None:
        cells += ["-"] * len(FIGURES)
    else:
        cells += _with_intervals(row.labelled, labelled, list(FIGURES))
    ratios = [base / own for base, own in zip(shipped.seconds, row.seconds, strict=True)]
    return [*cells, f"{median(ratios):.2f}"]


def _with_intervals(said: Predictions, labelled: Corpus, names: Sequence[str]) -> list[str]:
    values = evaluate(labelled.levels, *said, labelled.sectors).metrics()
    ends = intervals(labelled.levels, *said, labelled.sectors)
    return [f"{values[name]:.3f} ({ends[name][0]:.3f} to {ends[name][1]:.3f})" for name in names]


def _beside(row: Row, shipped: Row, labelled: Corpus | None) -> dict[str, Difference]:
    """The judged figures of a row minus those of the first; none without labelled articles."""
    if row is shipped or row.labelled is None or shipped.labelled is None or labelled is None:
        return {}
    return paired_differences(labelled.levels, row.labelled, shipped.labelled, labelled.sectors, JUDGED)


def _how_to_read(labelled: Corpus | None) -> str:
    text = (
        "The first three columns of figures (cv) are from cross-validation: out-of-fold predictions for the articles "
        "that were trained on, which were written for the purpose. "
    )
    if labelled is None:
        text += "There were no labelled articles to fill the next five. "
    else:
        text += (
            f"The next six are from {len(labelled)} labelled articles that no variant learned from; full counts "
            "levels 1 and 2, core level 2 alone, ap is average precision, fp_none the share of articles on no sector "
            "that were given one. Their levels come from one careful annotator who applied the codebook, not from a "
            "panel: labels consistent with each other, not what several people agree on. In brackets are 95% intervals "
            "by bootstrap, which resamples the articles: they tell what other articles of this kind could have given, "
            "not other annotators or other kinds of news. Differences are paired: both variants on the same resamples, "
            "which tells more than whether two brackets overlap. "
        )
    return text + (
        "Speed is how many times as many generated articles a second a variant labels as the shipped configuration, "
        "start not counted and words met before remembered: the median over rounds in which all are timed in turn."
    )


def _bullet(row: Row, shipped: Row, differences: dict[str, Difference]) -> str:
    text = f"**{row.variant.name}**: {row.variant.meaning}."
    if row is not shipped:
        found = [f"{FIGURES[name]} {signed(difference)}" for name, difference in differences.items()]
        if row.variant.news:
            found.append(f"cv macro ap {row.cross_validation.ap - shipped.cross_validation.ap:+.4f}")
        if found:
            text += f" Beside the first row: {', '.join(found)}."
    return _fill(f"- {text}", "  ")


def _verdicts(rows: Sequence[Row], compared: Sequence[dict[str, Difference]]) -> list[str]:
    """What helped and what did not, in words, by the paired intervals of the judged figures."""
    if not any(compared):
        return ["Without labelled articles nothing is said on what helps: written ones are too easy to tell."]

    def names(without: bool, holds: Callable[[dict[str, Difference]], bool]) -> str:
        pairs = zip(rows[1:], compared[1:], strict=True)
        found = [row.variant.name for row, its in pairs if row.variant.without == without and holds(its)]
        return ", ".join(found) or "none"

    def lower(its: dict[str, Difference]) -> bool:
        return any(difference.high < 0 for difference in its.values())

    def higher(its: dict[str, Difference]) -> bool:
        return any(difference.low > 0 for difference in its.values())

    judged = "micro full, macro full or macro ap"
    return [
        f"Left out, these lowered {judged} beyond the interval of the difference: {names(True, lower)}. These did not, "
        f"so that the labelled articles do not show the part to help: {names(True, lambda its: not lower(its))}.",
        f"Of the other settings these raised one of the three beyond the interval: {names(False, higher)}. These did "
        f"not help: {names(False, lambda its: not higher(its))}; of them these lowered one: {names(False, lower)}.",
        "Where nothing differs, one comparison in twenty goes beyond its interval all the same.",
    ]


def _by_sector(shipped: Row, labelled: Corpus) -> str:
    said = shipped.labelled
    assert said is not None
    assert isinstance(shipped.system, Plain)
    prevalences = shipped.system.predictor.model.prevalences
    errors = calibration_errors(labelled.levels, said.probabilities, prevalences, labelled.sectors)
    names = ("full", "core", "ap")
    lines = []
    for k, sector in enumerate(labelled.sectors):
        known = ~np.isnan(labelled.levels[:, k])
        positive, predicted = labelled.levels[known, k] >= 1, said.predicted[known, k]
        counts = positive.sum(), (positive & predicted).sum(), (~positive & predicted).sum()
        figures = _with_intervals(said, labelled, [f"{name}_{sector}" for name in names])
        error = errors.get(f"ece_{sector}")
        lines.append([sector, *map(str, counts), *figures, "-" if error is None else f"{error:.3f}"])
    return markdown(("sector", "articles", "found", "falsely given", *names, "calibration error"), lines)


def _fill(text: str, indent: str = "") -> str:
    return fill(text, 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def made_like_the_first(corpus: Corpus, lexicon: Sequence[Entry]) -> bool:
    """Whether the shipped model learned from these articles and terms with the defaults, as the first row did."""
    training = read_model(SHIPPED_MODEL).training
    terms = training.get("lexicon", {}).get("digest")
    found = training["digest"], terms, training["configuration"]
    return found == (corpus.digest(), lexicon_digest(lexicon), asdict(Configuration()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for input that is no use."""
    parser = _parser()
    args = parser.parse_args(argv)
    if min(args.generate, args.rounds, args.jobs) < 1:
        parser.error("--generate, --rounds and --jobs: expected at least 1")
    if args.output is not None and not args.output.resolve().parent.is_dir():
        parser.error(f"--output {args.output}: found no folder {args.output.parent}, expected one")
    sectors = read_sectors()
    names = [sector.id for sector in sectors]
    path = args.labelled or (LABELLED if LABELLED.is_file() else None)
    try:
        labelled = None if path is None else read_corpus([path], names)
        corpus, _ = deduplicate(read_corpus([BUNDLED], names))
        lexicon = read_lexicon(names)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    table, n_generated, rounds = variants(), args.generate, args.rounds
    if args.quick:
        table = [variant for variant in table if variant.quick]
        corpus = corpus.select(np.linspace(0, len(corpus) - 1, QUICK_ARTICLES).astype(int))
        n_generated, rounds = 50, 1
    if not is_news(corpus).any():
        table = [variant for variant in table if variant.news]

    pa.set_cpu_count(1)
    ablation = Ablation(corpus, sectors, lexicon, Settings(jobs=args.jobs))
    rows = []
    for variant in table:
        say(f"train: {variant.name}")
        row = ablation.row(variant)
        if labelled is not None:
            row.labelled = row.system.predictions(labelled.articles())
        rows.append(row)
    say(f"time: {n_generated:,} generated articles, {rounds} rounds")
    time_in_turn(rows, [article.raw for article in generated(n_generated)], rounds)
    text = report(rows, labelled)
    if path == LABELLED:
        text += f"\n{_fill(CHOICES)}\n"
    if not made_like_the_first(corpus, lexicon):
        text += "\nThe model in models/sektor learned from other articles, or otherwise, than the first row.\n"
    print(text, end="")
    if args.output is not None:
        args.output.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description="Measure what each part of the model is worth."
    )
    add: Callable[..., Any] = parser.add_argument
    add("--labelled", type=Path, metavar="FILE", help="to score on (default: ../shared/... if there)")
    add("--output", type=Path, metavar="FILE", help="write the Markdown there too, as in models/ablation.md")
    add("--generate", type=int, default=2000, metavar="N", help="articles to time on (default: %(default)s)")
    add("--rounds", type=int, default=9, metavar="N", help="of timing (default: %(default)s)")
    add("--jobs", type=int, default=1, metavar="N", help="processes that train (default: %(default)s)")
    add(
        "--quick",
        action="store_true",
        help=f"{QUICK_ARTICLES} articles, three variants, one round: to see that it runs",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
