"""Examples of Hypothesis' ``@given``, which calls a test function many times.

This module does not import Hypothesis: a test that uses it has already imported it.
"""

from __future__ import annotations

import sys


def current_example() -> object:
    """Return the example that Hypothesis is running in this thread; None outside of ``@given``."""
    control = sys.modules.get("hypothesis.control")
    return getattr(getattr(control, "_current_build_context", None), "value", None)
