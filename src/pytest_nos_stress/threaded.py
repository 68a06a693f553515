"""Runs and event loops: a run that a coroutine awaits, and a run on the loop that a test's fixtures live on.

A run waits in the thread it is called from. Where that is an event loop's thread, and the agents are to be on
that loop, the run has a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .result import StressResult
from .settings import SettingError

if TYPE_CHECKING:
    from .simulator import MultiAgentSimulator

T = TypeVar("T")


async def in_thread(function: Callable[[], T], interrupt: Callable[[], None]) -> T:
    """Call a function in a thread of its own and await it.

    Where the awaiting coroutine is cancelled, ``interrupt`` is called, which is to end the function soon; the
    cancellation goes on once it has ended. The thread is no daemon of a pool: it is gone when this returns.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = context.run(function), None
        except BaseException as error:
            outcome = None, error
        loop.call_soon_threadsafe(ended.set_result, outcome)

    thread = threading.Thread(target=run, name="stress run")
    thread.start()
    try:
        value, error = await asyncio.shield(ended)
    except asyncio.CancelledError:
        interrupt()
        await asyncio.wait([ended])
        raise
    finally:
        thread.join()
    if error is not None:
        raise error
    return cast(T, value)


def run_here(simulator: MultiAgentSimulator, **options: Any) -> StressResult:
    """Run, with agents that are awaited on the current event loop of this thread, if it has one that does not
    run.

    Raises ``SettingError`` where it does run: a run would keep it from going on.
    """
    loop = _current_loop() if simulator.awaits else None
    if loop is None:
        return simulator.run(**options)
    if loop.is_running():
        raise SettingError(
            "engine='asyncio': an event loop runs in this test; must be awaited: "
            "await stress_simulator.run_async(...)"
        )
    task = loop.create_task(simulator.run_async(**options))
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        if not task.done():
            simulator.interrupt()
            loop.run_until_complete(task)
        raise


def _current_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, or that is set as its current one and not closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loop = asyncio.get_event_loop()
        except (DeprecationWarning, RuntimeError):
            return None
    return None if loop.is_closed() else loop
