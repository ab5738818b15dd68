"""Figures of a set come together: each is that of its own module, and what people and MLflow see says them all."""

from __future__ import annotations

import json
import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from data.corpus import Corpus
from models.evaluation import brier_scores, evaluate
from models.measurement import PRIMARY, MeasuredSet, articles_table, measure, measured_set, metrics_of
from models.predictor import Predictor
from models.slices import Members, members
from models.uncertainty import Predictions, calibration_errors, intervals

SECTORS = ("automotive", "ev", "agro")
PREVALENCES = (0.04, 0.02, 0.06)


def drawn(n: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0, 0, 1, 2, np.nan], (n, 3))
    levels[random.random(n) < 0.3] = 0
    probabilities = np.round(random.random((n, 3)) * 0.6 + (levels >= 1) * 0.3, 2)
    return levels, probabilities >= 0.5, probabilities


def measured(n: int = 240, seed: int = 0, style: str = "kompas") -> MeasuredSet:
    levels, predicted, probabilities = drawn(n, seed)
    styles = [style if row % 2 else "wire" for row in range(n)]
    kinds = members(["judul"] * n, ["isi " * row for row in range(1, n + 1)], styles, levels)
    return measured_set(levels, predicted, probabilities, PREVALENCES, SECTORS, kinds, resamples=50, seed=4)


@pytest.fixture(scope="module")
def figures() -> MeasuredSet:
    return measured()


def test_every_figure_is_that_of_its_module(figures: MeasuredSet) -> None:
    levels, predicted, probabilities = drawn(240, 0)
    assert figures.evaluation == evaluate(levels, predicted, probabilities, SECTORS)
    errors = brier_scores(levels, probabilities, PREVALENCES, SECTORS)
    errors |= calibration_errors(levels, probabilities, PREVALENCES, SECTORS)
    assert figures.errors == errors
    expected = intervals(levels, predicted, probabilities, SECTORS, 50, 4, PREVALENCES)
    assert figures.intervals == expected
    assert set(figures.intervals) == {*figures.evaluation.metrics(), *errors}


def test_metrics_are_finite_numbers_under_names_that_mlflow_takes(figures: MeasuredSet) -> None:
    metrics = figures.metrics()
    assert all(re.fullmatch(r"[a-z0-9_./]+", name) for name in metrics)
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    json.dumps(metrics, allow_nan=False)
    by_name = {part.name: part for part in figures.slices}
    assert metrics["macro_f1"] == figures.evaluation.full
    assert metrics["ev/f1"] == figures.evaluation.sectors["ev"].full
    assert metrics["macro_brier"] == figures.errors["brier"]
    assert metrics["agro/ece"] == figures.errors["ece_agro"]
    assert metrics["slices/short_f1"] == by_name["short"].figures["full"]
    assert metrics["slices/style_kompas_articles"] == 120
    assert metrics["slices/long_articles"] == 0
    assert "slices/long_f1" not in metrics
    named = ("macro_f1", "macro_core_f1", "macro_ap", "micro_f1", "micro_core_f1", "fp_none")
    assert len([name for name in metrics if name.startswith("intervals/")]) == 2 * len(PRIMARY) == 2 * len(named)
    for name in named:
        assert metrics[f"intervals/{name}.low"] <= metrics[name] <= metrics[f"intervals/{name}.high"]


def test_no_figure_is_lost_on_the_way_to_mlflow(figures: MeasuredSet) -> None:
    """Nor do two come under one name, though sectors may be called as groups are."""
    measured_figures = {**figures.evaluation.metrics(), **figures.errors}
    named = metrics_of(measured_figures, {}, SECTORS)
    assert sorted(named.values()) == sorted(measured_figures.values())
    odd = ("intervals", "slices", "macro")
    renamed = dict.fromkeys(evaluate(*drawn(60, 1), odd).metrics(), 0.0)
    assert len(metrics_of(renamed, {}, odd)) == len(renamed)


def test_the_table_shows_sectors_means_slices_and_intervals(figures: MeasuredSet) -> None:
    table = figures.table()
    assert max(map(len, table.splitlines())) <= 120
    evaluation = figures.evaluation
    low, high = figures.intervals["brier_ev"]
    for shown in (
        f"{evaluation.sectors['ev'].core:.3f}",
        f"{figures.errors['ece_ev']:.3f}",
        f"{low:.3f}-{high:.3f}",
        f"{evaluation.micro_core:.3f}",
        f"{evaluation.fp_none:.1%}",
        "style: kompas",
        "50 resamples",
    ):
        assert shown in table
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert rows["ev"][1:4] == [str(evaluation.sectors["ev"].positives), *(
        f"{value:.3f}" for value in (evaluation.sectors["ev"].full, evaluation.sectors["ev"].core)
    )]  # fmt: skip
    assert rows["long (350 words or more)"][-6:] == ["0", "0", "-", "-", "-", "-"]
    heads = [line for line in table.splitlines() if line.startswith(("sector ", "articles that are"))]
    assert len(heads) == 2


def test_markdown_tables_keep_their_columns() -> None:
    """Whatever an outlet is called."""
    page = measured(style='a|b <img src="x"> \x1b[31m\nc').markdown()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for first, columns in ((0, 9), (7, 7)):
        assert len(re.findall(r"(?<!\\)\|", rows[first])) == columns + 1
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert widths == [10] * 7 + [8] * (len(rows) - 7)
    assert "\\|b &lt;img" in page
    assert "\x1b" not in page


def test_a_sector_without_positives_is_told_of() -> None:
    levels, predicted, probabilities = drawn(60, 1)
    levels[:, 1] = 0
    found = measured_set(levels, predicted, probabilities, PREVALENCES, SECTORS, resamples=10)
    assert "no positives of ev" in found.table()
    assert "no positives of ev" in found.markdown()
    assert "ev/brier" not in found.metrics()
    assert "no positives" not in measured_set(*drawn(60, 1), PREVALENCES, SECTORS, resamples=10).table()


def test_one_article_can_be_measured_and_none_cannot() -> None:
    one = measured_set(*drawn(1, 0), PREVALENCES, SECTORS, resamples=5)
    assert one.table()
    assert one.metrics()
    empty = Members("none", "none", np.zeros(0, bool))
    with pytest.raises(ValueError, match="found no articles"):
        measured_set(*drawn(0, 0), PREVALENCES, SECTORS, [empty], resamples=5)


def test_the_order_of_articles_does_not_matter() -> None:
    levels, predicted, probabilities = drawn(80, 2)
    order = np.random.default_rng(0).permutation(80)
    here, there = (
        measured_set(levels[rows], predicted[rows], probabilities[rows], PREVALENCES, SECTORS, resamples=20).metrics()
        for rows in (np.arange(80), order)
    )
    assert here == pytest.approx(there)


def test_a_predictor_is_measured_by_what_it_predicts(predictor: Predictor, bundled: Corpus) -> None:
    corpus = bundled.select(range(3, len(bundled), 24))
    found = measure(predictor, corpus, resamples=20)
    said = predictor.predict(corpus.texts, corpus.titles)
    predicted = np.array([[sector in one.sectors for sector in corpus.sectors] for one in said])
    probabilities = np.array([[one.probabilities[sector] for sector in corpus.sectors] for one in said])
    assert (found.predictions.predicted == predicted).all()
    assert (found.predictions.probabilities == probabilities).all()
    assert found.measured.evaluation == evaluate(corpus.levels, predicted, probabilities, corpus.sectors)
    assert found.measured.evaluation.full > 0.6
    errors = calibration_errors(corpus.levels, probabilities, predictor.model.prevalences, corpus.sectors)
    assert errors.items() <= dict(found.measured.errors).items()
    assert {"style_business", "short", "several_sectors"} <= {part.name for part in found.measured.slices}
    assert found.articles.equals(articles_table(corpus, Predictions(predicted, probabilities)))
    assert found.articles.num_rows == len(corpus)


def test_the_table_of_articles_says_what_is_true_and_what_was_said() -> None:
    levels = np.array([[2, 0, np.nan], [0, 1, 0]])
    corpus = Corpus(
        ["a", "é"], ["", ""], ["x", "y"], levels, SECTORS, ["/home/someone/articles.jsonl:1", "news.csv:7"], ["", ""]
    )
    predictions = Predictions(levels == 2, np.array([[0.9, 0.1, 0.2], [0.3, 0.4, 0.5]]))
    table = articles_table(corpus, predictions)
    table.validate(full=True)
    assert table.schema.field("level_ev").type == pa.int8()
    assert table.to_pylist() == [
        {
            "id": "a", "place": "articles.jsonl:1",
            "level_automotive": 2, "probability_automotive": 0.9, "predicted_automotive": True,
            "level_ev": 0, "probability_ev": 0.1, "predicted_ev": False,
            "level_agro": None, "probability_agro": 0.2, "predicted_agro": False,
        },
        {
            "id": "é", "place": "news.csv:7",
            "level_automotive": 0, "probability_automotive": 0.3, "predicted_automotive": False,
            "level_ev": 1, "probability_ev": 0.4, "predicted_ev": False,
            "level_agro": 0, "probability_agro": 0.5, "predicted_agro": False,
        },
    ]  # fmt: skip


def test_a_corpus_of_other_sectors_is_refused(predictor: Predictor, corpus: Corpus) -> None:
    other = Corpus(["a"], [""], ["x"], np.zeros((1, 2)), ("steel", "ev"), ["a:1"], [""])
    with pytest.raises(ValueError, match="found articles labelled with steel, ev, expected the sectors of the model"):
        measure(predictor, other)
    with pytest.raises(ValueError, match="found no articles"):
        measure(predictor, corpus.select([]))
