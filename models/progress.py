"""How far a run is: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

LINE_EVERY: Final = 10.0  # seconds, where standard error is no terminal
BAR_EVERY: Final = 0.2
BAR: Final = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
NO_BAR: Final = "{elapsed}{postfix}"


@dataclass
class Totals:
    """What a run has done so far. read: rows, of which labelled and rejected are the parts; undecodable: rejected for
    their encoding; by_sector: labelled rows by sector, and those of `none`.
    """

    read: int = 0
    labelled: int = 0
    rejected: int = 0
    undecodable: int = 0
    by_sector: dict[str, int] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "read": self.read,
            "labelled": self.labelled,
            "rejected": self.rejected,
            "undecodable": self.undecodable,
            "by_sector": dict(self.by_sector),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What `state` gave, once more."""
        return cls(**{name: state[name] for name in cls.__dataclass_fields__})

    def sectors(self) -> str:
        """The counts of the sectors on one line."""
        return ", ".join(f"{name} {count:,}" for name, count in self.by_sector.items())


class Progress:
    """Tells on standard error how far a run is; a context manager. Quiet, it tells nothing.

    Articles a second are those of this process: what a run before it had done counts for the rest only.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or sys.stderr is None
        self._bar: Any = None
        self._start = self._told = monotonic()
        self._rows, self._share = 0, 0.0  # done when this process began

    def begin(self, totals: Totals, share: float | None = None) -> None:
        """Told once before the first batch, with what a run before had done; see `update`."""
        self._start = self._told = monotonic()
        self._rows, self._share = totals.read, share or 0.0
        if not self._quiet and sys.stderr.isatty():
            from tqdm import tqdm

            form = NO_BAR if share is None else BAR
            self._bar = tqdm(total=1.0, initial=self._share, bar_format=form, leave=False, dynamic_ncols=True)

    def update(self, totals: Totals, share: float | None = None) -> None:
        """Told after each batch; share, how much of the input is done, 0 to 1, where that is known."""
        now = monotonic()
        if self._quiet or now - self._told < (LINE_EVERY if self._bar is None else BAR_EVERY):
            return
        self._told = now
        seconds = max(now - self._start, 1e-9)
        done = f"{totals.read:,} rows, {(totals.read - self._rows) / seconds:,.0f}/s, {totals.sectors()}"
        done += f", rejected {totals.rejected:,}" if totals.rejected else ""
        if self._bar is not None:
            self._bar.n = share or 0.0
            self._bar.set_postfix_str(done)
            return
        if share is not None and share > self._share:
            left = seconds * (1 - share) / (share - self._share)
            done = f"{share:.0%}, {_duration(left)} left, {done}"
        print(done, file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """A line on what takes its time after the last batch."""
        self.close()
        if not self._quiet and monotonic() - self._start >= LINE_EVERY / 2:
            print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away; calling it again does nothing."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
