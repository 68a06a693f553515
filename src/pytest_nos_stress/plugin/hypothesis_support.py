"""Support for Hypothesis: tests under ``@given`` run many times, and draw their scenarios.

Nothing here imports Hypothesis: a test that uses it has imported it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import pytest


def is_under_given(item: pytest.Item) -> bool:
    """Whether Hypothesis runs the test's function many times."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def current_example() -> object:
    """The example that Hypothesis is running; None outside of ``@given``."""
    control = sys.modules.get("hypothesis.control")
    return getattr(getattr(control, "_current_build_context", None), "value", None)


def scenarios_shown_as_argument(item: pytest.Item) -> AbstractContextManager[None]:
    """Show a failing scenario under the name of the test's argument, in the block.

    A scenario that a test draws by ``data()``, or beside other arguments, cannot be pasted alone.
    """
    strategies = sys.modules.get("pytest_nos_stress.search.strategies")
    arguments = getattr(getattr(getattr(item, "obj", None), "hypothesis", None), "_given_kwargs", {})
    if strategies is None or not arguments:
        return nullcontext()
    name, strategy = next(iter(arguments.items()))
    can_be_pasted = len(arguments) == 1 and repr(strategy) != "data()"
    shown: AbstractContextManager[None] = strategies.shown_as(name if can_be_pasted else "")
    return shown
