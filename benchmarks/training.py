"""What training costs as articles grow: time and memory of the training script, files in, model out.

    make bench-training                                           # sets up what is needed, then the next line
    python -m benchmarks.training                                 # 1.5k, 15k and 150k generated articles
    python -m benchmarks.training --sizes 1500 15000 --jobs 1

Each size is a file of its own, generated (see generate.py), learned from alone by `python train.py --no-bundled --data
FILE --no-tracking` in a fresh process that is watched, and removed. How many articles survive de-duplication and what
reading and de-duplication take is measured before that, in another process: articles that are dropped cost no training,
and a benchmark made of repeats would measure little. The largest file takes 0.4 GB in --folder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from benchmarks.compare import machine, markdown, say
from benchmarks.measure import MEGABYTE, cpus, peak_text, python, run
from data.corpus import read_corpus
from data.duplicates import deduplicate
from data.sectors import read_sectors

SIZES: Final = (1_500, 15_000, 150_000)
SURVIVE: Final = 0.95  # the share of the articles that de-duplication has to leave, for the figures to mean something
LARGEST, MOST_SECONDS, MOST_BYTES = 150_000, 15 * 60, 4_000_000_000  # what training is meant to stay within


@dataclass(frozen=True)
class Reading:
    """What comes before training: wall seconds of reading and of de-duplication, and how many articles that leaves."""

    read: float
    deduplicate: float
    kept: int


@dataclass(frozen=True)
class Cost:
    """The cost of one size: bytes of the input; wall seconds, start included; peak memory in bytes, None if unknown."""

    articles: int
    size: int
    reading: Reading
    seconds: float
    peak: int | None

    @property
    def survive(self) -> float:
        """The share of the articles that are no duplicates."""
        return self.reading.kept / self.articles

    @property
    def deduplication(self) -> float:
        """The share of the time that finding duplicates takes."""
        return self.reading.deduplicate / self.seconds


def cost(n: int, folder: Path, seed: int, jobs: int, budget: float) -> Cost:
    """Generate n articles, train on them in a fresh process that is watched, remove file and model."""
    articles = folder / "articles.jsonl"
    say(f"generate: {n:,} articles")
    run(python("-m", "benchmarks.generate", str(n), "--seed", str(seed), "--output", articles))
    size = articles.stat().st_size
    say(f"read: {n:,} articles")
    reading = Reading(**json.loads(run(python("-m", "benchmarks.training", "--read", articles), budget=budget).output))
    say(f"train: {n:,} articles")
    command = python(
        "train.py", "--no-bundled", "--data", articles, "--no-tracking", "--jobs", str(jobs),
        "--seed", str(seed), "--output", folder / "model",
    )  # fmt: skip
    finished = run(command, watch=True, budget=budget)
    articles.unlink()
    return Cost(n, size, reading, finished.seconds, finished.peak)


def read(path: Path) -> Reading:
    """Read and de-duplicate a file as train.py does."""
    start = perf_counter()
    corpus = read_corpus([path], [sector.id for sector in read_sectors()])
    is_read = perf_counter()
    kept, _ = deduplicate(corpus)
    return Reading(is_read - start, perf_counter() - is_read, len(kept))


def growth(smaller: Cost, larger: Cost) -> float:
    """How many times the larger set takes as long as n log n lets expect of the smaller one; at most 1 is wanted."""
    work = [each.articles * math.log(each.articles) for each in (smaller, larger)]
    return (larger.seconds / smaller.seconds) / (work[1] / work[0])


def table(costs: Sequence[Cost]) -> str:
    """The costs as Markdown."""
    heads = (
        "articles", "input MB", "survive", "read s", "de-duplicate s", "of all", "train s", "articles/s", "x n log n",
        "peak MB",
    )  # fmt: skip
    lines = [
        [
            f"{each.articles:,}",
            f"{each.size / MEGABYTE:,.0f}",
            f"{each.survive:.1%}",
            f"{each.reading.read:,.1f}",
            f"{each.reading.deduplicate:,.1f}",
            f"{each.deduplication:.1%}",
            f"{each.seconds:,.0f}",
            f"{each.articles / each.seconds:,.0f}",
            "-" if smaller is None else f"{growth(smaller, each):.2f}",
            peak_text(each.peak),
        ]
        for smaller, each in zip([None, *costs], costs, strict=False)
    ]
    return markdown(heads, lines)


def missed(costs: Sequence[Cost]) -> list[str]:
    """What training is meant to keep to and does not, each in a line."""
    found = []
    for smaller, each in zip([None, *costs], costs, strict=False):
        of = f"{each.articles:,} articles"
        if each.survive < SURVIVE:
            found.append(f"{of}: {each.survive:.1%} survive de-duplication, expected at least {SURVIVE:.0%}")
        if smaller is not None and growth(smaller, each) > 1:
            found.append(f"{of}: {growth(smaller, each):.2f} times what n log n lets expect, expected at most 1")
        if each.articles <= LARGEST and each.seconds > MOST_SECONDS:
            found.append(f"{of}: {each.seconds:,.0f} s, expected at most {MOST_SECONDS}")
        if each.articles <= LARGEST and each.peak is not None and each.peak > MOST_BYTES:
            found.append(f"{of}: {peak_text(each.peak)} MB, expected at most {peak_text(MOST_BYTES)}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 1 if training misses what it is meant to keep to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Cost as articles grow.")
    parser.add_argument("--sizes", type=_size, nargs="+", default=SIZES, metavar="N", help="default: 1.5k 15k 150k")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=cpus(), metavar="N", help="of train.py (default: all cores)")
    parser.add_argument("--budget", type=float, default=7200, metavar="SECONDS", help="a size (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="for the files, in a folder that is removed; default: temporary")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure reading and de-duplicating FILE, no more")
    args = parser.parse_args(argv)
    if args.read is not None:
        print(json.dumps(asdict(read(args.read))))
        return 0
    with TemporaryDirectory(prefix="sektor-bench-", dir=args.folder) as name:
        costs = [cost(n, Path(name), args.seed, args.jobs, args.budget) for n in sorted(set(args.sizes))]
    print(f"python train.py --no-bundled --data FILE --no-tracking --jobs {args.jobs}\n")
    print(table(costs))
    lines = missed(costs)
    print("\nMissed:" if lines else "\nNothing missed.", *lines, sep="\n")
    if args.json is not None:
        result = {"machine": machine(), "jobs": args.jobs, "costs": [asdict(each) for each in costs], "missed": lines}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if lines else 0


def _size(text: str) -> int:
    """A number of articles. Raises ArgumentTypeError for one too small to cross-validate on."""
    if not text.isdecimal() or int(text) < 1000:
        raise argparse.ArgumentTypeError(f"found {text}, expected a whole number of at least 1000 articles")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
