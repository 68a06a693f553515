"""Event loops and timers that keep real time while a test has frozen the time.

A loop takes the time from ``time.monotonic``, which freezegun replaces. The timers of a frozen loop never end.
The package's own loops have a clock that cannot be replaced. On a loop of the user whose clock does not show the
real time, a thread keeps the package's timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from asyncio import AbstractEventLoop, get_running_loop, new_event_loop  # noqa: TID251
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from .instrument import Condition, Thread, perf_counter

_MAX_DIFFERENCE = 1.0


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None: ...


def new_loop(make: Callable[[], AbstractEventLoop] | None = None) -> AbstractEventLoop:
    """Return a new event loop that keeps real time. ``make`` creates it; the default is the user's policy."""
    loop = (make or new_event_loop)()
    if isinstance(loop, asyncio.BaseEventLoop):  # others, such as uvloop's, read the clock in C
        vars(loop)["time"] = perf_counter
    return loop


def call_later(loop: AbstractEventLoop, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
    """Call a function on the loop after seconds of real time. Call it on the loop's thread."""
    if _keeps_real_time(loop):
        return loop.call_later(seconds, callback, *args)
    return _timers.add(loop, seconds, callback, *args)


class yield_once:  # noqa: N801 - a function, to its users
    """Let the other tasks of the event loop run. Await it: ``await yield_once()``."""

    def __await__(self) -> Generator[None]:
        yield


async def sleep(seconds: float) -> None:
    """Sleep for seconds of real time on the running loop."""
    if seconds <= 0:
        await yield_once()
        return
    loop = get_running_loop()
    waking: asyncio.Future[None] = loop.create_future()
    timer = call_later(loop, seconds, wake, waking)
    try:
        await waking
    finally:
        timer.cancel()


def wake(waking: asyncio.Future[None]) -> None:
    """Set the result of a future, unless it is done."""
    if not waking.done():
        waking.set_result(None)


def _keeps_real_time(loop: AbstractEventLoop) -> bool:
    clock = loop.time
    if clock is perf_counter or not isinstance(loop, asyncio.BaseEventLoop):
        return True
    return abs(clock() - perf_counter()) < _MAX_DIFFERENCE


class _ThreadTimer:
    def __init__(self, loop: AbstractEventLoop, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.loop = loop
        self._callback = callback
        self._args = args
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True
        _timers.remove(self)

    def end(self) -> None:
        if not self._is_cancelled:
            self._callback(*self._args)


class _Timers:
    """Timers that a thread keeps. The thread lives while there are timers."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._thread: Thread | None = None
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, _ThreadTimer]] = []

    def add(
        self, loop: AbstractEventLoop, seconds: float, callback: Callable[..., object], *args: Any
    ) -> _ThreadTimer:
        timer = _ThreadTimer(loop, callback, args)
        with self._changed:
            heappush(self._timers, (perf_counter() + seconds, next(self._numbers), timer))
            if self._thread is None:
                self._thread = Thread(self._work, name="stress timers")
                self._thread.start()
            self._changed.notify()
        return timer

    def remove(self, timer: _ThreadTimer) -> None:
        with self._changed:
            self._timers = [entry for entry in self._timers if entry[2] is not timer]
            heapify(self._timers)
            self._changed.notify()

    def _work(self) -> None:
        while (timer := self._next()) is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                timer.loop.call_soon_threadsafe(timer.end)

    def _next(self) -> _ThreadTimer | None:
        """Wait for the next timer that is due, and remove it. Return None if there are no timers."""
        with self._changed:
            while self._timers:
                remaining = self._timers[0][0] - perf_counter()
                if remaining <= 0:
                    return heappop(self._timers)[2]
                self._changed.wait(remaining)
            self._thread = None
        return None


_timers = _Timers()
