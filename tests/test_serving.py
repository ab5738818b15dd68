"""The model as MLflow loads and serves it: right rows stay right, bad rows say why, bad requests are refused."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from mlflow.exceptions import MlflowException

from models import tracking
from models.serving import SectorModel
from predict import Prediction, Predictor

REPOSITORY = Path(__file__).resolve().parent.parent

TITLES = ["Wuling resmikan SPKLU di Bandung", None, "Harga gabah naik"]
TEXTS = [
    "Stasiun pengisian kendaraan listrik umum itu dibuka untuk pemilik mobil listrik.",
    "Timnas berlatih di lapangan.\nPelatih memanggil dua puluh pemain untuk laga persahabatan.",
    "Petani menjual gabah kering panen di atas harga pembelian pemerintah.",
]


@pytest.fixture(scope="module")
def expected(bundle: Path) -> list[Prediction]:
    return Predictor.load(bundle).predict(TEXTS, TITLES)


@pytest.fixture(scope="module")
def model(bundle: Path) -> SectorModel:
    model = SectorModel()
    model.load_context(SimpleNamespace(artifacts={"bundle": str(bundle)}))
    return model


def assert_labelled(row: dict[str, Any], expected: Prediction) -> None:
    assert row["error"] is None
    assert (tuple(row["sectors"]), row["primary"]) == (expected.sectors, expected.primary)
    assert row["coverage"] == pytest.approx(expected.coverage)
    for sector, probability in expected.probabilities.items():
        assert row[f"probability_{sector}"] == pytest.approx(probability)


def assert_refused(row: dict[str, Any], reason: str) -> None:
    assert reason in row["error"]
    assert row["sectors"] == []
    assert {value for key, value in row.items() if key not in ("error", "sectors")} == {None}


def test_rows_are_labelled_as_the_predictor_labels_them(model: SectorModel, expected: list[Prediction]) -> None:
    index = ["first", "second", "third"]
    labelled = model.predict(None, pd.DataFrame({"title": TITLES, "text": TEXTS}, index=index))
    assert list(labelled.index) == index
    for row, prediction in zip(labelled.to_dict("records"), expected, strict=True):
        assert_labelled(row, prediction)


def test_the_columns_are_the_declared_ones(model: SectorModel, bundle: Path) -> None:
    signature = tracking.signature(Predictor.load(bundle).sectors)
    assert list(model.predict(None, pd.DataFrame({"text": TEXTS}))) == signature.outputs.input_names()
    assert signature.inputs.input_names() == ["title", "text"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "text is missing"),
        (float("nan"), "text is missing"),
        (pd.NA, "text is missing"),
        ("None", "text is missing"),  # MLflow's word for a null, where it casts
        ("", "text is blank"),
        (" \n\u00a0", "text is blank"),
        (5, "text is of type int"),
        (2.5, "text is of type float"),
        ("5", "text is a number"),
        (["a text"], "text is of type list"),
        ({"text": "a text"}, "text is of type dict"),
        (True, "text is of type bool"),
    ],
)
def test_a_text_that_is_none_gets_an_error_and_costs_no_other_row(
    text: object, reason: str, model: SectorModel, expected: list[Prediction]
) -> None:
    rows = pd.DataFrame({"title": [TITLES[0], "a title", TITLES[2]], "text": [TEXTS[0], text, TEXTS[2]]}, dtype=object)
    first, refused, last = model.predict(None, rows).to_dict("records")
    assert_labelled(first, expected[0])
    assert_refused(refused, reason)
    assert_labelled(last, expected[2])
    (alone,) = model.predict(None, rows.iloc[1:2]).to_dict("records")
    assert_refused(alone, reason)


def test_half_a_character_costs_no_other_row(model: SectorModel, expected: list[Prediction]) -> None:
    rows = pd.DataFrame({"title": TITLES[:1] * 2, "text": [TEXTS[0], "half an emoji \ud83d"]}, dtype=object)
    labelled, half = model.predict(None, rows).to_dict("records")
    assert_labelled(labelled, expected[0])
    assert half["error"] is None or half["sectors"] == []


@pytest.mark.parametrize("title", [None, float("nan"), "None", ...])
def test_a_title_may_be_missing(title: object, model: SectorModel, bundle: Path) -> None:
    columns = {"text": TEXTS[1:2]} | ({} if title is ... else {"title": [title]})
    (row,) = model.predict(None, pd.DataFrame(columns)).to_dict("records")
    assert_labelled(row, Predictor.load(bundle).predict_one(TEXTS[1]))


def test_a_title_that_is_no_text_is_refused(model: SectorModel) -> None:
    (row,) = model.predict(None, pd.DataFrame({"text": TEXTS[:1], "title": [5]})).to_dict("records")
    assert_refused(row, "title is of type int")


def test_no_rows_give_no_rows(model: SectorModel) -> None:
    assert model.predict(None, pd.DataFrame({"text": []})).empty


def test_a_frame_without_texts_is_refused(model: SectorModel) -> None:
    with pytest.raises(MlflowException, match="no column 'text'") as caught:
        model.predict(None, pd.DataFrame({"body": TEXTS}))
    assert caught.value.get_http_status_code() == 400


# With MLflow around it


@pytest.fixture(scope="module")
def recorded(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tracking.Recorded:
    root = tmp_path_factory.mktemp("served")
    record = tracking.Record(
        parameters={},
        metrics={},
        datasets={"training": tracking.DatasetRecord("articles", "0", [], {})},
        bundle=bundle,
        sectors=Predictor.load(bundle).sectors,
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        with tracking.run("train.py", root=root) as run:
            result = run.log(record)
    assert run.failure is None
    assert result is not None
    return result


def mlflow_environment(recorded: tracking.Recorded) -> dict[str, str]:
    """As in an activated virtual environment, and nothing of the repository on the path."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_RUN_ID")}
    return {
        **environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": recorded.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


LOAD = """
import json, sys
import mlflow
import pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = model.predict(pd.DataFrame(json.load(sys.stdin)))
import models, predict
json.dump({"rows": rows.to_dict("records"), "code": [predict.__file__, models.__file__]}, sys.stdout)
"""


@pytest.mark.slow
def test_a_foreign_process_loads_the_model_with_its_own_code(
    recorded: tracking.Recorded, tmp_path: Path, expected: list[Prediction]
) -> None:
    for name in ("data", "models", "features"):  # as there may be in the folder of whoever uses it
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LOAD, recorded.model_uri],
        input=json.dumps({"title": [*TITLES, None, None], "text": [*TEXTS, None, 5]}),
        env=mlflow_environment(recorded),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    for row, prediction in zip(answer["rows"], expected, strict=False):
        assert_labelled(row, prediction)
    assert_refused(answer["rows"][3], "text is missing")
    assert_refused(answer["rows"][4], "text is of type int")
    assert not [path for path in answer["code"] if Path(path).is_relative_to(REPOSITORY)]


@pytest.fixture(scope="module")
def address(recorded: tracking.Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` on the registered model."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "--env-manager": "local",
        "--model-uri": "models:/sektor@champion",
        "--host": "127.0.0.1",
        "--port": str(port),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *itertools.chain(*options.items())],
            env=mlflow_environment(recorded),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def post(address: str, body: str, content_type: str = "application/json") -> tuple[int, str]:
    request = urllib.request.Request(address, body.encode(), {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, answer = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        status, answer = error.code, error.read().decode()
    assert "Traceback" not in answer
    return status, answer


def posted_rows(address: str, request: object) -> list[dict[str, Any]]:
    status, answer = post(address, json.dumps(request))
    assert status == 200, answer
    rows: list[dict[str, Any]] = json.loads(answer)["predictions"]
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dataframe_records", "dataframe_split", "inputs", "instances"])
def test_served_rows_are_right_and_bad_ones_say_why(form: str, address: str, expected: list[Prediction]) -> None:
    titles, texts = [*TITLES, None, "a title", None], [*TEXTS, None, 5, " "]
    records: object = [{"title": title, "text": text} for title, text in zip(titles, texts, strict=True)]
    if form == "dataframe_split":
        records = {"columns": ["title", "text"], "data": list(map(list, zip(titles, texts, strict=True)))}
    *labelled, missing, number, blank = posted_rows(address, {form: records})
    for row, prediction in zip(labelled, expected, strict=True):
        assert_labelled(row, prediction)
    assert_refused(missing, "text is missing")
    assert_refused(number, "text is")
    assert_refused(blank, "text is blank")


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, 5, 5.5, True, "", " ", [], {}])
def test_a_served_row_that_is_no_text_says_so_alone(text: object, address: str) -> None:
    (row,) = posted_rows(address, {"dataframe_records": [{"text": text}]})
    assert_refused(row, "text is")


@pytest.mark.slow
def test_csv_and_a_text_of_five_megabytes_are_served(address: str, bundle: Path, expected: list[Prediction]) -> None:
    status, answer = post(address, f'title,text\n{TITLES[0]},"{TEXTS[0]}"\n,\n', "text/csv")
    assert status == 200, answer
    labelled, missing = json.loads(answer)["predictions"]
    assert_labelled(labelled, expected[0])
    assert_refused(missing, "text is missing")

    long = (TEXTS[0] + "\n") * (5_000_000 // len(TEXTS[0]))
    (row,) = posted_rows(address, {"dataframe_records": [{"text": long}]})
    assert_labelled(row, Predictor.load(bundle).predict_one(long))


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        '{"dataframe_records": [{"body": "a text"}]}',
        '{"inputs": [{"body": "a text"}]}',
        '{"inputs": ["a text"]}',
        '{"dataframe_records": []}',
        '{"dataframe_records": [{"text": "a te',
        '{"text": "a text"}',
        "[]",
        "5",
        "",
    ],
)
def test_a_malformed_request_is_refused(body: str, address: str) -> None:
    status, answer = post(address, body)
    assert 400 <= status < 500, answer


@pytest.mark.slow
def test_an_unknown_content_type_is_refused(address: str) -> None:
    status, answer = post(address, "<text>a text</text>", "application/xml")
    assert 400 <= status < 500, answer
