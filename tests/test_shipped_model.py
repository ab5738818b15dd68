"""The model that ships: sound, small, made by `train.py` of the bundled articles, and good on real ones.

Nothing is tuned on the real articles; they are not part of this repository, and tests that need them are skipped
without them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.corpus import Corpus
from data.duplicates import deduplicate
from data.sectors import Sector
from models.card import model_card
from models.classifier import Configuration
from models.evaluation import evaluate
from models.store import CARD, MODEL, TERMS, WORDS
from predict import SHIPPED_MODEL, Predictor, main
from train import Settings

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 5_000_000  # bytes
STALE = "models/sektor is not of this code and these articles: see the first lines of train.py for the command"


def test_it_is_sound_and_complete(shipped: Predictor) -> None:
    assert {path.name for path in SHIPPED_MODEL.iterdir()} == {TERMS, WORDS, MODEL, CARD}
    assert shipped.predict_one("Harga tandan buah segar sawit petani di Riau naik.").primary == "agro"


def test_it_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in SHIPPED_MODEL.iterdir()) < LARGEST


def test_it_is_in_version_control_as_it_stands() -> None:
    git = subprocess.run(
        ["git", "ls-files", "--error-unmatch", *(f"models/sektor/{name}" for name in (TERMS, WORDS, MODEL, CARD))],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    assert git.returncode == 0, git.stderr.decode()


def test_it_was_made_of_the_bundled_articles(shipped: Predictor, bundled: Corpus, sectors: tuple[Sector, ...]) -> None:
    corpus, dropped = deduplicate(bundled)
    training = shipped.model.training
    assert training["digest"] == corpus.digest(), STALE
    assert (training["articles"], training["duplicates"]) == (len(corpus), len(dropped))
    assert shipped.sectors == tuple(sector.id for sector in sectors)
    assert shipped.model.prevalences == tuple(sector.prevalence for sector in sectors), STALE


def test_it_was_made_with_the_defaults(shipped: Predictor) -> None:
    training, defaults, settings = shipped.model.training, Configuration(), Settings()
    assert training["configuration"] == vars(defaults), STALE
    assert (training["folds"], training["beta"], training["seed"]) == (settings.folds, settings.beta, settings.seed)


def test_its_card_is_that_of_its_figures(shipped: Predictor) -> None:
    card = (SHIPPED_MODEL / CARD).read_text(encoding="utf-8")
    assert card.startswith(model_card(shipped.model)), STALE  # what follows are notes, such as the ablation table


def test_out_of_fold_figures_are_good(shipped: Predictor) -> None:
    metrics = shipped.model.training["metrics"]
    assert metrics["micro_full"] > 0.88
    assert metrics["ap"] > 0.97
    assert metrics["fp_none"] < 0.05


def test_no_word_of_its_memo_is_stemmed_otherwise_today(shipped: Predictor) -> None:
    """A memo of another version of the stemmer would speak for words that it has changed its mind about."""
    from features.stems import Stems

    words = sorted(shipped.model.words)[::7]
    assert Stems().stems(words) == [shipped.model.words[word] for word in words], STALE


@pytest.mark.slow
def test_training_gives_it_again(tmp_path: Path, bundled: Corpus, shipped: Predictor) -> None:
    """By the command in its own process, and with two jobs."""
    command = [sys.executable, str(ROOT / "train.py"), "--no-tracking", "--jobs", "2", "--output", str(tmp_path / "m")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith("cross-validation: ")]  # how far it is
    assert told == []
    again = Predictor.load(tmp_path / "m")
    assert again.model.terms == shipped.model.terms, STALE
    assert dict(again.model.words) == dict(shipped.model.words), STALE
    assert again.model.document_frequency.tolist() == shipped.model.document_frequency.tolist()
    np.testing.assert_allclose(again.model.weights, shipped.model.weights, atol=1e-4)
    articles = bundled.articles()
    for before, after in zip(shipped.predict(articles), again.predict(articles), strict=True):
        assert after.probabilities == pytest.approx(before.probabilities, abs=1e-4), STALE
        close = [s for s, p in before.probabilities.items() if abs(p - shipped.thresholds[s]) < 1e-4]
        assert set(after.sectors) ^ set(before.sectors) <= set(close)


@pytest.mark.slow
def test_training_twice_on_any_number_of_jobs_gives_the_same_bytes(tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        command = [sys.executable, str(ROOT / "train.py"), "--no-tracking", "--jobs", jobs]
        subprocess.run([*command, "--output", str(tmp_path / jobs)], cwd=tmp_path, check=True, capture_output=True)
    for name in (TERMS, WORDS, MODEL, CARD):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


# Real articles


@pytest.fixture(scope="module")
def dev(real_news: Path) -> list[dict[str, Any]]:
    """The raw articles as they are, labels included."""
    with (real_news / "dev.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def labels(real_news: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the batch script says of them."""
    path = tmp_path_factory.mktemp("dev") / "labels.jsonl"
    assert main([str(real_news / "dev.jsonl"), "-o", str(path), "--quiet"]) == 0
    return path


def test_real_articles_are_labelled_well(dev: list[dict[str, Any]], labels: Path, shipped: Predictor) -> None:
    rows = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in dev]
    names = shipped.sectors
    levels = np.array([[row["levels"][name] for name in names] for row in dev], dtype=float)
    said = np.array([[name in row["sectors"] for name in names] for row in rows])
    probabilities = np.array([[row["probabilities"][name] for name in names] for row in rows])
    found = evaluate(levels, said, probabilities, names)
    print(found.table())
    assert found.micro_full >= 0.80
    assert found.micro_core >= 0.88
    assert found.ap >= 0.91
    assert found.fp_none <= 0.06


def test_the_judging_script_finds_the_same(real_news: Path, score_script: Path, labels: Path) -> None:
    command = [sys.executable, str(score_script), str(real_news / "dev.jsonl"), str(labels), "--json"]
    judged = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert judged["missing"] == 0
    assert judged["micro_full"] >= 0.80
    assert judged["micro_core"] >= 0.88
    assert judged["ap"] >= 0.91
    assert judged["fp_none"] <= 0.06


@pytest.mark.parametrize(
    ("page", "primary", "sectors"),
    [
        ("belarus-otomotif", "automotive", {"automotive"}),
        ("korea-kendaraan-listrik", None, {"automotive", "ev"}),
    ],
)
def test_raw_pages_come_out_right(
    real_news: Path, shipped: Predictor, page: str, primary: str | None, sectors: set[str]
) -> None:
    raw = shipped.predict_one((real_news / "pages" / f"{page}.txt").read_text(encoding="utf-8"))
    trimmed = shipped.predict_one((real_news / "pages" / f"{page}.trimmed.txt").read_text(encoding="utf-8"))
    assert set(raw.sectors) == sectors
    assert primary in (None, raw.primary)
    assert raw.probabilities == pytest.approx(trimmed.probabilities, abs=0.05)


def test_kept_columns_of_real_articles_come_through(real_news: Path, dev: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    assert main([str(real_news / "dev.jsonl"), "-o", str(path), "--keep-columns", "--quiet"]) == 0
    table = pq.read_table(path)
    assert table["text"].to_pylist() == [row["text"] for row in dev]
    assert table["outlet"].to_pylist() == [row["outlet"] for row in dev]
    assert list(map(json.loads, table["levels"].to_pylist())) == [row["levels"] for row in dev]
