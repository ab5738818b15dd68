"""What labelling costs as articles grow: time and memory of the batch script, files in, files out.

    make bench-growth                                             # sets up what is needed, then the next line
    python -m benchmarks.growth                                   # 1k, 10k, 100k and 1M generated articles
    python -m benchmarks.growth --sizes 1000 10000 --workers 2
    python -m benchmarks.growth --sizes 1000000 --workers 2 --in-memory      # beside Predictor.predict on the same ones

Each size is a file of its own, generated, labelled by `python predict.py FILE -o OUT` in a fresh process, and removed.
The generated stream keeps bringing new words (see generate.py), so memory that grew with them would show. The largest
file takes 2.3 GB in --folder, its labels 0.2 GB, and generating it some minutes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from benchmarks.compare import machine, markdown, say
from benchmarks.generate import UNSEEN
from benchmarks.measure import MEGABYTE, peak_text, python, run
from data.writer import DIGITS
from predict import Predictor

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)


AT_ONCE: Final = 50_000  # articles in memory at a time


@dataclass(frozen=True)
class Cost:
    """The cost of one size: bytes of the input; wall seconds, start included; peak memory in bytes, None if unknown.

    in_memory: seconds that `Predictor.predict` takes for the same articles, reading not counted; None if not measured.
    """

    articles: int
    size: int
    seconds: float
    peak: int | None
    in_memory: float | None = None


def cost(n: int, folder: Path, seed: int, unseen: float, workers: int, budget: float, in_memory: bool = False) -> Cost:
    """Generate n articles, label them in a fresh process that is watched, remove both files.

    With in_memory `Predictor.predict` labels them too, in a fresh process; raises RuntimeError unless its labels are
    those of the batch script.
    """
    articles, labels = folder / "articles.jsonl", folder / "labels.jsonl"
    say(f"generate: {n:,} articles")
    run(python("-m", "benchmarks.generate", str(n), "--seed", str(seed), "--unseen", str(unseen), "--output", articles))
    say(f"label: {n:,} articles")
    size = articles.stat().st_size
    command = python("predict.py", articles, "-o", labels, "--quiet", "--workers", str(workers))
    finished = run(command, watch=True, every=0.2, budget=budget)
    with labels.open("rb") as lines:
        labelled = sum(1 for _ in lines)
    if labelled != n:
        raise RuntimeError(f"{labelled:,} of {n:,} articles were labelled")
    seconds = None
    if in_memory:
        say(f"label in memory: {n:,} articles")
        command = python("-m", "benchmarks.growth", "--beside", articles, labels, "--workers", str(workers))
        seconds = float(run(command, budget=budget).output)
    for path in (articles, labels, labels.with_name(f"{labels.name}.meta.json")):
        path.unlink()
    return Cost(n, size, finished.seconds, finished.peak, seconds)


def beside(articles: Path, labels: Path, workers: int) -> float:
    """Seconds that `Predictor.predict` takes for the articles of a JSON lines file, `AT_ONCE` at a time.

    Raises RuntimeError for the first article whose sectors, primary or probabilities (as written) are not those of the
    same row of `labels`.
    """
    predictor = Predictor.load()
    seconds, row = 0.0, 0
    with articles.open(encoding="utf-8") as article_lines, labels.open(encoding="utf-8") as label_lines:
        while portion := [json.loads(line) for line in itertools.islice(article_lines, AT_ONCE)]:
            texts, titles = [each["text"] for each in portion], [each["title"] for each in portion]
            del portion
            start = perf_counter()
            predictions = predictor.predict(texts, titles, workers=workers)
            seconds += perf_counter() - start
            for prediction in predictions:
                row += 1
                written = json.loads(next(label_lines))
                probabilities = {name: float(f"{p:.{DIGITS}g}") for name, p in prediction.probabilities.items()}
                said = (list(prediction.sectors), prediction.primary, probabilities)
                if said != (written["sectors"], written["primary"], written["probabilities"]):
                    raise RuntimeError(f"{labels}:{row}: found {written}, expected {said}")
    return seconds


def table(costs: Sequence[Cost]) -> str:
    """The costs as Markdown."""
    heads = ("articles", "input MB", "seconds", "articles/s", "peak MB", "in memory, articles/s", "share of it")
    lines = [
        [
            f"{each.articles:,}",
            f"{each.size / MEGABYTE:,.0f}",
            f"{each.seconds:,.1f}",
            f"{each.articles / each.seconds:,.0f}",
            peak_text(each.peak),
            *(
                ("-", "-")
                if each.in_memory is None
                else (f"{each.articles / each.in_memory:,.0f}", f"{each.in_memory / each.seconds:.0%}")
            ),
        ]
        for each in costs
    ]
    return markdown(heads, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description="Cost as articles grow.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="default: 1k 10k 100k 1M")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--unseen", type=float, default=UNSEEN, metavar="SHARE", help="see generate.py (default: 1/6)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of predict.py (default: %(default)s)")
    parser.add_argument("--in-memory", action="store_true", help="label the articles with Predictor.predict, too")
    parser.add_argument("--beside", type=Path, nargs=2, help=argparse.SUPPRESS)  # what --in-memory calls
    parser.add_argument("--budget", type=float, default=7200, metavar="SECONDS", help="a size (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="for the files, in a folder that is removed; default: temporary")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    args = parser.parse_args(argv)
    if args.beside is not None:
        print(beside(args.beside[0], args.beside[1], args.workers))
        return 0
    with TemporaryDirectory(prefix="sektor-bench-", dir=args.folder) as name:
        costs = [
            cost(n, Path(name), args.seed, args.unseen, args.workers, args.budget, args.in_memory) for n in args.sizes
        ]
    print(
        f"python predict.py FILE -o OUT --workers {args.workers}; a share of {args.unseen:.3f} of the words unseen.\n"
    )
    print(table(costs))
    if args.json is not None:
        result = {"machine": machine(), "workers": args.workers, "costs": [asdict(each) for each in costs]}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
