"""Support for tests under Hypothesis' ``@given``, which run many times and draw their scenarios.

This module does not import Hypothesis: a test that uses it has already imported it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import pytest


def is_under_given(item: pytest.Item) -> bool:
    """Return True if Hypothesis runs the test function many times."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def examples_use_argument_of(item: pytest.Item) -> AbstractContextManager[None]:
    """Print ``@example(NAME=scenario)`` for failures in the block, with the name of the test's argument.

    A test that draws by ``data()``, or that has other arguments too, needs more than the scenario. For such a test
    no example is printed.
    """
    strategies = sys.modules.get("pytest_nos_stress.search.strategies")
    arguments = getattr(getattr(getattr(item, "obj", None), "hypothesis", None), "_given_kwargs", {})
    if strategies is None or not arguments:
        return nullcontext()
    name, strategy = next(iter(arguments.items()))
    can_be_pasted = len(arguments) == 1 and repr(strategy) != "data()"
    context: AbstractContextManager[None] = strategies.example_argument(name if can_be_pasted else "")
    return context
