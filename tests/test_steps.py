"""How far long work is."""

from __future__ import annotations

import io
import sys

import pytest

from models import steps
from models.steps import Steps

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr(steps, "monotonic", lambda: now[0])
    return now


def work(clock: list[float], total: int, seconds: float) -> None:
    with Steps("search", total) as told:
        for _ in range(total):
            clock[0] += seconds
            told.step()


def test_short_work_says_nothing(clock: list[float], capsys: Capture) -> None:
    work(clock, 40, 0.1)
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then(clock: list[float], capsys: Capture) -> None:
    work(clock, 40, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "search: 5 of 40, about 35 s left"
    assert lines[-1] == "search: 35 of 40, about 5 s left"
    assert len(lines) == 7


def test_very_long_work_says_minutes(clock: list[float], capsys: Capture) -> None:
    work(clock, 3, 600.0)
    assert capsys.readouterr().err.splitlines() == [
        "search: 1 of 3, about 20 min left",
        "search: 2 of 3, about 10 min left",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Steps("search", 4) as told:
        for _ in range(4):
            told.step()
    shown = terminal.getvalue()
    assert "search:" in shown
    assert "\n" not in shown


@pytest.mark.parametrize("closed", [True, False])
def test_work_goes_on_without_a_reader(closed: bool, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", None if closed else Gone())
    work(clock, 3, 600.0)
