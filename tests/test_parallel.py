"""Cross-validation and search on other processes and on clusters: the same figures, and failures said in one line."""

from __future__ import annotations

import importlib.metadata
import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from operator import add, truediv
from pathlib import Path

import numpy as np
import pytest

from data.corpus import Corpus, folds
from data.lexicon import Entry
from data.sectors import Sector
from features.vectorizer import StemVectorizer
from models import parallel, spark_session
from models.classifier import Configuration, out_of_fold_scores
from models.parallel import PACKAGES, VERSIONS, backend, each, leave_interrupts_to
from models.search import search

ROOT = Path(__file__).resolve().parent.parent


def refused(*options: object) -> str:
    """What is said of a backend that cannot be had: one line."""
    with pytest.raises((ValueError, OSError)) as raised, backend(*options):  # type: ignore[arg-type]
        pytest.fail("the backend was entered")
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("ray",), "--backend ray: expected one of loky, dask, spark"),
        (("loky", 0), "--jobs 0: expected at least 1"),
        (("loky", 2, "tcp://a:1"), "--scheduler tcp://a:1: expected --backend dask or spark beside it"),
        (("dask",), "--backend dask: expected --scheduler ADDRESS beside it, as in tcp://HOST:8786"),
        (("spark", 2, ""), "--backend spark: expected --scheduler ADDRESS beside it, as in spark://HOST:7077 or local"),
        (("spark", 1, "tcp://a:1"), "--scheduler tcp://a:1: expected spark://HOST:7077, local[2], yarn or k8s://..."),
        (("spark", 1, "local[zz]"), "--scheduler local[zz]: expected spark://HOST:7077, local[2], yarn or k8s://..."),
    ],
)
def test_options_that_do_not_do_are_named(options: tuple[object, ...], expected: str) -> None:
    assert refused(*options).startswith(expected)


@pytest.mark.parametrize(
    ("options", "package"),
    [(("dask", 1, "tcp://127.0.0.1:1"), "distributed"), (("spark", 1, "local[2]"), "joblibspark")],
)
def test_packages_that_are_not_installed_are_named_with_their_extra(
    options: tuple[str, int, str], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    extra = options[0]
    assert refused(*options) == (
        f'--backend {extra}: found no package {package}; it needs: pip install "sektor[{extra}]"'
    )


def test_a_spark_master_that_does_not_answer_is_named_at_once() -> None:
    with socket.socket() as taken:  # bound, so that no other takes it, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"--scheduler {address}: found no Spark master that answers"):
            parallel._refuse_unreachable(address)
        assert time.monotonic() - started < 5
    with pytest.raises(ConnectionError, match="expected one as in spark://HOST:7077"):
        parallel._refuse_unreachable("spark://host")


def test_one_spark_master_of_several_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        parallel._refuse_unreachable(f"spark://127.0.0.1:x,127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("name", ["Python", *VERSIONS])
def test_a_worker_of_other_versions_is_refused(name: str) -> None:
    here = parallel._prober()()
    parallel._refuse_other_versions("a worker", here, "tcp://a:1")
    with pytest.raises(ValueError, match=f"tcp://a:1: a worker has {name} 0.1, expected {here[name]} as here"):
        parallel._refuse_other_versions("a worker", here | {name: "0.1"}, "tcp://a:1")


# The code that a cluster is sent


def test_the_code_is_sent_whole_and_named_after_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = spark_session.zipped_code(tmp_path)
    sent = set(zipfile.ZipFile(archive).namelist())
    assert {"data/__init__.py", "features/vectorizer.py", "models/search.py"} <= sent
    assert sent == {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).glob("*.py")}
    assert spark_session.zipped_code(tmp_path) == archive
    home = changed_copy(tmp_path / "copy")
    monkeypatch.setattr(spark_session, "_HOME", home)
    assert spark_session.zipped_code(tmp_path) != archive


def changed_copy(folder: Path) -> Path:
    """Our packages with one more comment."""
    for package in PACKAGES:
        (folder / package).mkdir(parents=True)
        for path in (ROOT / package).glob("*.py"):
            shutil.copy(path, folder / package)
    with (folder / "models" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    return folder


#: A worker that was sent our code before.
FORGETS = """
import os, sys
from models import parallel
of_a_worker, os.getpid = os.getpid, lambda: -1
forget = parallel._forgetter()
os.getpid = of_a_worker
sys.path.insert(0, "/a/sektor_code-1.zip")
forget()
ours = [name for name in sys.modules if name.split(".")[0] in ("data", "features", "models")]
print(ours, [path for path in sys.path if "sektor_code-1" in path])
"""


def test_a_process_forgets_the_code_that_it_was_sent_before() -> None:
    forget = parallel._forgetter()
    forget()  # the caller's own process keeps its modules
    assert sys.modules["models.parallel"] is parallel
    run = subprocess.run(
        [sys.executable, "-c", FORGETS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "[] []\n"


# Tasks


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_come_in_the_order_of_the_calls(jobs: int) -> None:
    with backend(jobs=jobs):
        assert list(each(add, [(k, 10) for k in range(20)])) == list(range(10, 30))
        assert list(each(add, [])) == []


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_of_a_task_is_that_of_the_loop(jobs: int) -> None:
    with backend(jobs=jobs), pytest.raises(ZeroDivisionError):
        list(each(truediv, [(1, 1), (1, 0)]))
    with backend(jobs=jobs):  # and leaves the next one alone
        assert list(each(add, [(1, 2)])) == [3]


def test_in_one_process_a_task_runs_when_its_result_is_asked_for() -> None:
    seen: list[int] = []
    results = each(seen.append, [(1,), (2,)])
    next(results)
    assert seen == [1]
    results.close()
    assert seen == [1]


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(ChildProcessError, match="--jobs 2: a process was killed"), backend(jobs=2):
        list(each(signal.raise_signal, [(signal.SIGKILL,)] * 2))


def test_the_caller_and_threads_keep_their_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    leave_interrupts_to(os.getpid())
    thread = threading.Thread(target=leave_interrupts_to, args=(os.getpid() + 1,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    code = "import signal\nfrom models.parallel import leave_interrupts_to\nleave_interrupts_to(-1)\n"
    code += "signal.raise_signal(signal.SIGINT)\nprint('still here')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "still here\n"


# Clusters


@pytest.fixture(scope="module")
def few(corpus: Corpus) -> Corpus:
    return corpus.select(range(0, len(corpus), 6))


def check_same_as_serial(
    name: str, scheduler: str, few: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...]
) -> None:
    """A search and a cross-validation on a cluster give what they give in this process, by the code of this process."""
    parts = folds(few.levels, np.arange(len(few)), 2, seed=3)
    counts = StemVectorizer().fit_transform(few.articles())
    search_of_three = (few, sectors, parts, 3)
    found = search(*search_of_three, lexicon=lexicon[::25])
    scores = out_of_fold_scores(counts, few.levels, parts, Configuration())
    numbers = []
    with backend(name, 1, scheduler):
        again = search(*search_of_three, lexicon=lexicon[::25], on_trial=lambda *told: numbers.append(told[1:]))
        np.testing.assert_array_equal(out_of_fold_scores(counts, few.levels, parts, Configuration()), scores)
        (process,) = each(os.getpid, [()])
        (sent,) = each(pkgutil.get_data, [("models", "parallel.py")])
    assert again == found
    assert numbers == [(1, 3), (2, 3), (3, 3)]
    assert process != os.getpid()
    assert sent == (ROOT / "models" / "parallel.py").read_bytes()


DASK = """
import sys
from distributed import LocalCluster
with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def needs(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"missing tool: {package} (make test-slow installs it)")


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a local Dask cluster that knows nothing of us, and its process."""
    needs("dask", "distributed")
    folder = tmp_path_factory.mktemp("dask")
    with subprocess.Popen(
        [sys.executable, "-c", DASK],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.communicate()


@pytest.mark.slow
def test_a_dask_cluster_finds_what_one_process_finds(
    dask_cluster: tuple[str, subprocess.Popen[str]],
    few: Corpus,
    sectors: tuple[Sector, ...],
    lexicon: tuple[Entry, ...],
) -> None:
    check_same_as_serial("dask", dask_cluster[0], few, sectors, lexicon)


@pytest.mark.slow
def test_a_dask_cluster_runs_the_code_of_now(
    dask_cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, seen = dask_cluster[0], []
    for home in (ROOT, changed_copy(tmp_path / "copy"), ROOT):
        monkeypatch.setattr(spark_session, "_HOME", home)
        with backend("dask", scheduler=address):
            seen += each(pkgutil.get_data, [("models", "__init__.py")])
    plain = (ROOT / "models" / "__init__.py").read_bytes()
    assert seen == [plain, plain + b"# changed\n", plain]


@pytest.mark.slow
def test_a_dask_worker_of_other_versions_is_refused(
    dask_cluster: tuple[str, subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "numpy" else version(name))
    assert "has numpy" in refused("dask", 1, dask_cluster[0])


@pytest.mark.slow
def test_a_dask_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("dask", "distributed")
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        assert refused("dask", 1, address).startswith(f"--scheduler {address}: found no Dask scheduler that answers")
        assert time.monotonic() - started < 20
    assert "found no Dask scheduler" in refused("dask", 1, "nonsense")


@pytest.mark.slow
def test_a_spark_cluster_finds_what_one_process_finds(
    few: Corpus, sectors: tuple[Sector, ...], lexicon: tuple[Entry, ...]
) -> None:
    needs("pyspark", "joblibspark")
    if shutil.which("java") is None:
        pytest.skip("missing tool: java")
    check_same_as_serial("spark", "local[2]", few, sectors, lexicon)
