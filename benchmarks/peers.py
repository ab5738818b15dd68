"""What is compared: Sektor, its peers and the floor, each trained, timed or scored in a process of its own.

    python -m benchmarks.peers train recipe FOLDER data/articles          # writes the trained peer into FOLDER
    python -m benchmarks.peers time recipe FOLDER articles.jsonl          # prints one line of JSON
    python -m benchmarks.peers score recipe FOLDER labelled.jsonl         # likewise

`benchmarks.compare` calls this. All peers get articles cleaned by `features.clean`, which counts in their time. Their
settings are their defaults, or those their own introductions show.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pickle
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.measure import median, read_articles
from data.corpus import folds, read_corpus
from data.duplicates import deduplicate
from data.sectors import read_sectors
from features.clean import clean
from features.strings import string_array
from models.calibration import Calibration, calibrate, sigmoid
from models.evaluation import evaluate
from models.uncertainty import Predictions
from predict import Predictor

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FOLDS, SEED = 5, 0  # of the out-of-fold predictions, as in train.py
BATCH: Final = 1024  # articles cleaned together
WARM_SECONDS: Final = 2.0  # further passes over the articles are repeated for so long


class Contestant(ABC):
    """Something that takes articles; all that can be timed.

    Attributes
    ----------
    name: on the command line. title: in tables. needs: the modules it imports beside Sektor's.
    remembers: whether its first pass is slower because it remembers words.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    remembers: ClassVar[bool] = False

    @classmethod
    def installed(cls) -> bool:
        """Whether what it needs is there."""
        return all(importlib.util.find_spec(module) is not None for module in cls.needs)

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Make ready what was trained into the folder; untimed."""

    def given(self, articles: list[str]) -> Any:
        """What the articles are given as; untimed."""
        return articles

    @abstractmethod
    def label(self, articles: Any) -> object:
        """Raw articles to predictions: what is timed."""


class Floor(Contestant):
    """Splits the bytes of the articles and does nothing else: nothing that reads articles word by word is faster."""

    name, title = "floor", "floor: splitting the bytes, nothing else"

    def load(self, folder: Path) -> None:
        pass

    def given(self, articles: list[str]) -> list[bytes]:
        return [article.encode() for article in articles]

    def label(self, articles: list[bytes]) -> object:
        return [len(article.split()) for article in articles]


class Sektor(Contestant):
    """The shipped model behind `Predictor.predict`: strings in, `Prediction` objects out.

    Parameters: workers, see there.
    """

    name, title, remembers = "sektor", "Sektor", True

    def __init__(self, workers: int = 1):
        self.workers = workers

    def load(self, folder: Path) -> None:
        self.predictor = Predictor.load()

    def label(self, articles: list[str]) -> object:
        return self.predictor.predict(articles, workers=self.workers)

    def predictions(self, articles: list[str]) -> Predictions:
        """By the thresholds of the model, which came from out-of-fold predictions when it was trained."""
        return predictions(self.predictor, articles)


class SektorArrays(Sektor):
    """The same, Arrow arrays in, arrays out, as the batch script uses it; in one process."""

    name, title = "sektor-arrays", "Sektor, arrays in and out"

    def given(self, articles: list[str]) -> list[pa.StringArray]:
        return [string_array(batch) for batch in batches(articles)]

    def label(self, articles: list[pa.StringArray]) -> object:
        return [self.predictor.label(batch) for batch in articles]


class Peer(Contestant):
    """A trained classifier that gives each article a decision score a sector and predicts those above 0."""

    def __init__(self, sectors: Sequence[str]):
        self.sectors = tuple(sectors)
        self.parts: Any = None  # what was learned

    @abstractmethod
    def fit(self, texts: list[str], positive: Booleans) -> None:
        """Learn from prepared texts and whether they are about each sector (n_texts, n_sectors)."""

    @abstractmethod
    def scores(self, texts: list[str]) -> Floats:
        """Decision scores of prepared texts: (n_texts, n_sectors)."""

    def prepare(self, articles: list[str]) -> list[str]:
        """Raw articles to what `fit` and `scores` take."""
        return cleaned(articles)

    def label(self, articles: list[str]) -> object:
        return self.scores(self.prepare(articles)) > 0

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        (folder / f"{self.name}.pickle").write_bytes(pickle.dumps(self.parts))

    def load(self, folder: Path) -> None:
        self.parts = pickle.loads((folder / f"{self.name}.pickle").read_bytes())


class Recipe(Peer):
    """The usual recipe: Sastrawi's caching stemmer over each article, TF-IDF, logistic regression one-vs-rest."""

    name, title, remembers = "recipe", "usual recipe: Sastrawi, TfidfVectorizer, LogisticRegression", True
    needs = ("Sastrawi", "sklearn")

    def __init__(self, sectors: Sequence[str]):
        from Sastrawi.Stemmer.StemmerFactory import StemmerFactory

        super().__init__(sectors)
        self.stemmer = StemmerFactory().create_stemmer()

    def fit(self, texts: list[str], positive: Booleans) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline

        self.parts = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LogisticRegression()))
        self.parts.fit(self._stem(texts), positive)

    def scores(self, texts: list[str]) -> Floats:
        return np.asarray(self.parts.decision_function(self._stem(texts)))

    def _stem(self, texts: list[str]) -> list[str]:
        return [self.stemmer.stem(text) for text in texts]


class Tfidf(Peer):
    """scikit-learn's defaults without stemming."""

    name, title = "tfidf", "scikit-learn: TfidfVectorizer, LinearSVC, no stemming"
    needs = ("sklearn",)

    def fit(self, texts: list[str], positive: Booleans) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        self.parts = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC()))
        self.parts.fit(texts, positive)

    def scores(self, texts: list[str]) -> Floats:
        return np.asarray(self.parts.decision_function(texts))


class FastText(Peer):
    """fastText as its tutorial on several labels has it: word bigrams, loss one-vs-all; 100 dimensions.

    Its text is given cleaned and split into words, which does not count in its time.
    """

    name, title = "fasttext", "fastText: word bigrams, one-vs-all (given words, untimed)"
    needs = ("fasttext",)

    def prepare(self, articles: list[str]) -> list[str]:
        return [" ".join(re.findall(r"\w\w+", text)) for text in cleaned(articles)]

    def given(self, articles: list[str]) -> list[str]:
        return self.prepare(articles)

    def label(self, articles: list[str]) -> object:
        return self.parts.predict(articles, k=-1, threshold=0.5)

    def fit(self, texts: list[str], positive: Booleans) -> None:
        from tempfile import NamedTemporaryFile

        import fasttext

        with NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as lines:
            for text, row in zip(texts, positive.tolist(), strict=True):
                # It skips a line without a label, so those about no sector get one of their own.
                names = [sector for sector, said in zip(self.sectors, row, strict=True) if said] or ["none"]
                lines.write(" ".join(f"__label__{name}" for name in names) + f" {text}\n")
            lines.flush()
            self.parts = fasttext.train_supervised(
                lines.name, loss="ova", wordNgrams=2, dim=100, epoch=25, lr=0.5, thread=1, verbose=0
            )

    def scores(self, texts: list[str]) -> Floats:
        column = {f"__label__{sector}": k for k, sector in enumerate(self.sectors)}
        scores = np.zeros((len(texts), len(self.sectors)))
        for row, text in zip(scores, texts, strict=True):
            # Not through its `predict`: given one string, that fails with NumPy 2, and given a list, it returns the
            # largest probability for every label.
            for probability, label in self.parts.f.predict(f"{text}\n", -1, 0.0, "strict"):
                if label in column:
                    inside = min(max(probability, 1e-6), 1 - 1e-6)
                    row[column[label]] = np.log(inside / (1 - inside))
        return scores

    def save(self, folder: Path) -> None:
        self.parts.save_model(str(folder / "fasttext.bin"))

    def load(self, folder: Path) -> None:
        import fasttext

        fasttext.FastText.eprint = lambda *_: None  # its remark that load_model returns another type than it used to
        self.parts = fasttext.load_model(str(folder / "fasttext.bin"))


class LibMultiLabel(Peer):
    """LibMultiLabel's linear one-vs-rest, as its quickstart has it, with its own TF-IDF."""

    name, title = "libmultilabel", "LibMultiLabel: one-vs-rest"
    needs = ("libmultilabel",)

    def fit(self, texts: list[str], positive: Booleans) -> None:
        from libmultilabel import linear

        names = [[sector for sector, said in zip(self.sectors, row, strict=True) if said] for row in positive.tolist()]
        dataset = {"data_format": "txt", "train": {"x": texts, "y": names}, "classes": list(self.sectors)}
        preprocessor = linear.Preprocessor()
        train = preprocessor.fit_transform(dataset)["train"]
        self.parts = preprocessor, linear.train_1vsrest(train["y"], train["x"], verbose=False)

    def scores(self, texts: list[str]) -> Floats:
        from libmultilabel import linear

        preprocessor, model = self.parts
        return np.asarray(linear.predict_values(model, preprocessor.vectorizer.transform(texts)))


PEERS: Final[tuple[type[Peer], ...]] = (Recipe, LibMultiLabel, Tfidf, FastText)


def predictions(predictor: Predictor, articles: list[str]) -> Predictions:
    """What a predictor says of raw articles, as arrays."""
    labels = [predictor.label(string_array(batch)) for batch in batches(articles)]
    predicted = np.concatenate([part.predicted for part in labels])
    return Predictions(predicted, np.concatenate([part.probabilities for part in labels]))


def cleaned(articles: list[str]) -> list[str]:
    """Articles without boilerplate and markup, in lower case."""
    return [text for batch in batches(articles) for text in clean(string_array(batch)).to_pylist()]


def batches(articles: list[str]) -> list[list[str]]:
    """Articles in parts of at most `BATCH`."""
    return [articles[start : start + BATCH] for start in range(0, len(articles), BATCH)]


def contestant(name: str, workers: int = 1) -> Contestant:
    """The contestant of a name. Raises KeyError for another name."""
    makers = {each.name: each for each in (Sektor, SektorArrays)}
    if name in makers:
        return makers[name](workers)
    return Floor() if name == Floor.name else peer(name)


def peer(name: str) -> Peer:
    """The untrained peer of a name. Raises KeyError for another name."""
    return {each.name: each for each in PEERS}[name]([sector.id for sector in read_sectors()])


def train(name: str, folder: Path, corpus_path: Path) -> dict[str, Any]:
    """Train a peer on labelled articles and write it, with the thresholds of its out-of-fold scores, into a folder."""
    start = perf_counter()
    sectors = read_sectors()
    corpus, _ = deduplicate(read_corpus([corpus_path], [sector.id for sector in sectors]))
    learner = peer(name)
    texts, positive = learner.prepare(corpus.articles()), corpus.levels >= 1  # an unknown level counts as none
    scores = np.zeros(positive.shape)
    for learned, held_out in folds(corpus.levels, np.arange(len(corpus)), FOLDS, SEED):
        learner.fit([texts[place] for place in learned], positive[learned])
        scores[held_out] = learner.scores([texts[place] for place in held_out])
    calibrations = [calibrate(scores[:, k], positive[:, k], sector.prevalence) for k, sector in enumerate(sectors)]
    learner.fit(texts, positive)
    learner.save(folder)
    (folder / f"{name}.json").write_text(json.dumps([asdict(each) for each in calibrations]), encoding="utf-8")
    return {"articles": len(corpus), "seconds": perf_counter() - start}


def measure(
    name: str, folder: Path, articles_path: Path, workers: int = 1, warm_seconds: float = WARM_SECONDS
) -> dict[str, Any]:
    """Time a contestant in this process: seconds of its start, of its first pass, and the median of further passes."""
    articles = read_articles(articles_path)
    start = perf_counter()
    entrant = contestant(name, workers)
    entrant.load(folder)
    ready = perf_counter() - start
    given = entrant.given(articles)
    start = perf_counter()
    entrant.label(given)
    cold = perf_counter() - start
    passes: list[float] = []
    while sum(passes) < warm_seconds or not passes:
        start = perf_counter()
        entrant.label(given)
        passes.append(perf_counter() - start)
    return {"articles": len(articles), "start": ready, "cold": cold, "warm": median(passes), "passes": len(passes)}


def score(name: str, folder: Path, labelled: Path) -> dict[str, Any]:
    """What a contestant makes of labelled articles, at its default and at its out-of-fold thresholds.

    Returns: for each of the two `figures`, by name, and `predicted` and `probabilities`, as lists of rows; the default
    probabilities of a peer are its decision scores, which rank alike.
    """
    corpus = read_corpus([labelled], [sector.id for sector in read_sectors()])
    entrant = contestant(name)
    entrant.load(folder)
    if isinstance(entrant, Sektor):
        its = entrant.predictions(corpus.articles())
        found = {"default": its, "out_of_fold": its}
    else:
        assert isinstance(entrant, Peer)
        scores = entrant.scores(entrant.prepare(corpus.articles()))
        learned = [Calibration(**each) for each in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))]
        slopes, offsets, thresholds = np.array([(each.slope, each.offset, each.threshold) for each in learned]).T
        probabilities = sigmoid(slopes * scores + offsets)
        found = {
            "default": Predictions(scores > 0, scores),
            "out_of_fold": Predictions(probabilities >= thresholds, probabilities),
        }
    return {
        thresholds: {
            "figures": evaluate(corpus.levels, its.predicted, its.probabilities, corpus.sectors).metrics(),
            "predicted": its.predicted.tolist(),
            "probabilities": its.probabilities.tolist(),
        }
        for thresholds, its in found.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: the result is the last line of standard output, as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Train, time or score a contestant."
    )
    parser.add_argument("what", choices=["train", "time", "score"])
    parser.add_argument("name", help="contestant")
    parser.add_argument("folder", type=Path, help="of trained peers")
    parser.add_argument("articles", type=Path)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, for Sektor (default: 1)")
    parser.add_argument("--seconds", type=float, default=WARM_SECONDS, help="of further passes (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.workers == 1:
        pa.set_cpu_count(1)
    if args.what == "train":
        result = train(args.name, args.folder, args.articles)
    elif args.what == "time":
        result = measure(args.name, args.folder, args.articles, args.workers, args.seconds)
    else:
        result = score(args.name, args.folder, args.articles)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
