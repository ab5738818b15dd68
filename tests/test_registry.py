"""Versions of the registered model: moving the champion by hand and back, and loading a version."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

import train as train_module
from data.reserve import Fingerprints, fingerprints, write_fingerprints
from models import connection, registry, tracking
from models.connection import TrackingError
from models.promotion import Champion, Verdict
from predict import Predictor
from predict import main as predict_main
from train import Trained, main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the caller's, and none of ours left behind."""
    for name in (*connection.ENVIRONMENT, "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A client of a store with four versions, and no champion."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.create_registered_model(registry.MODEL_NAME)
    for _ in range(4):
        client.create_model_version(registry.MODEL_NAME, source=f"file://{tmp_path}/nothing")
    return client


def champion(client: mlflow.MlflowClient) -> str:
    return str(client.get_model_version_by_alias(registry.MODEL_NAME, registry.CHAMPION).version)


# By hand


@pytest.mark.slow
def test_the_champion_is_moved_by_hand_and_back_again(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    assert registry.promote("1", tmp_path) == registry.Moved("1", None)
    assert registry.promote("3", tmp_path) == registry.Moved("3", "1")
    assert registry.promote("2", tmp_path) == registry.Moved("2", "3")
    assert champion(client) == "2"
    assert registry.roll_back(tmp_path) == registry.Moved("3", "2")
    assert registry.roll_back(tmp_path) == registry.Moved("1", "3")
    assert champion(client) == "1"
    with pytest.raises(
        TrackingError, match=r"^found no champion of sektor before version 1, expected one to go back to$"
    ):
        registry.roll_back(tmp_path)
    assert champion(client) == "1"


def test_after_going_back_another_version_may_be_promoted(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        registry.promote(version, tmp_path)
    registry.roll_back(tmp_path)
    registry.promote("4", tmp_path)
    assert [registry.roll_back(tmp_path).version for _ in range(2)] == ["2", "1"]


def test_what_was_champion_tells_when_and_why(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    registry.promote("1", tmp_path)
    registry.promote("2", tmp_path)
    first, second = (client.get_model_version(registry.MODEL_NAME, version).tags for version in ("1", "2"))
    assert first["champion.since"] <= first["champion.until"] == second["champion.since"]
    assert second["promotion"] == "promoted by hand"
    assert "champion.until" not in second
    assert client.get_registered_model(registry.MODEL_NAME).tags["champion.history"] == "1 2"
    registry.roll_back(tmp_path)
    assert client.get_model_version(registry.MODEL_NAME, "1").tags["promotion"] == (
        "rolled back to by hand, from version 2"
    )


@pytest.mark.parametrize("setter", ["set_registered_model_alias", "set_registered_model_tag"])
def test_another_run_that_gets_in_between_is_no_failure(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, setter: str
) -> None:
    """Two runs see that nothing is set yet; MLflow inserts for the one, and tells the other that it is there."""
    set_it, refused = getattr(mlflow.MlflowClient, setter), []

    def late(its: mlflow.MlflowClient, name: str, key: str, value: str) -> None:
        if not refused:
            refused.append(key)
            set_it(its, name, key, "1")
            raise mlflow.MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)
        set_it(its, name, key, value)

    monkeypatch.setattr(mlflow.MlflowClient, setter, late)
    registry.make_champion(client, "2", "better")
    assert refused
    assert registry.champion_version(client) == "2"
    assert client.get_registered_model(registry.MODEL_NAME).tags["champion.history"] == "2"


def test_a_tracker_that_fails_is_not_asked_again(client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def broken(its: mlflow.MlflowClient, *values: str) -> None:
        asked.append(values)
        raise mlflow.MlflowException("down", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", broken)
    with pytest.raises(mlflow.MlflowException, match="down"):
        registry.make_champion(client, "2", "better")
    assert len(asked) == 1


def test_promoting_the_champion_changes_nothing(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    registry.promote("1", tmp_path)
    registry.promote("2", tmp_path)
    assert registry.promote("2", tmp_path) == registry.Moved("2", "2")
    assert registry.roll_back(tmp_path) == registry.Moved("1", "2")


def test_a_champion_set_on_mlflows_own_page_is_gone_back_to(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    registry.promote("1", tmp_path)
    client.set_registered_model_alias(registry.MODEL_NAME, registry.CHAMPION, "3")
    registry.promote("2", tmp_path)
    assert [registry.roll_back(tmp_path).version for _ in range(2)] == ["3", "1"]


def test_a_deleted_version_is_passed_over(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        registry.promote(version, tmp_path)
    client.delete_model_version(registry.MODEL_NAME, "2")
    assert registry.roll_back(tmp_path) == registry.Moved("1", "3")


def test_a_challenger_that_is_promoted_is_challenger_no_more(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    registry.promote("1", tmp_path)
    registry.make_challenger(client, "2", "no better")
    registry.promote("2", tmp_path)
    aliases = client.get_registered_model(registry.MODEL_NAME).aliases
    assert {name: str(version) for name, version in aliases.items()} == {"champion": "2"}


def test_the_command_line_moves_the_champion_and_says_so(client: mlflow.MlflowClient, capsys: Capture) -> None:
    said = []
    for options in (["--promote", "1"], ["--promote", "3"], ["--promote", "3"], ["--rollback"]):
        assert main(options) == 0
        said.append(capsys.readouterr().out)
    assert said == [
        "version 1 of sektor is champion now: models:/sektor@champion\n",
        "version 3 of sektor is champion now instead of version 1: models:/sektor@champion\n",
        "version 3 of sektor is champion already\n",
        "version 1 of sektor is champion now instead of version 3: models:/sektor@champion\n",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--promote", "9"], "found 1, 2, 3, 4 of sektor, expected version 9 among them"),
        (["--promote", "champion"], "found 1, 2, 3, 4 of sektor, expected version champion among them"),
        (["--promote", ""], "found 1, 2, 3, 4 of sektor, expected version '' among them"),
        (["--rollback"], "found no champion of sektor to roll back from, expected one"),
        (["--rollback", "--promote", "1"], "found --promote and --rollback, expected one of them"),
    ],
)
def test_a_move_that_cannot_be_is_one_line(
    client: mlflow.MlflowClient, capsys: Capture, options: list[str], said: str
) -> None:
    assert main(options) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"sektor-train: {said}\n")
    assert not client.get_registered_model(registry.MODEL_NAME).aliases


@pytest.mark.parametrize("options", [["--promote", "1"], ["--rollback"]])
def test_without_a_store_none_is_made(
    options: list[str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    assert main(options) == 2
    err = capsys.readouterr().err
    assert err.startswith("sektor-train: found no mlflow.db, where runs are recorded, in ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_store_without_versions(
    empty_store: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setattr(train_module, "ROOT", tmp_path)
    assert [main(["--promote", "1"]), main(["--rollback"])] == [2, 2]
    assert capsys.readouterr().err.splitlines() == [
        "sektor-train: found no version of sektor, expected version 1 among them",
        "sektor-train: found no champion of sektor to roll back from, expected one",
    ]


# Loading


@pytest.fixture(scope="module")
def seen(articles: list[str]) -> Fingerprints:
    return fingerprints(articles)


@pytest.fixture(scope="module")
def recorded(
    bundle: Path, seen: Fingerprints, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tracking.Recorded, Path]:
    """A run as `train.py` records it, and the folder of its store."""
    root = tmp_path_factory.mktemp("recorded")
    shutil.copyfile(empty_store, root / "mlflow.db")
    table = tmp_path_factory.mktemp("table") / "articles.parquet"
    write_fingerprints(seen, table)
    record = tracking.Record(
        parameters={},
        metrics={},
        datasets={"training": tracking.DatasetRecord("articles", "0", [], {})},
        bundle=bundle,
        sectors=Predictor.load(bundle).sectors,
        files={registry.TRAINING_ARTICLES: table},
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        with tracking.run("train.py", root=root) as run:
            result = run.log(record)
        assert run.failure is None
    assert result is not None
    return result, root


@pytest.fixture
def here(recorded: tuple[tracking.Recorded, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """That store is the one that is looked into."""
    monkeypatch.setattr(registry, "store_folder", lambda: recorded[1])


@pytest.mark.parametrize(
    "uri", ["models:/sektor@champion", "models:/sektor/1", "models:/sektor/latest", "runs:/{}", "runs:/{}/sektor"]
)
@pytest.mark.parametrize("form", [str, Path])
def test_a_model_is_loaded_by_its_name(
    uri: str,
    form: Callable[[str], str | Path],
    here: None,
    recorded: tuple[tracking.Recorded, Path],
    predictor: Predictor,
) -> None:
    loaded = Predictor.load(form(uri.format(recorded[0].run_id)), {"ev": 0.25})
    text = "Wuling resmikan SPKLU di rest area tol Cipali"
    assert loaded.predict_one(text).probabilities == predictor.predict_one(text).probabilities
    assert loaded.thresholds["ev"] == 0.25


def test_only_the_bundle_is_fetched(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry.fetched_bundle("models:/sektor@champion") as bundle:
        assert {path.name for path in bundle.iterdir()} == {"terms.parquet", "words.parquet", "model.json", "README.md"}
        assert {path.name for path in bundle.parent.iterdir()} == {bundle.name}
        folder = bundle.parent
    assert not folder.exists()


def test_the_batch_script_takes_it(here: None, capsys: Capture) -> None:
    options = ["--text", "Harga gabah petani naik", "--model", "models:/sektor@champion"]
    assert predict_main(options) == 0
    out, err = capsys.readouterr()
    assert "agro" in out
    assert err == ""


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/sektor@nobody", "models:/sektor@nobody: Registered model alias nobody not found."),
        ("models:/sektor/9", "models:/sektor/9: Model Version (name=sektor, version=9) not found"),
        ("models:/other@champion", "models:/other@champion: Registered Model with name=other not found"),
        ("models:/other/latest", "models:/other/latest: found no version, expected one"),
        ("models:/sektor", "models:/sektor: expected models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN"),
        ("models:/", "models:/: expected models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN"),
        ("runs:/0123456789abcdef0123456789abcdef", "runs:/0123456789abcdef0123456789abcdef: Run with id=0123"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(uri: str, said: str, here: None) -> None:
    with pytest.raises(TrackingError) as caught:
        Predictor.load(uri)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_model_of_someone_elses_is_one_line(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    with (
        pytest.raises(
            TrackingError, match=r"^models:/sektor/1: found no artifacts/bundle among its files, expected a mo"
        ),
        registry.fetched_bundle("models:/sektor/1", tmp_path),
    ):
        pass


WITHOUT = """
import sys
sys.modules["mlflow"] = None
from predict import Predictor
try:
    Predictor.load("models:/sektor@champion")
except ValueError as error:
    print(error)
assert not {"sklearn", "pandas", "matplotlib"} & set(sys.modules)
"""


def test_without_the_extra_one_line_names_it() -> None:
    root = Path(train_module.__file__).parent
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout.endswith("install it with: pip install 'sektor[train]'\n")


# What a new model is judged by


def read(root: Path) -> Champion:
    with connection.existing_store(root) as client:
        version = registry.champion_version(client)
        assert version is not None
        return registry.read_champion(client, version)


def test_the_champion_is_read_with_the_articles_it_has_seen(
    recorded: tuple[tracking.Recorded, Path], seen: Fingerprints, trained: Trained
) -> None:
    found = read(recorded[1])
    assert (found.version, found.fault) == ("1", "")
    assert found.model is not None
    assert found.training is not None
    assert found.model.terms == trained.model.terms
    np.testing.assert_array_equal(found.training.hashes, seen.hashes)


def test_a_champion_whose_files_are_gone_is_told(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    registry.promote("1", tmp_path)
    assert read(tmp_path) == Champion("1", None, None, "its model is not there any more")


def test_a_champion_recorded_without_its_articles_is_told(
    recorded: tuple[tracking.Recorded, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "TRAINING_ARTICLES", "promotion/another.parquet")
    found = read(recorded[1])
    assert found.model is not None
    assert found.training is None
    assert found.fault == "its record does not tell which articles it was trained on"


@pytest.mark.parametrize(
    ("verdict", "champion", "alias"),
    [
        (None, None, "champion"),
        (Verdict(True, "3", "better"), "3", "champion"),
        (Verdict(False, "3", "no better"), "3", "challenger"),
        (Verdict(True, "3", "better"), "4", "challenger"),
        (None, "4", "challenger"),
        (Verdict(True, "3", "better"), None, "champion"),
    ],
)
def test_a_version_is_what_it_was_judged_to_be(verdict: Verdict | None, champion: str | None, alias: str) -> None:
    """Unless the champion it was judged against is champion no more."""
    becomes, reason = tracking._decided(verdict, champion)
    assert becomes == alias
    if champion == "4":
        assert reason == "version 4 became champion while this model was trained: they were not compared"
