"""Instruments of this package that a test cannot replace: clocks, sleep, locks and threads.

Tests freeze time (freezegun, time-machine), replace functions (``monkeypatch``, ``unittest.mock``) and locks (this
package's virtual engine does). A run must measure real time all the same, and its timeouts must come. So the
package captures ``time`` and ``threading`` when it is imported, and no other module of it uses ``time`` or makes a
lock or thread of ``threading``. Ruff's list of banned names (``pyproject.toml``) keeps that.

- The functions come from a private copy of the module ``time``. Libraries that freeze time search all modules for
  the functions of ``time`` itself. Telling them to ignore this package would not do: they would then ignore the
  targets, too, because agents call them.
- Every clock but the wall clock is ``perf_counter``. Releases of time-machine fake ``time.monotonic`` in C, in
  every copy of the module.
- The wall clock is read once, before the first run, and then follows a clock that nobody sets.
"""

from __future__ import annotations

import _thread
import functools
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from . import captured_threading
from . import captured_time as _time

if TYPE_CHECKING:
    import threading

    _Condition = threading.Condition  # noqa: TID251
    _Event = threading.Event  # noqa: TID251
    _Thread = threading.Thread  # noqa: TID251
    current_thread = threading.current_thread  # noqa: TID251
    all_threads = threading.enumerate  # noqa: TID251
else:
    _Condition = captured_threading["Condition"]
    _Event = captured_threading["Event"]
    _Thread = captured_threading["Thread"]
    current_thread = captured_threading["current_thread"]
    all_threads = captured_threading["enumerate"]

_CLOCK_REALTIME_COARSE: Final = 5
_MAX_DIFFERENCE_NS: Final = 1_000_000_000

perf_counter: Final[Callable[[], float]] = _time.perf_counter
perf_counter_ns: Final[Callable[[], int]] = _time.perf_counter_ns
process_time: Final[Callable[[], float]] = _time.process_time
thread_time: Final[Callable[[], float]] = _time.thread_time
sleep: Final[Callable[[float], None]] = _time.sleep
strftime: Final[Callable[[str, Any], str]] = _time.strftime
localtime: Final[Callable[[float], Any]] = _time.localtime
gmtime: Final[Callable[[float], Any]] = _time.gmtime


def _time_since_boot_ns() -> int:
    """Return a clock that includes the time for which the machine was suspended, if the system has one."""
    try:
        return int(_time.clock_gettime_ns(_time.CLOCK_BOOTTIME))
    except (AttributeError, OSError):
        return perf_counter_ns()


def _unfaked_wall_ns() -> int:
    """Return the wall clock's time. time-machine fakes the exact clock in C, but not the coarse one of Linux."""
    exact = int(_time.time_ns())
    if sys.platform != "linux":
        return exact
    coarse = int(_time.clock_gettime_ns(_CLOCK_REALTIME_COARSE))
    return exact if abs(exact - coarse) < _MAX_DIFFERENCE_NS else coarse


_WALL_OFFSET_NS: Final[int] = _unfaked_wall_ns() - _time_since_boot_ns()


def wall_ns() -> int:
    """Return nanoseconds since 1970, also while a test has frozen the time."""
    return _WALL_OFFSET_NS + _time_since_boot_ns()


Lock: Final = _thread.allocate_lock
"""Makes a lock of the interpreter, also while ``threading`` makes cooperating locks."""


def Condition() -> _Condition:  # noqa: N802 - a type, to its users
    """Return a condition around a reentrant lock of the interpreter."""
    return _Condition(_thread.RLock())


class Event(_Event):
    """An event around a lock of the interpreter."""

    def __init__(self) -> None:
        self._cond = _Condition(Lock())
        self._flag = False


_init_of_thread: Any = _Thread.__init__
_init_thread: Any = types.FunctionType(
    _init_of_thread.__code__,
    {**captured_threading, "Event": Event},
    argdefs=_init_of_thread.__defaults__,
    closure=_init_of_thread.__closure__,
)
"""``Thread.__init__`` of ``threading``, which uses the names of that module as they were when it was captured."""
_init_thread.__kwdefaults__ = _init_of_thread.__kwdefaults__


class Thread(_Thread):
    """A thread whose start does not depend on the locks that ``threading`` makes at present.

    It runs its target without frames of ``threading``: freezegun returns the real time to functions that are
    called from there.
    """

    def __init__(
        self, target: Callable[..., object] | None = None, *, args: Any = (), name: str, daemon: bool = True
    ) -> None:
        _init_thread(self, name=name, daemon=daemon)
        self._job = None if target is None else functools.partial(target, *args)

    def run(self) -> None:
        """Call the target, from two frames of this module. freezegun looks at the five innermost frames."""
        self._run_job()

    def _run_job(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job()
