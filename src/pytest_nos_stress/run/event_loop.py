"""Runs and event loops: a run that a coroutine awaits, and a run on the loop of a test's fixtures.

A run blocks the thread that calls it. If that is the thread of an event loop on which the agents must run, the run
gets a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import sys
import threading
import warnings
from asyncio import get_running_loop, wait
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol, TypeVar, cast

from pytest_nos_stress._internal import loops
from pytest_nos_stress._internal.instrument import Thread, perf_counter, sleep
from pytest_nos_stress.engines.own_loop import report_if_lost
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.result import StressResult

from .signal_guard import SignalGuard

T = TypeVar("T")

_TIME_TO_NOTICE: Final = 0.3
_POLL_INTERVAL: Final = 0.01


class Simulator(Protocol):
    """The part of a simulator that event loops need."""

    @property
    def engine(self) -> str: ...

    @property
    def awaits(self) -> bool:
        """True if the agents' tasks are awaited on an event loop."""

    def run(self, *args: Any, **options: Any) -> StressResult: ...

    async def run_async(self, *args: Any, **options: Any) -> StressResult: ...


async def run_in_thread(function: Callable[[], T], interrupt: Callable[[BaseException], None]) -> T:
    """Call a function in a thread of its own and await it.

    ``interrupt`` is called if the awaiting coroutine is cancelled, on Ctrl-C, and if a signal handler raises an
    exception. It gets the exception, and must end the function soon. Then the exception is raised here. The thread
    has ended by then.
    """
    loop = get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = context.run(function), None
        except BaseException as error:
            outcome = None, error
        loop.call_soon_threadsafe(ended.set_result, outcome)
        signals.break_off_unless(ended)

    thread = Thread(run, name="stress run", daemon=False)
    with _LoopGuard(interrupt) as signals:
        thread.start()
        cancelled = await _until(ended, interrupt)
    thread.join()
    if cancelled is not None:
        raise cancelled
    value, error = ended.result()
    error = error or signals.raised  # a signal can come when the function has just returned
    if isinstance(error, KeyboardInterrupt) and signals.raised is error:
        await _as_the_loops_owner_would(error)
    if error is not None:
        raise error
    return cast(T, value)


async def _as_the_loops_owner_would(error: KeyboardInterrupt) -> None:
    """Pass Ctrl-C on to the owner of the loop. Not every owner can handle a ``KeyboardInterrupt`` from a task."""
    get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    await loops.sleep(_TIME_TO_NOTICE)
    raise error


async def _until(
    ended: asyncio.Future[Any], interrupt: Callable[[BaseException], None]
) -> asyncio.CancelledError | None:
    """Wait for the end, regardless of cancellations. Return the first cancellation, if any."""
    cancelled = None
    while not ended.done():
        try:
            await wait([ended])
        except asyncio.CancelledError as error:
            if cancelled is None:
                cancelled = error
                interrupt(error)
    return cancelled


class _LoopGuard(SignalGuard):
    """Make an exception of a signal handler interrupt the run, and not the current task of the event loop.

    If a task blocks the loop, it is interrupted once the run has ended.
    """

    def break_off_unless(self, ended: asyncio.Future[Any]) -> None:
        """Interrupt the thread of the loop unless it notices the end. Called from the thread of the run."""
        deadline = perf_counter() + _TIME_TO_NOTICE
        while self.raised is not None and not ended.done() and perf_counter() < deadline:
            sleep(_POLL_INTERVAL)
        if self.raised is not None and not ended.done():
            # A signal, and not ``_thread.interrupt_main``, which a thread in a system call does not notice.
            signal.pthread_kill(threading.main_thread().ident or 0, self.number)

    def _handle_another(self, number: int, frame: FrameType | None) -> None:
        if self.raised is not None and number == self.number:
            raise self.raised
        super()._handle_another(number, frame)

    def _call_handler(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:  # asyncio's handler only cancels a task, which a blocked loop never sees
            raise KeyboardInterrupt
        super()._call_handler(number, frame)


def run_on_current_loop(simulator: Simulator, **options: Any) -> StressResult:
    """Run; await the agents on this thread's current event loop if there is one that is not running.

    Raises ``SettingError`` if the loop is running, because the run would block it.
    """
    __tracebackhide__ = True  # pytest then ends a traceback in the test's own line
    loop = _current_loop() if simulator.awaits else None
    if loop is None:
        return simulator.run(**options)
    if loop.is_running():
        raise SettingError(
            f"engine={simulator.engine!r}: an event loop is already running in this test; "
            "use: await stress_simulator.run_async(...)"
        )
    task = loop.create_task(simulator.run_async(**options))
    while True:
        try:
            return loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit) as error:  # a target's task can raise them too
            if task.done():
                raise
            report_if_lost(loop, error)


def _current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running loop of this thread, or the loop that is set as current and not closed; else None."""
    with contextlib.suppress(RuntimeError):
        return get_running_loop()
    loop = _loop_that_is_set()
    return None if loop is None or loop.is_closed() else loop


def _loop_that_is_set() -> asyncio.AbstractEventLoop | None:
    if sys.version_info < (3, 12):  # asking would create a loop
        local = getattr(asyncio.get_event_loop_policy(), "_local", None)
        return getattr(local, "_loop", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return asyncio.get_event_loop()
        except (DeprecationWarning, RuntimeError):
            return None
