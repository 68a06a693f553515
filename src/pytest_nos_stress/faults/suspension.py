"""Suspension of faults in checks and in the ``per_agent`` context managers, which are not part of the run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from pytest_nos_stress._internal.answers import describe

_suspended: ContextVar[list[bool] | None] = ContextVar("faults are suspended", default=None)
"""Mutable flag, a list with one item. Tasks and threads started in a block share it, and can outlive the block."""


def are_suspended() -> bool:
    """Return True if calls in this context meet no faults."""
    shared = _suspended.get()
    return shared is not None and shared[0]


@contextmanager
def suspended() -> Iterator[None]:
    """Suspend faults in this block."""
    shared = [True]
    token = _suspended.set(shared)
    try:
        yield
    finally:
        shared[0] = False
        _suspended.reset(token)


@contextmanager
def without_faults(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """Enter and leave a context manager with faults suspended. In the block itself, faults are active."""
    if not hasattr(type(manager), "__enter__"):
        raise _not_a_context_manager(manager)
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
    """Do the same as ``without_faults`` on an event loop, for a plain or an async context manager."""
    stack = AsyncExitStack()
    with suspended():
        if hasattr(type(manager), "__aenter__"):
            value = await stack.enter_async_context(manager)
        elif hasattr(type(manager), "__enter__"):
            value = stack.enter_context(manager)
        else:
            raise _not_a_context_manager(manager)
    try:
        yield value
    except BaseException:
        with suspended():
            if not await stack.__aexit__(*sys.exc_info()):
                raise
    else:
        with suspended():
            await stack.aclose()


def _not_a_context_manager(value: object) -> TypeError:
    description = describe(
        value, "must return a context manager", generator="decorate the function with contextlib.contextmanager"
    )
    return TypeError(f"per_agent: {description}")
