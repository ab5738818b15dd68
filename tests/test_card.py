"""The model card: figures with their intervals, the error of the probabilities, and notes that somebody adds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.corpus import Corpus
from data.lexicon import Entry
from data.sectors import Sector
from models.card import model_card
from models.classifier import Configuration
from models.store import CARD, read_model
from train import Trained, main, train

Train = Callable[..., int]


@pytest.fixture
def run(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train on a few articles in an empty folder, without pairs and with two folds; gives the exit code."""
    monkeypatch.chdir(tmp_path)
    few = corpus.select(range(0, len(corpus), 4))
    rows = (
        {"text": text, "levels": dict(zip(few.sectors, map(int, levels), strict=True))}
        for text, levels in zip(few.articles(), few.levels, strict=True)
    )
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--no-tracking", "--no-bundled", "--data", "few.jsonl", "--folds", "2", "--bigram-min-df", "0"]

    def call(*more: str) -> int:
        return main([*options, "--output", "model", *more])

    return call


def test_macro_and_micro_figures_have_their_intervals(trained: Trained) -> None:
    card, training = model_card(trained.model), trained.model.training
    assert set(training["intervals"]) == set(training["metrics"])
    for name in ("full", "micro_full", "ap"):
        low, high = training["intervals"][name]
        assert low < training["metrics"][name] < high
        assert f"{training['metrics'][name]:.3f} ({low:.3f} to {high:.3f})" in card


def test_the_error_of_each_sectors_probabilities_is_told(trained: Trained) -> None:
    card, metrics = model_card(trained.model), trained.model.training["metrics"]
    for sector in trained.model.sectors:
        assert 0 < metrics[f"ece_{sector}"] < 0.1
        assert f"{sector} {metrics[f'ece_{sector}']:.3f} (" in card
    assert f"Brier score, the mean of the sectors: {metrics['brier']:.3f} (" in card


def test_articles_kept_from_training_are_told(trained: Trained) -> None:
    assert "are kept to judge models by" not in model_card(trained.model)
    kept = replace(trained.model, training={**trained.model.training, "reserved": 1316})
    assert " 1,316 more are kept to judge models by." in model_card(kept)


def test_training_again_gives_the_same_card(
    trained: Trained, corpus: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...]
) -> None:
    assert model_card(train(corpus, sectors, Configuration(), lexicon=lexicon).model) == model_card(trained.model)


def test_a_model_from_before_intervals_has_a_card(trained: Trained) -> None:
    training = {name: value for name, value in trained.model.training.items() if name != "intervals"}
    training["metrics"] = trained.evaluation.metrics()
    card = model_card(replace(trained.model, training=training))
    assert f"macro F1 {trained.evaluation.full:.3f}, " in card
    assert "calibration error" not in card


def test_notes_stand_at_the_end(run: Train) -> None:
    Path("notes.md").write_text("## Ablation\n\nEin Blick: é.\n\n", encoding="utf-8")
    assert run("--notes", "notes.md") == 0
    card = Path("model", CARD).read_text(encoding="utf-8")
    model = read_model(Path("model"))
    assert card == model_card(model) + "\n## Ablation\n\nEin Blick: é.\n"
    Path("notes.md").write_text(" \n", encoding="utf-8")
    assert run("--notes", "notes.md") == 0
    assert Path("model", CARD).read_text(encoding="utf-8") == model_card(model)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.md", "No such file or directory, expected a Markdown file"),
        (".", "Is a directory, expected a Markdown file"),
        ("latin.md", "found a byte that is no UTF-8 at 3, expected Markdown"),
    ],
)
def test_notes_that_cannot_be_read(run: Train, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.md").write_bytes(b"caf\xe9")
    assert run("--notes", name) == 2
    assert capsys.readouterr().err == f"sektor-train: --notes {name}: {reason}\n"
    assert not Path("model").exists()
