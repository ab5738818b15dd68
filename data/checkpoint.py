"""Work in progress on an output, kept so that a run that was killed goes on where it was.

Beside `labels.jsonl` stands, while it is being made, the folder `labels.jsonl.partial`:

    lock         held by the run under way; the operating system lets go of it when the process ends, however it ends
    run.json     what the run is made of: input, model, options. A run that resumes must be made of the same
    state.json   how far it is: batches done, the journals' lengths, counts. Replaced as a whole after each batch
    others       journals, one for the output, one for the rejects and so on: files that only grow

What a journal holds beyond the length in `state.json` was being written when the process ended; it is cut off. At the
end the journals are moved to their places, the moves written down before the first, and the folder goes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

LOCK: Final = "lock"
RUN: Final = "run.json"
STATE: Final = "state.json"
NEW: Final = ".new"  # ends the name of a file that is written before it replaces another


class WriteError(ValueError):
    """An output that cannot be written; the message is one line and names the file."""


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turns a failure to write into a WriteError that names the file; a broken pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error


def refuse_to_replace(path: Path, overwrite: bool) -> None:
    """Raises WriteError if something stands at `path` that may not be replaced by a file."""
    if path.is_dir():
        raise WriteError(f"{path}: is a folder, expected the name of a file")
    if path.exists() and not overwrite:
        raise WriteError(f"{path}: exists already; give another name or --overwrite")


class Journal:
    """A file that only grows, unbuffered: what was appended survives the process.

    Parameters: path; size, the length in bytes to which a file that stands there is cut first.
    Raises OSError; ValueError if the file is shorter than `size`.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self.size = size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        found = os.fstat(self._descriptor).st_size
        if found < size:
            self.close()
            raise ValueError(f"{path}: found {found:,} bytes, expected the {size:,} that were written")
        os.truncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def append(self, content: bytes) -> None:
        """Write at the end."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(content)

    def read(self, start: int, length: int) -> bytes:
        """Bytes that were appended before; for one thread at a time."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        content = b""
        while len(content) < length and (more := os.read(self._descriptor, length - len(content))):
            content += more
        os.lseek(self._descriptor, self.size, os.SEEK_SET)
        return content

    def sync(self) -> None:
        """Wait until the disk has it."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class WorkInProgress:
    """The folder beside an output that holds what has been done of it; a context manager.

    Leaving it after an error keeps the folder if anything was done, and tells so in a note on the error; else it goes.

    Parameters
    ----------
    output: the file that is being made.
    run: what it is made of, name to JSON value, as the user would call it (`--encoding`, `input`). The value of "input"
        is None for a stream, which cannot be read again.
    journals: their names.
    resume: go on with what is there. overwrite: begin anew, whatever is there.

    Raises WriteError: the folder cannot be written, another run holds it, there is nothing to resume or something to
    resume and neither option was given, or it was made of something else than `run`.
    """

    def __init__(
        self,
        output: Path,
        run: Mapping[str, Any],
        journals: Iterable[str],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder = Path(f"{output}.partial")
        self.batches = 0
        self.counts: dict[str, Any] = {}
        self.journals: dict[str, Journal] = {}
        self.stream = run["input"] is None
        self.output = output
        self._names = tuple(journals)
        self._moves: list[list[str]] | None = None
        self._made = False
        self._lock = -1
        if resume and not self.folder.is_dir():
            raise WriteError(f"{output}: nothing to resume, there is no {self.folder}; start without --resume")
        try:
            with naming(output):
                self._hold()
                self._open(json.loads(json.dumps(run)), resume, overwrite)
        except BaseException:
            self._close()
            if self._made and self._lock >= 0:  # else another run has it
                self._remove()
            self._release()
            raise

    def _hold(self) -> None:
        """Make the folder and take its lock."""
        place = self.folder / LOCK
        while self._lock < 0:
            if self.folder.exists() and not self.folder.is_dir():
                raise WriteError(f"{self.folder}: is in the way, expected no file of that name")
            if self.folder.is_dir() and not place.exists() and any(self.folder.iterdir()):
                raise WriteError(f"{self.folder}: is in the way, found a folder that is not of an earlier run")
            with suppress(FileExistsError):
                self.folder.mkdir()
                self._made = True
            try:
                descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # a run that ended has just removed the folder
            if not _lock(descriptor):
                holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise WriteError(f"{self.output}: another run is writing it (process {holder or 'unknown'})")
            if not place.exists() or not os.path.samestat(os.fstat(descriptor), place.stat()):
                os.close(descriptor)
                continue  # locked what a run that ended has just removed
            self._lock = descriptor
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())

    def _open(self, run: dict[str, Any], resume: bool, overwrite: bool) -> None:
        anew = overwrite and not resume
        state, before = (None, None) if anew else (_read(self.folder / STATE), _read(self.folder / RUN))
        if state is not None and not resume and state["batches"]:
            raise WriteError(
                f"{self.folder}: holds {state['counts'].get('read', 0):,} rows of a run that did not end; "
                "give --resume to go on with it or --overwrite to start anew"
            )
        if resume and before is not None:
            self._refuse_another(before, run)
        if not resume or before is None or state is None:
            self._clear()
            state = None
            _write(self.folder / RUN, run)
        sizes: dict[str, int] = {} if state is None else state["journals"]
        if state is not None:
            self.batches, self.counts, self._moves = state["batches"], state["counts"], state["moves"]
        if self._moves is None:
            try:
                for name in self._names:
                    self.journals[name] = Journal(self.folder / name, sizes.get(name, 0))
            except ValueError as error:
                raise WriteError(f"{error}; it cannot be resumed, --overwrite starts anew") from None

    def _refuse_another(self, before: dict[str, Any], run: dict[str, Any]) -> None:
        begin = f"{self.folder}: cannot be resumed"
        if before["input"] is None or run["input"] is None:
            raise WriteError(f"{begin}: the input was a stream, which cannot be read again; --overwrite starts anew")
        for name in (*before, *run):
            was, now = before.get(name), run.get(name)
            if was == now:
                continue
            if not name.startswith("-"):
                raise WriteError(f"{begin}: the {name} has changed since; --overwrite starts anew")
            shown = f"was {json.dumps(was)}, is now {json.dumps(now)}"
            raise WriteError(f"{begin}: {name} {shown}; give it as it was, or --overwrite to start anew")

    @property
    def moving(self) -> bool:
        """Whether all was done but moving the files to their places."""
        return self._moves is not None

    def commit(self, batches: int, counts: Mapping[str, Any]) -> None:
        """Note that so many batches are done, in all journals, with these counts (JSON values)."""
        with naming(self.output):
            _write(
                self.folder / STATE,
                {
                    "batches": batches,
                    "counts": dict(counts),
                    "journals": {name: journal.size for name, journal in self.journals.items()},
                    "moves": self._moves,
                },
            )
        self.batches, self.counts = batches, dict(counts)

    def publish(self, moves: Sequence[tuple[str, Path]], overwrite: bool) -> None:
        """Move files of the folder to their places, in that order, remove it and let go of the lock.

        Raises WriteError if something has come to stand in such a place meanwhile, unless `overwrite`.
        """
        if self._moves is None:
            for name, place in moves:
                refuse_to_replace(place, overwrite)
                with naming(place):
                    _sync(self.folder / name)
            self._moves = [[name, str(place.absolute())] for name, place in moves]
            self.commit(self.batches, self.counts)
        self._close()
        for name, target in self._moves:
            with naming(target):
                if (self.folder / name).exists():  # else it was moved before the process was killed
                    (self.folder / name).replace(target)
        self._remove()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if self._lock < 0:
            return
        noted: dict[str, Any] = {"batches": self.batches, "counts": self.counts}
        with suppress(OSError, ValueError):
            # What the disk says: an interrupt may have come between writing it and noting so here.
            noted = _read(self.folder / STATE) or noted
        if not noted["batches"]:
            self._remove()
        elif error is not None:
            done = f"{noted['counts'].get('read', 0):,} rows are done"
            if self.stream:
                error.add_note(f"{done}, in {self.folder}; a stream cannot be resumed")
            else:
                error.add_note(f"{done}; the same command with --resume goes on from there")
        self._release()

    def _clear(self) -> None:
        """Remove all files of the folder but the lock."""
        for path in self.folder.iterdir():
            if path.name != LOCK and path.is_file():
                path.unlink()

    def _remove(self) -> None:
        with suppress(OSError):  # what is not ours stays
            self._clear()
            (self.folder / LOCK).unlink()
            self.folder.rmdir()

    def _close(self) -> None:
        for journal in self.journals.values():
            journal.close()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise WriteError(f"{path}: unreadable, expected what an earlier run wrote; --overwrite starts anew") from None
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file as a whole."""
    new = path.with_name(path.name + NEW)
    new.write_text(json.dumps(content), encoding="ascii")  # escaped: the names of files may be no text
    new.replace(path)


def _sync(path: Path) -> None:
    """Wait until the disk has a file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        """Whether the lock on an open file could be had; the system lets go of it when the process ends."""
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the number of the process, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Whether the lock on an open file could be had; the system lets go of it when the process ends."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: the process that wrote its number there may still run
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            return not (holder.isdecimal() and _runs(int(holder)))
        return True

    def _runs(process: int) -> bool:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return process != os.getpid()
