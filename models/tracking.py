"""Everything MLflow: one training run, its data, figures, files and model, kept where they can be compared.

How `train.py` uses it; nothing the tracker does ever costs the training its result:

    with tracking.run("train.py", root=repository) as run:  # a failure marks the run FAILED, Ctrl-C KILLED
        ...                                                 # train, evaluate, write the bundle
        recorded = run.log(tracking.Record(...))            # Recorded, or None if the tracker failed
    if run.failure:
        print(run.failure, file=sys.stderr)                 # one line: what was not recorded, and why

Where it goes: the server or database that the environment variable MLFLOW_TRACKING_URI names, else
`mlflow.db` (SQLite) and `mlruns/` in `root`. No run holds an absolute path or a user's name of ours.
(`mlflow.db` itself holds absolute artifact locations, because MLflow resolves them when an experiment is
made: the file belongs to the folder it is in.) MLflow takes seconds to import and reads its settings from the
environment as it is imported; therefore it is imported inside, after `_prepare_environment`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset
    from mlflow.models import ModelSignature

MODEL_NAME = "sektor"
EXPERIMENT_NAME = "sektor"

CHAMPION = "champion"
"""Alias of the model version in use."""

CHALLENGER = "challenger"
"""Alias of the newest version that is not the champion."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    # A server that does not answer: by default MLflow asks eight times and waits 120 s each time. Here two
    # times 12 s when something is logged, the same once more when the run is marked as ended: less than a
    # minute.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "12",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""How MLflow is set unless the user's environment says otherwise."""

SERVED_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "PySastrawi", "tqdm")
"""The distributions a served model needs, pinned at the versions installed when it is logged."""

REPORTED_VERSIONS = ("numpy", "pyarrow", "PySastrawi", "scikit-learn", "mlflow")
"""The distributions whose versions are recorded with a run: those that can change what is learned."""

LONGEST_DESCRIPTION = 5000
"""Characters; what MLflow's databases hold as the description of a model version."""

_SOURCES = Path(__file__).resolve().parent.parent


class TrackingError(Exception):
    """The tracker is missing, does not answer or refuses. The message is one line."""


@dataclass(frozen=True)
class DatasetRecord:
    """What a model was trained on, without a word of its text."""

    name: str
    digest: str
    """Hash of the articles and labels; MLflow keeps 36 characters of it, the tag `data.digest` all."""
    source: Sequence[str | Path]
    """Files or folders it was read from."""
    counts: Mapping[str, int]
    """For instance articles, duplicates dropped, positives a sector."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column -> MLflow type: string, long, double, boolean."""


@dataclass(frozen=True)
class Record:
    """What a finished training run leaves behind."""

    parameters: Mapping[str, object]
    """Every resolved setting."""
    metrics: Mapping[str, float]
    dataset: DatasetRecord
    bundle: Path
    """Folder of the trained model, its card in `README.md`."""
    sectors: Sequence[str]
    """Identifiers, in the order of the model's probabilities."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path within the run, such as `tables/out-of-fold.parquet` -> local file."""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """Where a run can be found again."""

    run_id: str
    model_version: str
    alias: str
    """`champion` for the first version of all, else `challenger`."""
    model_uri: str
    """What MLflow loads and serves, such as `models:/sektor/3`."""
    tracking_uri: str
    """Without a password, fit to be printed."""


class Run:
    """A run being recorded; made by `run`."""

    def __init__(self, root: Path) -> None:
        self.failure: TrackingError | None = None
        """Why and what the tracker did not record; None as long as all went well."""
        self._root = root
        self._imported = False
        self._run_id = ""
        self._experiment_id = ""
        self._model_id = ""
        self._recorded: Recorded | None = None

    def log(self, record: Record) -> Recorded | None:
        """Record a finished run and register its model; to be called once, when the bundle is written.

        Returns None and sets `failure` if the tracker fails; what was recorded before that stays.
        """
        if self.failure is not None:
            return None
        steps: dict[str, Callable[[Record], None]] = {
            "parameters and metrics": self._log_figures,
            "data set": self._log_dataset,
            "files": self._log_files,
            "model": self._log_model,
            "registered version": self._register_model,
        }
        missing = list(steps)
        try:
            for name, step in steps.items():
                with _faults():
                    step(record)
                missing.remove(name)
        except TrackingError as error:
            self.failure = _not_recorded(", ".join(missing), error)
        return self._recorded

    def _start(self, name: str) -> None:
        import mlflow

        self._imported = True
        uri = _tracking_uri(self._root)
        _create_store(uri)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        self._experiment_id = _find_experiment(client, uri)
        # Not by `start_run`, which adds the user's name and the absolute paths of the script and a local
        # remote.
        run = client.create_run(
            self._experiment_id,
            tags={
                "mlflow.source.name": name,
                "mlflow.source.type": "LOCAL",
                **_code_version(self._root),
                **_versions(),
            },
        )
        self._run_id = run.info.run_id
        mlflow.start_run(run_id=self._run_id)

    def _end(self, status: str) -> None:
        import mlflow

        if self._run_id:
            mlflow.end_run(status)

    def _log_figures(self, record: Record) -> None:
        import mlflow
        from mlflow.entities import LoggedModelOutput

        client = mlflow.MlflowClient()
        parameters = {key: self._portable(value) for key, value in record.parameters.items()}
        model = client.create_logged_model(
            self._experiment_id,
            name=MODEL_NAME,
            source_run_id=self._run_id,
            params=parameters,
            tags=_tags(record),
        )
        self._model_id = model.model_id
        client.log_outputs(self._run_id, [LoggedModelOutput(self._model_id, step=0)])
        mlflow.set_tags(_tags(record))
        mlflow.log_params(parameters)
        mlflow.log_metrics({**record.metrics}, model_id=self._model_id)

    def _log_dataset(self, record: Record) -> None:
        import mlflow

        files = [self._portable(Path(source)) for source in record.dataset.source]
        dataset = _mlflow_dataset(record.dataset, files)
        counts = {key: str(count) for key, count in record.dataset.counts.items()}
        mlflow.log_input(dataset, context="training", tags=counts)

    def _log_files(self, record: Record) -> None:
        import mlflow

        with tempfile.TemporaryDirectory() as folder:
            for name, path in {**record.files, "model-card.md": record.bundle / "README.md"}.items():
                copy = Path(folder, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            mlflow.log_artifacts(folder)

    def _log_model(self, record: Record) -> None:
        import mlflow

        client = mlflow.MlflowClient()
        with tempfile.TemporaryDirectory() as folder:
            _save_model(Path(folder, "model"), record, run_id=self._run_id, model_id=self._model_id)
            client.log_model_artifacts(self._model_id, str(Path(folder, "model")))
        client.finalize_logged_model(self._model_id, "READY")

    def _register_model(self, record: Record) -> None:
        import mlflow

        client = mlflow.MlflowClient()
        _create_registered_model(client)
        version = client.create_model_version(
            MODEL_NAME,
            source=f"models:/{self._model_id}",
            run_id=self._run_id,
            model_id=self._model_id,
            tags=_tags(record),
            description=_description((record.bundle / "README.md").read_text(encoding="utf-8")),
        )
        versions = json.dumps([{"name": MODEL_NAME, "version": version.version}])  # for MLflow's page
        client.set_logged_model_tags(self._model_id, {"mlflow.modelVersions": versions})
        first = CHAMPION not in client.get_registered_model(MODEL_NAME).aliases
        alias = CHAMPION if first else CHALLENGER
        client.set_registered_model_alias(MODEL_NAME, alias, version.version)
        self._recorded = Recorded(
            run_id=self._run_id,
            model_version=str(version.version),
            alias=alias,
            model_uri=f"models:/{MODEL_NAME}/{version.version}",
            tracking_uri=_without_password(mlflow.get_tracking_uri()),
        )

    def _portable(self, value: object) -> str:
        """A setting as text that means the same elsewhere, without the name of a folder or user above `root`.

        A path inside `root` is given from there, any other by its last part.
        """
        if isinstance(value, Path) or (isinstance(value, str) and os.path.isabs(value)):
            path = Path(value).resolve()
            return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else path.name
        if isinstance(value, list | tuple):
            return ", ".join(self._portable(item) for item in value)
        return str(value)


@contextmanager
def run(name: str, *, root: Path) -> Iterator[Run]:
    """Record what happens inside as one MLflow run.

    `name` is shown as the run's source, usually the script; `root` is the folder for the local store. Never
    raises for the tracker's sake: `Run.failure` then says what was not recorded, from the start on. The run
    ends as FINISHED, as KILLED on KeyboardInterrupt, as FAILED on any other exception or if the tracker
    failed.
    """
    _prepare_environment()
    configured = os.environ.get("MLFLOW_TRACKING_URI")
    run = Run(root.resolve())
    status = "FAILED"
    try:
        try:
            with _faults():
                run._start(name)
        except TrackingError as error:
            run.failure = _not_recorded("this run", error)
        yield run
        status = "FAILED" if run.failure else "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if run._imported:  # else to end it would be to import MLflow again, for seconds, after Ctrl-C
            try:
                with _faults():
                    run._end(status)
            except TrackingError as error:
                run.failure = run.failure or _not_recorded("the end of this run", error)
            finally:
                _restore_tracking_uri(configured)


def _prepare_environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _restore_tracking_uri(uri: str | None) -> None:
    """Undo `mlflow.set_tracking_uri`, which also sets the environment variable: that one stays the user's."""
    import mlflow

    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # its own way back to the default
    if uri is not None:
        os.environ["MLFLOW_TRACKING_URI"] = uri


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what a missing, dead or refusing tracker raises into a TrackingError of one line."""
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise TrackingError(f"{error}; install it with: pip install 'sektor[train]'") from error
    try:
        yield
    # What requests raises is an OSError; a driver of another database may not be installed.
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        raise TrackingError(_reason(error)) from error


def _not_recorded(what: str, error: TrackingError) -> TrackingError:
    return TrackingError(f"not recorded in MLflow: {what} ({error})")


def _reason(error: Exception) -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    text = str(error)
    if uri.startswith(("http://", "https://")):
        server = _without_password(uri)
        if "timed out" in text or "timeout" in text:
            return f"{server} did not answer"
        if "refused" in text:
            return f"{server} refused the connection: is the server running?"
        if "Max retries exceeded" in text or "Connection aborted" in text:
            return f"{server} cannot be reached"
        text = text.replace(uri, server)
    lines = text.strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# The store


def _tracking_uri(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(root / "mlflow.db")


def _sqlite_uri(file: Path) -> str:
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(file)).render_as_string()


def _sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None if the store is something else."""
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite:"):
        return None
    name = make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def _create_store(uri: str) -> None:
    """Create a fresh SQLite store whole or not at all, however many runs start together.

    MLflow builds its tables in place over some seconds: a second run meets half of them, and so does the next
    one if the first was interrupted. So they are built under another name and linked to the right one, which
    only the first of several runs can do.
    """
    import mlflow

    store = _sqlite_file(uri)
    if store is None:
        return
    if store.exists():
        _check_sqlite(store)
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.parent, prefix=f"{store.name}.", suffix=".partial") as folder:
        fresh = Path(folder, store.name)
        mlflow.MlflowClient(_sqlite_uri(fresh)).search_experiments(max_results=1)
        try:
            os.link(fresh, store)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            if not store.exists():
                os.replace(fresh, store)


def _check_sqlite(store: Path) -> None:
    """Raise sqlite3.Error if the file is no database, at once: MLflow would try for more than a minute."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA schema_version")


def _find_experiment(client: MlflowClient, uri: str) -> str:
    """Identifier of the experiment of ours (MLFLOW_EXPERIMENT_NAME, else `sektor`), made if there is none."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT_NAME
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        store = _sqlite_file(uri)
        # By default MLflow puts them in the folder where Python was started, not beside the database.
        location = (store.parent / "mlruns" / name).as_uri() if store else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another run that started just now made it
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def _create_registered_model(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            MODEL_NAME, description="Labels Indonesian news articles with the industries they are about."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


# What is recorded


def _versions() -> dict[str, str]:
    versions = {f"version.{name}": importlib.metadata.version(name) for name in REPORTED_VERSIONS}
    return {"version.python": platform.python_version(), **versions}


def _code_version(root: Path) -> dict[str, str]:
    """The commit, and whether files differ from it, if `root` is the top of a git checkout; else nothing."""
    if not (root / ".git").exists():
        return {}
    git = partial(subprocess.run, cwd=root, capture_output=True, text=True, timeout=20, check=True)
    try:
        commit = git(["git", "rev-parse", "HEAD"]).stdout.strip()
        changes = git(["git", "status", "--porcelain"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"mlflow.source.git.commit": commit, "code.dirty": str(bool(changes)).lower()}


def _tags(record: Record) -> dict[str, str]:
    """Those of run, model and version: versions of one name may differ in their sectors."""
    return {**record.tags, "sectors": ", ".join(record.sectors), "data.digest": record.dataset.digest}


def _mlflow_dataset(record: DatasetRecord, files: Sequence[str]) -> Dataset:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.types.schema import ColSpec, Schema

    class CountedDataset(MetaDataset):
        """A data set of which MLflow is told the counts; its own class leaves the profile out."""

        @property
        def profile(self) -> dict[str, int]:
            return {**record.counts}

        def to_dict(self) -> dict[str, str]:
            return {**super().to_dict(), "profile": json.dumps(self.profile)}

    schema = None  # MLflow refuses an empty one
    if record.columns:
        schema = Schema([ColSpec(type, name) for name, type in record.columns.items()])
    return CountedDataset(
        source=CodeDatasetSource(tags={"files": ", ".join(files)}),
        name=record.name,
        digest=record.digest[:36],
        schema=schema,
    )


def _description(card: str) -> str:
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    rest = "\n\n(The whole card is the artifact `model-card.md` of the run.)"
    return card[: LONGEST_DESCRIPTION - len(rest)] + rest


# The model


def signature(sectors: Sequence[str]) -> ModelSignature:
    """The columns a served model takes and gives.

    `text` is declared as optional although it is not: to a request without it MLflow itself would answer with
    status 500, as if the server were broken. `models/serving.py` answers with 400.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    probabilities = [ColSpec(DataType.double, f"probability_{sector}", required=False) for sector in sectors]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, name, required=False) for name in ("title", "text")]),
        outputs=Schema(
            [
                ColSpec(Array(DataType.string), "sectors"),
                ColSpec(DataType.string, "primary", required=False),
                *probabilities,
                ColSpec(DataType.double, "coverage", required=False),
                ColSpec(DataType.string, "error", required=False),
            ]
        ),
    )


def _save_model(folder: Path, record: Record, *, run_id: str, model_id: str) -> None:
    """Write the model as MLflow keeps it: `models/serving.py`, our modules and the bundle; nothing pickled.

    What `mlflow.pyfunc.log_model` does in one call, which would write absolute paths into `MLmodel`.
    """
    import mlflow
    import pandas as pd  # type: ignore[import-untyped]
    from mlflow.models import Model

    model = Model(artifact_path=MODEL_NAME, run_id=run_id, model_id=model_id, model_uuid=model_id)
    with tempfile.TemporaryDirectory() as staging:
        bundle = shutil.copytree(record.bundle, Path(staging, "bundle"))  # MLflow keeps the folder's name
        mlflow.pyfunc.save_model(
            path=folder,
            mlflow_model=model,
            python_model=str(Path(__file__).with_name("serving.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=_copy_code(Path(staging, "code")),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in SERVED_REQUIREMENTS],
            signature=signature(record.sectors),
            input_example=pd.DataFrame(
                {
                    "title": ["Wuling resmikan SPKLU di Bandung", None],
                    "text": ["Stasiun pengisian mobil listrik itu dibuka untuk umum.", "Harga gabah naik."],
                }
            ),
        )
    flavor = model.flavors["python_function"]
    flavor["model_code_path"] = "serving.py"
    flavor["artifacts"]["bundle"]["uri"] = "bundle"
    model.save(str(folder / "MLmodel"))


def _copy_code(folder: Path) -> list[str]:
    """Copy what `predict.py` may import, and no articles, tests, caches or shipped model."""
    for pattern in ("predict.py", "data/*.py", "data/sectors.toml", "features/*.py", "models/*.py"):
        for source in _SOURCES.glob(pattern):
            copy = folder / source.relative_to(_SOURCES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return [str(path) for path in sorted(folder.iterdir())]
