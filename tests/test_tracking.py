"""What a training run leaves in MLflow, and that a broken tracker never costs the training its result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import alembic.command
import mlflow
import pytest
from mlflow.exceptions import MlflowException

from models import connection, tracking
from models.connection import whole
from predict import Predictor

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_TEXT = 1_000_000


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the caller's, and none of ours left behind."""
    for name in (
        *connection.ENVIRONMENT,
        "MLFLOW_TRACKING_URI",
        "MLFLOW_REGISTRY_URI",
        "MLFLOW_EXPERIMENT_NAME",
    ):
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the test does to it
        monkeypatch.delenv(name)


def make_record(bundle: Path, root: Path) -> tracking.Record:
    root.mkdir(exist_ok=True)
    table = root / "scores.csv"
    table.write_text("id,score\n1,0.5\n", encoding="utf-8")
    return tracking.Record(
        parameters={
            "seed": 0,
            "data": [root / "articles", Path("/home/ani/berita.jsonl")],
            "regularisation": 10.0,
        },
        metrics={"macro full": 0.8, "ap ev": 0.9},
        datasets={
            "training": tracking.DatasetRecord(
                name="bundled articles",
                digest="0123456789abcdef" * 4,
                source=[root / "articles", "data/articles"],
                counts={"articles": 2200, "positive ev": 500},
                columns={"title": "string", "text": "string", "ev": "long"},
            )
        },
        bundle=bundle,
        sectors=Predictor.load(bundle).sectors,
        files={"tables/out-of-fold.csv": table},
        tags={"seed": "0"},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with a store."""
    folder = tmp_path_factory.mktemp("with space") / "checkout"
    folder.mkdir()
    shutil.copyfile(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def recorded(root: Path, bundle: Path) -> tracking.Recorded:
    """The first run in the store of `root`, logged as `train.py` does."""
    with tracking.run("train.py", root=root) as run:
        result = run.log(make_record(bundle, root))
    assert run.failure is None
    assert result is not None
    return result


@pytest.fixture
def client(recorded: tracking.Recorded) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(recorded.tracking_uri)


def last_run(client: mlflow.MlflowClient) -> Any:
    experiment = client.get_experiment_by_name("sektor")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])[0]


def local_files(uri: str) -> dict[str, str]:
    folder = Path(urllib.request.url2pathname(uri.removeprefix("file://")))
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size < LONGEST_TEXT
    }


def test_a_run_holds_settings_figures_data_and_files(
    recorded: tracking.Recorded, client: mlflow.MlflowClient, bundle: Path
) -> None:
    run = client.get_run(recorded.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "data": "articles, berita.jsonl", "regularisation": "10.0"}
    assert run.data.metrics == {"macro full": 0.8, "ap ev": 0.9}
    assert run.data.tags["seed"] == "0"
    assert run.data.tags["mlflow.source.name"] == "train.py"
    assert run.data.tags["version.python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"version.numpy", "version.PySastrawi", "version.scikit-learn"} <= set(run.data.tags)

    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("bundled articles", ("0123456789abcdef" * 4)[:36])
    assert json.loads(used.dataset.profile) == {"articles": 2200, "positive ev": 500}
    assert '"ev"' in used.dataset.schema
    assert run.data.tags["data.digest"] == "0123456789abcdef" * 4

    files = local_files(run.info.artifact_uri)
    assert files["tables/out-of-fold.csv"].startswith("id,score")
    assert files["model-card.md"] == (bundle / "README.md").read_text(encoding="utf-8")


def test_the_first_version_is_champion_and_holds_the_card_the_figures_and_the_model(
    recorded: tracking.Recorded, client: mlflow.MlflowClient, bundle: Path
) -> None:
    assert (recorded.alias, recorded.model_uri) == ("champion", "models:/sektor/1")
    version = client.get_model_version("sektor", recorded.model_version)
    assert version.run_id == recorded.run_id
    assert version.tags["seed"] == "0"
    card = (bundle / "README.md").read_text(encoding="utf-8")
    why = "Registered as champion: no version is champion yet.\n\n"
    assert (version.description or "").startswith(why + card[:4000])
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert str(model.status) == "READY"
    assert {metric.key for metric in model.metrics or []} == {"macro full", "ap ev"}

    files = local_files(model.artifact_location)
    requirements = files["requirements.txt"].split()
    assert {line.partition("==")[0] for line in requirements} == set(tracking.SERVED_REQUIREMENTS)
    assert all("==" in line for line in requirements)
    assert {
        "MLmodel",
        "serving.py",
        "input_example.json",
        "artifacts/bundle/model.json",
        "code/predict.py",
    } <= set(files)
    code = {name for name in files if name.startswith("code/")}
    assert not [name for name in code if not name.endswith((".py", ".toml")) or "test" in name]
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_no_path_or_user_of_ours_is_recorded(
    recorded: tracking.Recorded, client: mlflow.MlflowClient, root: Path, bundle: Path
) -> None:
    run = client.get_run(recorded.run_id)
    source = client.get_model_version("sektor", recorded.model_version).source
    model = client.get_logged_model(source.removeprefix("models:/"))
    # Artifact locations aside, which MLflow makes absolute.
    said = {
        **{f"parameter {key}": value for key, value in run.data.params.items()},
        **{f"tag {key}": value for key, value in run.data.tags.items()},
        **{f"model tag {key}": value for key, value in model.tags.items()},
        **{f"model parameter {key}": value for key, value in model.params.items()},
        "data set": str(run.inputs.dataset_inputs[0].dataset.to_dictionary()),
        **local_files(run.info.artifact_uri),
        **local_files(model.artifact_location),
    }
    for place in (root, bundle, REPOSITORY, Path.home() / ".", Path(sys.prefix)):
        assert not [name for name, text in said.items() if f"{place}/" in text], place
    assert "mlflow.user" not in run.data.tags
    assert "mlflow.user" not in model.tags


def test_run_model_and_version_name_their_sectors(
    recorded: tracking.Recorded, client: mlflow.MlflowClient, bundle: Path
) -> None:
    version = client.get_model_version("sektor", recorded.model_version)
    model = client.get_logged_model(str(version.source).removeprefix("models:/"))
    expected = ", ".join(Predictor.load(bundle).sectors)
    for tags in (client.get_run(recorded.run_id).data.tags, version.tags, model.tags):
        assert tags["sectors"] == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Path("../ani/ok.csv"), "ok.csv"),
        (Path("articles/ok.csv"), "articles/ok.csv"),
        (Path("../checkout/ok.csv"), "ok.csv"),
        ([Path("a.csv"), Path("../../b.csv")], "a.csv, b.csv"),
        ("/home/ani/ok.csv", "ok.csv"),
        ("balanced", "balanced"),
    ],
)
def test_a_relative_path_says_no_more_than_an_absolute_one(
    value: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    assert tracking.Run(checkout)._portable(value) == said


def test_an_interrupted_import_of_mlflow_is_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(run: tracking.Run, name: str) -> None:
        raise KeyboardInterrupt

    def never(*arguments: object) -> None:
        raise AssertionError("MLflow was asked again")

    monkeypatch.setattr(tracking.Run, "_start", interrupt)
    monkeypatch.setattr(tracking.Run, "_end", never)
    with pytest.raises(KeyboardInterrupt), tracking.run("train.py", root=tmp_path):
        pass


def test_a_later_version_is_challenger_and_leaves_the_champion(
    recorded: tracking.Recorded, client: mlflow.MlflowClient, root: Path, bundle: Path
) -> None:
    with tracking.run("train.py", root=root) as run:
        later = run.log(make_record(bundle, root))
    assert later is not None
    assert later.alias == "challenger"
    aliases = client.get_registered_model("sektor").aliases
    assert {name: str(version) for name, version in aliases.items()} == {
        "champion": recorded.model_version,
        "challenger": later.model_version,
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "KILLED"), (ValueError("wrong"), "FAILED"), (SystemExit(1), "FAILED")],
)
def test_a_run_that_does_not_end_well_says_so(
    error: BaseException, status: str, recorded: tracking.Recorded, client: mlflow.MlflowClient, root: Path
) -> None:
    with pytest.raises(type(error)), tracking.run("train.py", root=root):
        raise error
    assert last_run(client).info.status == status


def test_the_environment_is_the_users(recorded: tracking.Recorded, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    with tracking.run("train.py", root=root):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_TRACKING_URI" not in os.environ

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded.tracking_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    with tracking.run("train.py", root=root / "unused"):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert os.environ["MLFLOW_TRACKING_URI"] == recorded.tracking_uri
    assert mlflow.MlflowClient(recorded.tracking_uri).get_experiment_by_name("another") is not None
    assert not (root / "unused").exists()


def test_a_tracker_that_fails_halfway_keeps_what_it_has_and_names_what_is_missing(
    recorded: tracking.Recorded,
    client: mlflow.MlflowClient,
    root: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full\nand more lines")

    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", refuse)
    with tracking.run("train.py", root=root) as run:
        assert run.log(make_record(bundle, root)) is None
    assert str(run.failure) == "not recorded in MLflow: model, registered version (the disk is full)"
    assert last_run(client).info.status == "FAILED"
    assert last_run(client).data.metrics["macro full"] == 0.8


def test_a_file_that_cannot_be_attached_does_not_end_the_training(
    recorded: tracking.Recorded, root: Path, bundle: Path
) -> None:
    with tracking.run("train.py", root=root) as run:
        run.log(replace(make_record(bundle, root), files={"plots/missing.png": root / "missing.png"}))
    assert "files, model, registered version" in str(run.failure)
    assert "missing.png" in str(run.failure)


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


def test_a_dead_server_costs_a_message(tmp_path: Path, dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ani:secret@127.0.0.1:{dead_port}")
    trained = False
    begun = time.monotonic()
    with tracking.run("train.py", root=tmp_path) as run:
        trained = True
        assert run.log(unusable_record()) is None
    assert trained
    assert time.monotonic() - begun < 10
    assert str(run.failure) == (
        "not recorded in MLflow: this run "
        f"(http://127.0.0.1:{dead_port} refused the connection: is the server running?)"
    )
    assert not list(tmp_path.iterdir())


def unusable_record() -> tracking.Record:
    """For runs that are never recorded."""
    return tracking.Record({}, {}, {"training": tracking.DatasetRecord("none", "0", [], {})}, Path("none"), [])


def test_a_server_that_hangs_costs_a_message(
    tmp_path: Path, silent_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_server}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    begun = time.monotonic()
    with tracking.run("train.py", root=tmp_path) as run:
        pass
    assert str(run.failure) == f"not recorded in MLflow: this run (http://127.0.0.1:{silent_server} did not answer)"
    assert time.monotonic() - begun < 10


def test_the_limits_of_a_hanging_server_add_up_to_less_than_a_minute() -> None:
    timeout = int(connection.ENVIRONMENT["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    attempts = 1 + int(connection.ENVIRONMENT["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    assert 2 * attempts * timeout < 55  # once for what is logged, once for the end of the run


def test_a_store_that_is_no_database_costs_a_message(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, but long enough to be read as one" * 20)
    begun = time.monotonic()
    with tracking.run("train.py", root=tmp_path) as run:
        pass
    assert str(run.failure) == "not recorded in MLflow: this run (file is not a database)"
    assert time.monotonic() - begun < 5


def test_a_store_whose_creation_is_interrupted_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(alembic.command, "upgrade", interrupt)  # by which MLflow builds its tables
    with pytest.raises(KeyboardInterrupt), tracking.run("train.py", root=tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_without_mlflow_the_message_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    with tracking.run("train.py", root=tmp_path) as run:
        pass
    assert "pip install 'sektor[train]'" in str(run.failure)


RUN = """
import socket, sys
from pathlib import Path
outside = []
def connect(self, address, _connect=socket.socket.connect):
    outside.append(address)
    return _connect(self, address)
def resolve(host, *rest, _resolve=socket.getaddrinfo, **more):
    outside.append(host)
    return _resolve(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = connect, resolve
from models import connection, registry, tracking
from models.promotion import Verdict
bundle, root = map(Path, sys.argv[1:])
with tracking.run("train.py", root=root) as run:
    from tests.test_tracking import make_record  # which imports mlflow: first, ours has to prepare for it
    recorded = run.log(make_record(bundle, root / "files"))
sys.exit(f"{run.failure or ''}{outside or ''}" or f"version {recorded.model_version}")
"""


def start_training(bundle: Path, root: Path, **environment: str) -> subprocess.Popen[str]:
    """A process that records a run and says on standard error what went wrong, or which version it made."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTEST"))}
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE", "TF_BUILD", "DO_NOT_TRACK"):
        ours.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(bundle), str(root)],
        env={**ours, "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_runs_that_start_together_on_a_fresh_store_are_all_recorded_and_nothing_goes_out(
    tmp_path: Path, bundle: Path
) -> None:
    runs = [start_training(bundle, tmp_path) for _ in range(3)]
    said = sorted(run.communicate(timeout=300)[1].strip() for run in runs)
    assert said == ["version 1", "version 2", "version 3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "mlflow.db", "mlruns"]


@pytest.mark.slow
def test_a_server_works_by_its_environment_variable_and_may_stop_in_the_middle(
    server: tuple[str, subprocess.Popen[bytes]],
    tmp_path: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    root = tmp_path / "root"
    with tracking.run("train.py", root=root) as run:
        recorded = run.log(make_record(bundle, root))
    assert run.failure is None
    assert recorded is not None
    assert recorded.tracking_uri == address
    assert not (root / "mlflow.db").exists()
    assert (tmp_path / "kept").is_dir()

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with tracking.run("train.py", root=root) as run:
        os.killpg(process.pid, signal.SIGSTOP)
        begun = time.monotonic()
        run.log(make_record(bundle, root))
    assert time.monotonic() - begun < 2 * 2 * 2 + 5
    assert "parameters and metrics, data set, files, model, registered version" in str(run.failure)
    assert f"({address} did not answer)" in str(run.failure)


@pytest.mark.parametrize(("interruptions", "done"), [(0, ["recorded", "after it"]), (1, ["recorded"]), (2, [])])
def test_an_interruption_waits_for_what_is_being_recorded_and_a_second_one_does_not(
    interruptions: int, done: list[str]
) -> None:
    found: list[str] = []

    def record() -> None:
        with whole():
            for _ in range(interruptions):
                signal.raise_signal(signal.SIGINT)
            found.append("recorded")
        found.append("after it")

    with pytest.raises(KeyboardInterrupt) if interruptions else nullcontext():
        record()
    assert found == done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_counts_more_than_what_failed_meanwhile() -> None:
    def fail() -> None:
        with whole():
            signal.raise_signal(signal.SIGINT)
            raise OSError("the database is locked")

    with pytest.raises(KeyboardInterrupt):
        fail()
