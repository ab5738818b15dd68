"""What is to be read: files, folders and patterns, in which format, how large, and their digest."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.batch import ReadError

STANDARD_INPUT = "-"

JSON_LINES, CSV, TSV, PARQUET, TEXT = FORMATS = ("jsonl", "csv", "tsv", "parquet", "txt")
JSON_LINES_EXTENSIONS = (".jsonl", ".ndjson", ".jsonlines", ".json-lines")
CSV_EXTENSIONS = (".csv", ".tsv")
PARQUET_EXTENSIONS = (".parquet",)
TEXT_EXTENSIONS = (".txt",)
EXTENSIONS = JSON_LINES_EXTENSIONS + CSV_EXTENSIONS + PARQUET_EXTENSIONS + TEXT_EXTENSIONS
COMPRESSED_EXTENSIONS = (".gz", ".zst")  # may follow the extension of a text format
FORMAT_OF = dict.fromkeys(JSON_LINES_EXTENSIONS, JSON_LINES) | {
    extension: extension.removeprefix(".") for extension in CSV_EXTENSIONS + PARQUET_EXTENSIONS + TEXT_EXTENSIONS
}

REPAIRS = {
    ".xlsx": "; save the workbook as CSV",
    ".xls": "; save the workbook as CSV",
    ".json": "; write one object a line and name it .jsonl",
    ".bz2": "; unpack it first",
    ".xz": "; unpack it first",
    ".zip": "; unpack it first",
    ".tgz": "; unpack it first",
}


class InputFile(NamedTuple):
    """A file to read; `name` tells it from the other files of its input: the path from the folder on."""

    path: Path
    name: str
    format: str


@dataclass(frozen=True)
class Inputs:
    """The files of one input in the order they are read.

    `together` is whether they came from a folder or a pattern; text files then share batches, and empty files, as
    distributed writers leave them, are skipped.
    """

    files: list[InputFile]
    together: bool


def find_inputs(path: str | Path, format: str | None = None) -> Inputs:
    """The files a path stands for: a file; a folder, with all in it; or, where nothing has that name, a pattern such
    as `news/*.jsonl.gz`, in which `**` is any number of folders.

    In folders and among what a pattern matches, hidden files and those whose extension says nothing are left out;
    with a `format` it holds for every file, whatever its extension. The order is that of the names.

    Raises ReadError when there is no such file, or its format is unknown.
    """
    given = Path(path)
    if given.is_dir():
        files = _files_in(given, given, format)
        if not files:
            raise ReadError(f"{path}: no articles in this folder, expected files named {', '.join(EXTENSIONS)}")
        return Inputs(files, together=True)
    if given.exists():
        return Inputs([InputFile(given, given.name, format or _known_format(given))], together=False)
    if not glob.has_magic(str(path)):
        raise ReadError(f"{path}: no such file or folder")
    root = Path(*_before_pattern(given))
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    found: dict[Path, InputFile] = {}
    for match in matches:
        for file in _files_in(match, root, format) if match.is_dir() else _usable([match], root, format):
            found[file.path] = file
    if not found:
        what = f"{len(matches)} matches, none of them named" if matches else "nothing matches, expected files named"
        raise ReadError(f"{path}: {what} {', '.join(EXTENSIONS)}")
    return Inputs(sorted(found.values(), key=lambda file: file.path.parts), together=True)


def input_bytes(inputs: Iterable[str | Path], format: str | None = None) -> int | None:
    """Bytes on disk of all files of the inputs, compressed as they are; None when one of them is a stream.

    Raises ReadError for an input that is not there.
    """
    files = _regular_files(inputs, format)
    return None if files is None else sum(file.path.stat().st_size for _, file in files)


def fingerprint(inputs: Iterable[str | Path], format: str | None = None) -> str | None:
    """SHA-256 over the names and contents of all files of the inputs, in hexadecimal; None when one of them is a
    stream, which cannot be read twice.

    Inputs of the same names and contents, in the same order, have the same digest wherever they lie; `read` then gives
    the same batches. Raises ReadError for an input that is not there or cannot be read.
    """
    files = _regular_files(inputs, format)
    if files is None:
        return None
    digest = hashlib.sha256()
    for given, file in files:
        try:
            with file.path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ReadError(f"{file.path}: {(error.strerror or str(error)).lower()}") from error
        digest.update(json.dumps([str(given), file.name, file.format, content]).encode() + b"\n")
    return digest.hexdigest()


def _regular_files(inputs: Iterable[str | Path], format: str | None) -> list[tuple[str | Path, InputFile]] | None:
    """All files of the inputs, each with the input it is of; None when one is a stream."""
    if isinstance(inputs, str | Path):
        raise TypeError(f"found {inputs!r}, expected a list of inputs")
    files: list[tuple[str | Path, InputFile]] = []
    for given in inputs:
        if str(given) == STANDARD_INPUT:
            return None
        files += ((given, file) for file in find_inputs(given, format).files)
    return files if all(file.path.is_file() for _, file in files) else None


def _files_in(folder: Path, root: Path, format: str | None) -> list[InputFile]:
    """The files in a folder and the folders in it, hidden ones left out.

    Raises ReadError for a folder that may not be looked into: its articles would be missing.
    """

    def refuse(error: OSError) -> None:
        raise ReadError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from error

    paths: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += (Path(place, name) for name in files if not name.startswith("."))
    return _usable(sorted((path for path in paths if path.is_file()), key=lambda path: path.parts), root, format)


def _usable(paths: Iterable[Path], root: Path, format: str | None) -> list[InputFile]:
    """Those of the paths whose format is known; they are named from `root` on."""
    known = ((path, format or FORMAT_OF.get(_extension(path))) for path in paths)
    return [InputFile(path, path.relative_to(root).as_posix(), kind) for path, kind in known if kind is not None]


def _known_format(path: Path) -> str:
    extension = _extension(path)
    if extension in FORMAT_OF:
        return FORMAT_OF[extension]
    hint = REPAIRS.get(extension, "; or say which format it has")
    raise ReadError(f"{path}: unknown extension {extension!r}, expected one of {', '.join(EXTENSIONS)}{hint}")


def _extension(path: Path) -> str:
    """The extension that tells the format, in lower case: of `a.csv.gz` it is `.csv`."""
    extension = path.suffix.lower()
    if extension in COMPRESSED_EXTENSIONS:
        inner = Path(path.stem).suffix.lower()
        return path.suffix.lower() if inner in (*PARQUET_EXTENSIONS, "") else inner
    return extension


def _before_pattern(path: Path) -> list[str]:
    """The folders of a pattern before the first in which there is a wildcard."""
    parts: list[str] = []
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return parts
