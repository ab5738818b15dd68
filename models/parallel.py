"""Where cross-validation and search run: in this process, in several of this machine, or on a cluster that is there.

    with backend("dask", scheduler="tcp://10.0.0.7:8786"):
        scores = out_of_fold_scores(...)

Whatever goes through joblib inside the block runs there and gives what it gives in one process: the tasks are the same,
only their place differs. A cluster is sent the code that this process runs; it has to bring the same Python and the
same versions of what that code imports, and is refused where it does not. Training only.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from models.spark_session import PACKAGES, send_code, zipped_code

BACKENDS: Final = ("loky", "dask", "spark")
VERSIONS: Final = ("joblib", "numpy", "pyarrow", "PySastrawi", "scikit-learn", "scipy")  # what this code imports there
CONNECT_TIMEOUT: Final = 10  # seconds for an address to answer
WORKER_TIMEOUT: Final = 120  # seconds for a cluster to have a worker that answers: it may have to start one

_SPARK_ADDRESS: Final = re.compile(r"local(\[(\d+|\*)\])?|spark://.+|yarn|k8s://.+")


@contextmanager
def backend(name: str = "loky", jobs: int = 1, scheduler: str | None = None) -> Iterator[None]:
    """Run what goes through joblib inside the block on a backend of joblib.

    Parameters: name, "loky" for processes of this machine, "dask" or "spark" for a cluster; jobs, how many processes of
    this machine (a cluster gives all it has); scheduler, the cluster's address: "tcp://HOST:8786" for Dask,
    "spark://HOST:7077", "yarn", "k8s://..." or "local[2]" for Spark.

    Raises ValueError for an option that does not do, for packages or Java that are not installed, and for a cluster of
    other versions; ConnectionError for one that does not answer within seconds, has no worker, or is lost;
    ChildProcessError for a process that was killed. All of them say so in one line.
    """
    if name not in BACKENDS:
        raise ValueError(f"--backend {name}: expected one of {', '.join(BACKENDS)}")
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    if name == "loky" and scheduler is not None:
        raise ValueError(f"--scheduler {scheduler}: expected --backend dask or spark beside it")
    if name != "loky" and not scheduler:
        example = "tcp://HOST:8786" if name == "dask" else "spark://HOST:7077 or local[2]"
        raise ValueError(f"--backend {name}: expected --scheduler ADDRESS beside it, as in {example}")
    with _processes(jobs) if scheduler is None else {"dask": _dask, "spark": _spark}[name](scheduler):
        yield


def each(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Generator[Any, None, None]:
    """function(*call) for each call, in their order, each as soon as it and those before it are there.

    The function may not be one of a script. Closing the iterator ends what still runs, as far as the backend can.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    tasks = [delayed(function)(*call) for call in calls]
    try:
        parallel = Parallel(return_as="generator")
    except ValueError:  # joblib's Spark backend gives all results at once: so many tasks at a time as it runs at a time
        at_once = effective_n_jobs(None)
        for start in range(0, len(tasks), at_once):
            yield from Parallel()(tasks[start : start + at_once])
        return
    with closing(parallel(tasks)) as results:
        yield from results


def leave_interrupts_to(caller: int) -> None:
    """Let Ctrl-C, which reaches all processes of a terminal, be the business of the process with this id alone.

    Does nothing in that process, nor in a thread of another (a worker of Dask), whose signals are its own affair.
    """
    if os.getpid() != caller and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _processes(jobs: int) -> Iterator[None]:
    from joblib import parallel_config
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with parallel_config("loky", n_jobs=jobs):
        try:
            yield
        except BrokenProcessPool:
            raise ChildProcessError(f"--jobs {jobs}: a process was killed; for want of memory, try fewer") from None


@contextmanager
def _dask(scheduler: str) -> Iterator[None]:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise _not_installed("dask", error) from None
    from joblib import parallel_config

    try:
        client = distributed.Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:  # a time-out is an OSError
        raise ConnectionError(
            f"--scheduler {scheduler}: found no Dask scheduler that answers within {CONNECT_TIMEOUT} s, "
            f"expected one as in tcp://HOST:8786 ({_one_line(error)})"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_TIMEOUT)
        except TimeoutError:
            raise ConnectionError(
                f"--scheduler {scheduler}: found no Dask worker within {WORKER_TIMEOUT} s, expected at least one"
            ) from None
        versions = _prober()
        _refuse_other_versions("the scheduler", client.run_on_scheduler(versions), scheduler)
        for worker, found in client.run(versions).items():
            _refuse_other_versions(f"worker {worker}", found, scheduler)
        forget = _forgetter()
        client.run_on_scheduler(forget)
        client.run(forget)
        with tempfile.TemporaryDirectory() as folder:
            client.upload_file(str(zipped_code(Path(folder))))
        with parallel_config("dask", client=client):
            try:
                yield
            except (distributed.KilledWorker, CancelledError) as error:
                logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # or it says the same at length
                raise ConnectionError(f"--scheduler {scheduler}: the cluster was lost: {_one_line(error)}") from None


@contextmanager
def _spark(scheduler: str) -> Iterator[None]:
    if not _SPARK_ADDRESS.fullmatch(scheduler):
        raise ValueError(f"--scheduler {scheduler}: expected spark://HOST:7077, local[2], yarn or k8s://... for Spark")
    try:
        import joblibspark
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise _not_installed("spark", error) from None
    from joblib import parallel_config

    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ValueError("--backend spark: found no Java, expected Java 17 or newer in PATH or JAVA_HOME")
    _refuse_unreachable(scheduler)
    if scheduler.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # whatever python3 in PATH is has other packages

    running = SparkSession.getActiveSession()
    session = running
    try:
        with warnings.catch_warnings():
            for package in ("pyspark", "joblibspark"):  # they warn of what is not used: pandas, resources, tags
                warnings.filterwarnings("ignore", module=package)
            warnings.filterwarnings(
                "ignore", "`apply_async` is deprecated", DeprecationWarning
            )  # it uses joblib's old way
            if session is None:
                session = _spark_session(SparkSession.builder, scheduler)
            session.sparkContext.setLogLevel("ERROR")
            send_code(session)
            _refuse_other_versions("a worker", _asked_of_spark(session.sparkContext, scheduler), scheduler)
            joblibspark.register_spark()
            with parallel_config("spark", n_jobs=-1):
                yield
    except (Py4JError, PySparkException) as error:
        raise ConnectionError(f"--scheduler {scheduler}: Spark failed: {_one_line(error)}") from None
    finally:
        if session is not None and running is None:
            session.stop()


def _spark_session(builder: Any, scheduler: str) -> Any:
    builder = builder.master(scheduler).appName("sektor")
    builder = builder.config("spark.ui.enabled", False).config("spark.ui.showConsoleProgress", False)
    if scheduler.startswith("local"):  # nothing of it is for other machines
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    return builder.getOrCreate()


def _refuse_unreachable(scheduler: str) -> None:
    """Raises ConnectionError where no master of spark://HOST:PORT,HOST:PORT answers; Spark itself tries for minutes."""
    if not scheduler.startswith("spark://"):
        return
    reasons = []
    for address in scheduler.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            reasons.append(_one_line(error))
    raise ConnectionError(
        f"--scheduler {scheduler}: found no Spark master that answers, expected one as in spark://HOST:7077 "
        f"({'; '.join(reasons)})"
    )


def _asked_of_spark(context: Any, scheduler: str) -> dict[str, str]:
    """The versions of one worker of a Spark cluster. Raises ConnectionError if none answers."""
    versions = _prober()
    group, late = "sektor: versions", threading.Event()

    def cancel() -> None:
        late.set()
        context.cancelJobGroup(group)

    context.setJobGroup(group, "Which versions has a worker?")
    timer = threading.Timer(WORKER_TIMEOUT, cancel)
    timer.start()
    try:
        (found,) = context.parallelize([0], 1).map(lambda _: versions()).collect()
    except Exception:
        if not late.is_set():
            raise
        raise ConnectionError(
            f"--scheduler {scheduler}: found no Spark worker within {WORKER_TIMEOUT} s, expected at least one"
        ) from None
    finally:
        timer.cancel()
    return dict(found)


def _prober() -> Callable[[], dict[str, str]]:
    """A function that tells the versions where it runs. It is made here because such a one is sent as code."""
    names = VERSIONS

    def versions() -> dict[str, str]:
        import importlib.metadata
        import sys

        found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
        for name in names:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "none"
        return found

    return versions


def _forgetter() -> Callable[[], None]:
    """A function that rids a process of the cluster of our code as an earlier run sent it."""
    packages, caller = PACKAGES, (socket.gethostname(), os.getpid())

    def forget() -> None:
        import os
        import socket
        import sys

        if (socket.gethostname(), os.getpid()) == caller:  # a cluster within the caller's process
            return
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
        sys.path[:] = [path for path in sys.path if not os.path.basename(path).startswith("sektor_code-")]

    return forget


def _refuse_other_versions(where: str, found: dict[str, str], scheduler: str) -> None:
    """Raises ValueError for versions other than here: figures would differ, and pickles might not open."""
    expected = _prober()()
    for name, version in expected.items():
        if found.get(name) != version:
            raise ValueError(
                f"--scheduler {scheduler}: {where} has {name} {found.get(name)}, expected {version} as here"
            )


def _not_installed(extra: str, error: ModuleNotFoundError) -> ValueError:
    return ValueError(f'--backend {extra}: found no package {error.name}; it needs: pip install "sektor[{extra}]"')


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
