"""Tasks on an event loop that a target started and did not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Any, Final

from pytest_nos_stress._internal import loops

PATIENCE: Final = 0.5
"""Seconds to wait for tasks at the end of a run."""

_endless: set[tuple[str, int]] = set()
"""Coroutine functions whose tasks did not end within ``PATIENCE`` in an earlier run: their files and lines."""


async def wait(before: Container[asyncio.Task[Any]]) -> None:
    """Wait for the loop's tasks, except for those that were there before.

    A kind of task that does not end, such as a heartbeat, is waited for once in a process.
    """
    caller = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not caller and task not in before]
    tasks = [task for task in tasks if _kind(task) not in _endless]
    if tasks:
        await _wait_for(tasks)
        _endless.update(_kind(task) for task in tasks if not task.done())


async def _wait_for(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait until all tasks have ended, or ``PATIENCE`` seconds of real time have passed."""
    over = asyncio.ensure_future(loops.sleep(PATIENCE))
    while not over.done() and (pending := [task for task in tasks if not task.done()]):
        await asyncio.wait([*pending, over], return_when=asyncio.FIRST_COMPLETED)
    over.cancel()


def _kind(task: asyncio.Task[Any]) -> tuple[str, int]:
    code = getattr(task.get_coro(), "cr_code", None)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)
