"""What somebody sees who trains and opens MLflow's pages: the verdict, the figures, the version, in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from data.corpus import Corpus
from tests.browser import Browser, chromium
from tests.mlflow_pages import pages, show_more, visit

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parent.parent
WORKFLOW = "workflowType=machine_learning"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, corpus: Corpus) -> tuple[str, list[str]]:
    """A store with two runs on a few articles, and what each run printed."""
    if chromium() is None:
        pytest.skip("missing tool: chromium")
    folder = tmp_path_factory.mktemp("store")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    rows = (
        {"id": id, "title": title, "text": text, "levels": dict(zip(corpus.sectors, map(int, levels), strict=True))}
        for id, title, text, levels in zip(corpus.ids, corpus.titles, corpus.texts, corpus.levels, strict=True)
    )
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--no-bundled", "--data", "mine.jsonl", "--folds", "2", "--bigram-min-df", "0", "--reserve", "0.42"]
    said = []
    for more in ([], ["--regularization", "0.01"]):
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "train.py"), *options, "--output", "model", *more],
            cwd=folder,
            env={**os.environ, "MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    return uri, said


@pytest.fixture(scope="module")
def address(store: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pages(store[0], tmp_path_factory.mktemp("pages")) as address:
        yield address


@pytest.fixture
def browser(address: str) -> Iterator[Browser]:
    """Which has met no error of the pages, and asked nobody else for anything, when the test is done."""
    with Browser(1400, 1600) as browser:
        yield browser
        thrown = [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]
        assert not thrown
        outside = [url for url in browser.requests() if url.startswith("http") and not url.startswith(address)]
        assert not outside


def last_run(store: tuple[str, list[str]]) -> Any:
    client = mlflow.MlflowClient(store[0])
    version = client.get_model_version("sektor", "2")
    return client.get_run(str(version.run_id))


def test_the_page_that_a_run_names_tells_its_story(
    store: tuple[str, list[str]], address: str, browser: Browser
) -> None:
    run = last_run(store)
    (named,) = [word for word in store[1][1].split() if word.startswith("http://127.0.0.1:5000/#/")]
    assert named.endswith(f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?{WORKFLOW}")
    visit(browser, address, named[named.index("#") :], "Version 2 is challenger")
    browser.wait("document.body.innerText.includes('cv/macro_f1')")
    seen = browser.evaluate("document.body.innerText")
    assert "version 2: mine.jsonl, bigram_min_df=None regularization=0.01" in seen
    assert "worse beyond noise than the champion, version 1: macro F1 0." in seen
    assert "What differs from the champion, version 1: regularization 0.01 instead of 10.0." in seen
    assert f"{run.data.metrics['cv/macro_f1']:g}" in seen
    assert "F1 minus that of version 1: automotive -0." in seen
    show_more(browser)
    browser.wait("document.body.innerText.includes('Registered models')")
    seen = browser.evaluate("document.body.innerText")
    assert f"{run.data.metrics['reserved/macro_f1']:.3f} (" in seen
    assert browser.evaluate(
        "[...document.querySelectorAll('a')].some(a => a.href.includes('/models/sektor/versions/2'))"
    )
    pictures = browser.evaluate(
        "[...document.images].filter(i => i.src.includes('get-artifact')).map(i => i.naturalWidth)"
    )
    assert pictures == [640]
    # What is beside the description is seen whole: a picture that is too wide would push it off the page.
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_view_of_all_runs_shows_the_figures_that_matter(
    store: tuple[str, list[str]], address: str, browser: Browser
) -> None:
    experiment = last_run(store).info.experiment_id
    page = f"#/experiments/{experiment}/runs?{WORKFLOW}&viewStateShareKey=sektor"
    visit(browser, address, page, "reserved/macro_f1")
    seen = browser.evaluate("document.body.innerText")
    for text in ("version 1: mine.jsonl", "version 2: mine.jsonl", "cv/macro_f1", "promotion", "2 matching runs"):
        assert text in seen
    assert "cv/agro/f1" not in seen


def test_the_versions_are_there_with_their_aliases_and_reasons(
    store: tuple[str, list[str]], address: str, browser: Browser
) -> None:
    visit(browser, address, f"#/models/sektor?{WORKFLOW}", "Version 2")
    seen = browser.evaluate("document.body.innerText")
    for text in ("champion", "challenger", "Version 1", "models:/sektor@champion"):
        assert text in seen
    visit(browser, address, f"#/models/sektor/versions/2?{WORKFLOW}", "Sektor model card")
    browser.wait("document.body.innerText.includes('version 2: mine.jsonl')")  # the run that it comes from
    seen = browser.evaluate("document.body.innerText")
    assert "Registered as challenger: worse beyond noise than the champion, version 1" in seen
