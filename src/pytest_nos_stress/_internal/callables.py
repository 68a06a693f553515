"""What can be called, and what runs when it is: functions, objects with ``__call__``, and mocks of either."""

from __future__ import annotations

import inspect
from typing import Any


def code_of_call(function: object) -> list[Any]:
    """What runs when it is called: itself or its ``__call__``. Mocks with a spec have no code of their own."""
    kinds = [function, getattr(function, "__call__", None)]  # noqa: B004 - the method itself is wanted
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return kinds if isinstance(flags, int) else []


def is_coroutine_function(function: object) -> bool:
    """Whether calling it gives a coroutine. A mock's code, which is a mock, would say so of every mock."""
    return any(map(inspect.iscoroutinefunction, code_of_call(function)))
