"""The ablation table: its variants are what they say, and the whole of it runs on a few articles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ablation
from benchmarks.ablation import Row, Variant
from benchmarks.systems import WINDOW, BestWindow, Plain, windows, with_best_window
from data.corpus import Corpus
from models.classifier import Configuration
from models.evaluation import evaluate
from models.uncertainty import Predictions
from train import Settings, Trained


def test_each_variant_but_the_first_differs_from_the_shipped_in_one_thing() -> None:
    shipped, *others = ablation.variants()
    assert shipped == Variant(shipped.name, shipped.meaning, quick=True)
    assert (
        len({(str(v.configuration), v.lexicon, v.news, v.settings, v.window) for v in (shipped, *others)})
        == len(others) + 1
    )
    for variant in others:
        changed = [
            variant.configuration != Configuration(),
            not variant.lexicon,
            not variant.news,
            variant.settings != Settings(),
            variant.window,
        ]
        assert sum(changed) == 1, variant.name


def test_windows_cover_every_word_of_long_articles() -> None:
    words = [f"kata{number}" for number in range(WINDOW * 3 + 7)]
    texts, owners = windows(["pendek saja", " ".join(words), " ".join(words[:WINDOW])])
    assert owners.tolist() == [1] * len(texts)
    assert {len(text.split()) for text in texts} == {WINDOW}
    assert texts[0].split()[0] == words[0]
    assert texts[-1].split()[-1] == words[-1]
    assert {word for text in texts for word in text.split()} == set(words)


def test_the_best_window_of_each_sector_has_its_share() -> None:
    whole = np.array([[1.0, 2.0], [3.0, 4.0]])
    parts = np.array([[0.0, 6.0], [2.0, -1.0]])
    found = with_best_window(whole, parts, np.array([1, 1]))
    np.testing.assert_allclose(found, [[1.0, 2.0], [0.6 * 3 + 0.4 * 2, 0.6 * 4 + 0.4 * 6]])


def test_without_long_articles_the_best_window_changes_nothing(trained: Trained, articles: list[str]) -> None:
    short = [" ".join(article.split()[:40]) for article in articles[:30]]
    model = trained.model
    plain = Plain(model).predictions(short)
    windowed = BestWindow(model, model.calibrations).predictions(short)
    np.testing.assert_array_equal(windowed.predicted, plain.predicted)
    np.testing.assert_allclose(windowed.probabilities, plain.probabilities)


def test_articles_written_last_are_known_by_their_files(bundled: Corpus) -> None:
    places = ["data/news-x.jsonl:3", "news-y/others.jsonl:1", "C:news-z.jsonl:2", "agro-news-.jsonl:1"]
    found = ablation.is_news(replace(bundled.select(range(4)), places=places))
    assert found.tolist() == [True, False, False, False]


def test_the_verdict_names_what_helped_and_what_did_not(trained: Trained, corpus: Corpus) -> None:
    """Rows made up: one part whose absence does harm, one whose absence does nothing, one setting that helps."""
    right = corpus.levels >= 1
    flips = np.random.default_rng(0).random(right.shape)
    system = Plain(trained.model)
    rows = []
    for name, wrong, without in (
        ("as shipped", 0.05, False), ("no harm", 0.05, True), ("harm", 0.12, True), ("better", 0.01, False),
        ("no better", 0.05, False),
    ):  # fmt: skip
        said = right ^ (flips < wrong)
        labelled = Predictions(said, said.astype(float))
        figures = evaluate(corpus.levels, *labelled, corpus.sectors)
        rows.append(Row(Variant(name, name, without=without), figures, system, labelled, [1.0, 2.0]))
    rows[2].seconds = [2.0, 4.0]
    text = " ".join(ablation.report(rows, corpus).split())
    assert "beyond the interval of the difference: harm. These did not" in text
    assert "do not show the part to help: no harm." in text
    assert "raised one of the three beyond the interval: better. These did not help: no better; of them" in text
    table = [line for line in ablation.report(rows, corpus).splitlines() if line.startswith("| harm")]
    assert table[0].split("|")[-2].strip() == "0.50"
    assert "| automotive |" in text


@pytest.mark.slow
def test_it_runs_on_a_few_articles(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled, output = tmp_path / "labelled.jsonl", tmp_path / "ablation.md"
    few = corpus.select(range(0, len(corpus), 5))
    rows = (
        {"id": id, "text": text, "levels": dict(zip(few.sectors, map(int, levels), strict=True))}
        for id, text, levels in zip(few.ids, few.articles(), few.levels, strict=True)
    )
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert ablation.main(["--quick", "--labelled", str(labelled), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert output.read_text(encoding="utf-8") == printed
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    by_name = {line[0]: line for line in lines}
    quick = [variant.name for variant in ablation.variants() if variant.quick]
    assert set(quick) < set(by_name)
    assert by_name["as shipped"][-1] == "1.00"
    for name in quick:
        assert 0.5 < float(by_name[name][1]) <= 1
        assert all(" to " in cell for cell in by_name[name][4:10])
        assert f"- **{name}**: " in printed
    assert "one careful annotator" in " ".join(printed.split())


def test_without_labelled_articles_the_columns_stay_empty(trained: Trained) -> None:
    rows = [Row(variant, trained.evaluation, Plain(trained.model), None, [1.0]) for variant in ablation.variants()[:2]]
    text = ablation.report(rows, None)
    assert text.count(" - |") == 2 * 6
    assert "nothing is said on what helps" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "expected at least 1"),
        (["--output", "absent/ablation.md"], "found no folder absent"),
        (["--labelled", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_options_that_are_no_use(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        ablation.main(options)
    assert message in capsys.readouterr().err.splitlines()[-1]
