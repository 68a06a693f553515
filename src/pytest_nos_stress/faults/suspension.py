"""Where no faults are met: in checks, and in the sessions of agents, which are no part of the run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

_suspended: ContextVar[bool] = ContextVar("faults are suspended", default=False)


def are_suspended() -> bool:
    """Whether calls made here meet no faults."""
    return _suspended.get()


@contextmanager
def suspended() -> Iterator[None]:
    """In the block, calls meet no faults."""
    token = _suspended.set(True)
    try:
        yield
    finally:
        _suspended.reset(token)


@contextmanager
def quietly(manager: AbstractContextManager[Any]) -> Iterator[Any]:
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
async def quietly_async(manager: Any) -> AsyncIterator[Any]:
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
