"""What is shown of a run that goes on: a line that changes, on a terminal, or a line now and then, in a log.

Both are written to the file descriptor of the terminal or log itself, past pytest's capture.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.status import Progress

_INTERVAL: Final = 0.5
_PLAIN_INTERVAL: Final = 3.0
_NARROWEST: Final = 20
_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"


class Live(Protocol):
    """Shows how far a run is."""

    def __call__(self, progress: Progress) -> None:
        """Called some ten times a second."""

    def clear(self) -> None:
        """The run has ended."""


class ProgressLine:
    """A line behind what pytest has written on the terminal's current line, wiped before pytest writes again."""

    def __init__(self, terminal: int, room: Callable[[], int]) -> None:
        self._terminal = terminal
        self._room = room
        self._last = time.monotonic()
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _INTERVAL:
            return
        self._last = now
        room = self._room()
        if room >= _NARROWEST:
            self._shown = True
            _write(self._terminal, f"{_SAVE} {live_text(progress)[:room]}{_CLEAR}{_RESTORE}")

    def clear(self) -> None:
        if self._shown:
            _write(self._terminal, _CLEAR)


class ProgressLog:
    """A line of its own every few seconds, for logs. ``begins_line`` is whether the log is at a line's start."""

    def __init__(self, log: int, test: str, begins_line: Callable[[], bool]) -> None:
        self._log = log
        self._test = escape_controls(test)
        self._begins_line = begins_line
        self._last = time.monotonic()
        self._has_written = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _PLAIN_INTERVAL:
            return
        self._last = now
        start = "" if self._has_written or self._begins_line() else "\n"
        self._has_written = True
        _write(self._log, f"{start}stress: {self._test}: {progress.elapsed:.0f} s, {live_text(progress)}\n")

    def clear(self) -> None:
        """A line that is written stays."""


def live_text(progress: Progress) -> str:
    """Operations done, rate, failures and time left."""
    rate = progress.operations / progress.elapsed if progress.elapsed else 0.0
    parts = [f"{progress.operations} ops", f"{rate:.0f}/s", f"{progress.failures} failed"]
    if progress.done > 0:
        left = progress.elapsed * (1 - progress.done) / progress.done
        parts.append(f"{left:.0f} s left")
    return ", ".join(parts)


def _write(file: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(file, text.encode())
