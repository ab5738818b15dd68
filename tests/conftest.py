"""A small model, trained once a session, and the folders that tests look for."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.corpus import Corpus, read_corpus
from data.lexicon import Entry, read_lexicon
from data.sectors import Sector, read_sectors
from models import connection
from models.card import model_card
from models.classifier import Configuration
from models.store import write_model
from predict import Predictor
from train import BUNDLED, Trained, train

ROOT = Path(__file__).resolve().parent.parent
EVERY = 6  # the share of the bundled articles that tests train on: one in so many


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sectors() -> tuple[Sector, ...]:
    """The bundled sectors."""
    return read_sectors()


@pytest.fixture(scope="session")
def lexicon(sectors: tuple[Sector, ...]) -> tuple[Entry, ...]:
    """All bundled names and terms of them."""
    return read_lexicon([sector.id for sector in sectors])


@pytest.fixture(scope="session")
def bundled(sectors: tuple[Sector, ...]) -> Corpus:
    """All bundled articles."""
    return read_corpus([BUNDLED], [sector.id for sector in sectors])


@pytest.fixture(scope="session")
def corpus(bundled: Corpus) -> Corpus:
    """A few hundred of the bundled articles, of every file."""
    return bundled.select(range(0, len(bundled), EVERY))


@pytest.fixture(scope="session")
def articles(corpus: Corpus) -> list[str]:
    """The articles of `corpus`, title and text in one."""
    return corpus.articles()


@pytest.fixture(scope="session")
def unseen(bundled: Corpus) -> list[str]:
    """Articles that are not in `corpus`."""
    return bundled.select(range(3, len(bundled), EVERY * 4)).articles()


@pytest.fixture(scope="session")
def trained(corpus: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...]) -> Trained:
    """A model of `corpus` and the bundled lexicon."""
    return train(corpus, sectors, Configuration(), lexicon=lexicon)


@pytest.fixture(scope="session")
def bundle(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that model; tests that change it change a copy."""
    folder = tmp_path_factory.mktemp("model") / "bundle"
    write_model(trained.model, folder, model_card(trained.model))
    return folder


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> Predictor:
    """The predictor of that model, as a user loads it."""
    return Predictor.load(bundle)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file of MLflow's without runs, to be copied: its tables take seconds to make."""
    pytest.importorskip("mlflow")
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    with connection.environment(), connection.faults():
        connection.create_store(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def real_news() -> Path:
    """Real articles, which are not part of this repository."""
    folder = ROOT.parent / "shared" / "real-news"
    if not folder.is_dir():
        pytest.skip("real articles: ../shared absent")
    return folder


@pytest.fixture(scope="session")
def score_script() -> Path:
    """The script that scores labels of real articles, which is not part of this repository."""
    script = ROOT.parent / "shared" / "tools" / "score.py"
    if not script.is_file():
        pytest.skip("score.py: ../shared absent")
    return script


@pytest.fixture(scope="session")
def shipped() -> Predictor:
    """The predictor that users get."""
    return Predictor.load()


@pytest.fixture
def dead_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, dead_port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real tracking server and its address."""
    address = f"http://127.0.0.1:{dead_port}"
    options = {
        "--host": "127.0.0.1",
        "--port": str(dead_port),
        "--workers": "1",
        "--backend-store-uri": f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination": str(tmp_path / "kept"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *itertools.chain(*options.items())],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.5)
        yield address, process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
