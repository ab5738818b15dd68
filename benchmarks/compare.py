"""Sektor beside its peers, in one run, on the same articles: speed, memory and how good the labels are.

    make bench                                                    # sets up what is needed, then the next line
    python -m benchmarks.compare                                  # 2,000 generated articles, five repeats
    python -m benchmarks.compare --articles mine.jsonl --repeats 9 --json results.json

Every peer is trained on data/articles, cleaned by `features.clean`, in a process of its own. Then, as often as asked
and all in turn, each is started anew and times a first pass over the raw articles (cold: words never seen before) and
further ones (warm). All work on one thread but in the row that says otherwise. One more run of each, untimed, is
watched for memory. Peers that are not installed are listed as such. Figures of quality need labelled articles:
../shared/real-news/dev.jsonl, or those named by --labelled. README.md here says how to read the tables.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.generate import ARTICLES, UNSEEN, read_articles
from benchmarks.measure import ONE_THREAD, ROOT, Failed, OverBudget, cpus, median, peak_text, python, run
from benchmarks.peers import PEERS, WARM_SECONDS, Contestant, FastText, Floor, Recipe, Sektor, SektorArrays, Tfidf
from data.corpus import Corpus, read_corpus
from data.sectors import read_sectors
from models.store import read_model
from models.uncertainty import Difference, Predictions, paired_differences
from predict import SHIPPED_MODEL

LABELLED: Final = ROOT.parent / "shared" / "real-news" / "dev.jsonl"
PICTURE: Final = Path(__file__).resolve().parent / "speed.svg"
NOT_INSTALLED: Final = "not installed: make bench installs it"
COMPARED: Final = ("full", "ap")
FIGURES: Final = ("full", "core", "ap", "micro_full", "micro_core", "fp_none")
VERSIONS: Final = ("numpy", "pyarrow", "PySastrawi", "scikit-learn", "fasttext-wheel", "libmultilabel")


@dataclass
class Row:
    """One contestant and what was measured of it.

    many: whether it gets the larger set of articles. cold, warm: articles a second of each repeat. start: seconds
    to be ready. peak: bytes. problem: why it has no figures. quality, predictions: figures by name, and what they come
    from, at the thresholds "default" and "out_of_fold".
    """

    name: str
    title: str
    workers: int = 1
    many: bool = False
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    peak: int | None = None
    problem: str | None = None
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)


def rows(workers: int) -> list[Row]:
    """Everything that is compared, in the order of the tables."""
    contestants: tuple[type[Contestant], ...] = (*PEERS, Sektor, SektorArrays, Floor)
    return [
        *(Row(each.name, each.title, problem=None if each.installed() else NOT_INSTALLED) for each in contestants),
        Row(Sektor.name, f"{Sektor.title}, one core", many=True),
        Row(Sektor.name, f"{Sektor.title}, {workers} cores", workers, many=True),
    ]


class Comparison:
    """One run of everything.

    Parameters: table, the rows to fill in; articles and many, the files of articles; folder, where trained peers go;
    budget, seconds a process may take; warm_seconds, how long further passes are repeated.
    """

    def __init__(self, table: list[Row], articles: Path, many: Path, folder: Path, budget: float, warm_seconds: float):
        self.table = table
        self.articles = articles
        self.many = many
        self.folder = folder
        self.budget = budget
        self.warm_seconds = warm_seconds

    def train(self, corpus: Path) -> None:
        """Train every peer that is there."""
        for row in self._left():
            if row.name in {peer.name for peer in PEERS}:
                self._attempt(row, "train", corpus)

    def time(self, repeats: int) -> None:
        """Time all rows in turn, as often as asked; each time another one begins."""
        for repeat in range(repeats):
            left = self._left()
            first = repeat * len(left) // repeats
            for row in left[first:] + left[:first]:
                result = self._attempt(row, "time", self.many if row.many else self.articles)
                if result is not None:
                    row.cold.append(result["articles"] / result["cold"])
                    row.warm.append(result["articles"] / result["warm"])
                    row.start.append(result["start"])

    def weigh(self) -> None:
        """Run every row once more and watch its memory."""
        for row in self._left():
            self._attempt(row, "time", self.many if row.many else self.articles, watch=True)

    def score(self, labelled: Path) -> None:
        """Score every contestant on labelled articles."""
        for row in self._left():
            if not row.many and row.name not in (Floor.name, SektorArrays.name):
                for thresholds, found in (self._attempt(row, "score", labelled) or {}).items():
                    row.quality[thresholds] = found["figures"]
                    row.predictions[thresholds] = Predictions(
                        np.array(found["predicted"], bool), np.array(found["probabilities"], float)
                    )

    def _left(self) -> list[Row]:
        return [row for row in self.table if row.problem is None]

    def _attempt(self, row: Row, what: str, path: Path, watch: bool = False) -> dict[str, Any] | None:
        """What `benchmarks.peers` finds in a fresh process; None, with the problem noted, if it fails."""
        say(f"{what}{' (memory)' if watch else ''}: {row.title}")
        options = "--workers", str(row.workers), "--seconds", str(self.warm_seconds)
        command = python("-m", "benchmarks.peers", what, row.name, self.folder, path, *options)
        environment = ONE_THREAD if row.workers == 1 else {}
        try:
            finished = run(command, watch=watch, budget=self.budget, environment=environment)
        except (OverBudget, Failed) as error:
            row.problem = f"{what}: {error}"
            return None
        if watch:
            row.peak = finished.peak
        result: dict[str, Any] = json.loads(finished.output.splitlines()[-1])
        return result


def trained_alike(corpus: Path) -> bool:
    """Whether the shipped model learned from the articles that the peers learn from."""
    return bool(read_model(SHIPPED_MODEL).training["digest"] == read_articles(corpus).digest())


def say(message: str) -> None:
    """Tell what is being done, on standard error."""
    print(message, file=sys.stderr, flush=True)


def find(table: Sequence[Row], name: str) -> Row:
    """The row of a contestant on the smaller set of articles."""
    return next(row for row in table if row.name == name and not row.many)


def speed_table(table: Sequence[Row]) -> str:
    """Articles a second, cold and warm, with ratios, as Markdown."""
    recipe, sektor = find(table, Recipe.name), find(table, Sektor.name)
    heads = (
        "system", "cold, articles/s", "warm, articles/s", "x recipe cold", "x recipe warm",
        "Sektor is x faster cold", "warm", "ready after s", "peak MB",
    )  # fmt: skip
    lines = []
    for row in table:
        if row.many:
            continue
        if not row.cold:
            lines.append([row.title, row.problem or "-", *["-"] * 7])
            continue
        lines.append(
            [
                row.title,
                spread(row.cold),
                spread(row.warm),
                ratio(row.cold, recipe.cold),
                ratio(row.warm, recipe.warm),
                ratio(sektor.cold, row.cold),
                ratio(sektor.warm, row.warm),
                f"{median(row.start):.1f}",
                peak_text(row.peak),
            ]
        )
    return markdown(heads, lines)


def cores_table(table: Sequence[Row]) -> str:
    """Sektor on one core and on all, on the larger set, as Markdown."""
    several = [row for row in table if row.many]
    heads = ("Sektor", "cold, articles/s", "warm, articles/s", "x one core cold", "x one core warm", "peak MB")
    lines = []
    for row in several:
        if not row.cold:
            lines.append([row.title, row.problem or "-", *["-"] * 4])
            continue
        one = several[0]
        ratios = ratio(row.cold, one.cold), ratio(row.warm, one.warm)
        lines.append([row.title, spread(row.cold), spread(row.warm), *ratios, peak_text(row.peak)])
    return markdown(heads, lines)


def quality_table(table: Sequence[Row]) -> str:
    """The figures at default and at out-of-fold thresholds, as Markdown; "-" where nothing was scored."""
    lines = []
    for row in table:
        if row.many or row.name in (Floor.name, SektorArrays.name):
            continue
        for thresholds in ("default", "out_of_fold"):
            figures = row.quality.get(thresholds)
            values = ["-"] * len(FIGURES) if figures is None else [f"{figures[name]:.3f}" for name in FIGURES]
            lines.append([row.title, thresholds.replace("_", "-"), *values])
    return markdown(("system", "thresholds", *FIGURES), lines)


def differences_table(table: Sequence[Row], corpus: Corpus) -> str:
    """Sektor's macro figures minus those of each peer, with paired 95% intervals, as Markdown.

    Parameters: corpus, the labelled articles that were scored.
    """
    sektor = find(table, Sektor.name)
    lines = []
    for peer in PEERS:
        row = find(table, peer.name)
        if not (row.predictions and sektor.predictions):
            lines.append([row.title, *["-"] * (1 + len(COMPARED))])
            continue
        better = max(row.quality, key=lambda thresholds: row.quality[thresholds]["full"])
        found = paired_differences(
            corpus.levels, sektor.predictions["default"], row.predictions[better], corpus.sectors, COMPARED
        )
        lines.append([row.title, better.replace("_", "-"), *(signed(found[name]) for name in COMPARED)])
    return markdown(("Sektor minus", "its thresholds", *COMPARED), lines)


def signed(difference: Difference) -> str:
    """A difference with its interval."""
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned: the first to the left, figures to the right."""
    widths = [max(len(line[k]) for line in (heads, *lines)) for k in range(len(heads))]
    rule = [f"{'-' * (width + 1)}{':' if k else '-'}" for k, width in enumerate(widths)]

    def text(line: Sequence[str]) -> str:
        cells = [f"{cell:>{w}}" if k else f"{cell:<{w}}" for k, (cell, w) in enumerate(zip(line, widths, strict=True))]
        return f"| {' | '.join(cells)} |"

    return "\n".join([text(heads), f"|{'|'.join(rule)}|", *map(text, lines)])


def spread(rates: Sequence[float]) -> str:
    """The median with the smallest and the largest, of articles a second."""
    return f"{median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})" if rates else "-"


def ratio(rates: Sequence[float], base: Sequence[float]) -> str:
    """How many times as fast, by the medians."""
    return f"{median(rates) / median(base):.1f}" if rates and base else "-"


def draw(table: Sequence[Row], path: Path) -> None:
    """The picture of README: articles a second on one core and on all, as bars."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    grey, light, blue = "#8c959f", "#c9ced4", "#0969da"
    recipe, sektor = find(table, Recipe.name), find(table, Sektor.name)
    bars = [
        ("usual recipe, first pass", recipe.cold, light),
        ("usual recipe", recipe.warm, grey),
        *(
            (label, find(table, name).warm, grey)
            for label, name in (("LibMultiLabel", "libmultilabel"), ("scikit-learn, no stemming", Tfidf.name),
                                ("fastText, given words", FastText.name))
        ),
        ("Sektor, first pass", sektor.cold, "#80b3f0"),
        ("Sektor", sektor.warm, blue),
        *((f"Sektor, {row.workers} cores", row.warm, blue) for row in table if row.many and row.workers > 1),
    ]  # fmt: skip
    bars = [bar for bar in bars if bar[1]][::-1]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(bars) + 1.1), layout="constrained")
    values = [median(rates) for _, rates, _ in bars]
    axes.barh([label for label, _, _ in bars], values, color=[color for _, _, color in bars], height=0.7)
    for place, value in enumerate(values):
        axes.text(value + max(values) * 0.01, place, f"{value:,.0f}", va="center", fontsize=9)
    axes.set_title("Indonesian news articles labelled a second, from raw text", loc="left", fontsize=11)
    axes.set_xlabel("articles/s on one core unless stated, median; longer is better", fontsize=9)
    axes.set_xlim(0, max(values) * 1.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    with matplotlib.rc_context({"svg.hashsalt": "sektor"}):  # the same figures give the same file
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for name in VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"cores": cpus(), "system": platform.platform(), "python": platform.python_version(), "versions": versions}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for input that is no use."""
    parser = _parser()
    args = parser.parse_args(argv)
    if min(args.repeats, args.generate, args.many) < 1:
        parser.error("--repeats, --generate and --many: expected at least 1")
    if args.articles is not None and not args.articles.exists():
        parser.error(f"--articles {args.articles}: no such file or folder")
    try:
        alike = trained_alike(args.corpus)
    except (ValueError, OSError) as error:
        parser.error(f"--corpus: {error}")
    table = rows(cpus())
    with TemporaryDirectory(prefix="sektor-bench-") as name:
        folder = Path(name)
        articles = many = args.articles
        if args.articles is None:
            articles = _generated(folder / "articles.jsonl", args.generate, args.seed)
            many = _generated(folder / "many.jsonl", args.many, args.seed)
        comparison = Comparison(table, articles.resolve(), many.resolve(), folder, args.budget, args.seconds)
        comparison.train(args.corpus.resolve())
        comparison.time(args.repeats)
        comparison.weigh()
        if args.labelled.is_file():
            comparison.score(args.labelled.resolve())
    if args.articles is None:
        what = f"{args.generate:,} generated articles (seed {args.seed}), a share of {UNSEEN:.3f} of the words unseen"
        what_many = f"{args.many:,} generated articles"
    else:
        what = what_many = args.articles.name
    print(f"Medians (and extremes) of {args.repeats} repeats on {cpus()} cores; {what}; one thread.\n")
    print(speed_table(table))
    print(f"\nOn one core and on all: {what_many}.\n")
    print(cores_table(table))
    if not alike:
        print(
            f"\nThe shipped model was trained on other articles than {args.corpus.name}, which the peers learned from."
        )
    print(f"\nHow good the labels are: {args.labelled.name if args.labelled.is_file() else 'no labelled articles'}.\n")
    print(quality_table(table))
    if args.labelled.is_file():
        print("\nSektor minus each peer at the better of its two thresholds, with paired 95% bootstrap intervals.\n")
        print(differences_table(table, read_corpus([args.labelled], [sector.id for sector in read_sectors()])))
    for row in table:
        if row.problem is not None:
            print(f"\n{row.title}: {row.problem}")
    if args.json is not None:
        result = {
            "machine": machine(),
            "articles": what,
            "repeats": args.repeats,
            "rows": [{name: of for name, of in asdict(row).items() if name != "predictions"} for row in table],
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print(f"\nNo picture: matplotlib is {NOT_INSTALLED}")
    elif any(row.warm for row in table):
        draw(table, args.picture)
        print(f"\nPicture: {args.picture}")
    return 0


def _generated(path: Path, n: int, seed: int) -> Path:
    say(f"generate: {n:,} articles")
    run(python("-m", "benchmarks.generate", str(n), "--seed", str(seed), "--output", path))
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description="Measure Sektor beside its peers."
    )
    add: Callable[..., Any] = parser.add_argument
    add("--articles", type=Path, metavar="FILE", help="any file predict.py reads, instead of generated articles")
    add("--generate", type=int, default=2000, metavar="N", help="articles to generate (default: %(default)s)")
    add("--many", type=int, default=20000, metavar="N", help="the same for one core beside all (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of the generated articles (default: %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="(default: %(default)s)")
    add("--seconds", type=float, default=WARM_SECONDS, help="of further passes, each time (default: %(default)s)")
    add("--budget", type=float, default=900, metavar="SECONDS", help="for one process (default: %(default)s)")
    add("--corpus", type=Path, default=ARTICLES, metavar="PATH", help="what peers learn from (default: data/articles)")
    add("--labelled", type=Path, default=LABELLED, metavar="FILE", help="to score on (default: ../shared/... if there)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    add("--picture", type=Path, default=PICTURE, metavar="FILE", help="(default: benchmarks/speed.svg)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
