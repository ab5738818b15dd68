"""One training run from the command line: data, options, what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train as train_module
from data.corpus import Corpus
from data.lexicon import Entry, lexicon_digest
from data.sectors import Sector
from models import store, training
from models.calibration import prevalence_weights
from models.classifier import Configuration
from models.measurement import MeasuredSet
from models.store import MODEL, TERMS, WORDS, read_model
from predict import Predictor
from predict import main as predict_main
from train import Settings, Trained, main, train

Capture = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def data(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the tests as a folder of a user's, with the files it came in: folds keep them whole."""
    folder = tmp_path_factory.mktemp("data")
    files: dict[str, list[dict[str, Any]]] = {}
    for place, row in zip(corpus.places, rows_of(corpus), strict=True):
        files.setdefault(Path(place.rpartition(":")[0]).name, []).append(row)
    for name, rows in files.items():
        write(folder / name, rows)
    return folder


@pytest.fixture(scope="module")
def few(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Options for a run that takes a moment: fewer articles, no bigrams, two folds."""
    path = tmp_path_factory.mktemp("few") / "articles.jsonl"
    write(path, rows_of(corpus)[::4])
    return ["--data", path, "--folds", 2, "--bigram-min-df", 0, "--output", "model"]


def rows_of(corpus: Corpus) -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "title": title,
            "text": text,
            "levels": {s: None if np.isnan(v) else int(v) for s, v in zip(corpus.sectors, levels, strict=True)},
        }
        for id, title, text, levels in zip(corpus.ids, corpus.titles, corpus.texts, corpus.levels, strict=True)
    ]


def write(path: Path | str, rows: list[dict[str, Any]]) -> Path:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Path(path)


@pytest.fixture
def run(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Train without MLflow and without the bundled articles; gives exit code, standard output and error."""

    def call(*arguments: object, bundled: bool = False) -> tuple[int, str, str]:
        options = ["--no-tracking", *([] if bundled else ["--no-bundled"])]
        code = main([*options, *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def refusal(result: tuple[int, str, str]) -> str:
    """What is said of input that is no use: one line."""
    code, _, err = result
    assert code == 2
    assert err.startswith("sektor-train: ")
    assert err.count("\n") == 1
    return err.removeprefix("sektor-train: ").rstrip("\n")


# What a run gives


def test_a_run_gives_a_model_and_a_table(run: Run, data: Path, corpus: Corpus, bundle: Path, trained: Trained) -> None:
    code, out, err = run("--data", data, "--output", "mine/model")
    assert (code, err) == (0, "")
    assert out.startswith(f"{len(corpus)} articles to learn from; 0 more repeat one of them and were dropped\n")
    assert trained.measured.table() in out
    assert "model written to mine/model after " in out
    for name in (MODEL, TERMS, WORDS, "README.md"):  # the very model that the function gives
        assert Path("mine/model", name).read_bytes() == (bundle / name).read_bytes(), name


@pytest.mark.parametrize("form", ["levels", "list", "string"])
def test_own_articles_may_be_labelled_in_any_form(run: Run, corpus: Corpus, form: str) -> None:
    half = corpus.select(range(0, len(corpus), 2))
    rows = rows_of(half)
    for row in rows:
        named = [sector for sector, level in row["levels"].items() if level == 2]
        if form != "levels":
            del row["levels"]
            row["sectors"] = named if form == "list" else "|".join(named)
    if form == "string":
        with open("own.csv", "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["id", "title", "text", "sectors"])
            writer.writeheader()
            writer.writerows(rows)
    path = "own.csv" if form == "string" else write("own.jsonl", rows)
    assert run("--data", path, "--output", "model", "--folds", 2)[0] == 0
    counts = read_model(Path("model")).training["counts"]
    ones, twos = (half.levels == 1).sum(axis=0), (half.levels == 2).sum(axis=0)
    expected = [
        [int(one), int(two)] if form == "levels" else [0, int(two)] for one, two in zip(ones, twos, strict=True)
    ]
    assert list(counts.values()) == expected


def test_several_data_options_join_and_repeats_are_dropped(run: Run, corpus: Corpus) -> None:
    rows = rows_of(corpus)[::2]
    again = [row | {"id": f"again {row['id']}"} for row in rows[:7]]
    first, second = write("a.jsonl", rows[:100]), write("b.jsonl", rows[100:] + again)
    code, out, _ = run("--data", first, "--data", second, "--output", "model", "--folds", 2)
    assert code == 0
    assert out.startswith(
        f"{len(rows)} articles to learn from; 7 more repeat one of them and were dropped\n"
        "of a.jsonl: 100 to learn from, 0 reserved to judge models by\n"
        f"of b.jsonl: {len(rows) - 100} to learn from, 0 reserved to judge models by\n"
    )
    assert read_model(Path("model")).training["duplicates"] == 7


@pytest.mark.parametrize(("given", "folds"), [([], 5), (["--folds", 2], 2)])
def test_many_articles_are_folded_less_often(
    run: Run, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, given: list[object], folds: int
) -> None:
    monkeypatch.setattr(training, "MANY", 100)
    data = write("own.jsonl", rows_of(corpus)[:240])
    code, out, _ = run("--data", data, "--bigram-min-df", 0, "--output", "model", *given)
    assert (code, read_model(Path("model")).training["folds"]) == (0, folds)
    assert f"figures of {folds}-fold cross-validation" in out
    assert (training.usual_folds(99), training.usual_folds(100)) == (10, 5)


@pytest.mark.slow
def test_own_articles_join_the_bundled_ones(
    run: Run, bundled: Corpus, corpus: Corpus, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "BUNDLED", data)
    own = write("own.jsonl", rows_of(bundled.select(range(1, 101, 6))))
    code, out, _ = run("--data", own, "--output", "model", "--folds", 2, bundled=True)
    assert code == 0
    assert out.startswith(f"{len(corpus) + 17} articles")


@pytest.mark.slow
def test_the_card_and_the_description_say_how_it_was_trained(run: Run, data: Path) -> None:
    options = ["--folds", 3, "--beta", 2, "--seed", 5, "--min-df", 4, "--max-df", 0.5, "--bigram-min-df", 0]
    options += ["--title-weight", 1, "--regularization", 2, "--class-weight", "balanced", "--no-sublinear"]
    options += ["--lexicon-weight", 0.3, "--no-lexicon", "--loss", "squared_hinge"]
    assert run("--data", data, "--output", "model", "--prevalence", "ev=0.3", *options)[0] == 0
    model = read_model(Path("model"))
    assert model.training["configuration"] == {
        "min_df": 4, "max_df": 0.5, "bigram_min_df": None, "title_weight": 1,
        "sublinear": False, "regularization": 2.0, "class_weight": "balanced",
        "lexicon_weight": 0.3, "loss": "squared_hinge",
    }  # fmt: skip
    assert (model.title_weight, model.sublinear, model.prevalences[1]) == (1, False, 0.3)
    assert [model.training[name] for name in ("folds", "beta", "seed")] == [3, 2.0, 5]
    assert not any(" " in term for term in model.terms)
    assert "a title counts 1 times; a term weighs its count." in Path("model/README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_higher_declared_prevalence_lowers_the_score_it_takes(run: Run, few: list[object], unseen: list[str]) -> None:
    thresholds, found = [], []
    for prevalence in (0.01, 0.1, 0.4):
        assert run(*few, "--prevalence", f"agro={prevalence}")[0] == 0
        calibration = read_model(Path("model")).calibrations[2]
        odds = calibration.threshold / (1 - calibration.threshold)
        thresholds.append((np.log(odds) - calibration.offset) / calibration.slope)
        found.append(sum("agro" in prediction.sectors for prediction in Predictor.load("model").predict(unseen)))
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == 3
    assert found == sorted(found)
    assert found[0] < found[-1]


@pytest.mark.slow
def test_a_model_there_is_replaced(run: Run, few: list[object]) -> None:
    run(*few)
    before = Path("model", MODEL).read_bytes()
    assert run(*few, "--seed", 3)[0] == 0
    assert Path("model", MODEL).read_bytes() != before
    assert [path.name for path in Path().iterdir()] == ["model"]


SECTORS = """
[[sector]]
id = "{}"
title = "A sector"
meaning = "A meaning."
prevalence = 0.05
"""


@pytest.mark.slow
def test_sectors_are_data(run: Run, corpus: Corpus, sectors: tuple[Sector, ...]) -> None:
    """A fifth sector, known of some articles only, from the file that names it to the labels."""
    Path("sectors.toml").write_text(
        "".join(SECTORS.format(id) for id in (*(sector.id for sector in sectors), "sport")), encoding="utf-8"
    )
    rows = rows_of(corpus)
    sport = "Pertandingan sepak bola berakhir imbang, pelatih memuji penjaga gawang dan suporter."
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["levels"]["sport"] = 0
        if number % 9 == 0:
            row["levels"]["sport"] = 2
            row["text"] += f"\n{sport}" * 3
    options = ["--data", write("own.jsonl", rows), "--sectors", "sectors.toml", "--output", "model"]
    code, out, _ = run(*options)
    assert code == 0
    positives = len(range(0, len(rows), 9))
    assert re.search(rf"^sport +{positives} ", out, re.MULTILINE)
    predictor = Predictor.load("model")
    assert predictor.sectors == (*(sector.id for sector in sectors), "sport")
    assert predictor.predict_one(sport).primary == "sport"
    assert f"| sport | 0 / {positives} |" in Path("model/README.md").read_text(encoding="utf-8")
    write("in.jsonl", [{"text": sport}])
    assert predict_main(["in.jsonl", "-o", "labels.csv", "--model", "model", "--threshold", "sport=0.2"]) == 0
    assert Path("labels.csv").read_text(encoding="utf-8").splitlines()[0].endswith(",probability_sport,coverage")
    assert predict_main(["in.jsonl", "--model", "model"]) == 0


# The lexicon


def lexicon_of(folder: str, **sectors: str) -> Path:
    """A lexicon of a user's: for each sector its lines."""
    Path(folder).mkdir()
    for sector, lines in sectors.items():
        Path(folder, f"{sector}.csv").write_text(f"term,kind\n{lines}\n", encoding="utf-8")
    return Path(folder)


def test_the_bundled_lexicon_is_recorded(trained: Trained, lexicon: tuple[Entry, ...], bundle: Path) -> None:
    recorded = {"entries": len(lexicon), "digest": lexicon_digest(lexicon)}
    assert trained.model.training["lexicon"] == recorded
    assert json.loads((bundle / MODEL).read_text(encoding="utf-8"))["training"]["lexicon"] == recorded


@pytest.mark.slow
def test_without_a_lexicon_the_articles_alone_count(run: Run, few: list[object]) -> None:
    assert run(*few)[0] == 0
    with_lexicon = read_model(Path("model"))
    assert run(*few, "--no-lexicon")[0] == 0
    without = read_model(Path("model"))
    assert without.training["lexicon"] == {"entries": 0, "digest": lexicon_digest(())}
    assert (without.document_frequency >= Configuration().min_df).all()
    assert set(without.terms) < set(with_lexicon.terms)
    assert (with_lexicon.document_frequency == 0).any()


@pytest.mark.slow
def test_names_of_a_lexicon_of_ones_own_count_though_no_article_has_them(run: Run, few: list[object]) -> None:
    agro = ["beras,commodity", "jagung,commodity", "cabai,commodity", "gabah,commodity", "sawit,commodity"]
    folder = lexicon_of("mine", agro="\n".join([*agro, "zarbolin,commodity", "zurban farm,company"]))
    assert run(*few, "--lexicon", folder)[0] == 0
    model = read_model(Path("model"))
    assert model.training["lexicon"]["entries"] == 7
    assert model.document_frequency[model.terms.index("zarbolin")] == 0
    weights = dict(zip(model.sectors, model.weights[model.terms.index("zarbolin")], strict=True))
    assert weights["agro"] > 0.1
    assert weights["agro"] == max(weights.values())
    assert "zurban farm" in model.terms
    assert "spklu" not in model.terms or model.document_frequency[model.terms.index("spklu")] > 0
    before = model.weights[model.terms.index("zarbolin")]
    assert run(*few, "--lexicon", folder, "--lexicon-weight", 1)[0] == 0
    model = read_model(Path("model"))
    assert model.training["configuration"]["lexicon_weight"] == 1
    assert model.weights[model.terms.index("zarbolin")][2] > before[2]


def test_sectors_of_ones_own_have_no_lexicon(run: Run, corpus: Corpus) -> None:
    Path("sectors.toml").write_text(SECTORS.format("farms"), encoding="utf-8")
    rows = rows_of(corpus)[::4]
    for row in rows:
        row["levels"] = {"farms": row["levels"]["agro"]}
    options = ["--data", write("own.jsonl", rows), "--sectors", "sectors.toml", "--output", "model", "--folds", 2]
    assert run(*options, "--bigram-min-df", 0)[0] == 0
    assert read_model(Path("model")).training["lexicon"]["entries"] == 0


LEXICONS: dict[str, tuple[dict[str, str], str]] = {
    "no file": ({}, "mine: found no entries, expected files named automotive.csv, ev.csv, agro.csv, chemicals.csv"),
    "no entry": ({"ev": "byd,brand", "agro": ",commodity"}, "agro.csv:2: term: found '', expected one or two words"),
    "broken line": ({"ev": "byd,brand\nspklu"}, "ev.csv:3: found 1 cells, expected 2"),
    "three stems": (
        {"ev": "plug-in hybrid,term"},
        "mine/ev.csv:2: term: found 'plug-in hybrid', expected one or two words",
    ),
}


@pytest.mark.parametrize(("files", "message"), LEXICONS.values(), ids=LEXICONS)
def test_a_lexicon_that_is_no_use_is_one_line(run: Run, few: list[object], files: dict[str, str], message: str) -> None:
    assert message in refusal(run(*few, "--lexicon", lexicon_of("mine", **files)))
    assert not Path("model").exists()


def test_the_command_line_states_the_bundled_sectors_once() -> None:
    text = (Path(train_module.__file__).parent / "data" / "sectors.toml").read_text(encoding="utf-8")
    ids = [sector["id"] for sector in tomllib.loads(text)["sector"]]
    assert list(Predictor.load().sectors) == ids


# What the function does


@pytest.mark.slow
def test_unknown_levels_have_no_part_in_their_sector(
    corpus: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...], trained: Trained
) -> None:
    levels = corpus.levels.copy()
    unknown = np.arange(len(corpus)) % 4 == 1
    levels[unknown, 0] = np.nan
    found = train(replace(corpus, levels=levels), sectors, Configuration(), lexicon=lexicon)
    assert found.evaluation.sectors["automotive"].positives == int((levels[:, 0] >= 1).sum())
    for column in (1, 2, 3):  # what is known of the others is unchanged, and so are their weights
        np.testing.assert_array_equal(found.model.weights[:, column], trained.model.weights[:, column])
    assert not np.array_equal(found.model.weights[:, 0], trained.model.weights[:, 0])
    assert sum(found.model.training["counts"]["automotive"]) == found.evaluation.sectors["automotive"].positives


def test_figures_and_thresholds_come_from_articles_that_were_not_fitted_on(
    trained: Trained, corpus: Corpus, predictor: Predictor
) -> None:
    """The model itself knows its articles: their own labels would look almost perfect."""
    found = predictor.predict(corpus.articles())
    for k, sector in enumerate(corpus.sectors):
        right = sum((sector in p.sectors) == (level >= 1) for p, level in zip(found, corpus.levels[:, k], strict=True))
        fitted = right / len(corpus)
        figures = trained.evaluation.sectors[sector]
        assert figures.full < 0.96
        assert fitted > 0.96
        assert figures.recall < 0.95


def test_probabilities_average_to_the_declared_prevalence(
    trained: Trained, corpus: Corpus, predictor: Predictor
) -> None:
    """Weighted as the stream that is expected: of articles fitted on, so only roughly."""
    found = predictor.predict(corpus.articles())
    for k, (sector, prevalence) in enumerate(zip(trained.model.sectors, trained.model.prevalences, strict=True)):
        weights = prevalence_weights(corpus.levels[:, k] >= 1, prevalence)
        mean = np.average([prediction.probabilities[sector] for prediction in found], weights=weights)
        assert prevalence / 2 < mean < prevalence * 2


def test_thresholds_lie_inside(trained: Trained) -> None:
    for calibration in trained.model.calibrations:
        assert 0 < calibration.threshold < 1
        assert calibration.slope > 0


@pytest.mark.parametrize("positives", [4, -4, 0])
def test_a_sector_of_too_few_articles_is_named(corpus: Corpus, sectors: tuple[Sector, ...], positives: int) -> None:
    positives %= len(corpus)  # -4: all but four
    negatives, folds = len(corpus) - positives, Settings().folds
    levels = corpus.levels.copy()
    levels[:, 3] = np.repeat([2.0, 0.0], [positives, negatives])
    message = (
        f"^sector 'chemicals': found {positives} articles at level 1 or 2 and {negatives} at level 0, "
        f"expected at least {folds} of each for {folds} folds$"
    )
    with pytest.raises(ValueError, match=message):
        train(replace(corpus, levels=levels), sectors, Configuration())


@pytest.mark.slow
def test_articles_of_a_sector_that_fall_into_one_fold_are_told(corpus: Corpus, sectors: tuple[Sector, ...]) -> None:
    """As may happen to the few of a rare sector."""
    small = corpus.select(range(0, len(corpus), 6))
    small = replace(small, places=[f"own.jsonl:{number}" for number in range(len(small))])
    outcomes = []
    for seed in range(8):
        levels = small.levels.copy()
        levels[:, 3] = 0
        levels[np.random.default_rng(seed).choice(len(small), 2, replace=False), 3] = 2
        settings = Settings(folds=2, seed=seed)
        try:
            train(replace(small, levels=levels), sectors, Configuration(bigram_min_df=None), settings)
            outcomes.append("trained")
        except ValueError as error:
            outcomes.append(str(error))
    assert set(outcomes) == {
        "trained",
        "sector 'chemicals': all articles of a kind came into one of 2 folds, expected more such articles "
        "(or another --folds or --seed)",
    }


# What is refused

OPTIONS: dict[str, tuple[list[str], str]] = {
    "prevalence without share": (["--prevalence", "ev"], "--prevalence ev: expected SECTOR=SHARE, as in ev=0.02"),
    "prevalence of words": (["--prevalence", "ev=rare"], "--prevalence ev=rare: expected SECTOR=SHARE"),
    "prevalence of no sector": (["--prevalence", "mining=0.1"], "no such sector, expected one of automotive, ev, agro"),
    "prevalence 0": (["--prevalence", "ev=0"], "--prevalence ev=0: expected a share between 0 and 1"),
    "prevalence in per cent": (["--prevalence", "ev=2"], "--prevalence ev=2: expected a share between 0 and 1"),
    "prevalence nan": (["--prevalence", "ev=nan"], "--prevalence ev=nan: expected a share between 0 and 1"),
    "folds": (["--folds", "1"], "--folds 1: expected at least 2"),
    "beta": (["--beta", "0"], "--beta 0.0: expected more than 0"),
    "beta nan": (["--beta", "nan"], "--beta nan: expected more than 0"),
    "jobs": (["--jobs", "0"], "--jobs 0: expected at least 1"),
    "backend": (["--backend", "dask"], "--backend dask: expected --scheduler ADDRESS beside it"),
    "scheduler": (["--scheduler", "tcp://a:1"], "--scheduler tcp://a:1: expected --backend dask or spark beside it"),
    "seed": (["--seed", "-1"], "--seed -1: expected a whole number from 0"),
    "min-df": (["--min-df", "0"], "--min-df 0: expected more than 0"),
    "max-df": (["--max-df", "0"], "--max-df 0.0: expected more than 0"),
    "max-df in per cent": (["--max-df", "50"], "--max-df 50.0: expected a share of at most 1"),
    "bigram-min-df": (["--bigram-min-df", "-1"], "--bigram-min-df -1: expected at least 0"),
    "title-weight": (["--title-weight", "0"], "--title-weight 0: expected more than 0"),
    "regularization": (["--regularization", "-2"], "--regularization -2.0: expected more than 0"),
    "lexicon-weight": (["--lexicon-weight", "0"], "--lexicon-weight 0.0: expected more than 0"),
    "lexicon-weight below 0": (["--lexicon-weight", "-1"], "--lexicon-weight -1.0: expected more than 0"),
    "lexicon-weight nan": (["--lexicon-weight", "nan"], "--lexicon-weight nan: expected more than 0"),
    "lexicon": (["--lexicon", "absent"], "absent: is no folder, expected one with a file SECTOR.csv a sector"),
    "sectors": (["--sectors", "absent.toml"], "absent.toml: No such file or directory"),
    "data": (["--data", "absent.jsonl"], "absent.jsonl: no such file or folder"),
    "too many folds": (["--folds", "1000"], "sector 'automotive': found "),
    "too rare": (["--min-df", "5000"], "no stem stands in 5000 of "),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_are_no_use_are_one_line(run: Run, data: Path, options: list[str], message: str) -> None:
    assert message in refusal(run("--data", data, "--output", "model", *options))
    assert not Path("model").exists()


@pytest.mark.parametrize("options", [["--backend", "dask"], ["--backend", "spark"], ["--scheduler", "tcp://a:1"]])
def test_half_a_cluster_is_refused_before_anything_is_read(
    run: Run, data: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("read in vain")

    monkeypatch.setattr(train_module, "read_corpus", never)
    assert "beside it" in refusal(run("--data", data, "--output", "model", *options))


ARTICLES: dict[str, tuple[str, str]] = {
    "broken JSON": ('{"text": "x"', "own.jsonl:2: broken JSON"),
    "unknown sector": ('{"text": "x y z", "sectors": ["mining"]}', "own.jsonl:2: sectors: found sector "),
    "wrong level": ('{"text": "x y z", "sectors": {"ev": 3}}', "own.jsonl:2: sectors: ev: found level 3"),
    "no label": ('{"text": "x y z"}', "own.jsonl:2: sectors: found nothing"),
    "empty text": ('{"text": " ", "sectors": []}', "own.jsonl:2: text: found "),
}


@pytest.mark.parametrize(("row", "message"), ARTICLES.values(), ids=ARTICLES)
def test_articles_that_are_no_use_are_one_line(run: Run, row: str, message: str) -> None:
    Path("own.jsonl").write_text('{"text": "mobil listrik", "sectors": ["ev"]}\n' + row + "\n", encoding="utf-8")
    assert message in refusal(run("--data", "own.jsonl", "--output", "model"))


def test_a_sectors_file_that_is_no_use_is_one_line(run: Run, data: Path) -> None:
    Path("sectors.toml").write_text("[[sector]\nid=", encoding="utf-8")
    assert "sectors.toml: not TOML" in refusal(run("--data", data, "--sectors", "sectors.toml", "--output", "model"))


def test_nothing_to_train_on_is_one_line(run: Run) -> None:
    assert refusal(run()) == "--no-bundled without --data leaves nothing to train on"


def test_without_the_bundled_articles_it_says_how(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "BUNDLED", Path("absent"))
    assert "--no-bundled --data PATH" in refusal(run("--output", "model", bundled=True))


@pytest.mark.parametrize("place", ["file", "folder", "below"])
def test_an_output_that_cannot_be_replaced_is_refused_before_training(
    run: Run, data: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("trained in vain")

    monkeypatch.setattr(train_module, "train", never)
    if place == "folder":
        Path("work").mkdir()
    precious = Path("work", "notes.txt") if place == "folder" else Path("work")
    precious.write_text("precious", encoding="utf-8")
    output = "work/model" if place == "below" else "work"
    assert "work" in refusal(run("--data", data, "--output", output))
    assert precious.read_text(encoding="utf-8") == "precious"


def test_an_interruption_leaves_the_old_model(run: Run, few: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    run(*few)
    before = Path("model", MODEL).read_bytes()

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_description", interrupt)
    code, _, err = run(*few, "--seed", 9)
    assert (code, err) == (130, "sektor-train: interrupted; no model was written\n")
    assert Path("model", MODEL).read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["model"]


def test_an_interruption_after_the_model_is_written_says_where(
    run: Run, few: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MeasuredSet, "table", interrupt)
    code, _, err = run(*few)
    said = "interrupted; the model is written to model, the run is not fully recorded"
    assert (code, err) == (130, f"sektor-train: {said}\n")
    read_model(Path("model"))


def test_an_output_that_cannot_be_written_is_refused_before_training(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setattr(train_module, "train", None)
    assert refusal(run("--data", data, "--output", "a/model")).startswith("a/model: cannot write in ")
    assert not list(Path().iterdir())


def test_a_reader_that_has_gone_does_not_cost_the_model(
    run: Run, few: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        code, _, err = run(*few)
    assert (code, err) == (0, "")
    read_model(Path("model"))


def test_without_the_extra_it_says_what_to_install(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    assert refusal(run("--data", data)).endswith('training needs: pip install "sektor[train]"')


# MLflow


@pytest.mark.slow
def test_a_run_is_recorded(data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    assert main(["--no-bundled", "--data", str(data), "--output", "model", "--seed", "4"]) == 0
    out, err = capsys.readouterr()
    assert "MLflow: version 1 of sektor, champion" in out, err
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs.db'}")
    version = client.get_model_version_by_alias("sektor", "champion")
    run = client.get_run(version.run_id)
    model = read_model(Path("model"))
    assert run.info.status == "FINISHED"
    assert (run.data.params["seed"], run.data.params["prevalence_ev"]) == ("4", "0.02")
    assert run.data.params["regularization"] == "10.0"
    assert run.data.metrics["cv/macro_ap"] == pytest.approx(model.training["metrics"]["ap"], abs=2e-6)
    assert run.data.metrics["thresholds/ev"] == pytest.approx(model.calibrations[1].threshold)
    assert run.data.tags["data.digest"] == model.training["digest"]
    assert "Sektor model card" in version.description


def test_a_tracker_that_fails_does_not_cost_the_model(
    few: list[object], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'absent' / 'folder' / 'runs.db'}")
    (tmp_path / "absent").write_text("", encoding="utf-8")
    assert main(["--no-bundled", *map(str, few)]) == 0
    _, err = capsys.readouterr()
    first, last = err.splitlines()
    assert first.startswith("sektor-train: not recorded in MLflow: this run (")
    assert first.endswith("; training goes on")
    assert last == "sektor-train: the model is written, the run is not recorded in MLflow"
    read_model(Path("model"))


def test_options_that_are_cut_short_are_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "mine.jsonl", "--no-bund"])
    assert "unrecognized arguments: --no-bund" in capsys.readouterr().err
