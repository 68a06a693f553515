"""Fault windows: the times of a run in which planned faults take effect.

Without windows, faults take effect during the whole run. A window is a span of seconds after the run's start, or a
span that begins with an event, which the target or the test announces by name. Outside of all windows, operations
are performed without faults, so that a test can check recovery: ``errors{faults=off} == 0``.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress._internal.validation import InvalidValue
from pytest_nos_stress._internal.validation import seconds as seconds_of


class FaultWindow(NamedTuple):
    """A span in which faults take effect.

    ``begin`` and ``end`` are seconds after the run's start, or after the event named ``after``. ``end`` None is
    the end of the run.
    """

    begin: float
    end: float | None = None
    after: str | None = None

    def to_plain(self) -> Any:
        """Return the window as JSON types, which ``windows_of`` reads."""
        if self.after is None:
            return [self.begin, self.end]
        lasts = None if self.end is None else self.end - self.begin
        fields = {"after": self.after, "from": self.begin or None, "lasts": lasts}
        return {name: value for name, value in fields.items() if value is not None}

    def __repr__(self) -> str:
        plain = self.to_plain()
        return repr(plain if isinstance(plain, dict) else tuple(plain))


def windows_of(value: Any) -> tuple[FaultWindow, ...] | None:
    """Return the windows of a setting's value. Raises ``InvalidValue``, ``TypeError`` or ``ValueError``."""
    if value is None:
        return None
    rows = [value] if isinstance(value, (Mapping, FaultWindow)) or _is_pair(value) else list(value)
    if not rows:
        raise InvalidValue("there are no windows")
    return tuple(_window(row) for row in rows)


def read_windows(text: Any) -> Any:
    """Parse windows from comma-separated text: ``5s-10s``, ``60s-`` or ``failover+10s``. Raises ``ValueError``."""
    if not isinstance(text, str) and not (isinstance(text, list) and all(isinstance(line, str) for line in text)):
        return text
    parts = [part.strip() for line in ([text] if isinstance(text, str) else text) for part in line.split(",")]
    return [_read(part) for part in parts if part]


def _read(part: str) -> Any:
    event, plus, lasts = part.partition("+")
    if plus:
        return {"after": event.strip(), **({"lasts": lasts.strip()} if lasts.strip() else {})}
    begin, dash, end = part.partition("-")
    if not dash:
        raise ValueError(part)
    return (begin.strip() or 0, end.strip() or None)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, (tuple, list)) and len(value) == 2 and not isinstance(value[0], (tuple, list, Mapping))
    )


def _window(row: Any) -> FaultWindow:
    if isinstance(row, FaultWindow):
        return row
    if isinstance(row, Mapping):
        unknown = row.keys() - {"after", "from", "lasts"}
        event = row.get("after")
        if unknown or not isinstance(event, str) or not event:
            raise InvalidValue(f"{row!r} is not a window")
        begin = _seconds(row.get("from", 0))
        lasts = row.get("lasts")
        if lasts is not None and not _seconds(lasts):
            raise InvalidValue(f"'lasts' of {row!r} must be above 0")
        return FaultWindow(begin, None if lasts is None else begin + _seconds(lasts), event)
    if not _is_pair(row):
        raise InvalidValue(f"{row!r} is not a window")
    begin, end = _seconds(row[0]), None if row[1] is None else _seconds(row[1])
    if end is not None and end <= begin:
        raise InvalidValue(f"{tuple(row)!r} must end after it begins")
    return FaultWindow(begin, end)


def _seconds(value: Any) -> float:
    try:
        number = seconds_of(value)
    except (KeyError, TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidValue(f"{value!r} is not a time in seconds from 0 up")
    return number


class OpenWindows:
    """Fault windows of a run in progress. ``elapsed`` returns the seconds since the run's start."""

    def __init__(self, windows: Iterable[FaultWindow], elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._awaited = [window for window in windows if window.after is not None]
        self._lock = _thread.allocate_lock()
        self._spans = [(window.begin, _end(window.end)) for window in windows if window.after is None]

    def announce(self, event: str) -> None:
        """Begin the windows that wait for this event. Later announcements of the event have no effect.

        Raises ``TypeError`` if the event is not a text.
        """
        if not isinstance(event, str):
            raise TypeError(f"announce: event={safe_repr(event)}: must be the name of an event")
        now = self._elapsed()
        with self._lock:
            begun = [window for window in self._awaited if window.after == event]
            self._awaited = [window for window in self._awaited if window.after != event]
        for window in begun:
            self._spans.append((now + window.begin, now + _end(window.end)))

    def are_open(self) -> bool:
        """Return True if faults take effect now."""
        now = self._elapsed()
        return any(begin <= now < end for begin, end in self._spans)

    def spans_until(self, end: float) -> tuple[tuple[float, float], ...]:
        """Return the begin and end of each window in the run, in seconds since its start, cut off at ``end``."""
        return tuple((begin, min(closes, end)) for begin, closes in sorted(self._spans) if begin < end)


def _end(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
