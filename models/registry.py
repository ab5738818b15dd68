"""The versions of the registered model: which is champion, moving it by hand and back, and fetching a version's bundle.

Aliases say which version is which: `champion` is the one in use, `challenger` the newest that did not become it. The
tag `champion.history` of the registered model lists the champions, the present one last: what `roll_back` walks back
along. Each version tells in its tag `promotion` why it is or is not champion, and in `champion.since` and
`champion.until` when it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data.reserve import Fingerprints, read_fingerprints
from models.connection import TrackingError, existing_store, faults, store_folder
from models.promotion import Champion
from models.store import Model, StoreError, read_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME: Final = "sektor"

CHAMPION: Final = "champion"
"""Alias of the model version in use."""

CHALLENGER: Final = "challenger"
"""Alias of the newest version that did not become champion."""

TRAINING_ARTICLES: Final = "promotion/training-articles.parquet"
"""Path within a run of the fingerprints of the articles that its model was trained on."""

BUNDLE: Final = "artifacts/bundle"
"""Path within a model, as MLflow keeps it, of the folder that `models.store` wrote."""

_HISTORY: Final = "champion.history"
_LONGEST_HISTORY: Final = 500  # champions; MLflow's databases hold 5,000 characters in a tag


@dataclass(frozen=True)
class Moved:
    """Where the alias `champion` stands now, and where it stood before; None if there was no champion."""

    version: str
    before: str | None


@contextmanager
def fetched_bundle(uri: str, root: Path | None = None) -> Iterator[Path]:
    """The model folder of a registered version or a run, fetched for as long as the context lasts, and nothing else.

    Parameters: root, the folder of the local store. Raises TrackingError if there is no such model, if it is not one of
    ours, if MLflow is missing or the tracker fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        with existing_store(root or store_folder()) as client:
            try:
                with faults():
                    bundle = _fetch(client, f"{_location(client, uri)}/{BUNDLE}", Path(folder))
            except TrackingError as error:
                raise TrackingError(f"{uri}: {error}") from error
        yield bundle


def promote(version: str, root: Path | None = None) -> Moved:
    """Make a version the champion by hand; raises TrackingError if there is no such version."""
    with existing_store(root or store_folder()) as client:
        versions = _versions(client)
        if version not in versions:
            found = ", ".join(versions) or "no version"
            wanted = version or repr(version)
            raise TrackingError(f"found {found} of {MODEL_NAME}, expected version {wanted} among them")
        before = champion_version(client)
        if version != before:
            make_champion(client, version, "promoted by hand")
        return Moved(version, before)


def roll_back(root: Path | None = None) -> Moved:
    """Make the version champion that was it before the present one; again, the one before that.

    Raises TrackingError if no other version was champion before.
    """
    with existing_store(root or store_folder()) as client:
        versions = _versions(client)
        before = champion_version(client) if versions else None
        if before is None:
            raise TrackingError(f"found no champion of {MODEL_NAME} to roll back from, expected one")
        history = [version for version in _history(client) if version in versions]
        while history and history[-1] == before:
            history.pop()
        if not history:
            raise TrackingError(
                f"found no champion of {MODEL_NAME} before version {before}, expected one to go back to"
            )
        _move(client, history[-1], history, before, f"rolled back to by hand, from version {before}")
        return Moved(history[-1], before)


def champion_version(client: MlflowClient) -> str | None:
    """The version that is champion; None if there is none, or no registered model."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_registered_model(MODEL_NAME).aliases.get(CHAMPION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return None if version is None else str(version)


def make_champion(client: MlflowClient, version: str, reason: str) -> None:
    """Move the alias to a version and remember which one had it."""
    before = champion_version(client)
    history = _history(client)
    if before is not None and history[-1:] != [before]:
        history.append(before)  # by MLflow's own page or client
    _move(client, version, [*history, version], before, reason)


def make_challenger(client: MlflowClient, version: str, reason: str) -> None:
    """Let the alias `challenger` stand at a version."""
    _set(client.set_registered_model_alias, CHALLENGER, version)
    client.set_model_version_tag(MODEL_NAME, version, "promotion", reason)


def read_champion(client: MlflowClient, version: str) -> Champion:
    """What judging a new model takes of the champion; what its record lacks is None, with the reason.

    Raises what MLflow raises for a tracker that fails.
    """
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(MODEL_NAME, version)
        with tempfile.TemporaryDirectory() as folder:
            location = client.get_model_version_download_uri(MODEL_NAME, version)
            model: Model = read_model(_fetch(client, f"{location}/{BUNDLE}", Path(folder)))
    except StoreError as error:
        return Champion(version, None, None, f"its model cannot be read: {error}")
    except (MlflowException, FileNotFoundError) as error:
        if not _is_missing(error):
            raise
        return Champion(version, None, None, "its model is not there any more")
    try:
        return Champion(version, model, _training_articles(client, found.run_id))
    except ValueError as error:
        return Champion(version, model, None, f"its record cannot be read: {error}")
    except (MlflowException, FileNotFoundError) as error:
        if not _is_missing(error):
            raise
        return Champion(version, model, None, "its record does not tell which articles it was trained on")


def _training_articles(client: MlflowClient, run_id: str | None) -> Fingerprints:
    folder, _, _ = TRAINING_ARTICLES.rpartition("/")
    if not run_id or TRAINING_ARTICLES not in [file.path for file in client.list_artifacts(run_id, folder)]:
        raise FileNotFoundError(TRAINING_ARTICLES)
    with tempfile.TemporaryDirectory() as place:
        return read_fingerprints(Path(client.download_artifacts(run_id, TRAINING_ARTICLES, place)))


def _is_missing(error: Exception) -> bool:
    """Whether something is not there, as opposed to a tracker that does not work."""
    code = getattr(error, "error_code", None)
    return isinstance(error, FileNotFoundError) or code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def _move(client: MlflowClient, version: str, history: list[str], before: str | None, reason: str) -> None:
    """Set the alias first: if the tracker fails after it, the history is put right by the next move."""
    _set(client.set_registered_model_alias, CHAMPION, version)
    _set(client.set_registered_model_tag, _HISTORY, " ".join(history[-_LONGEST_HISTORY:]))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(MODEL_NAME, version, "champion.since", now)
    client.set_model_version_tag(MODEL_NAME, version, "promotion", reason)
    if before is not None and before != version:
        client.set_model_version_tag(MODEL_NAME, before, "champion.until", now)
    if str(client.get_registered_model(MODEL_NAME).aliases.get(CHALLENGER)) == version:
        client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)


def _set(setter: Callable[[str, str, str], None], name: str, value: str) -> None:
    """Set an alias or a tag of the registered model.

    Of two runs that set one for the first time at the same moment MLflow refuses one, and takes it the second time.
    """
    from mlflow.exceptions import MlflowException

    try:
        setter(MODEL_NAME, name, value)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        setter(MODEL_NAME, name, value)


def _history(client: MlflowClient) -> list[str]:
    return str(client.get_registered_model(MODEL_NAME).tags.get(_HISTORY, "")).split()


def _versions(client: MlflowClient) -> list[str]:
    """All versions, ascending; none if there is no registered model."""
    found = client.search_model_versions(f"name='{MODEL_NAME}'", max_results=10_000)
    return [str(number) for number in sorted(int(version.version) for version in found)]


def _location(client: MlflowClient, uri: str) -> str:
    """Where the files of a model are that MLflow's URI names: of a version, an alias, the latest version, a run."""
    scheme, _, rest = uri.partition(":/")
    rest = rest.strip("/")
    if scheme == "runs":
        outputs = client.get_run(rest.split("/")[0]).outputs
        if outputs is None or not outputs.model_outputs:
            raise TrackingError("found no model in this run, expected one")
        return str(client.get_logged_model(outputs.model_outputs[-1].model_id).artifact_location)
    name, _, version = rest.rpartition("@" if "@" in rest else "/")
    if "@" in rest:
        version = str(client.get_model_version_by_alias(name, version).version)
    elif version == "latest":
        numbers = [int(found.version) for found in client.search_model_versions(f"name='{name}'", max_results=10_000)]
        if not numbers:
            raise TrackingError("found no version, expected one")
        version = str(max(numbers))
    if not name or not version:
        raise TrackingError("expected models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN")
    return str(client.get_model_version_download_uri(name, version))


def _fetch(client: MlflowClient, uri: str, folder: Path) -> Path:
    """Download the model folder; raises FileNotFoundError if there is none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        place = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=str(folder), tracking_uri=client.tracking_uri
        )
    except MlflowException as error:
        if "No such artifact" in str(error) or _is_missing(error):
            raise FileNotFoundError(f"found no {BUNDLE} among its files, expected a model of train.py") from error
        raise
    return Path(place)
