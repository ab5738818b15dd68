"""A trained model as a folder of plain tables: write, read, verify.

A linear model is a table, so it is kept as one. Nothing in the folder can execute, and any data frame opens it:

    terms.parquet   one row a term: term, document_frequency, idf, and a weight a sector (weight_<sector>)
    words.parquet   word -> its stems, separated by spaces: the stemmer's memo of the training corpus
    model.json      sectors with intercept, calibration and threshold; preprocessing; what it was trained on and how
                    well that went; format version; the digest of each table
    README.md       the model card
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import arrow_array, numpy_array
from features.strings import string_array
from models.calibration import Calibration

FORMAT: Final = 1
DECISIVE: Final = ("numpy", "pyarrow", "PySastrawi")
"""The distributions that take part in a prediction: another version of one could predict something else."""

TERMS, WORDS, MODEL, CARD = "terms.parquet", "words.parquet", "model.json", "README.md"


class StoreError(ValueError):
    """A model folder that cannot be read or written; the message is one line and names the file."""


class VersionWarning(UserWarning):
    """A model was trained with other versions than those that are installed."""


@dataclass(frozen=True, eq=False)
class Model:
    """Everything a prediction needs.

    sectors: their ids, in the order of all arrays. prevalences: the share of each that the thresholds are made for.
    terms: (n_terms,), stems first, then bigrams. document_frequency, idf: (n_terms,).
    weights: (n_terms, n_sectors). intercepts: (n_sectors,). calibrations: one a sector.
    words: word -> stems, the memo to start with. title_weight, sublinear: see `models.classifier.Configuration`.
    training: what it was trained on, with what, and the figures reached: anything that JSON holds.
    """

    sectors: tuple[str, ...]
    prevalences: tuple[float, ...]
    terms: list[str]
    document_frequency: npt.NDArray[np.int64]
    idf: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]
    calibrations: tuple[Calibration, ...]
    words: Mapping[str, tuple[str, ...]]
    title_weight: int
    sublinear: bool
    training: Mapping[str, Any]


def refuse_to_replace(folder: Path) -> None:
    """Raises StoreError if something stands at `folder`, or in its way, that is neither a model nor an empty folder.

    So it does if no folder can be made there: one is made beside it and removed, since permissions alone do not tell.
    """
    above = next(path for path in folder.resolve().parents if path.exists())
    if not above.is_dir():
        raise StoreError(f"{folder}: {above} is a file, expected a folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", suffix=".partial", dir=above):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"{folder}: cannot write in {above}: {reason}") from error
    if not folder.exists():
        return
    if not folder.is_dir():
        raise StoreError(f"{folder}: is a file, expected a model to replace or a free name")
    names = {path.name for path in folder.iterdir()}
    if names and MODEL not in names:
        raise StoreError(f"{folder}: exists and holds no {MODEL}, expected a model to replace or a free name")
    if others := sorted(names - {TERMS, WORDS, MODEL, CARD}):
        raise StoreError(f"{folder}: holds {others[0]}, which would be lost, expected a model's files alone")


def write_model(model: Model, folder: Path, card: str) -> None:
    """Write a model folder, all of it or nothing; a model that stands there is replaced.

    Parameters: card, the text of the model card.
    Raises StoreError if something that is no model stands there, or the folder cannot be written.
    """
    refuse_to_replace(folder)
    place = folder.resolve()  # a link to a model stays a link
    partial: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{place.name}-", suffix=".partial", dir=place.parent))
        partial.chmod(0o755)
        pq.write_table(_terms_table(model), partial / TERMS, compression="zstd")
        words = [
            string_array(list(model.words)),
            string_array([" ".join(stems) for stems in model.words.values()]),
        ]
        pq.write_table(pa.Table.from_arrays(words, ["word", "stems"]), partial / WORDS, compression="zstd")
        description = _description(model) | {"files": {name: _digest(partial / name) for name in (TERMS, WORDS)}}
        (partial / MODEL).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (partial / CARD).write_text(card, encoding="utf-8")
        _put_in_place(partial, place)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write the model: {(error.strerror or str(error)).lower()}") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, place: Path) -> None:
    """Move a finished model to its place; one that stands there goes only when the new one is there."""
    if not place.exists():
        partial.rename(place)
        return
    replaced = partial.with_suffix(".replaced")
    place.rename(replaced)
    try:
        partial.rename(place)
    except BaseException:
        replaced.rename(place)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def read_model(folder: Path) -> Model:
    """Read a model folder and verify it.

    Raises StoreError for a missing file, a format this version does not know, a table that is not the one model.json
    was written with, and contents that cannot be a model.
    """
    source = folder / MODEL
    try:
        description = json.loads(source.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise StoreError(f"{source}: found format {description['format']!r}, expected {FORMAT}: retrain it")
        terms, words = (_read_table(folder / name, description["files"][name]) for name in (TERMS, WORDS))
        return _model(description, terms, words)
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{error.filename}: no such file, expected a model folder with {MODEL}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"{error.filename or folder}: cannot read the model: {reason}") from None
    except UnicodeDecodeError as error:
        raise StoreError(f"{source}: not UTF-8 text ({error.reason}), expected JSON") from None
    except json.JSONDecodeError as error:
        raise StoreError(f"{source}:{error.lineno}: {error.msg}, expected JSON") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # of Arrow, too
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StoreError(f"{source}: {reason}; expected a model as train.py writes it") from None


def version_differences(model: Model) -> str:
    """One line on the installed versions that differ from those the model was trained with; empty if none does."""
    trained = model.training.get("versions")
    if not isinstance(trained, Mapping):
        return ""
    found = []
    for name in DECISIVE:
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # it is there, or nothing would run: by another way than pip
            continue
        if name in trained and trained[name] != installed:
            was = " ".join(str(trained[name]).split())
            found.append(f"{name} {was:.40} ({installed} is installed)")
    return f"the model was trained with {', '.join(found)}: predictions may differ a little" if found else ""


def _model(description: Mapping[str, Any], terms: pa.Table, words: pa.Table) -> Model:
    """The model of a description and its tables; any exception means that they are none."""
    sectors = description["sectors"]
    names = [str(sector["id"]) for sector in sectors]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"found the sectors {names}, expected at least one, each once")
    preprocessing = description["preprocessing"]
    model = Model(
        sectors=tuple(names),
        prevalences=tuple(_number(sector["prevalence"]) for sector in sectors),
        terms=terms["term"].to_pylist(),
        document_frequency=numpy_array(terms["document_frequency"]),
        idf=numpy_array(terms["idf"]),
        weights=np.stack([numpy_array(terms[f"weight_{name}"]) for name in names], axis=1).astype(np.float64),
        intercepts=np.array([_number(sector["intercept"]) for sector in sectors]),
        calibrations=tuple(
            Calibration(**{name: _number(value) for name, value in sector["calibration"].items()}) for sector in sectors
        ),
        words=dict(zip(words["word"].to_pylist(), map(_split, words["stems"].to_pylist()), strict=True)),
        title_weight=int(_number(preprocessing["title_weight"])),
        sublinear=bool(preprocessing["sublinear"]),
        training=dict(description["training"]),
    )
    if not (np.isfinite(model.weights).all() and np.isfinite(model.idf).all()):
        raise ValueError("found a weight that is no number, expected finite ones")
    return model


def _number(value: object) -> float:
    """A JSON number as it is; raises ValueError for anything else, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {value!r:.40}, expected a number")
    return float(value)


def _split(stems: str) -> tuple[str, ...]:
    return tuple(stems.split(" "))


def _terms_table(model: Model) -> pa.Table:
    columns = {
        "term": string_array(model.terms),
        "document_frequency": arrow_array(model.document_frequency),
        "idf": arrow_array(model.idf),
    }
    for sector, weights in zip(model.sectors, model.weights.T, strict=True):
        columns[f"weight_{sector}"] = arrow_array(weights.astype(np.float32))
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _description(model: Model) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "sectors": [
            {
                "id": sector,
                "prevalence": prevalence,
                "intercept": float(intercept),
                "calibration": asdict(calibration),
            }
            for sector, prevalence, intercept, calibration in zip(
                model.sectors, model.prevalences, model.intercepts, model.calibrations, strict=True
            )
        ],
        "preprocessing": {"title_weight": model.title_weight, "sublinear": model.sublinear},
        "training": model.training,
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_table(path: Path, digest: str) -> pa.Table:
    """A table whose bytes are those that model.json was written with."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(
            f"{path}: its bytes are not those that {MODEL} was written with: copy the model again, or retrain"
        )
    return pq.ParquetFile(pa.BufferReader(content)).read()
