"""A training run as MLflow keeps it: its settings, data, figures, files and model, where runs can be compared.

How `train.py` uses it; nothing the tracker does ever costs the training its result:

    with tracking.run("train.py", root=repository) as run:  # a failure marks the run FAILED, Ctrl-C KILLED
        ...                                                 # train, evaluate, write the bundle
        run.log_trial("trial 1", {...}, {...})              # a run within the run, for each configuration tried
        champion = run.champion()                           # to judge the new model by, see `models.promotion`
        recorded = run.log(tracking.Record(...))            # Recorded, or None if the tracker failed
    if run.failure:
        print(run.failure, file=sys.stderr)                 # one line: what was not recorded, and why

After the first failure the tracker is not asked again, but for the end of the run: a server that hangs costs its
time-out twice, however much there is to record. No run holds an absolute path or a user's name of ours. Where runs are
kept: see `models.connection`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from models.connection import (
    TrackingError,
    create_store,
    environment,
    faults,
    find_experiment,
    tracking_uri,
    without_password,
)
from models.pages import NOTE, experiment_tags
from models.promotion import Champion, Verdict
from models.registry import (
    CHALLENGER,
    CHAMPION,
    MODEL_NAME,
    champion_version,
    make_challenger,
    make_champion,
    read_champion,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset
    from mlflow.models import ModelSignature

SERVED_REQUIREMENTS: Final = ("mlflow", "numpy", "pandas", "pyarrow", "PySastrawi", "tqdm")
"""The distributions a served model needs, pinned at the versions installed when it is logged."""

REPORTED_VERSIONS: Final = ("numpy", "pyarrow", "PySastrawi", "scikit-learn", "scipy", "mlflow")
"""The distributions whose versions are recorded with a run: those that can change what is learned."""

LONGEST_DESCRIPTION: Final = 5000
"""Characters; what MLflow's databases hold as the description of a model version."""

LONGEST_PAGE: Final = 8000
"""Characters; what MLflow takes as the description of a run, a tag like others."""

LONGEST_NAME: Final = 120
"""Characters of a run's name; MLflow's databases hold 250."""

_MEASURED_ON: Final = {"cv": "training", "reserved": "promotion", "eval": "evaluation"}  # group of figures -> data set
_LONGEST_DIGEST: Final = 36
_SOURCES: Final = Path(__file__).resolve().parent.parent
_METRICS_A_CALL: Final = 1000  # the most that MLflow takes
_PARAMETERS_A_CALL: Final = 100


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
    datasets: Mapping[str, DatasetRecord]
    """What each was used for -> data set; the one for `training` must be among them."""
    bundle: Path
    """Folder of the trained model, its card in `README.md`."""
    sectors: Sequence[str]
    """Identifiers, in the order of the model's probabilities."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path within the run, such as `tables/out-of-fold.parquet` -> local file."""
    tags: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict | None = None
    """Whether the champion gives way; None if there was none."""
    title: str = ""
    """What is special about the run, for its name; empty if nothing is."""
    summary: str = ""
    """Markdown for the top of the run's page, under the verdict."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """What they show -> one of `files`; they stand below the summary."""


@dataclass(frozen=True)
class Recorded:
    """Where a run can be found again."""

    run_id: str
    model_version: str
    alias: str
    """`champion` or `challenger`."""
    reason: str
    """Why, as the end of a sentence."""
    model_uri: str
    """What MLflow loads and serves, such as `models:/sektor/3`."""
    tracking_uri: str
    """Without a password, fit to be printed."""
    page: str
    """Of the run, as the end of an address of MLflow's pages."""


class Run:
    """A run being recorded; made by `run`."""

    def __init__(self, root: Path) -> None:
        self.failure: TrackingError | None = None
        """Why and what the tracker did not record; None as long as all went well."""
        self._root = root
        self._uri = ""
        self._run_id = ""
        self._experiment_id = ""
        self._model_id = ""
        self._trials: list[str] = []  # runs within the run that have not ended
        self._recorded: Recorded | None = None

    def log_trial(
        self, name: str, parameters: Mapping[str, object], metrics: Mapping[str, float], failure: str = ""
    ) -> None:
        """Record one of several configurations tried, as a run within this one; failure: why it has no figures.

        name: what is before a colon tells which one it is, as in "trial 2 of 6: loss=squared_hinge".
        """
        if self.failure is not None:
            return
        try:
            with faults():
                client = self._client()
                tags = {"mlflow.parentRunId": self._run_id, "mlflow.source.type": "LOCAL"}
                trial = client.create_run(self._experiment_id, run_name=name[:LONGEST_NAME], tags=tags).info.run_id
                self._trials.append(trial)
                self._log_batches(trial, {key: self._portable(value) for key, value in parameters.items()}, metrics)
                if failure:
                    client.set_tag(trial, "failure", failure)
                client.set_terminated(trial, "FAILED" if failure else "FINISHED")
                self._trials.remove(trial)
        except TrackingError as error:
            self.failure = _not_recorded(f"{name.partition(':')[0]} and all after it", error)

    def champion(self) -> Champion | None:
        """The champion to judge a new model by; None if there is none, or the tracker fails, which sets `failure`."""
        if self.failure is not None:
            return None
        try:
            with faults():
                client = self._client()
                version = champion_version(client)
                return None if version is None else read_champion(client, version)
        except TrackingError as error:
            self.failure = _not_recorded("all but the beginning of this run, for want of the champion", error)
            return None

    def log(self, record: Record) -> Recorded | None:
        """Record a finished run and register its model; to be called once, when the bundle is written.

        Returns None and sets `failure` if the tracker fails; what was recorded before that stays.
        """
        if self.failure is not None:
            return None
        steps: dict[str, Callable[[Record], None]] = {
            "parameters and metrics": self._log_figures,
            "data set": self._log_datasets,
            "files": self._log_files,
            "model": self._log_model,
            "registered version": self._register_model,
        }
        missing = list(steps)
        try:
            for name, step in steps.items():
                with faults():
                    step(record)
                missing.remove(name)
        except TrackingError as error:
            self.failure = _not_recorded(", ".join(missing), error)
        return self._recorded

    def _start(self, name: str) -> None:
        import mlflow  # noqa: F401  # within `faults`, and before anything of it is used

        uri = tracking_uri(self._root)
        create_store(uri)
        self._uri = uri
        # For MLflow itself, which looks up the model that a version is made from; `environment` puts it back.
        os.environ["MLFLOW_TRACKING_URI"] = uri
        client = self._client()
        self._experiment_id = find_experiment(client, uri, experiment_tags())
        # Not by `mlflow.start_run`, which adds the user's name and the absolute paths of the script and a local remote.
        run = client.create_run(
            self._experiment_id,
            run_name=name,
            tags={
                "mlflow.source.name": name,
                "mlflow.source.type": "LOCAL",
                **_code_version(self._root),
                **_versions(),
            },
        )
        self._run_id = run.info.run_id

    def _end(self, status: str) -> None:
        for trial in self._trials:
            self._client().set_terminated(trial, status)
        self._client().set_terminated(self._run_id, status)

    def _client(self) -> MlflowClient:
        import mlflow

        return mlflow.MlflowClient(self._uri)

    def _log_batches(
        self,
        run_id: str,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        model_id: str | None = None,
        datasets: Mapping[str, DatasetRecord] | None = None,
    ) -> None:
        """Parameters and figures in one call, but for those beyond what MLflow takes in one.

        datasets: group of figures, what stands before their first slash -> what they were measured on.
        """
        import time

        from mlflow.entities import Metric, Param

        now = time.time_ns() // 1_000_000
        figures = []
        for key, value in metrics.items():
            on = (datasets or {}).get(key.partition("/")[0])
            name, digest = (None, None) if on is None else (on.name, on.digest[:_LONGEST_DIGEST])
            figures.append(Metric(key, value, now, 0, model_id, name, digest, run_id))
        settings = [Param(key, value) for key, value in parameters.items()]
        room = _METRICS_A_CALL - _PARAMETERS_A_CALL
        for number in range(max(-(-len(figures) // room), -(-len(settings) // _PARAMETERS_A_CALL))):
            self._client().log_batch(
                run_id,
                metrics=figures[number * room : (number + 1) * room],
                params=settings[number * _PARAMETERS_A_CALL : (number + 1) * _PARAMETERS_A_CALL],
            )

    def _log_figures(self, record: Record) -> None:
        from mlflow.entities import LoggedModelOutput, RunTag

        client = self._client()
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
        client.log_batch(self._run_id, tags=[RunTag(key, value) for key, value in _tags(record).items()])
        self._log_batches(self._run_id, parameters, record.metrics, self._model_id, _measured_on(record))

    def _log_datasets(self, record: Record) -> None:
        from mlflow.entities import DatasetInput, InputTag

        inputs = []
        for use, dataset in record.datasets.items():
            files = [self._portable(Path(source)) for source in dataset.source]
            tags = {"mlflow.data.context": use, **{key: str(count) for key, count in dataset.counts.items()}}
            entity = _mlflow_dataset(dataset, files)._to_mlflow_entity()
            inputs.append(DatasetInput(entity, [InputTag(key, value) for key, value in tags.items()]))
        try:
            self._client().log_inputs(self._run_id, inputs)
        except Exception as error:
            # Another run has just entered the same data set, which MLflow looked for before: now it finds it.
            if "UNIQUE constraint failed" not in str(error):
                raise
            self._client().log_inputs(self._run_id, inputs)

    def _log_files(self, record: Record) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, path in {**record.files, "model-card.md": record.bundle / "README.md"}.items():
                copy = Path(folder, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            self._client().log_artifacts(self._run_id, folder)

    def _log_model(self, record: Record) -> None:
        client = self._client()
        with tempfile.TemporaryDirectory() as folder:
            _save_model(Path(folder, "model"), record, run_id=self._run_id, model_id=self._model_id)
            client.log_model_artifacts(self._model_id, str(Path(folder, "model")))
        client.finalize_logged_model(self._model_id, "READY")

    def _register_model(self, record: Record) -> None:
        client = self._client()
        _create_registered_model(client)
        champion = champion_version(client)
        becomes, reason = _decided(record.verdict, champion)
        version = client.create_model_version(
            MODEL_NAME,
            source=f"models:/{self._model_id}",
            run_id=self._run_id,
            model_id=self._model_id,
            tags=_tags(record),
            description=_description(becomes, reason, (record.bundle / "README.md").read_text(encoding="utf-8")),
        )
        number = str(version.version)
        versions = json.dumps([{"name": MODEL_NAME, "version": version.version}])  # for MLflow's page
        client.set_logged_model_tags(self._model_id, {"mlflow.modelVersions": versions, NOTE: f"{becomes}: {reason}."})
        (make_champion if becomes == CHAMPION else make_challenger)(client, number, reason)
        client.set_tag(self._run_id, "promotion", f"{becomes}: {reason}")
        name = f"version {number}: {record.title}" if record.title else f"version {number}"
        client.update_run(self._run_id, name=name[:LONGEST_NAME])
        client.set_tag(self._run_id, NOTE, self._page(record, number, becomes, reason))
        self._recorded = Recorded(
            run_id=self._run_id,
            model_version=number,
            alias=becomes,
            reason=reason,
            model_uri=f"models:/{MODEL_NAME}/{number}",
            tracking_uri=without_password(self._uri),
            page=f"#/experiments/{self._experiment_id}/runs/{self._run_id}?workflowType=machine_learning",
        )

    def _page(self, record: Record, version: str, becomes: str, reason: str) -> str:
        """What is read first on the run's page: the verdict, what can be done about it, the summary and pictures."""
        alias = f"models:/{MODEL_NAME}@{CHAMPION}"
        next_step = f"To use it all the same: `train.py --promote {version}`."
        if becomes == CHAMPION:
            back = "" if record.verdict is None else " Back to the champion before it: `train.py --rollback`."
            next_step = f'It is what `Predictor.load("{alias}")` gives.{back}'
        parts = [f"**Version {version} is {becomes}**: {reason}. {next_step}"]
        parts += [record.summary] if record.summary else []
        parts += [
            # By the way MLflow's page itself fetches files: relative, so it holds at any address.
            f"![{what}](get-artifact?path={quote(record.pictures[what], safe='')}&run_uuid={self._run_id})"
            for what in record.pictures
        ]
        return "\n\n".join(parts)[:LONGEST_PAGE]

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

    `name` is shown as the run's source, usually the script; `root` is the folder for the local store. Never raises for
    the tracker's sake: `Run.failure` then says what was not recorded, from the start on. The run ends as FINISHED, as
    KILLED on KeyboardInterrupt, as FAILED on any other exception or if the tracker failed.
    """
    with environment():
        run = Run(root.resolve())
        status = "FAILED"
        try:
            try:
                with faults():
                    run._start(name)
            except TrackingError as error:
                run.failure = _not_recorded("this run", error)
            yield run
            status = "FAILED" if run.failure else "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            if run._run_id:
                try:
                    with faults():
                        run._end(status)
                except TrackingError as error:
                    run.failure = run.failure or _not_recorded("the end of this run", error)


def _not_recorded(what: str, error: TrackingError) -> TrackingError:
    return TrackingError(f"not recorded in MLflow: {what} ({error})")


def _decided(verdict: Verdict | None, champion: str | None) -> tuple[str, str]:
    """Which alias a new version gets, and why, given the champion at this moment."""
    if champion is None:
        return CHAMPION, "no version is champion yet"
    if verdict is None or verdict.against != champion:
        return CHALLENGER, f"version {champion} became champion while this model was trained: they were not compared"
    return (CHAMPION if verdict.moves else CHALLENGER), verdict.reason


def _create_registered_model(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            MODEL_NAME,
            description=(
                "Labels Indonesian news articles with the industries they are about. `champion` is the version in use, "
                f'`Predictor.load("models:/{MODEL_NAME}@{CHAMPION}")`; `challenger` the newest that did not beat it. '
                "By hand: `train.py --promote VERSION`, `train.py --rollback`."
            ),
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
    return {**record.tags, "sectors": ", ".join(record.sectors), "data.digest": record.datasets["training"].digest}


def _measured_on(record: Record) -> dict[str, DatasetRecord]:
    return {group: record.datasets[use] for group, use in _MEASURED_ON.items() if use in record.datasets}


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
        digest=record.digest[:_LONGEST_DIGEST],
        schema=schema,
    )


def _description(becomes: str, reason: str, card: str) -> str:
    """Why the version is what it became, and its card, as far as there is room."""
    text = f"Registered as {becomes}: {reason}.\n\n{card}"
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    rest = "\n\n(The whole card is the artifact `model-card.md` of the run.)"
    return text[: LONGEST_DESCRIPTION - len(rest)] + rest


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
