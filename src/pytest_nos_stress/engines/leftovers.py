"""Tasks on an event loop that a target started and did not wait for."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import current_task, ensure_future, get_running_loop, wait
from collections.abc import Callable
from typing import Any, Final

from pytest_nos_stress._internal import loops
from pytest_nos_stress._internal.instrument import Event

from .base import CURRENT_AGENT

PATIENCE: Final = 0.5
"""Seconds to wait for tasks at the end of a run."""

_endless: set[tuple[str, int]] = set()
"""Coroutine functions whose tasks did not end within ``PATIENCE`` in an earlier run: their files and lines."""


def await_tasks(loop: asyncio.AbstractEventLoop, select: Callable[[], list[asyncio.Task[Any]]]) -> None:
    """Wait from another thread for tasks on a running loop. ``select`` is called on the loop.

    A kind of task that does not end, such as a heartbeat, is waited for once in a process.
    """
    ended = Event()

    def begin() -> None:
        waiting = loop.create_task(_wait(select))
        waiting.add_done_callback(lambda _: ended.set())

    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(begin)
        ended.wait(2 * PATIENCE)  # longer than it takes, in case a task holds the loop


async def _wait(select: Callable[[], list[asyncio.Task[Any]]]) -> None:
    await loops.sleep(_until_timers_of_agents(get_running_loop()))
    caller = current_task()
    tasks = [task for task in select() if task is not caller and _kind(task) not in _endless]
    if tasks:
        await _wait_for(tasks)
        _endless.update(_kind(task) for task in tasks if not task.done())


def _until_timers_of_agents(loop: asyncio.AbstractEventLoop) -> float:
    """Return the seconds until the timers of agents have ended that do so within ``PATIENCE``."""
    timers = [
        timer
        for timer in getattr(loop, "_scheduled", ())
        if not timer.cancelled() and timer._context.get(CURRENT_AGENT) is not None
    ]
    left = [timer.when() - loop.time() for timer in timers]
    return max((seconds for seconds in left if seconds <= PATIENCE), default=0.0)


async def _wait_for(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait until all tasks have ended, or ``PATIENCE`` seconds of real time have passed."""
    over = ensure_future(loops.sleep(PATIENCE))
    while not over.done() and (pending := [task for task in tasks if not task.done()]):
        await wait([*pending, over], return_when=asyncio.FIRST_COMPLETED)
    over.cancel()


def _kind(task: asyncio.Task[Any]) -> tuple[str, int]:
    code = getattr(task.get_coro(), "cr_code", None)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)
