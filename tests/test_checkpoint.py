"""Work in progress: what was noted survives the process, one run holds it at a time, nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import checkpoint
from data.checkpoint import Journal, WorkInProgress, WriteError, naming, refuse_to_replace

OUTPUT = Path("labels.jsonl")
FOLDER = Path("labels.jsonl.partial")
RUN: dict[str, Any] = {"input": "abc", "model": "m", "--encoding": "utf-8"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(run: dict[str, Any] = RUN, **options: bool) -> WorkInProgress:
    return WorkInProgress(OUTPUT, run, ["output", "rejects"], **options)


def interrupted(batches: int = 1, run: dict[str, Any] = RUN) -> None:
    """A run that did so many batches, and wrote half of another."""
    with pytest.raises(KeyboardInterrupt), begin(run) as work:  # noqa: PT012
        for number in range(batches):
            work.journals["output"].append(b"batch %d\n" % number)
            work.commit(number + 1, {"read": 10 * (number + 1)})
        work.journals["output"].append(b"ba")
        raise KeyboardInterrupt


def test_what_was_noted_is_gone_on_with() -> None:
    interrupted(batches=2)
    with begin(resume=True) as work:
        assert (work.batches, work.counts, work.moving) == (2, {"read": 20}, False)
        work.journals["output"].append(b"batch 2\n")
        work.commit(3, {"read": 30})
        work.publish([("output", OUTPUT)], overwrite=False)
    assert OUTPUT.read_bytes() == b"batch 0\nbatch 1\nbatch 2\n"
    assert list(Path().iterdir()) == [OUTPUT]


@given(
    batches=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=6),
    ends=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.binary(max_size=5)), max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_a_run_ended_anywhere_any_number_of_times_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[bytes, bytes]],
    ends: list[tuple[int, int, bytes]],
) -> None:
    """ends: before which batch, after how many of its journals were appended to, and how much of the next was."""
    place = tmp_path_factory.mktemp("run") / "labels.csv"

    def go_on(resume: bool, end: tuple[int, int, bytes] | None) -> None:
        work = WorkInProgress(place, RUN, ["output", "rejects"], resume=resume)
        for number in range(work.batches, len(batches)):
            for step, (name, content) in enumerate(zip(("output", "rejects"), batches[number], strict=True)):
                if end is not None and end[:2] == (number, step):
                    work.journals[name].append(end[2])
                    return _die(work)
                work.journals[name].append(content)
            work.commit(number + 1, {"read": number})
        work.publish([("rejects", place.with_name("rejects")), ("output", place)], overwrite=False)

    go_on(False, ends[0] if ends else None)
    for end in ends[1:]:
        if not place.exists():
            go_on(True, end)
    if not place.exists():
        go_on(True, None)
    assert place.read_bytes() == b"".join(output for output, _ in batches)
    assert place.with_name("rejects").read_bytes() == b"".join(rejects for _, rejects in batches)
    assert sorted(path.name for path in place.parent.iterdir()) == ["labels.csv", "rejects"]


def _die(work: WorkInProgress) -> None:
    """As a process that is killed: descriptors are closed, nothing else happens."""
    work._close()
    work._release()


def test_an_error_says_how_to_go_on_where_anything_was_done() -> None:
    with pytest.raises(ValueError, match="no") as caught, begin() as work:  # noqa: PT012
        work.commit(1, {"read": 12345})
        raise ValueError("no")
    assert caught.value.__notes__ == ["12,345 rows are done; the same command with --resume goes on from there"]


def test_an_interrupt_while_the_first_batch_is_noted_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write = checkpoint._write

    def interrupted(path: Path, content: dict[str, Any]) -> None:
        write(path, content)
        raise KeyboardInterrupt

    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt) as caught,
        monkeypatch.context() as patched,
        begin() as work,
    ):
        work.journals["output"].append(b"batch 0\n")
        patched.setattr(checkpoint, "_write", interrupted)
        work.commit(1, {"read": 10})
    assert caught.value.__notes__ == ["10 rows are done; the same command with --resume goes on from there"]
    with begin(resume=True) as work:
        assert (work.batches, work.counts) == (1, {"read": 10})


def test_an_error_before_anything_was_done_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="no") as caught, begin() as work:  # noqa: PT012
        work.journals["output"].append(b"half")
        raise ValueError("no")
    assert not hasattr(caught.value, "__notes__")
    assert list(Path().iterdir()) == []


def test_a_disk_that_is_full_from_the_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(WriteError, match=r"labels\.jsonl: cannot be written: no space left on device"):
            begin()
    assert list(Path().iterdir()) == []


def test_a_stream_is_kept_but_not_resumed() -> None:
    stream = RUN | {"input": None}
    with pytest.raises(ValueError, match="no") as caught, begin(stream) as work:  # noqa: PT012
        work.commit(1, {"read": 7})
        raise ValueError("no")
    assert caught.value.__notes__ == [f"7 rows are done, in {FOLDER}; a stream cannot be resumed"]
    with pytest.raises(WriteError, match="the input was a stream, which cannot be read again"):
        begin(stream, resume=True)
    with begin(stream, overwrite=True):
        pass


def test_what_is_left_of_a_run_is_neither_lost_nor_mixed_up() -> None:
    interrupted()
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    with pytest.raises(WriteError) as caught:
        begin()
    assert str(caught.value) == (
        f"{FOLDER}: holds 10 rows of a run that did not end; "
        "give --resume to go on with it or --overwrite to start anew"
    )
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()}.keys() == before.keys()
    with begin(overwrite=True) as work:
        assert (work.batches, work.journals["output"].size) == (0, 0)
    assert not FOLDER.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "abd"}, "the input has changed since"),
        ({"model": "n"}, "the model has changed since"),
        ({"--encoding": "latin-1"}, '--encoding was "utf-8", is now "latin-1"'),
        ({"--explain": True}, "--explain was null, is now true"),
        ({"input": None}, "the input was a stream"),
    ],
)
def test_a_run_made_of_something_else_is_not_gone_on_with(change: dict[str, Any], message: str) -> None:
    interrupted()
    with pytest.raises(WriteError, match=f"^{FOLDER}: cannot be resumed: {message}.*--overwrite"):
        begin(RUN | change, resume=True)
    with begin(resume=True) as work:  # nothing was touched
        assert work.batches == 1


def test_there_must_be_something_to_resume() -> None:
    with pytest.raises(WriteError, match=r"nothing to resume, .* no labels\.jsonl\.partial; start without --resume"):
        begin(resume=True)
    assert list(Path().iterdir()) == []


def test_a_run_that_is_under_way_is_left_alone() -> None:
    with begin() as work:
        work.commit(1, {"read": 1})
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(WriteError, match=f"another run is writing it \\(process {os.getpid()}\\)$"):
                begin(**options)
        work.publish([("output", OUTPUT)], overwrite=False)


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up() -> None:
    program = (
        "import os; from pathlib import Path; from data.checkpoint import WorkInProgress;"
        f"w = WorkInProgress(Path('labels.jsonl'), {RUN!r}, ['output', 'rejects']); w.journals['output'].append(b'x');"
        "w.commit(1, {'read': 1}); print(os.getpid(), flush=True); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert found.returncode == -9
    assert (FOLDER / "lock").read_text().strip() == found.stdout.strip()
    with begin(resume=True) as work:
        assert (work.batches, work.journals["output"].size) == (1, 1)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_in_the_way_is_left_alone(kind: str) -> None:
    if kind == "file":
        FOLDER.write_text("precious", encoding="utf-8")
    else:
        FOLDER.mkdir()
        (FOLDER / "mine").write_text("precious", encoding="utf-8")
    for options in ({}, {"overwrite": True}):
        with pytest.raises(WriteError, match=f"^{FOLDER}: is in the way"):
            begin(**options)
    assert (FOLDER if kind == "file" else FOLDER / "mine").read_text(encoding="utf-8") == "precious"


def test_a_journal_that_lost_its_end_is_not_gone_on_with() -> None:
    interrupted(batches=3)
    os.truncate(FOLDER / "output", 5)
    with pytest.raises(WriteError, match=r"found 5 bytes, expected the 24 that were written; it cannot be resumed"):
        begin(resume=True)


@pytest.mark.parametrize("name", ["state.json", "run.json"])
def test_a_damaged_note_is_one_line(name: str) -> None:
    interrupted()
    (FOLDER / name).write_text("{", encoding="ascii")
    with pytest.raises(WriteError, match=f"^{FOLDER}/{name}: unreadable, .*--overwrite starts anew$"):
        begin(resume=True)
    with begin(overwrite=True):
        pass


@pytest.mark.parametrize("end", [0, 1, 2])
def test_a_run_killed_between_two_moves_goes_on_with_the_others(end: int, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"rejects": Path("labels.jsonl.rejects"), "output": OUTPUT}
    replace, moved = Path.replace, 0

    def dying(self: Path, target: Path) -> Path:
        nonlocal moved
        if self.name in places:
            if moved == end:
                raise KeyboardInterrupt
            moved += 1
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        with pytest.raises(KeyboardInterrupt) if end < 2 else pytest.MonkeyPatch.context(), begin() as work:
            for name in places:
                work.journals[name].append(name.encode())
            work.commit(1, {"read": 1})
            work.publish(list(places.items()), overwrite=False)
    assert [place.exists() for place in places.values()] == [number < end for number in range(2)]
    if end < 2:
        with begin(resume=True) as work:
            assert work.moving
            work.publish([], overwrite=False)
    assert [place.read_bytes() for place in places.values()] == [b"rejects", b"output"]
    assert not FOLDER.exists()


def test_what_came_to_stand_in_the_place_meanwhile_stays() -> None:
    with pytest.raises(WriteError, match="exists already") as caught, begin() as work:  # noqa: PT012
        work.commit(1, {"read": 1})
        OUTPUT.write_text("precious", encoding="utf-8")
        work.publish([("output", OUTPUT)], overwrite=False)
    assert OUTPUT.read_text(encoding="utf-8") == "precious"
    assert caught.value.__notes__
    with begin(resume=True) as work:
        work.publish([("output", OUTPUT)], overwrite=True)
    assert OUTPUT.read_bytes() == b""


def test_names_that_are_no_text_can_be_noted() -> None:
    run = RUN | {"input": os.fsdecode(b"caf\xe9.csv")}
    interrupted(run=run)
    with begin(run, resume=True) as work:
        assert work.batches == 1
    assert json.loads((FOLDER / "run.json").read_text(encoding="ascii"))["input"] == run["input"]


def test_a_journal_grows_and_is_read_in_any_order() -> None:
    journal = Journal(Path("journal"))
    for word in (b"satu", b"dua", b"tiga"):
        journal.append(word)
    assert (journal.read(4, 3), journal.read(0, 4), journal.read(7, 100)) == (b"dua", b"satu", b"tiga")
    journal.append(b"!")
    journal.close()
    journal.close()
    assert Path("journal").read_bytes() == b"satuduatiga!"


def test_what_stands_there_is_replaced_only_on_request() -> None:
    OUTPUT.write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError, match="exists already"):
        refuse_to_replace(OUTPUT, overwrite=False)
    refuse_to_replace(OUTPUT, overwrite=True)
    with pytest.raises(WriteError, match="is a folder"):
        refuse_to_replace(Path(), overwrite=True)


def test_a_broken_pipe_stays_one() -> None:
    with pytest.raises(BrokenPipeError), naming("x"):
        raise BrokenPipeError
    with pytest.raises(WriteError, match=r"^x: cannot be written: no space left on device$"), naming("x"):
        raise OSError(28, "No space left on device")
