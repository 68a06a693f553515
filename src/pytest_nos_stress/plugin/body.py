"""Support for a marked test whose body is the task: reject unsuitable tests, and find the body's arguments."""

from __future__ import annotations

import inspect
import unittest
from typing import Any

import pytest

from .hypothesis_support import is_under_given


def refuse_unfit_body(item: pytest.Item) -> None:
    """Fail the running test if its body cannot be performed by several agents."""
    if not isinstance(item, pytest.Function) or _is_unittest(item):
        pytest.fail(
            "stress marker: a unittest method cannot be the task; write a plain test function", pytrace=False
        )
    if is_under_given(item):
        pytest.fail(
            "stress marker: a test under @given cannot be the task; use the stress_simulator fixture",
            pytrace=False,
        )
    if inspect.iscoroutinefunction(item.obj) or inspect.isasyncgenfunction(item.obj):
        pytest.fail(
            "stress marker: an async test function cannot be the task; use the stress_simulator fixture, "
            "or a sync function that calls asyncio.run()",
            pytrace=False,
        )


def body_arguments(item: pytest.Function) -> dict[str, Any]:
    """Return the values of the fixtures that are parameters of the test function."""
    parameters = inspect.signature(item.obj).parameters
    return {name: value for name, value in item.funcargs.items() if name in parameters}


def _is_unittest(item: pytest.Function) -> bool:
    return isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase)
