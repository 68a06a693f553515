"""Where no faults are met: in checks, and in the sessions of agents, which are no part of the run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

_suspended: ContextVar[list[bool] | None] = ContextVar("faults are suspended", default=None)
"""A list of one, which tasks and threads that were begun in a block share with it: they outlive it."""


def are_suspended() -> bool:
    """Whether calls made here meet no faults."""
    shared = _suspended.get()
    return shared is not None and shared[0]


@contextmanager
def suspended() -> Iterator[None]:
    """In the block, calls meet no faults."""
    shared = [True]
    token = _suspended.set(shared)
    try:
        yield
    finally:
        shared[0] = False
        _suspended.reset(token)


@contextmanager
def without_faults(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """A context manager that is entered and left without faults."""
    stack = ExitStack()
    with suspended():
        value = stack.enter_context(manager)
    try:
        yield value
    except BaseException:
        with suspended():
            if not stack.__exit__(*sys.exc_info()):
                raise
    else:
        with suspended():
            stack.close()


@asynccontextmanager
async def without_faults_async(manager: Any) -> AsyncIterator[Any]:
    """The same on an event loop, for an async context manager or a plain one."""
    stack = AsyncExitStack()
    with suspended():
        if hasattr(type(manager), "__aenter__"):
            value = await stack.enter_async_context(manager)
        else:
            value = stack.enter_context(manager)
    try:
        yield value
    except BaseException:
        with suspended():
            if not await stack.__aexit__(*sys.exc_info()):
                raise
    else:
        with suspended():
            await stack.aclose()
