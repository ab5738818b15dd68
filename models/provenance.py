"""What an output was made of: the model, the software, the options."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Final

import numpy as np

from models.store import Model

PACKAGES: Final = ("numpy", "pyarrow", "PySastrawi")
FORMAT: Final = 1  # of the description of an output


def model_digest(model: Model) -> str:
    """SHA-256 of all that decides on a prediction but the thresholds, wherever the model is kept and in what form."""
    digest = hashlib.sha256()
    for part in (
        json.dumps([model.sectors, model.title_weight, model.sublinear], ensure_ascii=False),
        json.dumps([[calibration.slope, calibration.offset] for calibration in model.calibrations]),
        "\n".join(model.terms),
        "\n".join(f"{word} {' '.join(stems)}" for word, stems in model.words.items()),
    ):
        digest.update(part.encode() + b"\0")
    for table in (model.idf, model.weights, model.intercepts):
        digest.update(np.ascontiguousarray(table, np.float64).data)
    return digest.hexdigest()


def software() -> dict[str, str]:
    """Names and versions of what takes part in a prediction; Sektor's own only where it is installed."""
    versions = {"python": platform.python_version()}
    for package in ("sektor", *PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def description(run: Mapping[str, Any], counts: Mapping[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """What goes beside an output. Nothing of when and where it was made, so that equal runs have equal descriptions.

    Parameters: run, as `models.batch` has it: options by their names, beside input, model and software.
    """
    return {
        "format": FORMAT,
        "model": run["model"],
        "thresholds": run["--threshold"],
        "software": run["software"],
        "options": {
            name.removeprefix("--"): value
            for name, value in run.items()
            if name.startswith("-") and name != "--threshold"
        },
        "input": run["input"],
        "counts": dict(counts),
        "warnings": list(warnings),
    }
