"""Whole runs of the script as MLflow keeps them: what they leave, and what becomes of them when things go wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest

import train as train_module
from data.corpus import Corpus
from data.reserve import divide, fingerprints, read_fingerprints
from models import connection
from models.store import CARD, MODEL, TERMS, WORDS, read_model
from predict import Predictor
from train import main

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]
REPOSITORY = Path(train_module.__file__).resolve().parent
RESERVE = 0.42  # of 543 articles more than the 200 that it takes to compare two models


@pytest.fixture(scope="module")
def data(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "articles.jsonl", corpus)


def write(path: Path, corpus: Corpus) -> Path:
    rows = [
        {
            "id": id,
            "title": title,
            "text": text,
            "style": "berita",
            "levels": dict(zip(corpus.sectors, map(int, levels), strict=True)),
        }
        for id, title, text, levels in zip(corpus.ids, corpus.titles, corpus.texts, corpus.levels, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def options(data: Path, *more: object) -> list[str]:
    """Of a run that takes a moment: no bigrams, two folds."""
    quick = ["--no-bundled", "--data", data, "--folds", 2, "--bigram-min-df", 0, "--output", "model"]
    return [*map(str, quick), *map(str, more)]


def without_settings() -> dict[str, str]:
    """The environment of a process on a developer's machine: what tells a test or CI is not there."""
    hidden = ("MLFLOW", "PYTEST", "CI", "GITHUB", "GITLAB", "JENKINS", "BUILDKITE", "TF_BUILD", "DO_NOT_TRACK")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(hidden)},
        "PYTHONPATH": str(REPOSITORY),
    }


class Store:
    """A folder with a store of runs, in which runs are made."""

    def __init__(self, folder: Path, empty_store: Path) -> None:
        shutil.copyfile(empty_store, folder / "mlflow.db")
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(self.uri)

    def runs(self) -> list[Any]:
        """All runs, the newest first."""
        experiment = self.client.get_experiment_by_name("sektor")
        return [] if experiment is None else self.client.search_runs([experiment.experiment_id])

    def files(self, run: Any) -> dict[str, Path]:
        folder = Path(urllib.request.url2pathname(run.info.artifact_uri.removeprefix("file://")))
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    return Store(tmp_path_factory.mktemp("store"), empty_store)


@pytest.fixture(scope="module")
def labelled(bundled: Corpus, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file: 40 articles of the training, 40 more; of two styles."""
    path = write(tmp_path_factory.mktemp("labelled") / "mine.jsonl", corpus.select(range(0, 400, 10)))
    others = write(path.with_name("others.jsonl"), bundled.select(range(3, 243, 6)))
    text = others.read_text(encoding="utf-8").replace('"style": "berita"', '"style": "siaran pers"')
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    others.unlink()
    return path


@pytest.fixture(scope="module")
def said(store: Store, data: Path, labelled: Path) -> list[str]:
    """What three runs print: one, the very same again, and one with all there is to ask for."""
    outputs = []
    thorough = ["--search", 3, "--learning-curve", "--evaluate", labelled, "--seed", 1]
    for more in ([], [], thorough):
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "train.py"), *options(data, "--reserve", RESERVE, *more)],
            cwd=store.folder,
            env={**without_settings(), "MLFLOW_TRACKING_URI": store.uri},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
        shutil.copytree(store.folder / "model", store.folder / f"model {len(outputs)}")
    return outputs


def test_the_first_run_is_champion_and_tells_its_whole_story(
    store: Store, said: list[str], corpus: Corpus, data: Path
) -> None:
    divided = divide(corpus, RESERVE)
    assert said[0].startswith(f"{len(divided.training)} articles to learn from; 0 more repeat one of them")
    assert f"{len(divided.reserved)} more are reserved to judge models by: --reserve {RESERVE}\n" in said[0]
    assert "MLflow: version 1 of sektor, champion: no version is champion yet\n" in said[0]
    run = [run for run in store.runs() if "mlflow.parentRunId" not in run.data.tags][-1]
    model = read_model(store.folder / "model 1")
    assert run.info.status == "FINISHED"
    parameters = run.data.params
    assert (parameters["reserve"], parameters["search"], parameters["data"]) == (str(RESERVE), "0", "articles.jsonl")
    assert (parameters["min_df"], parameters["bigram_min_df"], parameters["beta"]) == ("3", "None", "1.25")
    metrics = run.data.metrics
    for name, kept in (("macro_f1", "full"), ("macro_core_f1", "core"), ("ev/ece", "ece_ev"), ("agro/ap", "ap_agro")):
        assert metrics[f"cv/{name}"] == pytest.approx(model.training["metrics"][kept], abs=2e-6)
    for of in ("cv", "reserved"):
        low, high = (metrics[f"{of}/intervals/macro_f1.{end}"] for end in ("low", "high"))
        assert low < metrics[f"{of}/macro_f1"] < high
    assert model.training["reserved"] == len(divided.reserved)
    inputs = {tag.value: data for data in run.inputs.dataset_inputs for tag in data.tags if tag.key.endswith("context")}
    assert set(inputs) == {"training", "promotion"}
    assert json.loads(inputs["training"].dataset.profile)["articles"] == len(divided.training)
    assert inputs["training"].dataset.digest == divided.training.digest()[:36]
    assert set(store.files(run)) == {
        "figures.md",
        "model-card.md",
        "page/precision-recall.png",
        "plots/confusion.png",
        "plots/precision-recall.png",
        "plots/reliability.png",
        "plots/telling-words.png",
        "promotion/training-articles.parquet",
        "tables/out-of-fold.parquet",
        "tables/reserved.parquet",
    }


def test_the_table_of_out_of_fold_predictions_is_what_the_figures_are_of(
    store: Store, said: list[str], corpus: Corpus
) -> None:
    run = [run for run in store.runs() if "mlflow.parentRunId" not in run.data.tags][-1]
    table = pq.read_table(store.files(run)["tables/out-of-fold.parquet"]).to_pylist()
    training = divide(corpus, RESERVE).training
    assert [row["id"] for row in table] == training.ids
    assert {row["fold"] for row in table} == {0, 1}
    assert all(row["place"].startswith("articles.jsonl:") for row in table)
    model = read_model(store.folder / "model 1")
    for k, sector in enumerate(training.sectors):
        assert [row[f"level_{sector}"] for row in table] == training.levels[:, k].tolist()
        threshold = model.calibrations[k].threshold
        assert all((row[f"probability_{sector}"] >= threshold) == row[f"predicted_{sector}"] for row in table)
    seen = read_fingerprints(store.files(run)["promotion/training-articles.parquet"])
    np.testing.assert_array_equal(seen.hashes, fingerprints(training.articles()).hashes)


def test_reserved_articles_take_no_part(store: Store, said: list[str], corpus: Corpus) -> None:
    """Not even in the vocabulary: what only they say the model does not know."""
    divided = divide(corpus, RESERVE)
    training, reserved = (
        set(re.findall(r"[a-z]{4,}", " ".join(part.articles()).lower()))
        for part in (divided.training, divided.reserved)
    )
    known = set(read_model(store.folder / "model 1").words)
    assert len(reserved - training) > 1000
    assert len(known & training) > 1000
    assert not known & (reserved - training)


def test_the_same_run_again_is_equal_and_displaces_nothing(store: Store, said: list[str]) -> None:
    assert "MLflow: version 2 of sektor, challenger: no better beyond noise than the champion, version 1: " in said[1]
    assert "+0.000 to +0.000; found 0 that they label differently, expected at least 6 to tell\n" in said[1]
    for name in (MODEL, TERMS, WORDS, CARD):
        first, again = ((store.folder / folder / name).read_bytes() for folder in ("model 1", "model 2"))
        assert first == again, name
    again, first = [run for run in store.runs() if "mlflow.parentRunId" not in run.data.tags][-2:]
    there, here = store.files(first), store.files(again)
    assert set(there) == set(here)
    assert [name for name in there if there[name].read_bytes() != here[name].read_bytes()] == []
    figures = {name: value for name, value in again.data.metrics.items() if not name.startswith("promotion")}
    assert figures == first.data.metrics
    assert again.data.params == first.data.params
    version = store.client.get_model_version("sektor", "2")
    assert version.tags["promotion"].startswith("no better beyond noise than the champion, version 1: ")
    assert (version.description or "").startswith("Registered as challenger: no better beyond noise")
    aliases = store.client.get_registered_model("sektor").aliases
    assert str(aliases["champion"]) == "1"


def test_a_run_with_everything_has_trials_within_it_and_an_evaluation(
    store: Store, said: list[str], labelled: Path, corpus: Corpus
) -> None:
    dropped = len(set(corpus.select(range(0, 400, 10)).ids) - set(divide(corpus, RESERVE).reserved.ids))
    assert f"80 articles to evaluate on; {dropped} that repeat one of them were left out of the training\n" in said[2]
    assert "3 configurations tried: " in said[2]
    assert "figures of the articles of mine.jsonl:" in said[2]
    assert "the same with fewer articles to learn from:" in said[2]
    fresh = 80 - dropped
    assert "champion, version 1, saw in training, expected at least 200 to compare them on\n" in said[2]
    assert (
        f"MLflow: version 3 of sektor, challenger: found {fresh} articles that neither it nor the champion" in said[2]
    )
    runs = store.runs()
    run = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    trials = [trial for trial in runs if trial.data.tags.get("mlflow.parentRunId") == run.info.run_id]
    names = sorted(trial.info.run_name for trial in trials)
    assert names[0] == "trial 1 of 3: default"
    assert all(name.startswith(f"trial {number} of 3: ") for number, name in enumerate(names, 1))
    assert {trial.info.status for trial in trials} == {"FINISHED"}
    assert len({json.dumps(trial.data.params, sort_keys=True) for trial in trials}) == 3
    assert {trial.data.params["bigram_min_df"] for trial in trials} == {"None"}  # as given, so not searched
    assert all(0 < trial.data.metrics["cv/macro_f1"] < 1 for trial in trials)
    metrics = run.data.metrics
    low, high = (metrics[f"eval/intervals/macro_f1.{end}"] for end in ("low", "high"))
    assert low <= metrics["eval/macro_f1"] <= high
    assert metrics["eval/slices/style_siaran_pers_articles"] == 40
    assert metrics["promotion/articles"] == fresh
    assert {"plots/learning-curve.png", "plots/evaluation-reliability.png", "tables/evaluated.parquet"} <= set(
        store.files(run)
    )
    assert "## Evaluation on mine.jsonl" in (store.folder / "model 3" / CARD).read_text(encoding="utf-8")


def test_no_path_or_user_of_ours_is_in_any_run(store: Store, said: list[str]) -> None:
    for run in store.runs():
        recorded = {**run.data.params, **run.data.tags, "data": str(run.inputs.dataset_inputs)}
        recorded |= {name: path.read_bytes().decode("latin-1") for name, path in store.files(run).items()}
        for place in (store.folder, REPOSITORY, Path.home() / ".", Path(sys.prefix), "mlflow.user"):
            assert not [name for name, text in recorded.items() if str(place) in f"{name} {text}"], place


# What goes wrong


def test_an_interrupted_run_is_killed_and_leaves_no_model(data: Path, tmp_path: Path, empty_store: Path) -> None:
    store = Store(tmp_path, empty_store)
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "train.py"), *options(data, "--search", 200)],
        cwd=tmp_path,
        env={**without_settings(), "MLFLOW_TRACKING_URI": store.uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    deadline = time.monotonic() + 240
    while len(store.runs()) < 3:  # the run and two trials within it
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sektor-train: interrupted; no model was written"
    assert "Traceback" not in err
    outer = next(run for run in store.runs() if "mlflow.parentRunId" not in run.data.tags)
    assert outer.info.status == "KILLED"
    assert {run.info.status for run in store.runs()} <= {"KILLED", "FINISHED"}
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


def test_an_interruption_while_a_class_is_made_is_one(
    data: Path, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Python 3.11 makes a RuntimeError of it there, as within an import of matplotlib."""

    class Interrupting:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    def interrupt(*arguments: object) -> None:
        type("Made", (), {"attribute": Interrupting()})

    store = Store(tmp_path, empty_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_module, "write_fingerprints", interrupt)
    assert main(options(data)) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("sektor-train: interrupted; the model is written to ")
    assert [run.info.status for run in store.runs()] == ["KILLED"]


@pytest.mark.parametrize(
    ("blow", "reasons"),
    # Killed while it has the connection, or before.
    [(signal.SIGSTOP, ("did not answer",)), (signal.SIGKILL, ("refused the connection", "cannot be reached"))],
)
def test_a_server_that_hangs_or_dies_costs_less_than_a_minute_and_not_the_model(
    blow: signal.Signals,
    reasons: tuple[str, ...],
    server: tuple[str, subprocess.Popen[bytes]],
    data: Path,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a search, each trial of which is to be recorded; with the time-outs that users have."""
    address, process = server
    for name in connection.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    from models import tracking

    log_trial, waited = tracking.Run.log_trial, []

    def struck(run: tracking.Run, name: str, *rest: Any) -> None:
        if name.startswith("trial 2"):
            os.killpg(process.pid, blow)
        begun = time.monotonic()
        log_trial(run, name, *rest)
        waited.append(time.monotonic() - begun)

    monkeypatch.setattr(tracking.Run, "log_trial", struck)
    end = tracking.Run._end

    def timed_end(run: tracking.Run, status: str) -> None:
        begun = time.monotonic()
        try:
            end(run, status)
        finally:
            waited.append(time.monotonic() - begun)

    monkeypatch.setattr(tracking.Run, "_end", timed_end)
    assert main(options(data, "--search", 6)) == 0
    assert sum(waited) < 60
    err = capsys.readouterr().err.splitlines()
    said = f"sektor-train: not recorded in MLflow: trial 2 of 6 and all after it ({address} "
    assert err[-1].startswith(tuple(said + reason for reason in reasons))
    read_model(Path("model"))


TRAIN_AND_LOAD = """
import sys
outside = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        outside.append((event, arguments[1:] if event == "socket.connect" else arguments))
sys.addaudithook(watch)
import train
from predict import Predictor
code = train.main(sys.argv[1:])
found = Predictor.load("models:/sektor@champion").predict_one("Harga gabah petani naik")
import mlflow.telemetry.client
import time
time.sleep(1)  # for a thread that would send something
sys.exit(f"{code} {found.primary} {mlflow.telemetry.client.get_telemetry_client()} {outside}")
"""


def test_nothing_goes_out_of_the_machine(data: Path, tmp_path: Path, empty_store: Path) -> None:
    store = Store(tmp_path, empty_store)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_LOAD, *options(data, "--search", 2)],
        cwd=tmp_path,
        env={**without_settings(), "MLFLOW_TRACKING_URI": store.uri},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == "0 agro None []", done.stderr


def test_two_processes_learn_the_same_model(data: Path, tmp_path: Path) -> None:
    """However Python's own hashes fall, and on however many processes."""
    for number, jobs in ((1, 1), (2, 2)):
        subprocess.run(
            [sys.executable, str(REPOSITORY / "train.py"), *options(data, "--no-tracking", "--jobs", jobs)],
            cwd=tmp_path,
            env={**without_settings(), "PYTHONHASHSEED": str(number)},
            capture_output=True,
            check=True,
        )
        (tmp_path / "model").rename(tmp_path / f"model {number}")
    for name in (MODEL, TERMS, WORDS, CARD):
        assert (tmp_path / "model 1" / name).read_bytes() == (tmp_path / "model 2" / name).read_bytes(), name
    assert Predictor.load(tmp_path / "model 1").predict_one("Harga gabah petani naik").primary == "agro"
