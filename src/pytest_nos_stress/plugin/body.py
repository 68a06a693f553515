"""A marked test whose body is the task: which tests can be one, and what the body is called with."""

from __future__ import annotations

import inspect
import unittest
from typing import Any

import pytest

from .hypothesis_support import is_under_given


def refuse_unfit_body(item: pytest.Item) -> None:
    """Fail the running test if its body cannot be performed by several agents."""
    if not isinstance(item, pytest.Function) or _is_unittest(item):
        pytest.fail("a stress marker needs a test function: unittest methods cannot be the task", pytrace=False)
    if is_under_given(item):
        pytest.fail(
            "a stress marker needs a plain test function: a test under @given uses the stress_simulator fixture",
            pytrace=False,
        )
    if inspect.iscoroutinefunction(item.obj) or inspect.isasyncgenfunction(item.obj):
        pytest.fail(
            "a stress marker needs a sync test function, for instance one that calls asyncio.run", pytrace=False
        )


def body_arguments(item: pytest.Function) -> dict[str, Any]:
    """The fixtures that a test function names, with their values."""
    parameters = inspect.signature(item.obj).parameters
    return {name: value for name, value in item.funcargs.items() if name in parameters}


def _is_unittest(item: pytest.Function) -> bool:
    return isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase)
