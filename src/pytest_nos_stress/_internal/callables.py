"""Inspection of callables: functions, objects with ``__call__``, and mocks of either."""

from __future__ import annotations

import inspect
from typing import Any


def code_of_call(function: object) -> list[Any]:
    """Return the objects that can hold the code of a call: the callable and its ``__call__``.

    Returns an empty list for a mock with a spec, whose ``__code__`` is a mock, too.
    """
    candidates = [function, getattr(function, "__call__", None)]  # noqa: B004 - the method itself is wanted
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return candidates if isinstance(flags, int) else []


def is_coroutine_function(function: object) -> bool:
    """Return True if a call returns a coroutine.

    ``inspect.iscoroutinefunction`` alone would return True for every mock with a spec.
    """
    return any(map(inspect.iscoroutinefunction, code_of_call(function)))
