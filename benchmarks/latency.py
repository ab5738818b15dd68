"""How long one article takes, loaded and from a cold start, and whether hostile text takes longer than its size.

    python -m benchmarks.latency                                  # some minutes
    python -m benchmarks.latency --scale 0.01                     # the hostile texts a hundredth the size

Run it with a Python where only the base install is (`pip install .`): packages that are merely installed can slow a
start. Nothing else is needed. Each hostile text and the ordinary articles beside it are labelled by a predictor
loaded anew, in one process, so that no words are remembered; the median of --repeats counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.compare import machine, markdown, say
from benchmarks.generate import NEW_FORMS, NEW_NAMES, articles
from benchmarks.measure import median, python, run
from predict import Predictor

ONE_BY_ONE: Final = 1000  # articles given to predict_one
COLD_STARTS: Final = 10
HUGE: Final = 50_000_000  # bytes of the largest hostile texts
LONG_LINE: Final = 10_000_000  # letters
GARBAGE: Final = 1_000_000  # distinct words
AFFIXES: Final = (("memper", "kannya"), ("di", "i"), ("keber", "anlah"), ("penge", "an"), ("se", "nya"), ("ter", "kan"))
TEXT: Final = "Wuling resmikan SPKLU di rest area tol Cipali"


@dataclass(frozen=True)
class Latency:
    """Median seconds.

    first: predict_one on articles with words not seen before. again: on the same articles once more.
    cold: `python predict.py --text`, from nothing to the end. imports: a Python that imports numpy and pyarrow.
    """

    first: float
    again: float
    cold: float
    imports: float


@dataclass(frozen=True)
class Hostile:
    """A hostile text beside ordinary articles: what both have so much of, and the seconds of each."""

    what: str
    alike: str
    seconds: float
    ordinary: float


def one_by_one(n: int) -> tuple[float, float]:
    """Median seconds of `predict_one` on a loaded predictor: on n generated articles, and on them again."""
    predictor = Predictor.load()
    texts = [article.raw for article in articles(n, seed=1)]
    predictor.predict_one(TEXT)  # builds the stemmer
    return _each(predictor, texts), _each(predictor, texts)


def _each(predictor: Predictor, texts: Sequence[str]) -> float:
    seconds = []
    for text in texts:
        start = perf_counter()
        predictor.predict_one(text)
        seconds.append(perf_counter() - start)
    return median(seconds)


def cold_start(n: int) -> tuple[float, float]:
    """Median wall seconds of `python predict.py --text` and of importing numpy and pyarrow alone, n times in turn."""
    label, imports = python("predict.py", "--text", TEXT), python("-c", "import numpy, pyarrow")
    for command in (label, imports):
        run(command)  # fills the file cache
    pairs = [(run(label).seconds, run(imports).seconds) for _ in range(n)]
    return median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])


def hostile(scale: float, repeats: int) -> Iterator[Hostile]:
    """Label each hostile text and ordinary articles of the same size, or with as many unseen words."""
    for what, text in _texts(scale):
        size = len(text.encode())
        ordinary = _ordinary(size)
        yield _beside(what, f"{size / 1e6:,.1f} MB", text, ordinary, repeats)
    n = int(GARBAGE * scale)
    alike = f"{n:,} unseen words"
    ordinary = [article.raw for article in articles(-(-n // (NEW_NAMES + NEW_FORMS)), seed=2)]
    words = garbage(n)
    yield _beside("distinct garbage words", alike, " ".join(words), ordinary, repeats)
    words = [f"{prefix}{word}{suffix}" for word, (prefix, suffix) in zip(words, cycle(AFFIXES), strict=False)]
    yield _beside("distinct garbage words with affixes", alike, " ".join(words), ordinary, repeats)


def _texts(scale: float) -> Iterator[tuple[str, str]]:
    huge = int(HUGE * scale)
    yield "one huge article", "\n".join(_ordinary(huge))
    yield "one line of a single letter", "a" * int(LONG_LINE * scale)
    yield "repeated Baca juga", "Baca juga: " * (huge // len("Baca juga: "))
    yield "lines of Baca juga", "Baca juga\n" * (huge // len("Baca juga\n"))


def _ordinary(size: int) -> list[str]:
    """Ordinary articles of so many bytes together."""
    texts, total = [], 0
    for article in articles(sys.maxsize, seed=2):
        texts.append(article.raw)
        total += len(texts[-1].encode())
        if total >= size:
            return texts
    raise AssertionError("the generator ended")


def garbage(n: int, seed: int = 0) -> list[str]:
    """n distinct words of random letters."""
    draw = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(draw.choices(string.ascii_lowercase, k=draw.randint(5, 12)))] = None
    return list(words)


def _beside(what: str, alike: str, text: str, ordinary: list[str], repeats: int) -> Hostile:
    say(f"hostile: {what}")
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for place, texts in enumerate(([text], ordinary)):
            predictor = Predictor.load()
            predictor.predict_one(TEXT)
            start = perf_counter()
            predictor.predict(texts)
            seconds[place].append(perf_counter() - start)
    return Hostile(what, alike, median(seconds[0]), median(seconds[1]))


def latency_table(latency: Latency) -> str:
    """As Markdown, in milliseconds."""
    lines = [
        ("predict_one, words not seen before", f"{latency.first * 1000:,.2f}"),
        ("predict_one, words seen before", f"{latency.again * 1000:,.2f}"),
        ("python predict.py --text, cold start", f"{latency.cold * 1000:,.0f}"),
        ("python importing numpy and pyarrow", f"{latency.imports * 1000:,.0f}"),
    ]
    return markdown(("one article", "median ms"), lines)


def hostile_table(found: Sequence[Hostile]) -> str:
    """As Markdown."""
    heads = ("hostile text", "so much of it", "seconds", "ordinary articles", "ratio")
    lines = [
        (each.what, each.alike, f"{each.seconds:,.2f}", f"{each.ordinary:,.2f}", f"{each.seconds / each.ordinary:.2f}")
        for each in found
    ]
    return markdown(heads, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description="One article, hostile texts.")
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="of the hostile texts (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of hostile texts (default: %(default)s)")
    parser.add_argument(
        "--starts", type=int, default=COLD_STARTS, metavar="N", help="cold starts (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    args = parser.parse_args(argv)
    say("one article")
    latency = Latency(*one_by_one(ONE_BY_ONE), *cold_start(args.starts))
    print(latency_table(latency))
    print(f"\ncold start: {latency.cold / latency.imports:.2f} times importing numpy and pyarrow", end="")
    print("; pandas is installed here, which a base install lacks" if importlib.util.find_spec("pandas") else "")
    print()
    found = list(hostile(args.scale, args.repeats))
    print(hostile_table(found))
    if args.json is not None:
        result = {"machine": machine(), "latency": asdict(latency), "hostile": [asdict(each) for each in found]}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
