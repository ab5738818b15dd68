"""A model folder is written whole or not at all, and read only if it is sound."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models import store
from models.store import (
    CARD,
    MODEL,
    TERMS,
    WORDS,
    Model,
    StoreError,
    VersionWarning,
    read_model,
    refuse_to_replace,
    write_model,
)
from predict import Predictor
from predict import main as predict_main
from train import Trained

FILES = {TERMS, WORDS, MODEL, CARD}


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return trained.model


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the model folder, to spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "model"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(folder: Path) -> str:
    """What is said of a folder that cannot be read: one line."""
    with pytest.raises(StoreError) as caught:
        Predictor.load(folder)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def change(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    description = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    alter(description)
    (folder / MODEL).write_text(json.dumps(description), encoding="utf-8")


# Round trip


def test_what_is_read_is_what_was_written(bundle: Path, model: Model) -> None:
    found = read_model(bundle)
    assert {path.name for path in bundle.iterdir()} == FILES
    for name in ("sectors", "prevalences", "terms", "calibrations", "title_weight", "sublinear"):
        assert getattr(found, name) == getattr(model, name), name
    assert dict(found.words) == dict(model.words)
    assert found.training == json.loads(json.dumps(model.training))
    for name in ("document_frequency", "idf", "intercepts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    np.testing.assert_array_equal(found.weights, model.weights.astype(np.float32))


def test_writing_what_was_read_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    write_model(read_model(bundle), tmp_path / "twin", (bundle / CARD).read_text(encoding="utf-8"))
    assert contents(tmp_path / "twin") == contents(bundle)


def test_any_data_frame_opens_the_tables(bundle: Path, model: Model) -> None:
    terms, words = pq.read_table(bundle / TERMS), pq.read_table(bundle / WORDS)
    weights = [f"weight_{sector}" for sector in model.sectors]
    assert terms.column_names == ["term", "document_frequency", "idf", *weights]
    assert words.column_names == ["word", "stems"]
    assert (terms.num_rows, words.num_rows) == (len(model.terms), len(model.words))


def test_nothing_in_the_folder_can_execute(bundle: Path) -> None:
    json.loads((bundle / MODEL).read_text(encoding="utf-8"))
    (bundle / CARD).read_text(encoding="utf-8")
    for name in (TERMS, WORDS):
        content = (bundle / name).read_bytes()
        assert content[:4] == content[-4:] == b"PAR1"
        assert b"pandas" not in content  # nor what a data frame would add to be restored from
        assert pq.read_schema(bundle / name).metadata is None


def test_neither_time_nor_place_nor_person_is_recorded(bundle: Path) -> None:
    for name in FILES:
        text = (bundle / name).read_bytes().decode("utf-8", "replace")
        for place in (bundle, Path.home(), Path(__file__).resolve().parent.parent, Path.cwd()):
            assert str(place) not in text
    assert not re.search(r"\b20[2-9]\d-\d\d-\d\d|\d\d:\d\d:\d\d", (bundle / MODEL).read_text(encoding="utf-8"))


def test_a_folder_can_be_read_where_it_may_not_be_written(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        read_model(folder)
    finally:
        folder.chmod(0o755)


# What is refused


@pytest.mark.parametrize("name", [TERMS, WORDS, MODEL])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder / name}: no such file, expected a model folder with model.json"


def test_the_card_may_be_missing(folder: Path) -> None:
    (folder / CARD).unlink()
    read_model(folder)


@pytest.mark.parametrize("name", [TERMS, WORDS])
@pytest.mark.parametrize("place", [0, 0.5, 0.9, 1])
def test_one_wrong_byte_is_noticed(folder: Path, name: str, place: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (folder / name).write_bytes(content)
    assert refusal(folder).startswith(f"{folder / name}: its bytes are not those that model.json was written with")


@pytest.mark.parametrize("name", [TERMS, WORDS])
@pytest.mark.parametrize("content", [b"", b"PAR1"])
def test_a_cut_table_is_noticed(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert str(folder / name) in refusal(folder)


@pytest.mark.parametrize("format", [0, 2, "1", None])
def test_another_format_is_told_before_anything_else(folder: Path, format: object) -> None:
    change(folder, lambda description: (description.clear(), description.update(format=format)))
    assert refusal(folder) == f"{folder / MODEL}: found format {format!r}, expected 1: retrain it"


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_cut_description_is_refused_with_its_line(folder: Path, share: float) -> None:
    text = (folder / MODEL).read_text(encoding="utf-8")
    (folder / MODEL).write_text(text[: int(len(text) * share)], encoding="utf-8")
    assert re.match(rf"{re.escape(str(folder / MODEL))}:\d+: .*, expected JSON", refusal(folder))


@pytest.mark.parametrize("text", ["[]", "5", "null", '"model"', "{}"])
def test_json_that_is_no_model_is_refused(folder: Path, text: str) -> None:
    (folder / MODEL).write_text(text, encoding="utf-8")
    assert refusal(folder).endswith("expected a model as train.py writes it")


def test_a_description_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"\x80\x04\xff")
    assert refusal(folder).startswith(f"{folder / MODEL}: not UTF-8 text")


SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no sectors": lambda d: d.pop("sectors"),
    "empty sectors": lambda d: d.update(sectors=[]),
    "sectors no list": lambda d: d.update(sectors=5),
    "a sector twice": lambda d: d.update(sectors=d["sectors"] + d["sectors"][:1]),
    "a sector without weights": lambda d: d["sectors"][0].update(id="mining"),
    "an id that is no text": lambda d: d["sectors"][0].update(id=None),
    "an intercept that is no number": lambda d: d["sectors"][0].update(intercept="big"),
    "an intercept that is NaN": lambda d: d["sectors"][0].update(intercept=float("nan")),
    "an endless prevalence": lambda d: d["sectors"][0].update(prevalence=float("inf")),
    "a threshold that is text": lambda d: d["sectors"][1]["calibration"].update(threshold="0.5"),
    "a threshold that is true": lambda d: d["sectors"][1]["calibration"].update(threshold=True),
    "a calibration without slope": lambda d: d["sectors"][1]["calibration"].pop("slope"),
    "a calibration with more": lambda d: d["sectors"][1]["calibration"].update(scale=2),
    "no calibration": lambda d: d["sectors"][1].update(calibration=None),
    "no preprocessing": lambda d: d.pop("preprocessing"),
    "a title weight that is text": lambda d: d["preprocessing"].update(title_weight="three"),
    "no training": lambda d: d.pop("training"),
    "training no object": lambda d: d.update(training=7),
    "no files": lambda d: d.pop("files"),
    "files no object": lambda d: d.update(files=[]),
}


@pytest.mark.parametrize("alter", SPOILED.values(), ids=SPOILED)
def test_a_description_that_is_no_models_is_refused(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    change(folder, alter)
    assert refusal(folder).startswith(f"{folder / MODEL}: ")


@pytest.mark.parametrize("fault", ["no Parquet", "no such column", "endless weight"])
def test_tables_that_are_no_models_are_refused_even_with_the_right_digest(
    folder: Path, model: Model, fault: str
) -> None:
    if fault == "no Parquet":
        (folder / TERMS).write_bytes(b"no table")
    elif fault == "no such column":
        pq.write_table(pq.read_table(folder / TERMS).drop_columns(["idf"]), folder / TERMS)
    else:
        write_model(replace(model, weights=np.full_like(model.weights, np.inf)), folder, "")
    change(folder, lambda d: d["files"].update({TERMS: store._digest(folder / TERMS)}))
    assert refusal(folder).startswith(f"{folder / MODEL}: ")


@pytest.mark.parametrize("what", ["absent", "file", "empty"])
def test_a_place_without_a_model_is_refused(tmp_path: Path, what: str) -> None:
    place = tmp_path / "model"
    if what == "file":
        place.write_text("no folder", encoding="utf-8")
    elif what == "empty":
        place.mkdir()
    assert str(place) in refusal(place)


# Writing


def test_folders_above_are_made(model: Model, tmp_path: Path) -> None:
    write_model(model, tmp_path / "a" / "b", "card")
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == FILES
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def test_an_older_model_is_replaced_and_nothing_is_left_over(model: Model, folder: Path) -> None:
    write_model(replace(model, title_weight=7), folder, "another card")
    assert read_model(folder).title_weight == 7
    assert (folder / CARD).read_text(encoding="utf-8") == "another card"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_empty_folder_is_filled(model: Model, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_model(model, tmp_path / "model", "")
    read_model(tmp_path / "model")


@pytest.mark.parametrize("what", ["a file", "a folder of something else", "a model with notes"])
def test_what_is_no_model_is_not_replaced(model: Model, tmp_path: Path, what: str) -> None:
    place = tmp_path / "work"
    if what == "a file":
        place.write_text("precious", encoding="utf-8")
    else:
        if what == "a model with notes":
            write_model(model, place, "")
        place.mkdir(exist_ok=True)
        (place / "notes.txt").write_text("precious", encoding="utf-8")
    for refuse in (lambda: refuse_to_replace(place), lambda: write_model(model, place, "")):
        with pytest.raises(StoreError, match=f"^{re.escape(str(place))}: [^\n]*$"):
            refuse()
    assert "precious" in (place if place.is_file() else place / "notes.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("step", ["pq.write_table", "_description", "_digest", "Path.rename"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_model_and_nothing_else(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """Wherever writing fails, the second move included: the old model is put back."""
    before = contents(folder)
    calls = 0
    rename = Path.rename

    def fail(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if step == "Path.rename" and calls != 2:
            return rename(*arguments)
        raise error

    owner: Any = {"pq.write_table": pq, "Path.rename": Path}.get(step, store)
    monkeypatch.setattr(owner, step.split(".")[-1], fail)
    expected = StoreError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_model(replace(model, title_weight=7), folder, "")
    monkeypatch.undo()
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    if isinstance(error, OSError):
        assert str(caught.value) == f"{folder}: cannot write the model: no space left on device"


def test_a_place_that_cannot_be_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    place = tmp_path / "file" / "a" / "model"
    message = f"{place}: {tmp_path / 'file'} is a file, expected a folder"
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        write_model(model, place, "")


def test_a_link_to_a_model_stays_a_link(model: Model, folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder.name)
    write_model(replace(model, title_weight=7), link, "")
    assert link.is_symlink()
    assert read_model(folder).title_weight == 7
    assert {path.name for path in folder.parent.iterdir()} == {"current", "model"}


# Versions


def test_other_versions_than_it_was_trained_with_are_told_in_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        folder, lambda description: description["training"]["versions"].update({"numpy": "1.0", "PySastrawi": "0\n9"})
    )
    with pytest.warns(VersionWarning) as told:
        predictor = Predictor.load(folder)
    (message,) = (str(warning.message) for warning in told)
    assert re.fullmatch(
        r"the model was trained with numpy 1\.0 \(\S+ is installed\), PySastrawi 0 9 \(\S+ is installed\): "
        r"predictions may differ a little",
        message,
    )
    assert predictor.predict_one("Harga gabah petani naik").primary == "agro"
    assert predict_main(["--text", "Harga gabah petani naik", "--model", str(folder)]) == 0
    assert capsys.readouterr().err == f"sektor-predict: {message}\n"


@pytest.mark.parametrize("versions", ["no versions", None, {}, {"python": "2.7", "scikit-learn": "0.1"}])
def test_versions_that_take_no_part_in_a_prediction_do_not_matter(folder: Path, versions: object) -> None:
    change(folder, lambda description: description["training"].update({"versions": versions}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictor.load(folder)
