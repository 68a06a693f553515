"""Values that tasks return: work that nobody has done is an error of its operation.

A coroutine, generator or async generator that is returned before it has begun, and an awaitable that the engine
does not await, have not done what the task promised. A future that has ended with an exception passes that
exception on. Any other value is ignored, as are generators that have begun, and futures that are done.
"""

from __future__ import annotations

import concurrent.futures
import dis
import inspect
import sys
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

_MOST_TYPES: Final = 1_000
"""Most types to remember. A target can make a new type for each answer, as ``unittest.mock`` does."""


class ReturnedValues:
    """Examines what the tasks of one run return. ``on_pending`` is called with each future that is not done.

    ``harmless`` has the types, by ``id()``, whose values need no examination. It is on the hot path, and works
    with types whose metaclass refuses ``hash()``.
    """

    def __init__(self, on_pending: Callable[[Any], None] | None = None) -> None:
        self.harmless: dict[int, type] = {}
        self._on_pending = on_pending

    def examine(self, value: object) -> None:
        """Raise an exception if a task's answer is work that nobody has done, or whose exception nobody has seen.

        Raises ``TypeError``, or the exception of a future.
        """
        kind = type(value)
        if issubclass(kind, CoroutineType | GeneratorType | AsyncGeneratorType):
            _refuse_unstarted(value)
        elif hasattr(kind, "_asyncio_future_blocking") or issubclass(kind, concurrent.futures.Future):
            self._examine_future(value)
        elif hasattr(kind, "__await__"):
            raise TypeError(_not_awaited(value))
        elif len(self.harmless) < _MOST_TYPES:
            self.harmless[id(kind)] = kind

    def _examine_future(self, future: Any) -> None:
        if not future.done():
            if _can_never_end(future):
                raise TypeError(_not_awaited(future))
            if self._on_pending is not None:
                self._on_pending(future)
        elif (error := unseen_exception(future)) is not None:
            raise error


def as_awaitable(value: Any) -> Any:
    """Return what an event loop can await of a task's answer; None if it is not an awaitable."""
    kind = type(value)
    if hasattr(kind, "__await__"):
        return value
    # Not `inspect.isawaitable`, which hashes the type.
    is_coroutine = issubclass(kind, GeneratorType) and value.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
    return _await(value) if is_coroutine else None


async def _await(generator_based_coroutine: Any) -> Any:
    """Await a coroutine made by ``types.coroutine``, whose type has no ``__await__``."""
    return await generator_based_coroutine


def unseen_exception(future: Any) -> BaseException | None:
    """Return the exception of a future that is done, if nobody has seen it yet.

    A future of ``concurrent.futures`` does not know if somebody has seen its exception.
    """
    if future.cancelled() or not getattr(future, "_log_traceback", True):
        return None
    error: BaseException | None = future.exception()
    return error


def _can_never_end(future: Any) -> bool:
    """Return True for a future of an event loop that does not run, so nothing will end the future."""
    if issubclass(type(future), concurrent.futures.Future):
        return False
    return not future.get_loop().is_running()


def _refuse_unstarted(value: Any) -> None:
    """Raise ``TypeError`` for a coroutine or generator whose body has not begun. It is closed."""
    if issubclass(type(value), CoroutineType):
        if inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
            value.close()
            raise TypeError(_not_awaited(value))
    elif issubclass(type(value), GeneratorType):
        if inspect.getgeneratorstate(value) == inspect.GEN_CREATED:
            value.close()
            raise TypeError("the task returned a generator, and nobody has run it; must run it in the task")
    elif _is_unstarted(value):
        raise TypeError("the task returned an async generator, and nobody has run it; must run it in the task")


def _is_unstarted(generator: AsyncGeneratorType[Any, Any]) -> bool:
    if sys.version_info >= (3, 12):
        return inspect.getasyncgenstate(generator) == inspect.AGEN_CREATED
    frame = generator.ag_frame
    if frame is None or generator.ag_running:
        return False
    return frame.f_lasti < 0 or dis.opname[frame.f_code.co_code[frame.f_lasti]] == "RETURN_GENERATOR"


def _not_awaited(value: object) -> str:
    return f"the task returned a {type(value).__name__}, and nobody has awaited it; must await it in the task"
