"""The connection to MLflow: where runs are kept, how it is set, its faults as one line.

Where: the server or database that the environment variable MLFLOW_TRACKING_URI names, else `mlflow.db` (SQLite) and
`mlruns/` in a folder of ours. (`mlflow.db` holds absolute artifact locations, because MLflow resolves them when an
experiment is made: the file belongs to the folder it is in.) MLflow takes seconds to import and reads its settings from
the environment as it is imported; therefore it is imported inside, within `environment`.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT_NAME: Final = "sektor"

ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    # A server that does not answer: by default MLflow asks eight times and waits 120 s each time. Here two times 10 s
    # for what is asked first, after which nothing more is, and the same when the run is marked as ended: less than a
    # minute.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""How MLflow is set unless the user's environment says otherwise."""

EXTRA: Final = "pip install 'sektor[train]'"

_SOURCES: Final = Path(__file__).resolve().parent.parent


class TrackingError(ValueError):
    """The tracker is missing, does not answer or refuses, or has not what is asked for. The message is one line."""


@contextmanager
def environment() -> Iterator[None]:
    """Have MLflow set as we need it, and afterwards as it was; but telemetry, once off, stays off in this process."""
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, "MLFLOW_TRACKING_URI")}
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            elif name != "MLFLOW_DISABLE_TELEMETRY":
                os.environ.pop(name, None)


@contextmanager
def faults() -> Iterator[None]:
    """Turn what a missing, dead or refusing tracker raises into a TrackingError."""
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise TrackingError(f"{error}; install it with: {EXTRA}") from error
    try:
        with whole():
            yield
    # What requests raises is an OSError; a driver of another database may not be installed.
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        raise TrackingError(_reason(error)) from error


@contextmanager
def whole() -> Iterator[None]:
    """Hold the first Ctrl-C back until what is inside has ended; a second one ends it at once.

    In the middle of a write to SQLite it would leave a transaction open, which locks the database for this process,
    too: the run could not be marked as ended. Only the main thread is interrupted, and only there it can be held back.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    held = False

    def hold(number: int, frame: object) -> None:
        nonlocal held
        if held:
            raise KeyboardInterrupt
        held = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if held:
            raise KeyboardInterrupt


def _reason(error: Exception) -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    text = str(error)
    if uri.startswith(("http://", "https://")):
        server = without_password(uri)
        if "timed out" in text or "timeout" in text:
            return f"{server} did not answer"
        if "refused" in text:
            return f"{server} refused the connection: is the server running?"
        if "Max retries exceeded" in text or "Connection aborted" in text:
            return f"{server} cannot be reached"
        text = text.replace(uri, server)
    lines = text.strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def without_password(uri: str) -> str:
    """A tracking URI fit to be printed."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def store_folder() -> Path:
    """The folder of the local store: the clone this is run from; for an installed Sektor, where it is called."""
    return _SOURCES if (_SOURCES / "pyproject.toml").is_file() else Path.cwd()


def tracking_uri(root: Path) -> str:
    """Where runs are kept: what the environment says, else the SQLite file in `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(root / "mlflow.db")


@contextmanager
def existing_store(root: Path) -> Iterator[MlflowClient]:
    """A client of the store, which must be there: for what looks up models, not for runs.

    Raises TrackingError if there is none, if MLflow is missing, and for all that fails inside.
    """
    with environment(), faults():
        import mlflow

        uri = tracking_uri(root)
        file = sqlite_file(uri)
        if file is not None:
            if not file.exists():
                raise TrackingError(
                    f"found no {file.name}, where runs are recorded, in {file.parent}; expected one, or a server named "
                    "by MLFLOW_TRACKING_URI"
                )
            _check_sqlite(file)
        yield mlflow.MlflowClient(uri)


def _sqlite_uri(file: Path) -> str:
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None if the store is something else."""
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite:"):
        return None
    name = make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def create_store(uri: str) -> None:
    """Create a fresh SQLite store whole or not at all, however many runs start together.

    MLflow builds its tables in place over some seconds: a second run meets half of them, and so does the next one if
    the first was interrupted. So they are built under another name and linked to the right one, which only the first of
    several runs can do.
    """
    import mlflow

    store = sqlite_file(uri)
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


def find_experiment(client: MlflowClient, uri: str, tags: Mapping[str, str]) -> str:
    """Identifier of the experiment of ours (MLFLOW_EXPERIMENT_NAME, else `sektor`), made, with `tags`, if need be."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT_NAME
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        store = sqlite_file(uri)
        # By default MLflow puts them in the folder where Python was started, not beside the database.
        location = (store.parent / "mlruns" / name).as_uri() if store else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another run that started just now made it
            if experiment is None:
                raise
    return str(experiment.experiment_id)
