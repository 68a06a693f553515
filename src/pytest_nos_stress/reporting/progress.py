"""Live progress of a run: a line that is updated, on a terminal, or a new line every few seconds, in a log.

Both bypass pytest's capture: they are written directly to the file descriptor of the terminal or log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from pytest_nos_stress._internal.instrument import perf_counter
from pytest_nos_stress._internal.system import system
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.status import Progress

_INTERVAL: Final = 0.5
_PLAIN_INTERVAL: Final = 3.0
_NARROWEST: Final = 20
_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"


class Live(Protocol):
    """Shows the progress of a run."""

    def __call__(self, progress: Progress) -> None:
        """Show the progress. The run calls this about ten times a second."""

    def clear(self) -> None:
        """Remove the progress, because the run has ended."""


class ProgressLine:
    """Progress after pytest's text on the terminal's current line, wiped before pytest writes again.

    ``room`` returns the number of columns left on that line.
    """

    def __init__(self, terminal: int, room: Callable[[], int]) -> None:
        self._terminal = terminal
        self._room = room
        self._last = perf_counter()
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        now = perf_counter()
        if now - self._last < _INTERVAL:
            return
        self._last = now
        room = self._free_columns()
        if room >= _NARROWEST:
            self._shown = True
            _write(self._terminal, f"{_SAVE} {live_text(progress)[:room]}{_CLEAR}{_RESTORE}")

    def _free_columns(self) -> int:
        """Return the columns left on the line; 0 if the terminal does not tell, so that nothing is shown."""
        try:
            return int(self._room())
        except Exception:
            return 0

    def clear(self) -> None:
        if self._shown:
            _write(self._terminal, _CLEAR)


class ProgressLog:
    """Progress as a new line every few seconds, for logs.

    ``begins_line`` returns True if the log is at the start of a line.
    """

    def __init__(self, log: int, test: str, begins_line: Callable[[], bool]) -> None:
        self._log = log
        self._test = escape_controls(test)
        self._begins_line = begins_line
        self._last = perf_counter()
        self._has_written = False

    def __call__(self, progress: Progress) -> None:
        now = perf_counter()
        if now - self._last < _PLAIN_INTERVAL:
            return
        self._last = now
        start = "" if self._has_written or self._begins_line() else "\n"
        self._has_written = True
        _write(self._log, f"{start}stress: {self._test}: {progress.elapsed:.0f} s, {live_text(progress)}\n")

    def clear(self) -> None:
        """Do nothing: lines in a log stay."""


def live_text(progress: Progress) -> str:
    """Return operations done, rate, failures and time left, on one line."""
    rate = progress.operations / progress.elapsed if progress.elapsed else 0.0
    parts = [f"{progress.operations} ops", f"{rate:.0f}/s", f"{progress.failures} failed"]
    if progress.done > 0:
        left = progress.elapsed * (1 - progress.done) / progress.done
        parts.append(f"{left:.0f} s left")
    return ", ".join(parts)


def _write(file: int, text: str) -> None:
    with contextlib.suppress(OSError):
        system.write(file, text.encode())
