"""Outcomes of operations.

A member is an index into counts by outcome. Compare a NumPy column with a member's ``value``: NumPy widens the
whole column to 64 bits to compare it with the member itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Outcome(IntEnum):
    """Outcome of an operation. Each operation has exactly one."""

    SUCCESS = 0
    FAILED = 1
    MISSING = 2


SUCCESS: Final = Outcome.SUCCESS
FAILED: Final = Outcome.FAILED
MISSING: Final = Outcome.MISSING
OUTCOME_NAMES: Final = ("success", "failed", "missing_data")
"""Names of the outcomes in records, indexed by ``Outcome``."""

ERROR: Final = len(Outcome)
"""Index of the errors in counts that include errors besides the outcomes."""
CELLS: Final = ERROR + 1
"""Length of counts that include errors."""
