"""A Spark session to run in, what it says when something fails, and the files it can reach."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

PACKAGES: Final = ("data", "features", "models")  # the code that workers are sent
CONNECT_TIMEOUT: Final = 10  # seconds for an address to answer
WHOLE: Final = 1 << 45  # bytes; no file is larger. Thirty thousand of them still fit into 64 bits
HIDDEN: Final = (".", "_")  # how the names of files begin that are no data

_HOME: Final = Path(__file__).resolve().parent.parent
_ADDRESS: Final = re.compile(r"local(\[[\w*, -]+\])?|spark://.+|yarn|k8s://.+")
_OURS: Final = re.compile(r"(?:data|features|models)(?:\.\w+)+: ")  # how an error of this package begins
_TASK: Final = re.compile(r"Lost task .*?\): (?:[\w.$]+(?:Exception|Error): )?(.*)")


class SparkError(ValueError):
    """Spark could not be had, or has failed; the message is one line."""


@contextmanager
def session(master: str) -> Iterator[SparkSession]:
    """A session of the Spark application that runs in this process, or else of one that ends with the context.

    Its settings are its own. Spark's log is not shown: what goes wrong is said in one line.

    Parameters: master, an address as Spark has them: "local[2]", "spark://HOST:7077", "yarn", "k8s://...". Raises
    SparkError for an address that is none or does not answer, and for want of pyspark or Java; see also `faults`.
    """
    if not _ADDRESS.fullmatch(master):
        raise SparkError(f"--master {master}: expected local[N], spark://HOST:7077, yarn or k8s://...")
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise SparkError(
            f'--engine spark: found no package {error.name}; it needs: pip install "sektor[spark]"'
        ) from None
    with faults(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pyspark")  # of pandas, which it looks at but does not need here
        running = SparkSession.getActiveSession()
        if running is not None:
            yield _settled(running.newSession())
            return
        _refuse_without_java()
        _refuse_unreachable(master)
        logging.getLogger().addFilter(_not_of_py4j)
        try:
            started = _started(SparkSession.builder, master)
            try:
                yield _settled(started.newSession())
            finally:
                with suppress(SparkError), faults():  # it may be gone
                    started.stop()
        finally:
            logging.getLogger().removeFilter(_not_of_py4j)


@contextmanager
def faults() -> Iterator[None]:
    """Turns what Spark raises into a SparkError of one line."""
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    try:
        yield
    except (ConnectionError, Py4JNetworkError):
        raise SparkError("Spark has ended: its Java process was killed, or had not enough memory") from None
    except (Py4JError, PySparkException) as error:
        raise SparkError(reason(error)) from None


def reason(error: BaseException) -> str:
    """Why Spark has failed, on one line: what a worker said, else the message of the task that failed."""
    told = str(error)
    if (failure := getattr(error, "java_exception", None)) is not None:
        told = str(failure.getMessage() or failure.toString())
    lines = [line.strip() for line in told.partition("\n\tat ")[0].splitlines() if line.strip()]
    if not lines:
        return f"Spark has failed: {type(error).__name__}"
    if any(line.startswith("Traceback") for line in lines):
        if _OURS.match(lines[-1]):
            return _OURS.sub("", lines[-1], count=1)
        needs = "; each needs the packages that `pip install sektor` brings" if "No module named" in lines[-1] else ""
        return f"a worker of Spark has failed: {lines[-1]}{needs}"
    if found := _TASK.search(lines[0]):
        return f"a task of Spark has failed: {found[1]}"
    return f"Spark has failed: {lines[0]}"


def _refuse_without_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        where = f"in JAVA_HOME, which is {home}" if home else "in PATH or JAVA_HOME"
        raise SparkError(f"--engine spark: found no Java, expected Java 17 or newer {where}")


def _refuse_unreachable(master: str) -> None:
    """Raises SparkError where no master of spark://HOST:PORT,HOST:PORT answers; Spark itself tries for minutes."""
    if not master.startswith("spark://"):
        return
    reasons = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            reasons.append(str(error))
    raise SparkError(f"--master {master}: found no Spark master that answers ({'; '.join(reasons)})")


def _started(builder: Any, master: str) -> SparkSession:
    """A new session. What Java writes to standard error goes to a file, as long as it runs."""
    builder = builder.master(master).appName("sektor").config("spark.log.level", "ERROR")
    builder = builder.config("spark.executorEnv.PYTHONSAFEPATH", "1")  # workers import nothing from where they are
    if master.startswith("local"):  # nothing of it is for other machines
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # whatever python3 in PATH is has other packages
        builder = builder.config("spark.ui.enabled", False)
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    with tempfile.TemporaryFile() as log:
        shown = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            started: SparkSession = builder.getOrCreate()
        except Exception as error:
            log.seek(0)
            said = [line for line in log.read().decode("utf-8", "replace").splitlines() if "xception" in line]
            cause = said[-1].strip() if said else reason(error)
            raise SparkError(f"--master {master}: Spark did not start: {cause}") from None
        finally:
            os.dup2(shown, 2)
            os.close(shown)
    return started


def _not_of_py4j(record: logging.LogRecord) -> bool:
    """Whether a message is not py4j's, which shows a trace of every call that is interrupted or lost."""
    return "py4j" not in record.pathname


def _settled(session: SparkSession) -> SparkSession:
    for name, value in {
        "spark.sql.caseSensitive": "true",  # else columns `Text` and `text` cannot be told apart
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1024",
        "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
        "spark.sql.execution.arrow.useLargeVarTypes": "false",
        "spark.sql.files.maxRecordsPerFile": "0",
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
    }.items():
        session.conf.set(name, value)
    return session


def read_whole_files(session: SparkSession) -> None:
    """Have each file be read by one task. A file that is as costly to open as Spark may take at a time is not split."""
    for name in ("maxPartitionBytes", "openCostInBytes"):
        session.conf.set(f"spark.sql.files.{name}", str(WHOLE))


def send_code(session: SparkSession) -> None:
    """Send the code of this process to the workers, before whatever they have of that name."""
    context = getattr(session, "sparkContext", None)
    if context is None:  # Spark Connect, which takes a copy
        with tempfile.TemporaryDirectory() as folder:
            session.addArtifacts(str(zipped_code(Path(folder))), pyfile=True)
        return
    from pyspark import SparkFiles

    # Workers that come later ask for it, too; this folder is there as long as the application.
    root = Path(SparkFiles.getRootDirectory())
    (root / "sektor").mkdir(exist_ok=True)
    archive = zipped_code(root / "sektor")
    if not any(path.endswith(f"/{archive.name}") for path in context.listFiles):
        context.addPyFile(str(archive))
        sys.path.remove(str(root / archive.name))  # this process has the code


def map_records(
    frame: DataFrame, task: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: Any
) -> DataFrame:
    """The rows that a task makes of those of a DataFrame, a part of them at a time."""
    with warnings.catch_warnings():  # as in `session`
        warnings.filterwarnings("ignore", module="pyspark")
        return frame.mapInArrow(task, schema)


def numbered(names: Sequence[str]) -> list[str]:
    """Expressions that select columns and call them `c0`, `c1` ...: a dot in a name means something else to Spark."""
    return [f"`{name.replace('`', '``')}` as c{number}" for number, name in enumerate(names)]


def zipped_code(folder: Path) -> Path:
    """Our packages as an archive to import from, the same bytes for the same code, named after what is in it."""
    files = [path for package in PACKAGES for path in sorted((_HOME / package).glob("*.py"))]
    content = {path.relative_to(_HOME).as_posix(): path.read_bytes() for path in files}
    archive = folder / f"sektor_code-{hashlib.sha256(repr(content).encode()).hexdigest()[:16]}.zip"
    if not archive.exists():
        partial = folder / f"{os.getpid()}.partial"
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, code in content.items():
                packed.writestr(zipfile.ZipInfo(name), code)
        partial.replace(archive)
    return archive


class FoundFile(NamedTuple):
    """A file as Spark names it, and its bytes."""

    name: str
    size: int


class Files:
    """Files where Spark finds them: on this machine, on HDFS, in an object store."""

    def __init__(self, session: SparkSession):
        context = session.sparkContext
        self._java = context._jvm.org.apache.hadoop.fs
        self._configuration = context._jsc.hadoopConfiguration()
        self._here = str(self._configuration.get("fs.defaultFS", "file:///")).startswith("file:")

    def name(self, given: str) -> str:
        """A name as Spark takes it; a relative one starts from where this process is, not from where Java is."""
        return f"file://{os.path.abspath(given)}" if self._here and not re.match(r"[a-zA-Z][\w+.-]+:", given) else given

    def full_name(self, given: str) -> str:
        """A name as `find` gives it."""
        system, path = self._at(given)
        return str(system.makeQualified(path).toString())

    def find(self, given: str) -> list[FoundFile]:
        """The files of a file, folder or pattern, in the order of their names; hidden ones are left out."""
        system, path = self._at(given)
        statuses = [system.getFileStatus(path)] if system.exists(path) else list(system.globStatus(path) or ())
        found = {}
        for status in statuses:
            root = str(status.getPath().toString())
            inside = self._inside(system, status.getPath()) if status.isDirectory() else [(root, int(status.getLen()))]
            for name, size in inside:
                parts = name.removeprefix(root).split("/")
                if not any(part.startswith(HIDDEN) for part in parts):
                    found[name] = FoundFile(name, size)
        return sorted(found.values())

    def _inside(self, system: Any, folder: Any) -> Iterator[tuple[str, int]]:
        entries = system.listFiles(folder, True)
        while entries.hasNext():
            entry = entries.next()
            yield str(entry.getPath().toString()), int(entry.getLen())

    def names(self, folder: str) -> list[str] | None:
        """The names of what is in a folder; None if there is no folder."""
        system, path = self._at(folder)
        if not system.exists(path) or not system.getFileStatus(path).isDirectory():
            return None
        return sorted(str(status.getPath().getName()) for status in system.listStatus(path))

    def exists(self, given: str) -> bool:
        """Whether there is a file or folder of that name."""
        system, path = self._at(given)
        return bool(system.exists(path))

    def write(self, given: str, content: bytes) -> None:
        """Write a file, in the place of one that is there."""
        system, path = self._at(given)
        system.setWriteChecksum(False)  # on this machine it would be a hidden file beside it
        try:
            stream = system.create(path, True)
            try:
                stream.write(bytearray(content))
            finally:
                stream.close()
        finally:
            system.setWriteChecksum(True)

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder. Raises SparkError if that cannot be."""
        system, path = self._at(source)
        if not system.rename(path, self._java.Path(self.name(target))):
            raise SparkError(f"{target}: cannot be written: {source} could not be moved there")

    def remove(self, given: str) -> None:
        """Remove a file, or a folder with all in it; nothing if there is none."""
        system, path = self._at(given)
        system.delete(path, True)

    def _at(self, given: str) -> tuple[Any, Any]:
        path = self._java.Path(self.name(given))
        return path.getFileSystem(self._configuration), path
