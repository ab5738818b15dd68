"""How far long work is, on standard error: a bar in a terminal, else a line now and then, with what is left."""

from __future__ import annotations

import contextlib
import sys
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

LINE_EVERY: Final = 5.0
"""Seconds, where standard error is no terminal. Work that takes less says nothing."""


class Steps:
    """Work of a known number of steps; a context manager. What cannot be told, for want of a reader, is not told.

    Parameters: what, the name of the work; total, the steps.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._began = self._told = monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, desc=self.what, leave=False, dynamic_ncols=True)
        return self

    def step(self) -> None:
        """Tell that one more is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
            return
        now = monotonic()
        if now - self._told < LINE_EVERY or self.done >= self.total or sys.stderr is None:
            return
        self._told = now
        left = (now - self._began) / self.done * (self.total - self.done)
        with contextlib.suppress(OSError):
            print(f"{self.what}: {self.done} of {self.total}, {_duration(left)} left", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(seconds, 1):.0f} s"
