"""What Spark costs on one machine: the same articles by the batch script and by Spark on as many cores.

    python -m benchmarks.spark                                    # 50,000 generated articles, two cores
    python -m benchmarks.spark --articles 5000 --repeats 1

Needs the `spark` extra and Java. In each repeat the batch script (`predict.py FILE -o OUT`) and Spark (`local[N]`)
label the same file of JSON lines, each in a fresh process; then each does so once more, untimed, watched for memory.
All rows of both outputs are compared, as the bytes they are: a difference ends the run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.compare import machine, markdown, say
from benchmarks.generate import UNSEEN
from benchmarks.measure import MEGABYTE, Failed, OverBudget, median, peak_text, python, run

ON_SPARK: Final = """
import sys
from models.batch import Job
from models.predictor import Predictor
from models.spark_files import run
source, output, master = sys.argv[1:]
print(run(Job(inputs=(source,), output=output), Predictor.load(), master).seconds)
"""


@dataclass
class Cost:
    """What one of the two costs.

    seconds: wall time of each repeat, from the start of the process to its end. working: of these from the first look
    at the input to the finished output. peak: bytes, of all its processes.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    working: list[float] = field(default_factory=list)
    peak: int | None = None


def label(
    name: str, articles: Path, output: Path, cores: int, budget: float, watch: bool
) -> tuple[float, float, int | None]:
    """Label a file in a fresh process: its wall time, the working part of it, and its peak of memory if watched."""
    if name == "batch script":
        summary = output.with_suffix(".summary.json")
        options = ("--workers", str(cores), "--quiet", "--json-summary", summary)
        finished = run(python("predict.py", articles, "-o", output, *options), watch=watch, budget=budget)
        working = float(json.loads(summary.read_text(encoding="utf-8"))["seconds"])
    else:
        finished = run(python("-c", ON_SPARK, articles, output, f"local[{cores}]"), watch=watch, budget=budget)
        working = float(finished.output)
    return finished.seconds, working, finished.peak


def rows(output: Path) -> list[bytes]:
    """All lines of an output, in an order of their own."""
    files = sorted(output.glob("part-*")) if output.is_dir() else [output]
    return sorted(line for file in files for line in file.read_bytes().splitlines())


def remove(output: Path) -> None:
    """Remove an output and what stands beside it."""
    for path in output.parent.glob(f"{output.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def compare(costs: Sequence[Cost], articles: Path, cores: int, repeats: int, budget: float) -> int:
    """Fill in the costs; returns how many rows were compared. Raises RuntimeError for outputs that differ."""
    outputs = [articles.with_name(f"labels-{number}.jsonl") for number in range(len(costs))]
    compared = 0
    for repeat in range(repeats + 1):
        watch = repeat == repeats
        for cost, output in zip(costs, outputs, strict=True):
            say(f"{cost.name}: {'memory' if watch else f'repeat {repeat + 1} of {repeats}'}")
            seconds, working, peak = label(cost.name, articles, output, cores, budget, watch)
            if watch:
                cost.peak = peak
            else:
                cost.seconds.append(seconds)
                cost.working.append(working)
        here, there = map(rows, outputs)
        if here != there:
            different = sum(a != b for a, b in zip(here, there, strict=False)) + abs(len(here) - len(there))
            raise RuntimeError(f"{different:,} of {len(here):,} rows differ")
        compared = len(here)
        for output in outputs:
            remove(output)
    return compared


def table(costs: Sequence[Cost], articles: int) -> str:
    """The costs as Markdown: medians over the repeats."""
    heads = ("", "seconds", "of these before and after", "articles/s", "articles/s while working", "peak MB")
    lines = []
    for cost in costs:
        around = [whole - working for whole, working in zip(cost.seconds, cost.working, strict=True)]
        lines.append(
            [
                cost.name,
                f"{median(cost.seconds):,.1f}",
                f"{median(around):,.1f}",
                f"{articles / median(cost.seconds):,.0f}",
                f"{articles / median(cost.working):,.0f}",
                peak_text(cost.peak),
            ]
        )
    return markdown(heads, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 1 if one of the two failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spark", description="The batch script beside Spark.")
    parser.add_argument("--articles", type=int, default=50_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--cores", type=int, default=2, metavar="N", help="of both (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--unseen", type=float, default=UNSEEN, metavar="SHARE", help="see generate.py (default: 1/6)")
    parser.add_argument("--budget", type=float, default=3600, metavar="SECONDS", help="a run (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="for the files, in a folder that is removed; default: temporary")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    args = parser.parse_args(argv)
    if min(args.articles, args.repeats, args.cores) < 1:
        parser.error("--articles, --repeats and --cores: expected at least 1")
    costs = [Cost("batch script"), Cost("Spark")]
    with TemporaryDirectory(prefix="sektor-bench-", dir=args.folder) as name:
        articles = Path(name) / "articles.jsonl"
        say(f"generate: {args.articles:,} articles")
        options = ("--seed", str(args.seed), "--unseen", str(args.unseen), "--output", articles)
        run(python("-m", "benchmarks.generate", str(args.articles), *options))
        size = articles.stat().st_size
        try:
            compared = compare(costs, articles, args.cores, args.repeats, args.budget)
        except (Failed, OverBudget, RuntimeError) as error:
            say(f"benchmarks.spark: {error}")
            return 1
    print(
        f"{args.articles:,} articles ({size / MEGABYTE:,.0f} MB of JSON lines), {args.cores} cores, medians of "
        f"{args.repeats}; all {compared:,} rows of both are the same bytes.\n"
    )
    print(table(costs, args.articles))
    if args.json is not None:
        result = {"machine": machine(), "articles": args.articles, "cores": args.cores}
        result["costs"] = [asdict(cost) for cost in costs]
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
